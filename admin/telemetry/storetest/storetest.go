// Package storetest is the contract of telemetry.Store as tests: every adapter runs all of them, so
// that the rest of the platform cannot tell one store from another.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/protocol"
)

// Option changes what Run checks.
type Option func(*suite)

// Reopen adds the tests that a store keeps what it took. The function closes the store and opens
// another on the same data.
func Reopen(reopen func(t *testing.T, s telemetry.Store) telemetry.Store) Option {
	return func(s *suite) { s.reopen = reopen }
}

// Run checks that the stores which open returns keep the contract of telemetry.Store. Each call of
// open gives an empty store that takes readings at least 7 days older than its newest; Run closes it.
func Run(t *testing.T, open func(t *testing.T) telemetry.Store, options ...Option) {
	s := suite{open: open}
	for _, o := range options {
		o(&s)
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"raw points come back as they were appended", rawPoints},
		{"a query of all metrics of a reading", everyMetric},
		{"the same reading twice is one point", sameReadingTwice},
		{"the same batch again changes nothing", sameBatchAgain},
		{"readings may come out of order", outOfOrder},
		{"readings of several kiosks in one batch", severalKiosks},
		{"a kiosk that changed its site stays one series", siteChange},
		{"unusual values", unusualValues},
		{"unusual serials, sites and metrics", unusualNames},
		{"a metric that was never stored has no series", unknownNames},
		{"text metrics have no series", textMetrics},
		{"a reading without metrics is taken", emptyReading},
		{"readings that no store can take are rejected and the rest is kept", rejected},
		{"the range is half open", halfOpenRange},
		{"every aggregate over partial windows", aggregates},
		{"windows are aligned to the epoch whatever the step", alignment},
		{"p95 is the nearest rank", percentile},
		{"aggregates agree with a plain computation", agreesWithReference},
		{"late readings are part of their windows", lateReadingsInWindows},
		{"the rate goes from the first to the last point", rate},
		{"the points of a group are pooled", groups},
		{"groups agree with a plain computation", groupsAgreeWithReference},
		{"windows of days follow the clocks of a zone", localDays},
		{"summaries have what the windows hold", summaries},
		{"the metrics that were stored are known", storedMetrics},
		{"ten thousand kiosks", manyKiosks},
		{"readings beyond the retention are gone", retention},
		{"a faulty query is a validation error", faultyQueries},
		{"a raw range that is too large is refused with advice", tooLargeRaw},
		{"too many windows are refused with advice", tooManyWindows},
		{"names that try to break out of the query find nothing and do no harm", injection},
		{"a cancelled context ends both methods", cancelled},
		{"appending and querying at the same time", concurrency},
		{"a closed store says so", closed},
		{"what was appended is there after reopening", reopened},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, &s) })
	}
}

// Expire adds the test that old points go. The function makes the store let go of everything before the
// instant, which is days before its newest reading, and returns the store.
func Expire(expire func(t *testing.T, s telemetry.Store, before time.Time) telemetry.Store) Option {
	return func(s *suite) { s.expire = expire }
}

type suite struct {
	open   func(*testing.T) telemetry.Store
	reopen func(*testing.T, telemetry.Store) telemetry.Store
	expire func(*testing.T, telemetry.Store, time.Time) telemetry.Store
}

