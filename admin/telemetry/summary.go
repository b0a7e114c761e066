package telemetry

import (
	"context"
	"math"
)

// Summary is what the points of one kiosk in one window come to; Start is in Unix milliseconds.
type Summary struct {
	Start         int64
	Count         int64
	Min, Max, Sum float64
	First, Last   float64
}

// Merge adds the points of a later part of the same window. Start stays.
func (s *Summary) Merge(later Summary) {
	if s.Count == 0 {
		start := s.Start
		*s = later
		s.Start = start
		return
	}
	s.Count += later.Count
	s.Sum += later.Sum
	s.Min, s.Max = min(s.Min, later.Min), max(s.Max, later.Max)
	s.Last = later.Last
}

// Value returns an aggregate that a summary holds; see Aggregate.Fields.
func (s Summary) Value(a Aggregate) float64 {
	switch a {
	case AggregateMin:
		return s.Min
	case AggregateMax:
		return s.Max
	case AggregateFirst:
		return s.First
	case AggregateLast:
		return s.Last
	case AggregateCount:
		return float64(s.Count)
	case AggregateSum:
		return finite(s.Sum)
	default:
		return finite(s.Sum / float64(s.Count))
	}
}

// finite keeps a sum that overflowed at the largest number: JSON knows no infinity.
func finite(v float64) float64 {
	return max(-math.MaxFloat64, min(math.MaxFloat64, v))
}

// Fields are the parts of a Summary that somebody needs; a store may leave the others 0.
type Fields int

// The parts of a Summary. Start is always set.
const (
	FieldMin Fields = 1 << iota
	FieldMax
	FieldSum
	FieldCount
	FieldFirst
	FieldLast
	FieldSketch // KioskWindows.Sketch, if the store can
)

// Fields returns the parts of a Summary that the aggregate comes from; 0 when none will do.
func (a Aggregate) Fields() Fields {
	switch a {
	case AggregateMin:
		return FieldMin
	case AggregateMax:
		return FieldMax
	case AggregateSum:
		return FieldSum
	case AggregateCount:
		return FieldCount
	case AggregateFirst:
		return FieldFirst
	case AggregateLast:
		return FieldLast
	case AggregateMean:
		return FieldSum | FieldCount
	}
	return 0
}

// Selection is a part of what a store holds: a metric of some kiosks in [From, To), in Unix milliseconds.
// Where Serials is nil it is every kiosk.
type Selection struct {
	Metric   string
	Serials  []string
	From, To int64
}

// KioskWindows are the windows of one kiosk, oldest first. Sketch holds all points of the selection.
type KioskWindows struct {
	Serial  string
	Windows []Summary
	Sketch  *Sketch // nil when nobody asked or the store has none
}

// Source is what an answer is made of. Both methods go on kiosk by kiosk: what belongs to one comes
// without another's between it, and the kiosks come in the order of the selection or in the order of
// their serials. An error of the function ends them and is returned.
type Source interface {
	// Samples passes every point, oldest first; one of each kiosk and millisecond.
	Samples(ctx context.Context, sel Selection, add func(serial string, ms int64, value float64) error) error
	// Summaries passes what the windows of each kiosk come to; windows and kiosks without points are left
	// out. The function may keep what it gets.
	Summaries(ctx context.Context, sel Selection, grid Grid, fields Fields, add func(KioskWindows) error) error
}
