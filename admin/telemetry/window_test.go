package telemetry

import (
	"math"
	"testing"
	"time"
)

func TestAWindowStartsAtOrBeforeItsPoints(t *testing.T) {
	for _, c := range []struct {
		name           string
		ms, step, want int64
	}{
		{"on a boundary", 120_000, 60_000, 120_000},
		{"just after a boundary", 120_001, 60_000, 120_000},
		{"just before a boundary", 179_999, 60_000, 120_000},
		{"the epoch", 0, 60_000, 0},
		{"just before the epoch", -1, 60_000, -60_000},
		{"on a boundary before the epoch", -60_000, 60_000, -60_000},
		{"below a boundary before the epoch", -60_001, 60_000, -120_000},
		{"a step that divides no day", 100, 7, 98},
		{"a step that divides no day, before the epoch", -100, 7, -105},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := WindowStart(c.ms, c.step); got != c.want {
				t.Errorf("WindowStart(%d, %d) = %d, want %d", c.ms, c.step, got, c.want)
			}
		})
	}
}

func TestWindowsReduceEachWindowToOneValue(t *testing.T) {
	type sample struct {
		ms    int64
		value float64
	}
	samples := []sample{{-1, 5}, {0, 1}, {999, 3}, {1000, -2}, {5000, 4}, {5001, 9}, {5999, 2}}
	allStarts := []int64{-1000, 0, 1000, 5000} // the windows from 2000 to 4999 are a gap
	for aggregate, want := range map[Aggregate][]float64{
		AggregateMean:  {5, 2, -2, 5},
		AggregateMin:   {5, 1, -2, 2},
		AggregateMax:   {5, 3, -2, 9},
		AggregateFirst: {5, 1, -2, 4},
		AggregateLast:  {5, 3, -2, 2},
		AggregateCount: {1, 2, 1, 3},
		AggregateSum:   {5, 4, -2, 15},
		AggregateP95:   {5, 3, -2, 9},
		AggregateRate:  {2 / .999, -2 / .999},
	} {
		t.Run(string(aggregate), func(t *testing.T) {
			starts := allStarts
			if aggregate == AggregateRate {
				starts = []int64{0, 5000} // one point has no rate
			}
			w := NewWindows(NewGrid(time.Second, nil), aggregate)
			for _, s := range samples {
				w.Add(s.ms, s.value)
			}
			if w.Len() != len(allStarts) {
				t.Errorf("%d windows begun, want %d", w.Len(), len(allStarts))
			}
			points := w.Points(aggregate)
			if len(points) != len(want) {
				t.Fatalf("%d windows, want %d: %v", len(points), len(want), points)
			}
			for i, p := range points {
				if p.Time.UnixMilli() != starts[i] || p.Value != want[i] {
					t.Errorf("window %d: %v at %d ms, want %v at %d ms", i, p.Value, p.Time.UnixMilli(), want[i], starts[i])
				}
			}
		})
	}
}

func TestPercentile95IsTheNearestRank(t *testing.T) {
	for n, want := range map[int]float64{1: 1, 2: 2, 10: 10, 11: 11, 19: 19, 20: 19, 21: 20, 30: 29, 31: 30, 39: 38, 40: 38, 41: 39, 100: 95, 1000: 950} {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(n - i) // unsorted
		}
		if got := percentile95(values); got != want {
			t.Errorf("of 1 to %d: %v, want %v", n, got, want)
		}
	}
}

func TestASumThatOverflowsStaysANumber(t *testing.T) {
	for aggregate, sign := range map[Aggregate]float64{AggregateSum: 1, AggregateMean: -1} {
		w := NewWindows(NewGrid(time.Second, nil), aggregate)
		w.Add(0, sign*math.MaxFloat64)
		w.Add(1, sign*math.MaxFloat64)
		if got := w.Points(aggregate)[0].Value; got != sign*math.MaxFloat64 {
			t.Errorf("%s: %v", aggregate, got)
		}
	}
}
