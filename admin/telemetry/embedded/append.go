package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/storage"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

// checkEvery is how many readings or points pass between two looks at the context.
const checkEvery = 1024

// mostLate is how many late points are committed at once, about. For the first of a series the TSDB (0.316) makes a list
// with room for all such points of the commit so far: what a fleet has kept during an outage would need gigabytes.
const mostLate = 256

// Append stores the numeric values of the readings, in one transaction unless many of them are late.
//
// Errors: *telemetry.BrokenError when the TSDB cannot write; *telemetry.RejectedError for readings that are older than
// the out-of-order window, that are not valid, or that have another value for a stored time; a rejected reading may keep
// those of its values that were not at fault. After any other error the first of the readings may be stored. Two values
// for one time are not always noticed; then the one stored first stays.
func (s *Store) Append(ctx context.Context, readings []fleet.Reading) (err error) {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()

	var rejected []telemetry.Rejection
	var list []*cachedSeries
	late, from := 0, s.lateness()
	appender := s.db.Appender(ctx)
	for i := range readings {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return s.abandon(appender, len(readings), ctx.Err())
		}
		reason := telemetry.RefusalOf(&readings[i])
		if reason == "" {
			list = s.cache.lookup(&readings[i], list[:0])
			if late += from.of(&readings[i], list); late > mostLate {
				if err := commit(ctx, appender, len(readings)); err != nil {
					return err
				}
				appender, late, from = s.db.Appender(ctx), 0, s.lateness()
			}
			if reason, err = appendReading(appender, &readings[i], list); err != nil {
				return s.abandon(appender, len(readings), err)
			}
		}
		if reason != "" {
			rejected = append(rejected, telemetry.Rejection{Index: i, Reason: reason})
		}
	}
	if err := commit(ctx, appender, len(readings)); err != nil {
		return err
	}
	if rejected != nil {
		return &telemetry.RejectedError{Rejected: rejected}
	}
	return nil
}

// commit ends a transaction of an Append of n readings.
func commit(ctx context.Context, appender storage.Appender, n int) error {
	err := appender.Commit() // which rolls back by itself
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("append %d readings: %w", n, err)
	}
	return &telemetry.BrokenError{Err: fmt.Errorf("append %d readings: %w", n, err)}
}

// lateness says which points the TSDB takes as late, at the begin of a transaction.
type lateness struct {
	oldest int64 // whatever is older is late, even if it is the newest of its series; Unix milliseconds
	head   int64 // the newest point of all
}

func (s *Store) lateness() lateness {
	oldest, ok := s.db.Head().AppendableMinValidTime()
	if !ok { // the head is empty
		oldest = math.MinInt64
	}
	return lateness{oldest, s.db.Head().MaxTime()}
}

// of returns how many points of a reading are late. Of a series that has got no point since the start nobody knows what is
// its newest: it counts as late if it is not the newest of all.
func (l lateness) of(r *fleet.Reading, list []*cachedSeries) (late int) {
	ms := r.Time.UnixMilli()
	for _, series := range list {
		newest := series.newest.Load()
		if ms < newest || ms < l.oldest || newest == 0 && ms < l.head {
			late++
		}
		if ms > newest {
			series.newest.Store(ms)
		}
	}
	return late
}

func (s *Store) abandon(appender storage.Appender, n int, err error) error {
	return fmt.Errorf("append %d readings: %w", n, errors.Join(err, appender.Rollback()))
}

// appendReading adds the values of the reading, whose series are in list; it returns why the TSDB will
// not have one of them, or an error for which the reading is not to blame.
func appendReading(appender storage.Appender, r *fleet.Reading, list []*cachedSeries) (reason string, err error) {
	ms := r.Time.UnixMilli()
	for i, series := range list {
		ref, err := appender.Append(storage.SeriesRef(series.ref.Load()), series.labels, ms, r.Values[i].Value)
		switch {
		case err == nil:
			series.ref.Store(uint64(ref))
		case errors.Is(err, storage.ErrTooOldSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrOutOfOrderSample):
			// So are its other values.
			return fmt.Sprintf("time %s is older than the store takes", r.Time.UTC().Format(time.RFC3339)), nil
		case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
			reason = fmt.Sprintf("another value of %s is stored for %s", r.Values[i].Metric, r.Time.UTC().Format(time.RFC3339Nano))
		default:
			return "", fmt.Errorf("kiosk %s, metric %s: %w", r.Serial, r.Values[i].Metric, err)
		}
	}
	return reason, nil
}
