package rollup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"kioskfleet/admin/telemetry"
)

// A record holds the day of one metric of one kiosk:
//
//	version     1 byte
//	until       uvarint: how many of the day's buckets are rolled up
//	total       uvarint count; min, max, sum as 8 bytes each
//	sketch      uvarint length, then Sketch.AppendBinary; length 0: none
//	scale       1 byte: min and max are whole numbers of 10^-scale; rawScale: they are kept as they are
//	counts      pairs of uvarint (buckets, count of each), together bucketsPerDay buckets
//	min         per bucket that has points: varint difference to the one before
//	max         likewise: uvarint difference to min
//	sum         likewise: varint difference to count*(min+max)/2, varint of the last bits
//	checksum    4 bytes, CRC-32C of all before
//
// With rawScale min, max and sum are uvarints of the bits that differ from the one before, last bit first.
const (
	recordVersion = 1
	bucketsPerDay = 288
	rawScale      = 255
	maxScale      = 7
	// maxWhole bounds whole numbers, so that they and their sums with a difference are exact.
	maxWhole = 1 << 50
)

const (
	bucketMilli = 5 * 60 * 1000
	dayMilli    = bucketsPerDay * bucketMilli
)

// bucket is what five minutes come to; Count is 0 when there were no points.
type bucket struct {
	count         int64
	min, max, sum float64
}

func (b *bucket) merge(o bucket) {
	if b.count == 0 {
		*b = o
		return
	}
	b.count += o.count
	b.sum += o.sum
	b.min, b.max = min(b.min, o.min), max(b.max, o.max)
}

// record is the day of one metric of one kiosk.
type record struct {
	until   int // buckets rolled up
	buckets [bucketsPerDay]bucket
	sketch  *telemetry.Sketch // of all points; nil: none
}

// total is what the whole day comes to.
func (r *record) total() (sum bucket) {
	for i := range r.buckets {
		if r.buckets[i].count > 0 {
			sum.merge(r.buckets[i])
		}
	}
	return sum
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errRecord  = errors.New("the rollup is damaged")
)

var powers = [maxScale + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// whole returns v as a number of 10^-scale; false when it is none.
func whole(v, power float64) (int64, bool) {
	n := math.Round(v * power)
	return int64(n), math.Abs(n) < maxWhole && n/power == v
}

// scale returns the smallest scale that all numbers of the record have.
func (r *record) scale() byte {
	scale := byte(0)
	for i := range r.buckets {
		b := &r.buckets[i]
		if b.count == 0 {
			continue
		}
		if float64(b.count)*max(math.Abs(b.min), math.Abs(b.max))*powers[scale] >= maxWhole {
			return rawScale
		}
		for _, v := range [2]float64{b.min, b.max} {
			for {
				if _, ok := whole(v, powers[scale]); ok {
					break
				}
				if scale++; scale > maxScale {
					return rawScale
				}
			}
		}
	}
	return scale
}

// encode appends the record to b.
func (r *record) encode(b []byte) ([]byte, error) {
	start := len(b)
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(r.until))
	total := r.total()
	b = binary.AppendUvarint(b, uint64(total.count))
	for _, v := range [3]float64{total.min, total.max, total.sum} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	var sketch []byte
	if r.sketch != nil {
		var err error
		if sketch, err = r.sketch.AppendBinary(nil); err != nil {
			return nil, err
		}
	}
	b = binary.AppendUvarint(b, uint64(len(sketch)))
	b = append(b, sketch...)
	scale := r.scale()
	b = append(b, scale)
	for i := 0; i < bucketsPerDay; {
		n := 1
		for i+n < bucketsPerDay && r.buckets[i+n].count == r.buckets[i].count {
			n++
		}
		b = binary.AppendUvarint(b, uint64(n))
		b = binary.AppendUvarint(b, uint64(r.buckets[i].count))
		i += n
	}
	if scale == rawScale {
		b = r.appendBits(b)
	} else {
		b = r.appendWhole(b, powers[scale])
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli)), nil
}

func (r *record) appendBits(b []byte) []byte {
	for _, of := range [3]func(*bucket) float64{
		func(b *bucket) float64 { return b.min }, func(b *bucket) float64 { return b.max }, func(b *bucket) float64 { return b.sum },
	} {
		before := uint64(0)
		for i := range r.buckets {
			if r.buckets[i].count > 0 {
				now := math.Float64bits(of(&r.buckets[i]))
				b = binary.AppendUvarint(b, bits.Reverse64(now^before))
				before = now
			}
		}
	}
	return b
}

