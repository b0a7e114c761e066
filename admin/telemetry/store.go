// Package telemetry is the port to the time-series store: append readings, ask for ranges of
// numeric metrics. The adapters are embedded (Prometheus TSDB, the default) and influx (InfluxDB
// 1.8, 2.x, 3); storetest is the contract that both pass.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

// Store keeps the numeric metrics of readings.
//
// Append makes the readings queryable. The same reading again changes nothing (one point for each
// kiosk, metric and millisecond); readings may come out of order within the store's window. It
// returns a *RejectedError when the store refused some readings for good and kept the rest; any
// other error means that the whole batch is to be tried again.
//
// Sync returns when everything appended is on disk, for whoever keeps readings until then.
//
// Range returns one series for each kiosk or group that has points, in the order of Query.Serials or
// Query.Groups. It fails with ErrTooLarge instead of cutting an answer short, and with ErrNotReady
// while the store opens.
//
// Summaries is for those who make other answers of it, such as rollups; see Source. It knows no bound
// but the context.
//
// Metrics returns the names of all numeric metrics that the store has points of, sorted; it may hold
// some whose points are no longer kept.
//
// All methods are safe for concurrent use.
type Store interface {
	Append(ctx context.Context, readings []fleet.Reading) error
	Range(ctx context.Context, q Query) ([]Series, error)
	Summaries(ctx context.Context, sel Selection, grid Grid, fields Fields, add func(KioskWindows) error) error
	Metrics(ctx context.Context) ([]string, error)
	Sync(ctx context.Context) error
	Close() error
}

// Errors of a Store.
var (
	ErrTooLarge = errors.New("the range holds too many points")
	ErrNotReady = errors.New("the time-series store is still opening")
	// ErrLost is the first answer of a Lazy store to Append or Sync after an opening that found points missing
	// which an earlier Sync had confirmed: everything that is still at hand is to be appended again.
	ErrLost = errors.New("the time-series store has lost points")
)

// RejectedError lists readings of a batch that the store will never take; the rest were kept.
type RejectedError struct {
	Rejected []Rejection
}

// Rejection is one refused reading, by its index in the batch.
type Rejection struct {
	Index  int
	Reason string
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("%d readings rejected, the first because %s", len(e.Rejected), e.Rejected[0].Reason)
}

// Aggregate reduces the points of one window to one value.
type Aggregate string

// The aggregates. Sums, and with them means, are added up in the order of time; those of a group first for
// each kiosk and then over the kiosks in the order of their serials. P95 is the nearest-rank 95th
// percentile. Rate is the change per second from the first to the last point of the window, which has
// none if it holds one point only; that of a group is the mean of its kiosks' rates. The first and the
// last point of a group are those of the earliest and the latest instant; of several at that instant the
// first has the lowest serial, the last the highest.
const (
	AggregateMean  Aggregate = "mean"
	AggregateMin   Aggregate = "min"
	AggregateMax   Aggregate = "max"
	AggregateLast  Aggregate = "last"
	AggregateFirst Aggregate = "first"
	AggregateCount Aggregate = "count"
	AggregateSum   Aggregate = "sum"
	AggregateP95   Aggregate = "p95"
	AggregateRate  Aggregate = "rate"
)

// Aggregates lists every aggregate.
func Aggregates() []Aggregate {
	return []Aggregate{AggregateMean, AggregateMin, AggregateMax, AggregateLast, AggregateFirst, AggregateCount, AggregateSum, AggregateP95, AggregateRate}
}

// MaxPoints bounds the points of one answer over all its series: a day of a thousand kiosks in windows of
// five minutes fits.
const MaxPoints = 300_000

// Query asks for one numeric metric of some kiosks in [From, To). With Step 0 it asks for the raw
// points and Aggregate is ignored; otherwise for one value per window of that length. Windows are
// labelled at their start and aligned as Grid says, the first may begin before From (but holds only
// points of the range); a window without points has no value, so gaps stay gaps.
//
// With Groups it asks for the kiosks of each group together: all their points are pooled as if one
// kiosk had sent them, but for rates. That needs a step, and Serials is not used. A kiosk may be in
// several groups.
type Query struct {
	Metric    string
	Serials   []string
	Groups    []Group
	From, To  time.Time
	Step      time.Duration
	Aggregate Aggregate
	Zone      *time.Location // of windows of whole days; nil means UTC
}

// Group is a number of kiosks that are asked for together.
type Group struct {
	Name    string
	Serials []string
}

// Point is one value; Time is the reading's own or the start of the window, UTC.
type Point struct {
	Time  time.Time
	Value float64
}

// Series holds the points of one kiosk or group, oldest first.
type Series struct {
	Serial string // or the name of the group
	Points []Point
}

// Check returns a *fleet.ValidationError that names every fault of the query, or ErrTooLarge with
// advice when its windows alone are more than MaxPoints.
func (q Query) Check() error {
	var v fleet.Violations
	if !q.From.Before(q.To) {
		v.Add("from", "must be before to")
	}
	if q.Step < 0 || q.Step%time.Millisecond != 0 {
		v.Add("step", "must be a positive duration of whole milliseconds, such as 1m")
	}
	if q.Step > 0 && !q.Aggregate.valid() {
		v.Add("agg", "%q is unknown, use one of %v", q.Aggregate, Aggregates())
	}
	if q.Step == 0 && len(q.Groups) > 0 {
		v.Add("step", "is missing; kiosks can be grouped only with one, such as 5m")
	}
	if err := v.Err(); err != nil {
		return err
	}
	if q.Step > 0 {
		if n := int64(q.To.Sub(q.From)/q.Step) * int64(q.series()); n > MaxPoints {
			return fmt.Errorf("%w: %d windows, at most %d are allowed; use a larger step or a shorter range", ErrTooLarge, n, MaxPoints)
		}
	}
	return nil
}

// series returns how many series the answer may have.
func (q Query) series() int {
	if len(q.Groups) > 0 {
		return len(q.Groups)
	}
	return len(q.Serials)
}

func (a Aggregate) valid() bool {
	for _, b := range Aggregates() {
		if a == b {
			return true
		}
	}
	return false
}
