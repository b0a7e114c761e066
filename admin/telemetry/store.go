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
// Range returns one series for each kiosk that has points, in the order of Query.Serials. It fails
// with ErrTooLarge instead of cutting an answer short, and with ErrNotReady while the store opens.
//
// All methods are safe for concurrent use.
type Store interface {
	Append(ctx context.Context, readings []fleet.Reading) error
	Range(ctx context.Context, q Query) ([]Series, error)
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

// The aggregates. P95 is the nearest-rank 95th percentile.
const (
	AggregateMean  Aggregate = "mean"
	AggregateMin   Aggregate = "min"
	AggregateMax   Aggregate = "max"
	AggregateLast  Aggregate = "last"
	AggregateFirst Aggregate = "first"
	AggregateCount Aggregate = "count"
	AggregateSum   Aggregate = "sum"
	AggregateP95   Aggregate = "p95"
)

// Aggregates lists every aggregate.
func Aggregates() []Aggregate {
	return []Aggregate{AggregateMean, AggregateMin, AggregateMax, AggregateLast, AggregateFirst, AggregateCount, AggregateSum, AggregateP95}
}

// MaxPoints bounds the points of one answer over all its series.
const MaxPoints = 200_000

// Query asks for one numeric metric of some kiosks in [From, To). With Step 0 it asks for the raw
// points and Aggregate is ignored; otherwise for one value per window of that length. Windows are
// aligned to the Unix epoch and labelled at their start, the first may begin before From (but holds
// only points of the range); a window without points has no value, so gaps stay gaps.
type Query struct {
	Metric    string
	Serials   []string
	From, To  time.Time
	Step      time.Duration
	Aggregate Aggregate
}

// Point is one value; Time is the reading's own or the start of the window, UTC.
type Point struct {
	Time  time.Time
	Value float64
}

// Series holds the points of one kiosk, oldest first.
type Series struct {
	Serial string
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
	if err := v.Err(); err != nil {
		return err
	}
	if q.Step > 0 {
		if n := int64(q.To.Sub(q.From)/q.Step) * int64(len(q.Serials)); n > MaxPoints {
			return fmt.Errorf("%w: %d windows, at most %d are allowed; use a larger step or a shorter range", ErrTooLarge, n, MaxPoints)
		}
	}
	return nil
}

func (a Aggregate) valid() bool {
	for _, b := range Aggregates() {
		if a == b {
			return true
		}
	}
	return false
}
