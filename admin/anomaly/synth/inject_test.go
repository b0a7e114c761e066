package synth

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/score"
)

const fiveMinutes = 5 * time.Minute

func TestTheSameSeedGivesTheSame(t *testing.T) {
	for _, shape := range Shapes() {
		a, b := Background(shape, 7, 5, fiveMinutes), Background(shape, 7, 5, fiveMinutes)
		if !slices.Equal(a.Points, b.Points) {
			t.Errorf("%s: the same seed gave two backgrounds", shape)
		}
		if c := Background(shape, 8, 5, fiveMinutes); slices.Equal(a.Points, c.Points) {
			t.Errorf("%s: two seeds gave one background", shape)
		}
		x, y := Inject(a, 3, 4), Inject(b, 3, 4)
		if !slices.Equal(x.Points, y.Points) || fmt.Sprint(x.Windows) != fmt.Sprint(y.Windows) {
			t.Errorf("%s: the same seed gave other faults", shape)
		}
	}
}

func TestBackgroundsAreNumbersAtTheirTimes(t *testing.T) {
	for _, s := range Backgrounds(20, 1, 3, 10*time.Minute) {
		if len(s.Points) != 3*144 {
			t.Fatalf("%s: %d points, want 432", s.Name, len(s.Points))
		}
		for i, p := range s.Points {
			if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) || !p.At.Equal(begin.Add(time.Duration(i)*10*time.Minute)) {
				t.Fatalf("%s: point %d is %v", s.Name, i, p)
			}
		}
	}
}

// each calls f for every fault of a kind that is injected alone into backgrounds of all shapes.
func each(t *testing.T, kind Kind, f func(t *testing.T, before, after score.Series, from, to int)) {
	t.Helper()
	seen := 0
	for _, before := range Backgrounds(30, 400, 10, fiveMinutes) {
		after := Inject(before, 5, 1, kind)
		for _, w := range after.Windows {
			seen++
			from := slices.IndexFunc(after.Points, func(p score.Point) bool { return p.At.Equal(w.From) })
			to := slices.IndexFunc(after.Points, func(p score.Point) bool { return p.At.Equal(w.To) }) + 1
			if w.Kind != string(kind) || from < 0 || to <= from {
				t.Fatalf("%s: the window is %+v", before.Name, w)
			}
			f(t, before, after, from, to)
		}
	}
	if seen < 5 {
		t.Errorf("only %d faults of the kind %s", seen, kind)
	}
}

func values(points []score.Point) []float64 {
	xs := make([]float64, len(points))
	for i, p := range points {
		xs[i] = p.Value
	}
	return xs
}

func TestFaultsAreWhatTheyAreCalled(t *testing.T) {
	quick := func(s score.Series, at int) scale {
		g := signal{values: values(s.Points), taken: make([]bool, len(s.Points))}
		for _, p := range s.Points {
			g.times = append(g.times, p.At)
		}
		g.unbounded()
		m, _ := g.scaleAt(at)
		return m
	}
	for _, tt := range []struct {
		kind   Kind
		wanted string
		holds  func(before, after score.Series, from, to int) bool
	}{
		{Spike, "one to three points far off", func(b, a score.Series, from, to int) bool {
			return to-from <= 3 && math.Abs(a.Points[from].Value-b.Points[from].Value) > 2*quick(b, from).quick
		}},
		{LevelShift, "the same way all the time", func(b, a score.Series, from, to int) bool {
			up := a.Points[from].Value >= b.Points[from].Value
			for i := from; i < to; i++ {
				if d := a.Points[i].Value - b.Points[i].Value; d > 0 && !up || d < 0 && up {
					return false
				}
			}
			return to-from >= 48
		}},
		{Drift, "further and further", func(b, a score.Series, from, to int) bool {
			off := func(i int) float64 { return math.Abs(a.Points[i].Value - b.Points[i].Value) }
			n := to - from
			return off(from+n/10) < off(from+n*3/4) && n >= 72
		}},
		{Stuck, "one value", func(_, a score.Series, from, to int) bool {
			xs := values(a.Points[from-1 : to])
			return slices.Min(xs) == slices.Max(xs) && to-from >= 36
		}},
		{Dropout, "nothing, at once", func(b, a score.Series, from, to int) bool {
			xs := values(a.Points[from:to])
			return slices.Min(xs) == 0 && slices.Max(xs) == 0 && b.Points[from].Value != 0
		}},
		{NoiseBurst, "rougher than before", func(b, a score.Series, from, to int) bool {
			return roughness(a.Points[from:to]) > 1.3*roughness(b.Points[from:to])
		}},
		{Oscillation, "another course around the same", func(b, a score.Series, from, to int) bool {
			up, down := 0, 0
			for i := from; i < to; i++ {
				switch d := a.Points[i].Value - b.Points[i].Value; {
				case d > 0:
					up++
				case d < 0:
					down++
				}
			}
			return up > (to-from)/5 && (down > (to-from)/5 || slices.Min(values(a.Points)) == 0)
		}},
		{CorrelationBreak, "values that there were before", func(b, a score.Series, from, to int) bool {
			xs, part := values(b.Points[:from]), values(a.Points[from:to])
			for i := 0; i+len(part) <= len(xs); i++ {
				if slices.Equal(xs[i:i+len(part)], part) {
					return true
				}
			}
			return false
		}},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			each(t, tt.kind, func(t *testing.T, before, after score.Series, from, to int) {
				t.Helper()
				if !tt.holds(before, after, from, to) {
					t.Errorf("%s, points %d to %d: not %s", before.Name, from, to, tt.wanted)
				}
				if !slices.Equal(before.Points[:from], after.Points[:from]) || !slices.Equal(before.Points[to:], after.Points[to:]) {
					t.Errorf("%s: points outside the window have changed", before.Name)
				}
				if slices.Equal(before.Points[from:to], after.Points[from:to]) {
					t.Errorf("%s: nothing has changed", before.Name)
				}
			})
		})
	}
}

