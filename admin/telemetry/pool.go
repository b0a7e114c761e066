package telemetry

import (
	"maps"
	"slices"
)

// maxPooled bounds the values that one answer keeps in memory to find percentiles of groups.
const maxPooled = 10_000_000

// pool gathers the windows of the kiosks of one group. They are added in the order of their serials, so
// that every store adds up in the same order.
type pool struct {
	byStart map[int64]*window
	kept    int // values
}

func newPool() *pool { return &pool{byStart: map[int64]*window{}} }

func (p *pool) at(start int64) *window {
	w := p.byStart[start]
	if w == nil {
		w = &window{Summary: Summary{Start: start}}
		p.byStart[start] = w
	}
	return w
}

// summaries adds the windows of one more kiosk.
func (p *pool) summaries(all []Summary) {
	for _, s := range all {
		p.at(s.Start).Merge(s)
	}
}

// windows adds those of one more kiosk with all that they hold.
func (p *pool) windows(of *Windows) {
	for i := range of.all {
		one := &of.all[i]
		w := p.at(one.Start)
		first := w.Count == 0
		keptFirst, keptLast := w.First, w.Last
		w.Merge(one.Summary)
		// Of points at the same instant the lowest serial has the first, the highest the last.
		if first || one.firstAt < w.firstAt {
			w.First, w.firstAt = one.First, one.firstAt
		} else {
			w.First = keptFirst
		}
		if first || one.lastAt >= w.lastAt {
			w.Last, w.lastAt = one.Last, one.lastAt
		} else {
			w.Last = keptLast
		}
		w.values = append(w.values, one.values...)
		p.kept += len(one.values)
		if r, ok := one.rate(); ok {
			w.rates += r
			w.rated++
		}
	}
}

// points returns one point per window that has a value, oldest first.
func (p *pool) points(aggregate Aggregate) []Point {
	var points []Point
	for _, start := range slices.Sorted(maps.Keys(p.byStart)) {
		w := p.byStart[start]
		if aggregate == AggregateRate && w.rated == 0 {
			continue // no kiosk has two points, though the pool has
		}
		if v, ok := w.value(aggregate); ok {
			points = append(points, Point{Time: timeOf(start), Value: v})
		}
	}
	return points
}
