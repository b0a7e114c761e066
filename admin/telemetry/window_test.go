package telemetry

import (
	"errors"
	"math"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
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
	starts := []int64{-1000, 0, 1000, 5000} // the windows from 2000 to 4999 are a gap
	for aggregate, want := range map[Aggregate][]float64{
		AggregateMean:  {5, 2, -2, 5},
		AggregateMin:   {5, 1, -2, 2},
		AggregateMax:   {5, 3, -2, 9},
		AggregateFirst: {5, 1, -2, 4},
		AggregateLast:  {5, 3, -2, 2},
		AggregateCount: {1, 2, 1, 3},
		AggregateSum:   {5, 4, -2, 15},
		AggregateP95:   {5, 3, -2, 9},
	} {
		t.Run(string(aggregate), func(t *testing.T) {
			w := NewWindows(time.Second, aggregate)
			for _, s := range samples {
				w.Add(s.ms, s.value)
			}
			if w.Len() != len(want) {
				t.Errorf("%d windows begun, want %d", w.Len(), len(want))
			}
			points := w.Points()
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
		w := NewWindows(time.Second, aggregate)
		w.Add(0, sign*math.MaxFloat64)
		w.Add(1, sign*math.MaxFloat64)
		if got := w.Points()[0].Value; got != sign*math.MaxFloat64 {
			t.Errorf("%s: %v", aggregate, got)
		}
	}
}

func TestBoundsBetweenMillisecondsAreRoundedUp(t *testing.T) {
	q := Query{From: time.Unix(0, 1), To: time.Unix(0, 2_000_001)}
	if from, to := q.Bounds(); from != 1 || to != 3 {
		t.Errorf("[%d, %d), want [1, 3)", from, to)
	}
	q = Query{From: time.Unix(0, -1), To: time.UnixMilli(5)}
	if from, to := q.Bounds(); from != 0 || to != 5 {
		t.Errorf("[%d, %d), want [0, 5)", from, to)
	}
}

func TestKnownKeepsValidSerialsOnce(t *testing.T) {
	q := Query{Metric: "hardware.cpu_temp", Serials: []string{"b", "a", "b", "", "x' OR 1=1", "a.b-c_1"}}
	got := q.Known()
	want := []string{"b", "a", "a.b-c_1"}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%q, want %q", got, want)
	}
	q.Metric = `cpu"; DROP MEASUREMENT x`
	if got := q.Known(); got != nil {
		t.Errorf("a metric that no reading can carry: %q, want none", got)
	}
}

func TestARefusalNamesTheFault(t *testing.T) {
	good := func() fleet.Reading {
		return fleet.Reading{Serial: "K-1", Site: "Hall «ñ», A=1", Time: time.UnixMilli(1),
			Values: []fleet.Value{{Metric: "a.b", Value: 1}}, Texts: []fleet.Text{{Metric: "a.c", Text: "x"}}}
	}
	for _, c := range []struct {
		name string
		want string // "" when it is to be taken
		edit func(*fleet.Reading)
	}{
		{"a good reading", "", func(*fleet.Reading) {}},
		{"no serial", "serial is empty", func(r *fleet.Reading) { r.Serial = "" }},
		{"a line break in the site", `site "a\nb" holds control characters or is not UTF-8`, func(r *fleet.Reading) { r.Site = "a\nb" }},
		{"before 1970", "time 1969-12-31T23:59:59Z is not between 1970 and 2262", func(r *fleet.Reading) { r.Time = time.UnixMilli(-1).UTC() }},
		{"after 2262", "time 2262-01-01T00:00:00Z is not between 1970 and 2262", func(r *fleet.Reading) { r.Time = maxTime }},
		{"a metric without group", `metric "b" is not a name such as hardware.cpu_temp`, func(r *fleet.Reading) { r.Values[0].Metric = "b" }},
		{"not a number", "metric a.b is NaN, not a finite number", func(r *fleet.Reading) { r.Values[0].Value = math.NaN() }},
		{"infinity", "metric a.b is -Inf, not a finite number", func(r *fleet.Reading) { r.Values[0].Value = math.Inf(-1) }},
		{"a text without group", `metric "c" is not a name such as peripherals.card_reader`, func(r *fleet.Reading) { r.Texts[0].Metric = "c" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good()
			c.edit(&r)
			if got := RefusalOf(&r); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestTooLargeAdvisesAStepThatFits(t *testing.T) {
	day := Query{Metric: "a.b", Serials: make([]string, 1000), From: time.UnixMilli(0), To: time.UnixMilli(0).Add(24 * time.Hour)}
	for _, c := range []struct {
		name string
		edit func(*Query)
		want string
	}{
		{"a day of a thousand kiosks", func(*Query) {}, "a step of 15m or more"},
		{"a year of one kiosk", func(q *Query) { q.Serials = q.Serials[:1]; q.To = q.From.Add(365 * 24 * time.Hour) }, "a step of 5m or more"},
		{"nothing fits", func(q *Query) { q.To = q.From.Add(300 * 24 * time.Hour) }, "a shorter range or fewer kiosks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := day
			c.edit(&q)
			err := q.TooLarge()
			if !errors.Is(err, ErrTooLarge) {
				t.Errorf("%v is not ErrTooLarge", err)
			}
			if got := err.Error(); len(got) < len(c.want) || got[len(got)-len(c.want):] != c.want {
				t.Errorf("%q, want it to end with %q", got, c.want)
			}
		})
	}
}