func roughness(points []score.Point) float64 {
	sum := 0.0
	for i := 1; i < len(points); i++ {
		sum += math.Abs(points[i].Value - points[i-1].Value)
	}
	return sum / float64(len(points)-1)
}

func TestFaultsKeepTheirDistance(t *testing.T) {
	for i, s := range Backgrounds(20, 40, 14, fiveMinutes) {
		own := score.Window{From: s.Points[2000].At, To: s.Points[2100].At}
		s.Windows = []score.Window{own}
		made := Inject(s, uint64(i), 8)
		if !slices.ContainsFunc(made.Windows, func(w score.Window) bool { return w.From.Equal(own.From) && w.Kind == "" }) {
			t.Errorf("%s: its own window is gone", s.Name)
		}
		if !slices.Equal(made.Points[2000:2101], s.Points[2000:2101]) {
			t.Errorf("%s: a fault is in its own window", s.Name)
		}
		if len(made.Windows) < 4 {
			t.Errorf("%s: only %d windows", s.Name, len(made.Windows))
		}
		free := s.Points[score.Probation(len(s.Points))].At
		for _, w := range made.Windows {
			if w.From.Before(free) {
				t.Errorf("%s: a fault begins at %s, want %s or later", s.Name, w.From, free)
			}
			free = w.To.Add(clearance * fiveMinutes)
		}
	}
}

func TestFaultsStayInTheRangeOfWhatIsPossible(t *testing.T) {
	for i, s := range Backgrounds(20, 80, 10, fiveMinutes) {
		step, low := stepOf(values(s.Points)), slices.Min(values(s.Points))
		for _, p := range Inject(s, uint64(i), 6).Points {
			if low >= 0 && p.Value < 0 {
				t.Fatalf("%s: %v at %s", s.Name, p.Value, p.At)
			}
			if step > 0 && math.Abs(rounded(p.Value, step)-p.Value) > 1e-6 {
				t.Fatalf("%s: %v at %s, but the sensor's step is %v", s.Name, p.Value, p.At, step)
			}
		}
	}
}

func TestWhatWouldNotShowIsLeftOut(t *testing.T) {
	flat := Background(Daily, 1, 10, fiveMinutes)
	for i := range flat.Points {
		flat.Points[i].Value = 20
	}
	around0 := Background(Noisy, 1, 10, fiveMinutes)
	middle := quantile(slices.Sorted(slices.Values(values(around0.Points))), 0.5)
	for i := range around0.Points {
		around0.Points[i].Value -= middle
	}
	still := Background(Daily, 1, 10, fiveMinutes)
	for i := range still.Points {
		still.Points[i].Value = still.Points[i/6*6].Value
	}
	for _, tt := range []struct {
		name string
		s    score.Series
		kind Kind
	}{
		{"a constant that is stuck", flat, Stuck},
		{"nothing where 0 is usual", around0, Dropout},
		{"still points where there are such", still, Stuck},
		{"another hour where all are alike", Background(Noisy, 1, 10, fiveMinutes), CorrelationBreak},
		{"a short series", score.Series{Name: "short.csv", Points: flat.Points[:50]}, Spike},
		{"an empty series", score.Series{Name: "empty.csv"}, Spike},
	} {
		if made := Inject(tt.s, 1, 3, tt.kind); len(made.Windows) != 0 {
			t.Errorf("%s: %d faults", tt.name, len(made.Windows))
		}
	}
}

func TestKindOf(t *testing.T) {
	for _, k := range Kinds() {
		if got, ok := KindOf(string(k)); !ok || got != k {
			t.Errorf("%s is not known", k)
		}
	}
	if _, ok := KindOf("rust"); ok {
		t.Error("rust is a kind")
	}
}
