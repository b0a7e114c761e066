package telemetry

import "slices"

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

// Windows reduces the points of one kiosk to one window after the other, as Query describes. Its zero
// value is of no use; it is not safe for concurrent use.
type Windows struct {
	grid        Grid
	keepsValues bool
	end         int64 // of the last window, Unix ms
	all         []window
}

// window is a Summary and what else some aggregates need.
type window struct {
	Summary
	firstAt, lastAt int64     // Unix ms
	values          []float64 // for p95
	rates           float64   // of a pool: the sum of its kiosks' rates
	rated           int       // of a pool: how many of them have one
}

// NewWindows returns an empty reduction for an aggregate.
func NewWindows(grid Grid, aggregate Aggregate) *Windows {
	return &Windows{grid: grid, keepsValues: aggregate == AggregateP95}
}

// Add takes the next point of the kiosk, in time order; the instant is in Unix milliseconds.
func (w *Windows) Add(ms int64, value float64) {
	if len(w.all) == 0 || ms >= w.end {
		var start int64
		start, w.end = w.grid.Window(ms)
		w.all = append(w.all, window{Summary: Summary{Start: start, Min: value, Max: value, First: value}, firstAt: ms})
	}
	last := &w.all[len(w.all)-1]
	last.Count++
	last.Sum += value
	last.Min = min(last.Min, value)
	last.Max = max(last.Max, value)
	last.Last, last.lastAt = value, ms
	if w.keepsValues {
		last.values = append(last.values, value)
	}
}

// Len returns the number of windows begun so far.
func (w *Windows) Len() int { return len(w.all) }

// Summaries returns the windows that had points, oldest first.
func (w *Windows) Summaries() []Summary {
	out := make([]Summary, len(w.all))
	for i := range w.all {
		out[i] = w.all[i].Summary
	}
	return out
}

// Points returns one point per window that has a value, oldest first.
func (w *Windows) Points(aggregate Aggregate) []Point {
	var points []Point
	for i := range w.all {
		if v, ok := w.all[i].value(aggregate); ok {
			points = append(points, Point{Time: timeOf(w.all[i].Start), Value: v})
		}
	}
	return points
}

func (w *window) value(a Aggregate) (v float64, ok bool) {
	switch a {
	case AggregateP95:
		return percentile95(w.values), true
	case AggregateRate:
		if w.rated > 0 {
			return finite(w.rates / float64(w.rated)), true
		}
		return w.rate()
	}
	return w.Summary.Value(a), true
}

// rate is the change per second from the first to the last point; one point alone has none.
func (w *window) rate() (v float64, ok bool) {
	if w.lastAt == w.firstAt {
		return 0, false
	}
	return finite((w.Last - w.First) / (float64(w.lastAt-w.firstAt) / 1000)), true
}

// percentile95 returns the nearest-rank 95th percentile: the smallest value that at least 95% of the
// values do not exceed, the one of rank ceil(0.95 n). It sorts the values in place.
func percentile95(values []float64) float64 {
	slices.Sort(values)
	return values[rank95(int64(len(values)))-1]
}

// rank95 returns ceil(0.95 n); in integers, as 0.95*n is not exact.
func rank95(n int64) int64 { return (95*n + 99) / 100 }
