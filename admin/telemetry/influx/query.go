package influx

import (
	"context"
	"fmt"
	"slices"

	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/protocol"
)

// serialsPerQuery bounds the condition of one statement.
const serialsPerQuery = 250

// Range answers the query with InfluxQL: what comes from summaries from windows that the server computes,
// the rest from the points themselves; see telemetry.Store. Two points of one kiosk in the same
// millisecond, which only a change of its site between two deliveries of a reading can make, are one raw
// point but both count in a window.
func (s *Store) Range(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	if s.closed.Load() {
		return nil, telemetry.ErrClosed
	}
	if q.Check() == nil && q.Step == 0 {
		if err := s.checkCount(ctx, q); err != nil {
			return nil, fmt.Errorf("range of %s of %d kiosks: %w", q.Metric, len(q.Serials), err)
		}
	}
	return telemetry.Answer(ctx, q, source{s})
}

// Summaries implements telemetry.Store. There are no sketches: InfluxDB cannot compute them.
func (s *Store) Summaries(ctx context.Context, sel telemetry.Selection, grid telemetry.Grid, fields telemetry.Fields, add func(telemetry.KioskWindows) error) error {
	if s.closed.Load() {
		return telemetry.ErrClosed
	}
	if err := (source{s}).Summaries(ctx, sel, grid, fields, add); err != nil {
		return fmt.Errorf("summaries of %s: %w", sel.Metric, err)
	}
	return nil
}

// Metrics implements telemetry.Store.
func (s *Store) Metrics(ctx context.Context) ([]string, error) {
	if s.closed.Load() {
		return nil, telemetry.ErrClosed
	}
	var names []string
	fields, types, err := s.fields(ctx)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	for i, name := range fields {
		if types[i] == "float" && protocol.ValidMetricName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// source reads from the server.
type source struct{ store *Store }

// parts divides a selection so that no statement names too many kiosks, and keeps it within the times
// that Append takes. Kiosks come in the order of their serials from each part.
func parts(sel telemetry.Selection) []selection {
	all := selection{metric: sel.Metric, from: max(sel.From, 0), to: min(sel.To, maxMilli)}
	if all.from >= all.to || !protocol.ValidMetricName(sel.Metric) {
		return nil
	}
	if sel.Serials == nil {
		return []selection{all}
	}
	out := make([]selection, 0, len(sel.Serials)/serialsPerQuery+1)
	for some := range slices.Chunk(sel.Serials, serialsPerQuery) {
		part := all
		part.serials = some
		out = append(out, part)
	}
	return out
}

// checkCount asks for the number of raw points before it asks for them: the server would otherwise
// read, sort and send what the answer cannot hold.
func (s *Store) checkCount(ctx context.Context, q telemetry.Query) error {
	total := 0.0
	from, to := q.Bounds()
	for _, part := range parts(telemetry.Selection{Metric: q.Metric, Serials: q.Known(), From: from, To: to}) {
		err := s.query(ctx, part.count(), 1, func(_ string, _ int64, n []float64) error {
			total += n[0]
			return nil
		})
		if err != nil {
			return err
		}
		if total > telemetry.MaxPoints {
			return q.TooLarge()
		}
	}
	return nil
}

// Samples implements telemetry.Source.
func (r source) Samples(ctx context.Context, sel telemetry.Selection, add func(serial string, ms int64, value float64) error) error {
	for _, part := range parts(sel) {
		lastSerial, lastMilli := "", int64(-1)
		err := r.store.query(ctx, part.raw(), 1, func(serial string, ms int64, values []float64) error {
			if serial == lastSerial && ms == lastMilli {
				return nil // another site had the same
			}
			lastSerial, lastMilli = serial, ms
			return add(serial, ms, values[0])
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Summaries implements telemetry.Source.
func (r source) Summaries(ctx context.Context, sel telemetry.Selection, grid telemetry.Grid, fields telemetry.Fields, add func(telemetry.KioskWindows) error) error {
	functions := functionsFor(fields)
	for _, part := range parts(sel) {
		var err error
		if step, ok := grid.Step(); ok {
			err = r.stepped(ctx, part, functions, step, add)
		} else {
			err = r.windowByWindow(ctx, part, functions, grid, add)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// stepped lets the server find the windows, which it aligns to the epoch as we do.
func (r source) stepped(ctx context.Context, part selection, functions []function, stepMilli int64, add func(telemetry.KioskWindows) error) error {
	var current telemetry.KioskWindows
	finish := func() error {
		if len(current.Windows) == 0 {
			return nil
		}
		done := current
		current.Windows = nil
		return add(done)
	}
	err := r.store.query(ctx, part.windows(functions, stepMilli), len(functions), func(serial string, ms int64, values []float64) error {
		if serial != current.Serial {
			if err := finish(); err != nil {
				return err
			}
			current.Serial = serial
		}
		if len(current.Windows) >= telemetry.MaxPoints {
			return telemetry.ErrTooLarge
		}
		current.Windows = append(current.Windows, summaryOf(ms, functions, values))
		return nil
	})
	if err != nil {
		return err
	}
	return finish()
}

// windowByWindow asks for each window by itself: the server knows days of 24 hours only.
func (r source) windowByWindow(ctx context.Context, part selection, functions []function, grid telemetry.Grid, add func(telemetry.KioskWindows) error) error {
	bySerial := map[string][]telemetry.Summary{}
	var order []string
	for ms := part.from; ms < part.to; {
		start, end := grid.Window(ms)
		one := part
		one.from, one.to = max(start, part.from), min(end, part.to)
		err := r.store.query(ctx, one.whole(functions), len(functions), func(serial string, _ int64, values []float64) error {
			if bySerial[serial] == nil {
				order = append(order, serial)
			}
			bySerial[serial] = append(bySerial[serial], summaryOf(start, functions, values))
			return nil
		})
		if err != nil {
			return err
		}
		ms = end
	}
	slices.Sort(order)
	for _, serial := range order {
		if err := add(telemetry.KioskWindows{Serial: serial, Windows: bySerial[serial]}); err != nil {
			return err
		}
	}
	return nil
}

func summaryOf(start int64, functions []function, values []float64) telemetry.Summary {
	s := telemetry.Summary{Start: start}
	for i, f := range functions {
		f.set(&s, values[i])
	}
	return s
}
