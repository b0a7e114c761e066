package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A record is its length, a checksum over its number and content, and the content, little-endian. The
// number in the checksum keeps a record from being taken for another one in the same place. A length
// of 0 ends a segment: files are preallocated with zeros.
const (
	headerBytes   = 8
	segmentSuffix = ".journal"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends a record whose checksum seal fills in.
func appendRecord(buf, record []byte) []byte {
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(record)))
	buf = append(buf, 0, 0, 0, 0)
	return append(buf, record...)
}

// seal writes the checksums of a run of records, the first of which has that number.
func seal(buf []byte, first uint64) {
	for number := first; len(buf) > 0; number++ {
		n := binary.LittleEndian.Uint32(buf)
		content := buf[headerBytes : headerBytes+n]
		binary.LittleEndian.PutUint32(buf[4:], checksum(number, content))
		buf = buf[headerBytes+n:]
	}
}

func checksum(number uint64, content []byte) uint32 {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], number)
	return crc32.Update(crc32.Checksum(n[:], castagnoli), castagnoli, content)
}

// Errors of readRecord.
var (
	errEnd     = errors.New("end of the segment's records")
	errCorrupt = errors.New("record is damaged")
)

// readRecord reads the record with that number into buf, growing it if needed.
func readRecord(r io.Reader, number uint64, buf []byte) ([]byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return buf, errEnd
		}
		return buf, err
	}
	n := binary.LittleEndian.Uint32(header[:])
	if n == 0 {
		return buf, errEnd
	}
	if n > MaxRecordBytes {
		return buf, errCorrupt
	}
	buf = slices.Grow(buf[:0], int(n))[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return buf, errCorrupt
	}
	if checksum(number, buf) != binary.LittleEndian.Uint32(header[4:]) {
		return buf, errCorrupt
	}
	return buf, nil
}

// scanBuffer is how much of a segment is read at a time.
const scanBuffer = 256 << 10

// scanSegment counts the good records at the start of a segment and says where they end.
func scanSegment(path string, first uint64) (count uint64, end int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, scanBuffer)
	var buf []byte
	for {
		buf, err = readRecord(r, first+count, buf)
		switch {
		case err == nil:
			count++
			end += headerBytes + int64(len(buf))
		case errors.Is(err, errEnd), errors.Is(err, errCorrupt):
			return count, end, nil
		default:
			return 0, 0, err
		}
	}
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d", first)+segmentSuffix)
}

// listSegments returns the segments of a folder, oldest first, without their counts.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segments []*segment
	for _, e := range entries {
		text, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(text, 10, 64)
		if err != nil || first == 0 {
			return nil, fmt.Errorf("%s is no segment of a journal: move it away", filepath.Join(dir, e.Name()))
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		segments = append(segments, &segment{path: filepath.Join(dir, e.Name()), first: first, lastAt: info.ModTime(), written: info.Size()})
	}
	slices.SortFunc(segments, func(a, b *segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return segments, nil
}