func (r *record) appendWhole(b []byte, power float64) []byte {
	before := int64(0)
	for i := range r.buckets {
		if r.buckets[i].count > 0 {
			lowest, _ := whole(r.buckets[i].min, power)
			b = binary.AppendVarint(b, lowest-before)
			before = lowest
		}
	}
	for i := range r.buckets {
		if one := &r.buckets[i]; one.count > 0 {
			lowest, _ := whole(one.min, power)
			highest, _ := whole(one.max, power)
			b = binary.AppendUvarint(b, uint64(highest-lowest))
		}
	}
	for i := range r.buckets {
		if one := &r.buckets[i]; one.count > 0 {
			lowest, _ := whole(one.min, power)
			highest, _ := whole(one.max, power)
			near := int64(math.Round(one.sum * power))
			b = binary.AppendVarint(b, near-guess(one.count, lowest, highest))
			// A sum of decimal fractions is a few bits off.
			b = binary.AppendVarint(b, int64(math.Float64bits(one.sum)-math.Float64bits(float64(near)/power)))
		}
	}
	return b
}

// guess is about where the sum is.
func guess(count, lowest, highest int64) int64 { return count * (lowest + highest) / 2 }

// reader reads a record. Once it has met damage it goes on with zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err, r.b = errRecord, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.err, r.b = errRecord, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.err, r.b = errRecord, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) float() float64 {
	b := r.bytes(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

// header is the part of a record that answers questions for the whole day.
type header struct {
	until  int
	total  bucket
	sketch []byte // nil: none
}

// open checks a record and reads its header; the reader goes on with the buckets.
func open(data []byte) (h header, r reader, err error) {
	if len(data) < 5 || crc32.Checksum(data[:len(data)-4], castagnoli) != binary.LittleEndian.Uint32(data[len(data)-4:]) {
		return h, r, errRecord
	}
	if data[0] != recordVersion {
		return h, r, fmt.Errorf("the rollup has version %d, this program knows %d", data[0], recordVersion)
	}
	r.b = data[1 : len(data)-4]
	h.until = int(min(r.uvarint(), bucketsPerDay+1))
	h.total.count = int64(r.uvarint() & math.MaxInt64)
	h.total.min, h.total.max, h.total.sum = r.float(), r.float(), r.float()
	if n := r.uvarint(); n > 0 {
		h.sketch = r.bytes(n)
	}
	if h.until > bucketsPerDay {
		r.err = errRecord
	}
	return h, r, r.err
}

// decode reads a record. The buckets are not the header's only if the data was made by a faulty program.
func decode(data []byte) (*record, error) {
	h, r, err := open(data)
	if err != nil {
		return nil, err
	}
	out := &record{until: h.until}
	if h.sketch != nil {
		out.sketch = &telemetry.Sketch{}
		if err := out.sketch.UnmarshalBinary(h.sketch); err != nil {
			return nil, err
		}
	}
	if err := r.buckets(&out.buckets); err != nil {
		return nil, err
	}
	return out, nil
}

// buckets reads what follows the header.
func (r *reader) buckets(into *[bucketsPerDay]bucket) error {
	kind := r.bytes(1)
	for i := 0; i < bucketsPerDay && r.err == nil; {
		n, count := r.uvarint(), r.uvarint()
		if n == 0 || n > uint64(bucketsPerDay-i) || count > math.MaxInt64 {
			return errRecord
		}
		for range n {
			into[i] = bucket{count: int64(count)}
			i++
		}
	}
	if r.err != nil {
		return r.err
	}
	switch {
	case kind[0] == rawScale:
		r.readBits(into)
	case kind[0] <= maxScale:
		r.readWhole(into, powers[kind[0]])
	default:
		return errRecord
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = errRecord
	}
	return r.err
}

func (r *reader) readBits(into *[bucketsPerDay]bucket) {
	for _, set := range [3]func(*bucket, float64){
		func(b *bucket, v float64) { b.min = v }, func(b *bucket, v float64) { b.max = v }, func(b *bucket, v float64) { b.sum = v },
	} {
		before := uint64(0)
		for i := range into {
			if into[i].count > 0 {
				before ^= bits.Reverse64(r.uvarint())
				set(&into[i], math.Float64frombits(before))
			}
		}
	}
}

func (r *reader) readWhole(into *[bucketsPerDay]bucket, power float64) {
	var lowest, highest [bucketsPerDay]int64
	before := int64(0)
	for i := range into {
		if into[i].count > 0 {
			before += r.varint()
			lowest[i] = before
			into[i].min = float64(before) / power
		}
	}
	for i := range into {
		if into[i].count > 0 {
			highest[i] = lowest[i] + int64(r.uvarint())
			into[i].max = float64(highest[i]) / power
		}
	}
	for i := range into {
		if into[i].count > 0 {
			near := guess(into[i].count, lowest[i], highest[i]) + r.varint()
			into[i].sum = math.Float64frombits(math.Float64bits(float64(near)/power) + uint64(r.varint()))
		}
	}
}
