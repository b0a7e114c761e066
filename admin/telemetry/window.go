package telemetry

import (
	"math"
	"slices"
	"time"
)

// WindowStart returns the start of the window of that step which holds the instant, both in Unix
// milliseconds. Windows are aligned to the epoch; before 1970 too a window starts at or before its
// points.
func WindowStart(ms, step int64) int64 {
	start := ms - ms%step
	if start > ms { // the remainder of a negative number is negative
		start -= step
	}
	return start
}

// Windows reduces the points of one series to one value per window, as Query describes. Its zero
// value is of no use; it is not safe for concurrent use.
type Windows struct {
	step      int64 // ms
	aggregate Aggregate
	points    []Point

	// The open window; n is 0 when there is none.
	start         int64 // Unix ms
	n             int
	sum, min, max float64
	first, last   float64
	values        []float64 // only for p95
	keepsValues   bool
}

// NewWindows returns an empty reduction; step is a positive number of whole milliseconds.
func NewWindows(step time.Duration, aggregate Aggregate) *Windows {
	return &Windows{
		step:        step.Milliseconds(),
		aggregate:   aggregate,
		keepsValues: aggregate == AggregateP95,
	}
}

// Add takes the next point of the series, in time order; the instant is in Unix milliseconds.
func (w *Windows) Add(ms int64, value float64) {
	if w.n > 0 && ms >= w.start+w.step {
		w.flush()
	}
	if w.n == 0 {
		w.start = WindowStart(ms, w.step)
		w.sum, w.min, w.max, w.first = 0, value, value, value
	}
	w.n++
	w.sum += value
	w.min = min(w.min, value)
	w.max = max(w.max, value)
	w.last = value
	if w.keepsValues {
		w.values = append(w.values, value)
	}
}

// Len returns the number of windows begun so far.
func (w *Windows) Len() int {
	if w.n > 0 {
		return len(w.points) + 1
	}
	return len(w.points)
}

// Points closes the last window and returns one point per window that had any, oldest first.
func (w *Windows) Points() []Point {
	if w.n > 0 {
		w.flush()
	}
	return w.points
}

func (w *Windows) flush() {
	w.points = append(w.points, Point{Time: time.UnixMilli(w.start).UTC(), Value: w.value()})
	w.n = 0
	w.values = w.values[:0]
}

func (w *Windows) value() float64 {
	switch w.aggregate {
	case AggregateMin:
		return w.min
	case AggregateMax:
		return w.max
	case AggregateFirst:
		return w.first
	case AggregateLast:
		return w.last
	case AggregateCount:
		return float64(w.n)
	case AggregateSum:
		return finite(w.sum)
	case AggregateP95:
		return percentile95(w.values)
	default:
		return finite(w.sum / float64(w.n))
	}
}

// finite keeps a sum that overflowed at the largest number: JSON knows no infinity.
func finite(v float64) float64 {
	return max(-math.MaxFloat64, min(math.MaxFloat64, v))
}

// percentile95 returns the nearest-rank 95th percentile: the smallest value that at least 95% of the
// values do not exceed, the one of rank ceil(0.95 n). It sorts the values in place.
func percentile95(values []float64) float64 {
	slices.Sort(values)
	rank := (95*len(values) + 99) / 100 // in integers: 0.95*n is not exact
	return values[rank-1]
}
