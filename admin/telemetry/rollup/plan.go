package rollup

import (
	"context"
	"errors"
	"slices"

	"kioskfleet/admin/telemetry"
)

// Origin says what an answer was made of.
type Origin string

// The origins of an answer.
const (
	OriginRaw    Origin = "raw"    // the points
	OriginRollup Origin = "rollup" // five-minute summaries
	OriginMixed  Origin = "mixed"  // summaries, and points of the times and kiosks for which there are none yet
)

// summaryFields are the parts of a summary that rollups have.
const summaryFields = telemetry.FieldMin | telemetry.FieldMax | telemetry.FieldSum | telemetry.FieldCount

// Range answers the query from rollups where they say the same as the points, else from these. A sum
// of rollups is added up five minutes by five minutes, so its last digits may differ.
func (s *Store) Range(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	all, _, err := s.Answer(ctx, q)
	return all, err
}

// Answer is Range and says what the answer was made of. Percentiles over whole UTC days come from rollups
// too, and are then up to 1% off.
func (s *Store) Answer(ctx context.Context, q telemetry.Query) ([]telemetry.Series, Origin, error) {
	if err := q.Check(); err != nil {
		return nil, "", err
	}
	for {
		p, ok := s.plan(q)
		if !ok {
			break
		}
		all, err := p.answer(ctx, q)
		switch {
		case errors.Is(err, errDamaged): // it is late now, and so comes from the points
			continue
		case errors.Is(err, errNoSketch):
		case err != nil:
			return nil, "", err
		case p.fromPoints:
			return all, OriginMixed, nil
		default:
			return all, OriginRollup, nil
		}
		break
	}
	all, err := s.inner.Range(ctx, q)
	return all, OriginRaw, err
}

// errDamaged says that a rollup could not be read; it is late from now on.
var errDamaged = errors.New("a rollup is damaged")

func (p *plan) answer(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	if q.Aggregate == telemetry.AggregateP95 {
		return p.percentiles(ctx, q)
	}
	return telemetry.Answer(ctx, q, p)
}

// plan says which part of a query comes from rollups. It implements telemetry.Source for one answer.
type plan struct {
	store      *Store
	grid       telemetry.Grid
	from, to   int64                     // what rollups answer; around it points do
	late       map[int64]map[string]bool // the kiosks that come from points, by day
	fromPoints bool                      // something came from points
}

// plan returns false when rollups are of no use for the query.
func (s *Store) plan(q telemetry.Query) (*plan, bool) {
	if q.Step == 0 {
		return nil, false
	}
	p := &plan{store: s, grid: q.Grid(), late: map[int64]map[string]bool{}}
	from, to := q.Bounds()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch fields := q.Aggregate.Fields(); {
	case q.Aggregate == telemetry.AggregateP95:
		// A sketch holds all of its day up to now, so the rolled-up part ends with a day or with the rollups.
		step, same := p.grid.Step()
		if !same || step%dayMilli != 0 {
			return nil, false
		}
		p.from = max(ceil(from, dayMilli), s.from)
		if p.to = s.until; to < s.until {
			p.to = telemetry.WindowStart(to, dayMilli)
		}
	case fields == 0 || fields&^summaryFields != 0:
		return nil, false
	default:
		p.from, p.to = max(ceil(from, bucketMilli), s.from), min(telemetry.WindowStart(to, bucketMilli), s.until)
	}
	if p.from >= p.to || !p.grid.Divides(bucketMilli*1e6, p.from, p.to) {
		return nil, false
	}
	for key := range s.late {
		if dayStart(key.day) < p.to && dayStart(key.day+1) > p.from {
			if p.late[key.day] == nil {
				p.late[key.day] = map[string]bool{}
			}
			p.late[key.day][key.serial] = true
		}
	}
	return p, true
}

func ceil(ms, step int64) int64 { return -telemetry.WindowStart(-ms, step) }

// Samples implements telemetry.Source; nothing that a plan answers needs it.
func (p *plan) Samples(context.Context, telemetry.Selection, func(string, int64, float64) error) error {
	return errors.New("rollups have no points")
}

// windowsAtOnce bounds the windows of several kiosks that are in memory at once, but for very long queries.
const windowsAtOnce = 500_000

// maxExpected bounds the windows for which memory is taken before there are any.
const maxExpected = 1000

