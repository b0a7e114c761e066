package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"kioskfleet/internal/protocol"
)

// A record is its length, a CRC-32C over its content, both little-endian, and the content. Each content
// names the kiosk, so that a record means the same wherever it is copied to.
const recordHeader = 8

// maxRecord bounds a record's content, in bytes: the largest payload, and what describes it.
const maxRecord = MaxPayload + 1024

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errBadRecord is what decoding gives for anything that encoding did not make, torn records included.
var errBadRecord = errors.New("record is torn or damaged")

// recordKind says what a record's content is; the numbers are on disk.
type recordKind byte

const (
	// kindReading and kindAck keep an item.
	kindReading recordKind = 1
	kindAck     recordKind = 2
	// kindReadingsDone and kindAcksDone end all items of that kind in a run of marks.
	kindReadingsDone recordKind = 3
	kindAcksDone     recordKind = 4
	// kindRanges replaces the kiosk's list of dropped ranges.
	kindRanges recordKind = 5
)

// record is the content of one record. Byte slices of a decoded one point into what was decoded.
type record struct {
	kind   recordKind
	serial []byte

	// Of items.
	mark    uint64
	millis  int64 // time of a reading, Unix milliseconds
	session []byte
	seq     uint64
	key     []byte // of an ack
	payload []byte

	from, to uint64 // of ends: marks, both included
	ranges   []protocol.SeqRange
}

// beginRecord appends the header, to be filled in by sealRecord, and what all contents begin with.
func beginRecord(buf []byte, kind recordKind, serial string) []byte {
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0, byte(kind))
	return appendText(buf, serial)
}

// sealRecord fills in the header of the record that begins at start and ends with buf.
func sealRecord(buf []byte, start int) []byte {
	content := buf[start+recordHeader:]
	binary.LittleEndian.PutUint32(buf[start:], uint32(len(content)))
	binary.LittleEndian.PutUint32(buf[start+4:], crc32.Checksum(content, castagnoli))
	return buf
}

func appendReading(buf []byte, serial string, mark uint64, millis int64, session string, seq uint64, payload []byte) []byte {
	start := len(buf)
	buf = beginRecord(buf, kindReading, serial)
	buf = binary.AppendUvarint(buf, mark)
	buf = binary.AppendVarint(buf, millis)
	buf = appendText(buf, session)
	buf = binary.AppendUvarint(buf, seq)
	return sealRecord(append(buf, payload...), start)
}

func appendAck(buf []byte, serial string, mark uint64, key string, payload []byte) []byte {
	start := len(buf)
	buf = beginRecord(buf, kindAck, serial)
	buf = binary.AppendUvarint(buf, mark)
	buf = appendText(buf, key)
	return sealRecord(append(buf, payload...), start)
}

// appendDone appends the end of a run of marks; kind is kindReadingsDone or kindAcksDone.
func appendDone(buf []byte, kind recordKind, serial string, from, to uint64) []byte {
	start := len(buf)
	buf = beginRecord(buf, kind, serial)
	buf = binary.AppendUvarint(buf, from)
	return sealRecord(binary.AppendUvarint(buf, to), start)
}

func appendRanges(buf []byte, serial string, ranges []protocol.SeqRange) []byte {
	start := len(buf)
	buf = beginRecord(buf, kindRanges, serial)
	buf = binary.AppendUvarint(buf, uint64(len(ranges)))
	for _, g := range ranges {
		buf = appendText(buf, g.Session)
		buf = binary.AppendUvarint(buf, g.From)
		buf = binary.AppendUvarint(buf, g.To)
	}
	return sealRecord(buf, start)
}

func appendText(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// decodeRecord decodes the record at the start of data and returns its whole size.
//
// Errors: errBadRecord, wrapped.
func decodeRecord(data []byte) (r record, size int, err error) {
	if len(data) < recordHeader {
		return record{}, 0, fmt.Errorf("%d bytes: %w", len(data), errBadRecord)
	}
	n := binary.LittleEndian.Uint32(data)
	if n == 0 || n > maxRecord || int(n) > len(data)-recordHeader {
		return record{}, 0, fmt.Errorf("length %d: %w", n, errBadRecord)
	}
	size = recordHeader + int(n)
	content := data[recordHeader:size]
	if crc32.Checksum(content, castagnoli) != binary.LittleEndian.Uint32(data[4:]) {
		return record{}, 0, fmt.Errorf("checksum: %w", errBadRecord)
	}
	r, err = decodeContent(content)
	return r, size, err
}

func decodeContent(content []byte) (record, error) {
	d := decoder{rest: content[1:]}
	r := record{kind: recordKind(content[0]), serial: d.bytes()}
	switch r.kind {
	case kindReading:
		r.mark, r.millis, r.session, r.seq = d.number(), d.signed(), d.bytes(), d.number()
		r.payload, d.rest = d.rest, nil
	case kindAck:
		r.mark, r.key = d.number(), d.bytes()
		r.payload, d.rest = d.rest, nil
	case kindReadingsDone, kindAcksDone:
		r.from, r.to = d.number(), d.number()
	case kindRanges:
		n := d.number()
		if n > maxRanges {
			d.bad = true
			n = 0
		}
		for range n {
			g := protocol.SeqRange{Session: string(d.bytes()), From: d.number(), To: d.number()}
			d.bad = d.bad || g.From > g.To
			r.ranges = append(r.ranges, g)
		}
	default:
		d.bad = true
	}
	if d.bad || len(d.rest) > 0 || r.from > r.to {
		return record{}, fmt.Errorf("content of kind %d: %w", r.kind, errBadRecord)
	}
	return r, nil
}

// decoder takes fields off the front of a record's content. After the first fault it is bad, and
// returns zeros.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.rest)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.number()
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}
