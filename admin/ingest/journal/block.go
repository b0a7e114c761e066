package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A block holds the records of one group commit, or a part of them. On disk it is a header of
// little-endian fields and the records, each behind its length as a uvarint, together compressed with
// zstd where that pays:
//
//	marker    4 bytes
//	checksum  uint32, CRC-32C of everything behind it
//	first     uint64, number of the first record
//	count     uint32, records
//	raw       uint32, bytes of the records when decompressed; 0: they are not compressed
//	stored    uint32, bytes that follow
//
// Segments are preallocated with zeros, so a block that begins with zeros is the end of what was
// written. The marker lets a reader find the next good block behind a damaged one.
const (
	blockHeader = 28
	// blockBytes is how many bytes of records one block takes before the next begins. It bounds the
	// memory of a reader and what damage costs; a single record may be larger.
	blockBytes = 256 << 10
	// compressFrom is the size from which compression is tried: a lone small record does not get smaller.
	compressFrom = 512
	maxBlock     = blockBytes + MaxRecordBytes + 16
)

var (
	marker     = [4]byte{0xf7, 'K', 'F', 0x01}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Errors of parseHeader and block reading.
var (
	errEnd     = errors.New("end of the segment's records")
	errCorrupt = errors.New("block is damaged")
)

// appendRecord appends a record to the records of a block.
func appendRecord(buf, record []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(record)))
	return append(buf, record...)
}

// codec compresses and decompresses blocks. The encoder is for the one goroutine that flushes, the
// decoder for any.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCodec() (*codec, error) {
	// CRC-32C guards each block already.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &codec{e, d}, nil
}

// appendBlock appends a block of records to buf.
func (c *codec) appendBlock(buf, records []byte, first uint64, count int) []byte {
	start := len(buf)
	buf = append(buf, make([]byte, blockHeader)...)
	raw := 0
	if len(records) >= compressFrom {
		buf = c.encoder.EncodeAll(records, buf)
		if saved := len(records) - (len(buf) - start - blockHeader); saved > len(records)/16 {
			raw = len(records)
		} else {
			buf = buf[:start+blockHeader]
		}
	}
	if raw == 0 {
		buf = append(buf, records...)
	}
	b := buf[start:]
	copy(b, marker[:])
	binary.LittleEndian.PutUint64(b[8:], first)
	binary.LittleEndian.PutUint32(b[16:], uint32(count))
	binary.LittleEndian.PutUint32(b[20:], uint32(raw))
	binary.LittleEndian.PutUint32(b[24:], uint32(len(b)-blockHeader))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return buf
}

// header is the parsed header of a block.
type header struct {
	checksum uint32
	first    uint64
	count    uint32
	raw      uint32
	stored   uint32
}

// parseHeader reads a header that begins buf. Errors: errEnd where nothing was written, errCorrupt.
func parseHeader(buf []byte) (header, error) {
	if len(buf) < blockHeader {
		return header{}, errEnd
	}
	if [4]byte(buf[:4]) != marker {
		if [4]byte(buf[:4]) == [4]byte{} {
			return header{}, errEnd
		}
		return header{}, errCorrupt
	}
	h := header{
		checksum: binary.LittleEndian.Uint32(buf[4:]),
		first:    binary.LittleEndian.Uint64(buf[8:]),
		count:    binary.LittleEndian.Uint32(buf[16:]),
		raw:      binary.LittleEndian.Uint32(buf[20:]),
		stored:   binary.LittleEndian.Uint32(buf[24:]),
	}
	if h.count == 0 || h.stored == 0 || h.stored > maxBlock || h.raw > maxBlock {
		return header{}, errCorrupt
	}
	return h, nil
}

func (h header) size() int { return blockHeader + int(h.stored) }

// check verifies a whole block.
func (h header) check(block []byte) error {
	if crc32.Checksum(block[8:h.size()], castagnoli) != h.checksum {
		return errCorrupt
	}
	return nil
}

// records returns the block's records, decompressed into buf if they need it.
func (c *codec) records(h header, block, buf []byte) ([]byte, error) {
	stored := block[blockHeader:h.size()]
	if h.raw == 0 {
		return append(buf[:0], stored...), nil
	}
	out, err := c.decoder.DecodeAll(stored, slices.Grow(buf[:0], int(h.raw)))
	if err != nil || len(out) != int(h.raw) {
		return buf, errCorrupt // with a good checksum: written by a broken program
	}
	return out, nil
}

// nextRecord splits the first record off.
func nextRecord(records []byte) (record, rest []byte, err error) {
	n, width := binary.Uvarint(records)
	if width <= 0 || n > uint64(len(records)-width) {
		return nil, nil, errCorrupt
	}
	return records[width : width+int(n)], records[width+int(n):], nil
}

// findBlock returns where in buf the next good block begins, whose first record is at or above least,
// or -1. A block that reaches beyond buf is not found.
func findBlock(buf []byte, least uint64) int {
	for at := 0; ; at++ {
		i := bytes.Index(buf[at:], marker[:])
		if i < 0 {
			return -1
		}
		at += i
		h, err := parseHeader(buf[at:])
		if err == nil && h.first >= least && h.size() <= len(buf)-at && h.check(buf[at:]) == nil {
			return at
		}
	}
}