// store opens a store that the end of the test closes.
func (s *suite) store(t *testing.T) *checked {
	t.Helper()
	c := &checked{t: t, Store: s.open(t)}
	t.Cleanup(func() {
		if err := c.Store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// checked is a store whose short methods fail the test on an error.
type checked struct {
	telemetry.Store
	t *testing.T
}

// base is when the tests' readings happen: a whole hour, so a window of any common step begins there.
var base = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// metric is the one that most tests use.
const metric = "hardware.cpu_temp"

func at(offset time.Duration) time.Time { return base.Add(offset) }

// reading returns a reading of one metric.
func reading(serial string, offset time.Duration, value float64) fleet.Reading {
	return fleet.Reading{
		Serial: serial, Site: "hall-1", Time: at(offset), ReceivedAt: at(offset),
		Status: protocol.StateOnline,
		Values: []fleet.Value{{Metric: metric, Value: value}},
	}
}

// series returns readings of one kiosk, step apart, with the given values.
func series(serial string, from, step time.Duration, values ...float64) []fleet.Reading {
	readings := make([]fleet.Reading, len(values))
	for i, v := range values {
		readings[i] = reading(serial, from+time.Duration(i)*step, v)
	}
	return readings
}

func (c *checked) append(readings ...fleet.Reading) {
	c.t.Helper()
	if err := c.Append(c.t.Context(), readings); err != nil {
		c.t.Fatalf("Append of %d readings: %v", len(readings), err)
	}
}

func (c *checked) query(q telemetry.Query) []telemetry.Series {
	c.t.Helper()
	got, err := c.Range(c.t.Context(), q)
	if err != nil {
		c.t.Fatalf("Range of %s of %q: %v", q.Metric, q.Serials, err)
	}
	return got
}

// raw asks for the points of the tests' metric around base.
func raw(from, to time.Duration, serials ...string) telemetry.Query {
	return telemetry.Query{Metric: metric, Serials: serials, From: at(from), To: at(to)}
}

func windows(from, to, step time.Duration, a telemetry.Aggregate, serials ...string) telemetry.Query {
	q := raw(from, to, serials...)
	q.Step, q.Aggregate = step, a
	return q
}

// point is an expected point, its time relative to base.
type point struct {
	offset time.Duration
	value  float64
}

// expect compares one series with the points wanted.
func expect(t *testing.T, got []telemetry.Series, serial string, want ...point) {
	t.Helper()
	if len(want) == 0 {
		if len(got) != 0 {
			t.Errorf("got %s, want no series", show(got))
		}
		return
	}
	if len(got) != 1 || got[0].Serial != serial {
		t.Errorf("got %s, want one series of %s", show(got), serial)
		return
	}
	same := len(got[0].Points) == len(want)
	for i := 0; same && i < len(want); i++ {
		p := got[0].Points[i]
		same = p.Time.Equal(at(want[i].offset)) && near(p.Value, want[i].value) && p.Time.Location() == time.UTC
	}
	if !same {
		t.Errorf("%s: got %s, want %s", serial, showPoints(got[0].Points), showWanted(want))
	}
}

// near allows for the order of additions, which differs between stores; values that are not computed
// must be equal, and are.
func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-12*math.Max(math.Abs(a), math.Abs(b))
}

func show(all []telemetry.Series) string {
	s := fmt.Sprintf("%d series", len(all))
	for i, one := range all {
		if i == 5 {
			return s + "; …"
		}
		s += fmt.Sprintf("; %s: %s", one.Serial, showPoints(one.Points))
	}
	return s
}

func showPoints(points []telemetry.Point) string {
	s := fmt.Sprintf("%d points", len(points))
	for i, p := range points {
		if i == 30 {
			return s + " …"
		}
		s += fmt.Sprintf(" (%v %v)", p.Time.Sub(base), p.Value)
	}
	return s
}

func showWanted(want []point) string {
	points := make([]telemetry.Point, len(want))
	for i, w := range want {
		points[i] = telemetry.Point{Time: at(w.offset), Value: w.value}
	}
	return showPoints(points)
}

func faultyQueries(t *testing.T, s *suite) {
	store := s.store(t)
	good := windows(0, time.Hour, time.Minute, telemetry.AggregateMean, "K-1")
	for _, c := range []struct {
		name string
		edit func(*telemetry.Query)
	}{
		{"to before from", func(q *telemetry.Query) { q.To = at(-time.Hour) }},
		{"an empty range", func(q *telemetry.Query) { q.To = q.From }},
		{"a negative step", func(q *telemetry.Query) { q.Step = -time.Minute }},
		{"an unknown aggregate", func(q *telemetry.Query) { q.Aggregate = "median" }},
		{"groups without a step", func(q *telemetry.Query) { q.Groups, q.Step = []telemetry.Group{{Name: "all"}}, 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := good
			c.edit(&q)
			got, err := store.Range(t.Context(), q)
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) || got != nil {
				t.Errorf("got %v and error %v, want a validation error", got, err)
			}
		})
	}
}

func closed(t *testing.T, s *suite) {
	store := s.open(t)
	if err := store.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := store.Append(t.Context(), series("K-1", 0, time.Second, 1)); !errors.Is(err, telemetry.ErrClosed) {
		t.Errorf("Append: %v, want ErrClosed", err)
	}
	if _, err := store.Range(t.Context(), raw(0, time.Hour, "K-1")); !errors.Is(err, telemetry.ErrClosed) {
		t.Errorf("Range: %v, want ErrClosed", err)
	}
	if err := store.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

func cancelled(t *testing.T, s *suite) {
	store := s.store(t)
	store.append(series("K-1", 0, time.Second, 1, 2, 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Append(ctx, series("K-1", time.Minute, time.Second, 4)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v, want context.Canceled", err)
	}
	if _, err := store.Range(ctx, raw(0, time.Hour, "K-1")); !errors.Is(err, context.Canceled) {
		t.Errorf("Range: %v, want context.Canceled", err)
	}
	store.append(series("K-1", time.Minute, time.Second, 4)...)
	expect(t, store.query(raw(0, time.Hour, "K-1")), "K-1", point{0, 1}, point{time.Second, 2}, point{2 * time.Second, 3}, point{time.Minute, 4})
}
