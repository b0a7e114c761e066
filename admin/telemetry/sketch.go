package telemetry

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
)

// sketchError is how far a percentile of a sketch may be from the exact one, relative to it.
const sketchError = 0.01

var (
	sketchGamma    = (1 + sketchError) / (1 - sketchError)
	sketchLogGamma = math.Log(sketchGamma)
)

// Sketch counts values in classes whose bounds grow by 2% each, so that percentiles of many values take
// little room, can be put together, and are at most 1% off.
//
// Source: DDSketch, Masson, Rim and Lee, VLDB 2019.
type Sketch struct {
	positive, negative map[int32]int64 // by the class of the absolute value
	zero               int64
	count              int64

	// The class of the value before: values change little from one to the next.
	lastValue float64
	lastClass int32
}

// class returns the number of the class of a positive value v: gamma^(class-1) < v <= gamma^class.
func (s *Sketch) class(v float64) int32 {
	if v != s.lastValue {
		s.lastValue, s.lastClass = v, int32(math.Ceil(logOf(v)/sketchLogGamma))
	}
	return s.lastClass
}

// logOf is math.Log, which is wrong for numbers below the smallest normal one on some processors.
func logOf(v float64) float64 {
	const smallestNormal = 0x1p-1022
	if v >= smallestNormal {
		return math.Log(v)
	}
	fraction, exponent := math.Frexp(v)
	return math.Log(fraction) + float64(exponent)*math.Ln2
}

// Add counts a finite value.
func (s *Sketch) Add(v float64) {
	s.count++
	switch {
	case v > 0:
		if s.positive == nil {
			s.positive = map[int32]int64{}
		}
		s.positive[s.class(v)]++
	case v < 0:
		if s.negative == nil {
			s.negative = map[int32]int64{}
		}
		s.negative[s.class(-v)]++
	default:
		s.zero++
	}
}

// Merge adds the values of another sketch.
func (s *Sketch) Merge(o *Sketch) {
	add := func(to *map[int32]int64, from map[int32]int64) {
		if *to == nil && len(from) > 0 {
			*to = make(map[int32]int64, len(from))
		}
		for class, n := range from {
			(*to)[class] += n
		}
	}
	add(&s.positive, o.positive)
	add(&s.negative, o.negative)
	s.zero += o.zero
	s.count += o.count
}

// Count returns how many values were added.
func (s *Sketch) Count() int64 { return s.count }

// P95 returns the nearest-rank 95th percentile, at most 1% off; 0 of no values.
func (s *Sketch) P95() float64 {
	left := rank95(s.count)
	for _, class := range slices.Backward(slices.Sorted(maps.Keys(s.negative))) {
		if left -= s.negative[class]; left <= 0 {
			return -middle(class)
		}
	}
	if left -= s.zero; left <= 0 {
		return 0
	}
	for _, class := range slices.Sorted(maps.Keys(s.positive)) {
		if left -= s.positive[class]; left <= 0 {
			return middle(class)
		}
	}
	return 0
}

// middle is the value that is nearest to all of a class, relative to them.
func middle(class int32) float64 {
	return finite(2 * math.Exp(float64(class)*sketchLogGamma) / (sketchGamma + 1))
}

// AppendBinary implements encoding.BinaryAppender.
func (s *Sketch) AppendBinary(b []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(s.zero))
	for _, half := range []map[int32]int64{s.positive, s.negative} {
		b = binary.AppendUvarint(b, uint64(len(half)))
		before := int64(0)
		for _, class := range slices.Sorted(maps.Keys(half)) {
			b = binary.AppendVarint(b, int64(class)-before)
			b = binary.AppendUvarint(b, uint64(half[class]))
			before = int64(class)
		}
	}
	return b, nil
}

var errSketch = errors.New("the sketch is damaged")

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (s *Sketch) UnmarshalBinary(b []byte) error {
	*s = Sketch{}
	return s.MergeBinary(b)
}

// MergeBinary adds the values of a sketch that AppendBinary wrote. After an error some may be added.
func (s *Sketch) MergeBinary(b []byte) error {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b = nil
			return math.MaxUint64
		}
		b = b[n:]
		return v
	}
	zero := next()
	if zero > math.MaxInt64 {
		return errSketch
	}
	s.zero += int64(zero)
	s.count += int64(zero)
	for _, half := range []*map[int32]int64{&s.positive, &s.negative} {
		classes := next()
		if classes > uint64(len(b)) {
			return errSketch
		}
		if classes > 0 && *half == nil {
			*half = make(map[int32]int64, classes)
		}
		class := int64(0)
		for range classes {
			delta, n := binary.Varint(b)
			if n <= 0 {
				return errSketch
			}
			b = b[n:]
			count := next()
			if class += delta; class < math.MinInt32 || class > math.MaxInt32 || count > math.MaxInt64 {
				return errSketch
			}
			(*half)[int32(class)] += int64(count)
			s.count += int64(count)
		}
	}
	if len(b) > 0 || s.count < 0 {
		return errSketch
	}
	return nil
}
