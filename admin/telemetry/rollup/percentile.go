package rollup

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"kioskfleet/admin/telemetry"
)

var errNoSketch = errors.New("there are no sketches")

// percentiles answers a query for the 95th percentile of whole days. Errors: errNoSketch when something of
// it has none.
func (p *plan) percentiles(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	from, to := q.Bounds()
	groups := q.Groups
	if len(groups) == 0 {
		for _, serial := range q.Known() {
			groups = append(groups, telemetry.Group{Name: serial, Serials: []string{serial}})
		}
	}
	// Each kiosk is read once, whatever it is in.
	member := map[string][]int{}
	for i, g := range groups {
		for _, serial := range (telemetry.Query{Metric: q.Metric, Serials: g.Serials}).Known() {
			member[serial] = append(member[serial], i)
		}
	}
	serials := slices.Sorted(maps.Keys(member))
	s := sketches{plan: p, member: member, windows: make([]map[int64]*telemetry.Sketch, len(groups))}
	for some := range slices.Chunk(serials, rollupsAtOnce) {
		if err := s.collect(ctx, telemetry.Selection{Metric: q.Metric, Serials: some, From: from, To: to}); err != nil {
			return nil, err
		}
	}
	var out []telemetry.Series
	left := telemetry.MaxPoints
	for i, g := range groups {
		var points []telemetry.Point
		for _, start := range slices.Sorted(maps.Keys(s.windows[i])) {
			points = append(points, telemetry.Point{Time: time.UnixMilli(start).UTC(), Value: s.windows[i][start].P95()})
		}
		if left -= len(points); left < 0 {
			return nil, q.TooLarge()
		}
		if len(points) > 0 {
			out = append(out, telemetry.Series{Serial: g.Name, Points: points})
		}
	}
	return out, nil
}

// sketches gathers the sketches of each group and window.
type sketches struct {
	plan    *plan
	member  map[string][]int              // the groups of a kiosk
	windows []map[int64]*telemetry.Sketch // of each group, by start
}

func (s *sketches) collect(ctx context.Context, sel telemetry.Selection) error {
	p := s.plan
	if err := s.points(ctx, sel, sel.Serials, sel.From, p.from); err != nil {
		return err
	}
	for day := dayOf(p.from); dayStart(day) < p.to; day++ {
		fromPoints := p.lateOn(day, sel.Serials)
		err := p.store.repo.Rollups(ctx, sel.Metric, sel.Serials, day, day, func(serial string, _ int64, data []byte) error {
			if p.late[day][serial] {
				return nil
			}
			h, _, err := open(data)
			switch {
			case err != nil:
				p.store.damaged(serial, sel.Metric, day, err)
				return errDamaged
			case h.sketch == nil:
				return errNoSketch
			case dayStart(day)+int64(h.until)*bucketMilli > p.to: // it went on since the plan was made
				fromPoints = append(fromPoints, serial)
				return nil
			}
			return s.each(serial, day, func(to *telemetry.Sketch) error { return to.MergeBinary(h.sketch) })
		})
		if err != nil {
			return err
		}
		if err := s.points(ctx, sel, fromPoints, dayStart(day), min(p.to, dayStart(day+1))); err != nil {
			return err
		}
	}
	return s.points(ctx, sel, sel.Serials, p.to, sel.To)
}

// each calls f with the sketches that a kiosk's day belongs to.
func (s *sketches) each(serial string, day int64, f func(*telemetry.Sketch) error) error {
	start, _ := s.plan.grid.Window(dayStart(day))
	for _, i := range s.member[serial] {
		if s.windows[i] == nil {
			s.windows[i] = map[int64]*telemetry.Sketch{}
		}
		to := s.windows[i][start]
		if to == nil {
			to = &telemetry.Sketch{}
			s.windows[i][start] = to
		}
		if err := f(to); err != nil {
			return err
		}
	}
	return nil
}

// points adds sketches that the inner store makes of the points, day by day.
func (s *sketches) points(ctx context.Context, sel telemetry.Selection, serials []string, from, to int64) error {
	for len(serials) > 0 && from < to {
		s.plan.fromPoints = true
		day := dayOf(from)
		end := min(to, dayStart(day+1))
		part := telemetry.Selection{Metric: sel.Metric, Serials: serials, From: from, To: end}
		err := s.plan.store.inner.Summaries(ctx, part, s.plan.grid, telemetry.FieldCount|telemetry.FieldSketch, func(k telemetry.KioskWindows) error {
			if k.Sketch == nil {
				return errNoSketch
			}
			return s.each(k.Serial, day, func(to *telemetry.Sketch) error {
				to.Merge(k.Sketch)
				return nil
			})
		})
		if err != nil {
			return err
		}
		from = end
	}
	return nil
}
