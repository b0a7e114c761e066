package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const segmentSuffix = ".journal"

// magic begins a segment and names the format.
var magic = []byte("kioskfleet journal 2\n")

// segment is one file; it holds the records [first, first+count), less what damage took.
type segment struct {
	path    string
	first   uint64
	count   uint64
	lastAt  time.Time // of its newest record
	written int64     // bytes in use
	size    int64     // bytes that the file takes on disk, at least written
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
		segments = append(segments, &segment{
			path: filepath.Join(dir, e.Name()), first: first, lastAt: info.ModTime(), written: info.Size(), size: info.Size(),
		})
	}
	slices.SortFunc(segments, func(a, b *segment) int {
		if a.first < b.first {
			return -1
		}
		return 1
	})
	return segments, nil
}

// scan is what scanSegment found.
type scan struct {
	next    uint64 // number after the last good record
	end     int64  // where the last good block ends
	damaged int    // places where good blocks follow bad bytes
	lost    uint64 // records that these places took
}

// scanSegment reads a segment up to its last good block. Bad bytes with no good block behind them are a
// torn write, and no damage.
func scanSegment(path string, first uint64) (scan, error) {
	text, err := readSegment(path)
	if err != nil {
		return scan{}, err
	}
	s := scan{next: first, end: int64(len(magic))}
	if len(text) < len(magic) {
		return s, nil // it was being made when the process ended
	}
	if string(text[:len(magic)]) != string(magic) && [4]byte(text[:4]) != [4]byte{} {
		return scan{}, fmt.Errorf("%s is of another format: move it away, or run the version that wrote it", path)
	}
	for at := len(magic); ; {
		h, err := parseHeader(text[at:])
		if err == nil && (h.first < s.next || h.size() > len(text)-at || h.check(text[at:]) != nil) {
			err = errCorrupt
		}
		if err != nil {
			skip := findBlock(text[at:], s.next)
			if skip < 0 {
				return s, nil
			}
			s.damaged++
			at += skip
			continue
		}
		s.lost += h.first - s.next
		at += h.size()
		s.next, s.end = h.first+uint64(h.count), int64(at)
	}
}

func readSegment(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, info.Size())
	n, err := io.ReadFull(f, text)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return text[:n], err
}

// createSegment makes an empty, preallocated segment; its name is on disk when it returns.
func createSegment(path string, size int64) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err = preallocate(f, size); err == nil {
		if _, err = f.WriteAt(magic, 0); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return f, nil
}