// Summaries implements telemetry.Source.
func (p *plan) Summaries(ctx context.Context, sel telemetry.Selection, grid telemetry.Grid, fields telemetry.Fields, add func(telemetry.KioskWindows) error) error {
	perKiosk := int64(1)
	if step, same := grid.Step(); same {
		perKiosk += (sel.To - sel.From) / step
	} else {
		perKiosk += (sel.To - sel.From) / dayMilli
	}
	atOnce := int(min(max(windowsAtOnce/perKiosk, 10), rollupsAtOnce))
	for some := range slices.Chunk(sel.Serials, atOnce) {
		part := sel
		part.Serials = some
		c := collector{plan: p, sel: part, grid: grid, fields: fields | telemetry.FieldCount, expected: min(perKiosk+1, maxExpected), windows: make(map[string][]telemetry.Summary, len(some))}
		if err := c.collect(ctx); err != nil {
			return err
		}
		for _, serial := range some {
			if w := c.windows[serial]; len(w) > 0 {
				if err := add(telemetry.KioskWindows{Serial: serial, Windows: w}); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

// collector puts the windows of some kiosks together, in the order of time.
type collector struct {
	plan    *plan
	sel     telemetry.Selection
	grid    telemetry.Grid
	fields  telemetry.Fields // with the count: Merge needs it
	windows map[string][]telemetry.Summary
	buckets [bucketsPerDay]bucket // used again for each record

	expected int64 // windows of a kiosk
}

func (c *collector) collect(ctx context.Context) error {
	p := c.plan
	if err := c.points(ctx, c.sel.Serials, c.sel.From, p.from); err != nil {
		return err
	}
	// Days on which some kiosks come from points stand alone, so that each kiosk's days stay in order.
	for day, last := dayOf(p.from), dayOf(p.to-1); day <= last; {
		until := day
		late := p.lateOn(day, c.sel.Serials)
		for late == nil && until < last && p.lateOn(until+1, c.sel.Serials) == nil {
			until++
		}
		if err := c.rollups(ctx, day, until, late); err != nil {
			return err
		}
		day = until + 1
	}
	return c.points(ctx, c.sel.Serials, p.to, c.sel.To)
}

// lateOn returns which of the kiosks are late on that day, nil if none is.
func (p *plan) lateOn(day int64, serials []string) []string {
	var out []string
	if len(p.late[day]) > 0 {
		for _, serial := range serials {
			if p.late[day][serial] {
				out = append(out, serial)
			}
		}
	}
	return out
}

// points adds what the inner store has.
func (c *collector) points(ctx context.Context, serials []string, from, to int64) error {
	if from >= to || len(serials) == 0 {
		return nil
	}
	c.plan.fromPoints = true
	sel := telemetry.Selection{Metric: c.sel.Metric, Serials: serials, From: from, To: to}
	return c.plan.store.inner.Summaries(ctx, sel, c.grid, c.fields, func(k telemetry.KioskWindows) error {
		for _, w := range k.Windows {
			c.add(k.Serial, w)
		}
		return nil
	})
}

// add adds the next part of a window, or the next window.
func (c *collector) add(serial string, w telemetry.Summary) {
	c.windows[serial] = joined(c.windows[serial], w)
}

func joined(of []telemetry.Summary, w telemetry.Summary) []telemetry.Summary {
	if n := len(of); n > 0 && of[n-1].Start == w.Start {
		of[n-1].Merge(w)
		return of
	}
	return append(of, w)
}

// rollups adds what the rollups of some days have, but that of the late kiosks from the inner store.
func (c *collector) rollups(ctx context.Context, first, last int64, late []string) error {
	p := c.plan
	err := p.store.repo.Rollups(ctx, c.sel.Metric, c.sel.Serials, first, last, func(serial string, day int64, data []byte) error {
		if p.late[day][serial] {
			return nil
		}
		if err := c.record(serial, day, data); err != nil {
			p.store.damaged(serial, c.sel.Metric, day, err)
			return errDamaged
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return c.points(ctx, late, max(p.from, dayStart(first)), min(p.to, dayStart(last+1)))
}

// record adds a rollup.
func (c *collector) record(serial string, day int64, data []byte) error {
	h, r, err := open(data)
	if err != nil {
		return err
	}
	p := c.plan
	begin := dayStart(day)
	if start, end := c.grid.Window(begin); end >= begin+dayMilli && p.from <= begin && p.to >= begin+int64(h.until)*bucketMilli && h.total.count > 0 {
		c.add(serial, summaryOf(start, h.total)) // the day as a whole
		return nil
	}
	if err := r.buckets(&c.buckets); err != nil {
		return err
	}
	first, last := max(0, (p.from-begin)/bucketMilli), min(bucketsPerDay, (p.to-begin)/bucketMilli)
	var start, end int64
	of := c.windows[serial]
	if of == nil {
		of = make([]telemetry.Summary, 0, c.expected)
	}
	for i := first; i < last; i++ {
		if c.buckets[i].count == 0 {
			continue
		}
		if ms := begin + i*bucketMilli; ms >= end {
			start, end = c.grid.Window(ms)
		}
		of = joined(of, summaryOf(start, c.buckets[i]))
	}
	c.windows[serial] = of
	return nil
}

func summaryOf(start int64, b bucket) telemetry.Summary {
	return telemetry.Summary{Start: start, Count: b.count, Min: b.min, Max: b.max, Sum: b.sum}
}
