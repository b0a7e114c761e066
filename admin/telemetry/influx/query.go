package influx

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kioskfleet/admin/telemetry"
)

// serialsPerQuery bounds the condition of one statement.
const serialsPerQuery = 250

// Range answers the query with InfluxQL: raw points and p95 from the points themselves, the other
// aggregates from windows that the server computes; see telemetry.Store. Two points of one kiosk in the
// same millisecond, which only a change of its site between two deliveries of a reading can make, are
// one raw point but both count in a window.
func (s *Store) Range(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	if s.closed.Load() {
		return nil, telemetry.ErrClosed
	}
	serials := q.Known()
	from, to := q.Bounds()
	from, to = max(from, 0), min(to, maxMilli) // Append takes nothing outside
	if len(serials) == 0 || from >= to {
		return nil, nil
	}
	r := reader{store: s, query: q, points: make(map[string][]telemetry.Point, len(serials))}
	if err := r.read(ctx, selection{metric: q.Metric, serials: serials, from: from, to: to}); err != nil {
		return nil, fmt.Errorf("range of %s of %d kiosks: %w", q.Metric, len(serials), err)
	}
	var answer []telemetry.Series
	for _, serial := range serials {
		if points := r.points[serial]; len(points) > 0 {
			answer = append(answer, telemetry.Series{Serial: serial, Points: points})
		}
	}
	return answer, nil
}

// reader collects the answer of one query.
type reader struct {
	store  *Store
	query  telemetry.Query
	points map[string][]telemetry.Point // by serial
	total  int
}

func (r *reader) read(ctx context.Context, all selection) error {
	parts := make([]selection, 0, len(all.serials)/serialsPerQuery+1)
	for some := range slices.Chunk(all.serials, serialsPerQuery) {
		part := all
		part.serials = some
		parts = append(parts, part)
	}
	if r.query.Step == 0 {
		if err := r.checkCount(ctx, parts); err != nil {
			return err
		}
	}
	for _, part := range parts {
		var err error
		switch {
		case r.query.Step == 0:
			err = r.store.query(ctx, part.raw(), r.raw)
		case r.query.Aggregate == telemetry.AggregateP95:
			err = r.windowed(ctx, part)
		default:
			err = r.store.query(ctx, part.windows(functions[r.query.Aggregate], r.query.Step.Milliseconds()), r.add)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkCount asks for the number of raw points before it asks for them: the server would otherwise
// read, sort and send what the answer cannot hold.
func (r *reader) checkCount(ctx context.Context, parts []selection) error {
	total := 0.0
	for _, part := range parts {
		err := r.store.query(ctx, part.count(), func(_ string, _ int64, n float64) error {
			total += n
			return nil
		})
		if err != nil {
			return err
		}
		if total > telemetry.MaxPoints {
			return r.query.TooLarge()
		}
	}
	return nil
}

// add takes a point of the answer.
func (r *reader) add(serial string, ms int64, value float64) error {
	if r.total++; r.total > telemetry.MaxPoints {
		return r.query.TooLarge()
	}
	r.points[serial] = append(r.points[serial], telemetry.Point{Time: time.UnixMilli(ms).UTC(), Value: value})
	return nil
}

// raw takes a raw point, unless another site had the same.
func (r *reader) raw(serial string, ms int64, value float64) error {
	if n := len(r.points[serial]); n > 0 && r.points[serial][n-1].Time.UnixMilli() == ms {
		return nil
	}
	return r.add(serial, ms, value)
}

// windowed computes the windows here from the raw points, as they come in: kiosk after kiosk, each in
// the order of time.
func (r *reader) windowed(ctx context.Context, part selection) error {
	var current string
	var w *telemetry.Windows
	finish := func() {
		if w != nil {
			r.points[current] = w.Points()
			r.total += len(r.points[current])
			w = nil
		}
	}
	err := r.store.query(ctx, part.raw(), func(serial string, ms int64, value float64) error {
		if serial != current {
			finish()
		}
		if w == nil {
			current, w = serial, telemetry.NewWindows(r.query.Step, r.query.Aggregate)
		}
		w.Add(ms, value)
		if r.total+w.Len() > telemetry.MaxPoints {
			return r.query.TooLarge()
		}
		return nil
	})
	finish()
	return err
}
