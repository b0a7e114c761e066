package telemetry

import (
	"context"
	"fmt"
	"slices"
	"time"
)

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// Answer answers the query from the source; see Store.Range. It is what the stores have in common.
func Answer(ctx context.Context, q Query, from Source) ([]Series, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	a := answer{query: q, source: from, left: MaxPoints}
	a.from, a.to = q.Bounds()
	if a.from >= a.to {
		return nil, nil
	}
	if len(q.Groups) > 0 {
		return a.groups(ctx)
	}
	return a.kiosks(ctx)
}

type answer struct {
	query    Query
	source   Source
	from, to int64
	left     int // points that the answer may still hold
}

func (a *answer) selection(serials []string) Selection {
	return Selection{Metric: a.query.Metric, Serials: serials, From: a.from, To: a.to}
}

// kiosks answers a query that leaves each kiosk by itself.
func (a *answer) kiosks(ctx context.Context) ([]Series, error) {
	serials := a.query.Known()
	if len(serials) == 0 {
		return nil, ctx.Err()
	}
	points := make(map[string][]Point, len(serials))
	var err error
	switch {
	case a.query.Step == 0:
		err = a.source.Samples(ctx, a.selection(serials), func(serial string, ms int64, value float64) error {
			points[serial] = append(points[serial], Point{Time: timeOf(ms), Value: value})
			return a.take(1)
		})
	case a.query.Aggregate.Fields() != 0:
		err = a.source.Summaries(ctx, a.selection(serials), a.query.Grid(), a.query.Aggregate.Fields(), func(k KioskWindows) error {
			of := make([]Point, len(k.Windows))
			for i, w := range k.Windows {
				of[i] = Point{Time: timeOf(w.Start), Value: w.Value(a.query.Aggregate)}
			}
			points[k.Serial] = of
			return a.take(len(of))
		})
	default:
		err = a.reduce(ctx, serials, func(serial string, w *Windows) error {
			points[serial] = w.Points(a.query.Aggregate)
			return a.take(len(points[serial]))
		})
	}
	if err != nil {
		return nil, a.failed(err, len(serials))
	}
	var out []Series
	for _, serial := range serials {
		if of := points[serial]; len(of) > 0 {
			out = append(out, Series{Serial: serial, Points: of})
		}
	}
	return out, nil
}

// groups answers a query that pools the kiosks of each group.
func (a *answer) groups(ctx context.Context) ([]Series, error) {
	var out []Series
	for _, g := range a.query.Groups {
		serials := Query{Metric: a.query.Metric, Serials: g.Serials}.Known()
		if len(serials) == 0 {
			continue
		}
		slices.Sort(serials)
		pooled := newPool()
		var err error
		// The first and the last of several kiosks need the times of the points, which a summary has not.
		if fields := a.query.Aggregate.Fields(); fields != 0 && fields&(FieldFirst|FieldLast) == 0 {
			err = a.source.Summaries(ctx, a.selection(serials), a.query.Grid(), fields|FieldCount, func(k KioskWindows) error {
				pooled.summaries(k.Windows)
				return nil
			})
		} else {
			err = a.reduce(ctx, serials, func(_ string, w *Windows) error {
				if pooled.windows(w); pooled.kept > maxPooled {
					return fmt.Errorf("%w: a percentile of more than %d points at once; ask for a shorter range, fewer kiosks, or steps of whole days in UTC, for which there are rollups", ErrTooLarge, maxPooled)
				}
				return nil
			})
		}
		if err == nil {
			points := pooled.points(a.query.Aggregate)
			if err = a.take(len(points)); len(points) > 0 {
				out = append(out, Series{Serial: g.Name, Points: points})
			}
		}
		if err != nil {
			return nil, a.failed(err, len(serials))
		}
	}
	return out, ctx.Err()
}

// reduce computes the windows of each kiosk from its points.
func (a *answer) reduce(ctx context.Context, serials []string, finished func(serial string, w *Windows) error) error {
	var current string
	var w *Windows
	finish := func() error {
		if w == nil {
			return nil
		}
		done := w
		w = nil
		return finished(current, done)
	}
	err := a.source.Samples(ctx, a.selection(serials), func(serial string, ms int64, value float64) error {
		if serial != current || w == nil {
			if err := finish(); err != nil {
				return err
			}
			current, w = serial, NewWindows(a.query.Grid(), a.query.Aggregate)
		}
		w.Add(ms, value)
		if w.Len() > a.left {
			return a.query.TooLarge()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return finish()
}

// take counts points of the answer.
func (a *answer) take(n int) error {
	if a.left -= n; a.left < 0 {
		return a.query.TooLarge()
	}
	return nil
}

func (a *answer) failed(err error, kiosks int) error {
	return fmt.Errorf("range of %s of %d kiosks: %w", a.query.Metric, kiosks, err)
}
