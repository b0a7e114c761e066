package embedded

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"kioskfleet/admin/telemetry"
)

// serialsPerSelect bounds one look into the index. Up to 256 alternatives the TSDB turns a regular
// expression into plain look-ups of these values.
const serialsPerSelect = 250

// Range answers the query from the TSDB's own iterators, point by point; see telemetry.Store.
func (s *Store) Range(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	release, err := s.use()
	if err != nil {
		return nil, err
	}
	defer release()
	serials := q.Known()
	from, to := q.Bounds()
	if len(serials) == 0 || from >= to {
		return nil, nil
	}
	answer, err := s.collect(ctx, q, serials, from, to)
	if err != nil {
		return nil, fmt.Errorf("range of %s of %d kiosks: %w", q.Metric, len(serials), err)
	}
	return answer, nil
}

func (s *Store) collect(ctx context.Context, q telemetry.Query, serials []string, from, to int64) (_ []telemetry.Series, err error) {
	querier, err := s.db.Querier(from, to-1)
	if err != nil {
		return nil, err
	}
	defer querier.Close() // reading only: nothing can be lost

	r := reader{query: q, from: from, to: to, left: telemetry.MaxPoints}
	var answer []telemetry.Series
	for some := range slices.Chunk(serials, serialsPerSelect) {
		bySerial, err := selectSeries(ctx, querier, q.Metric, some)
		if err != nil {
			return nil, err
		}
		for _, serial := range some {
			points, err := r.read(ctx, bySerial[serial])
			if err != nil {
				return nil, err
			}
			if len(points) > 0 {
				answer = append(answer, telemetry.Series{Serial: serial, Points: points})
			}
		}
	}
	return answer, nil
}

// selectSeries returns the series of the metric by serial: one for each site where the kiosk was.
func selectSeries(ctx context.Context, querier storage.Querier, metric string, serials []string) (map[string][]storage.Series, error) {
	matcher := labels.MustNewMatcher(labels.MatchEqual, labelSerial, serials[0])
	if len(serials) > 1 {
		quoted := make([]string, len(serials))
		for i, serial := range serials {
			quoted[i] = regexp.QuoteMeta(serial)
		}
		var err error
		if matcher, err = labels.NewMatcher(labels.MatchRegexp, labelSerial, strings.Join(quoted, "|")); err != nil {
			return nil, err
		}
	}
	// By the label and not by __name__, which changes when the catalogue learns a metric's unit.
	set := querier.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchEqual, labelMetric, metric), matcher)
	bySerial := make(map[string][]storage.Series, len(serials))
	for set.Next() {
		one := set.At()
		serial := one.Labels().Get(labelSerial)
		bySerial[serial] = append(bySerial[serial], one)
	}
	return bySerial, set.Err()
}

// reader reads one series after the other for a query.
type reader struct {
	query    telemetry.Query
	from, to int64 // Unix ms, half open
	left     int   // points that the answer may still hold
	seen     int
	iterator chunkenc.Iterator // kept to be used again
}

// read returns the answer's points of one kiosk, whose series may overlap in time.
func (r *reader) read(ctx context.Context, series []storage.Series) ([]telemetry.Point, error) {
	switch len(series) {
	case 0:
		return nil, nil
	case 1:
		r.iterator = series[0].Iterator(r.iterator)
	default: // merges by time, and takes one of several points of the same millisecond
		r.iterator = storage.ChainSampleIteratorFromSeries(nil, series)
	}
	var points []telemetry.Point
	var err error
	if r.query.Step == 0 {
		points, err = r.raw(ctx)
	} else {
		points, err = r.windows(ctx)
	}
	r.left -= len(points)
	return points, err
}

func (r *reader) raw(ctx context.Context) ([]telemetry.Point, error) {
	var points []telemetry.Point
	err := r.each(ctx, func(ms int64, value float64) int {
		points = append(points, telemetry.Point{Time: time.UnixMilli(ms).UTC(), Value: value})
		return len(points)
	})
	return points, err
}

func (r *reader) windows(ctx context.Context) ([]telemetry.Point, error) {
	w := telemetry.NewWindows(r.query.Step, r.query.Aggregate)
	err := r.each(ctx, func(ms int64, value float64) int {
		w.Add(ms, value)
		return w.Len()
	})
	return w.Points(), err
}

// each passes every point of the range to add, which returns how many points the answer got from it.
func (r *reader) each(ctx context.Context, add func(ms int64, value float64) int) error {
	for r.iterator.Next() == chunkenc.ValFloat {
		ms, value := r.iterator.At()
		if ms < r.from {
			continue
		}
		if ms >= r.to {
			break
		}
		if r.seen++; r.seen%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if add(ms, value) > r.left {
			return r.query.TooLarge()
		}
	}
	if err := r.iterator.Err(); err != nil {
		return err
	}
	return ctx.Err()
}
