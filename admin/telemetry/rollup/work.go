package rollup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

const (
	// rollupsAtOnce is how many rollups one transaction writes: others write to the database too.
	rollupsAtOnce = 500
	// kiosksAtOnce is how many kiosks of a day are made again at once.
	kiosksAtOnce = 250
)

// buckets is the grid of rollups.
var buckets = telemetry.NewGrid(bucketMilli*time.Millisecond, nil)

// Work rolls up what is due, makes again the days that are marked, and removes what is too old. Errors:
// ErrBusy while another process does; those of the inner store and the repository. What was done before
// the error stays.
func (s *Store) Work(ctx context.Context) error {
	s.working.Lock()
	defer s.working.Unlock()
	if err := s.lease(ctx); err != nil {
		return err
	}
	if err := s.adopt(ctx); err != nil {
		return err
	}
	for {
		more, err := s.roll(ctx)
		if err != nil {
			return fmt.Errorf("roll up: %w", err)
		}
		if !more {
			break
		}
	}
	if err := s.rebuild(ctx); err != nil {
		return fmt.Errorf("roll up again: %w", err)
	}
	if err := s.expire(ctx); err != nil {
		return fmt.Errorf("remove old rollups: %w", err)
	}
	return nil
}

// lease makes sure that no other process works.
func (s *Store) lease(ctx context.Context) error {
	now := s.cfg.Now()
	taken, err := s.repo.LeaseRollups(ctx, s.cfg.Owner, now, now.Add(leaseFor))
	if err == nil && !taken {
		err = ErrBusy
	}
	return err
}

// adopt learns how far into the past another process, which worked before, has rolled up.
func (s *Store) adopt(ctx context.Context) error {
	p, err := s.repo.RollupProgress(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.Until.IsZero() {
		s.from = min(s.from, p.From.UnixMilli())
	}
	return nil
}

// roll rolls up the next piece, at most to the end of its day, and reports whether there may be more.
func (s *Store) roll(ctx context.Context) (more bool, err error) {
	s.mu.Lock()
	from, until, target := s.from, s.until, s.bound
	s.mu.Unlock()
	if target == until { // none was begun
		closed := telemetry.WindowStart(s.cfg.Now().Add(-s.cfg.Lag).UnixMilli(), bucketMilli)
		target = min(closed, dayStart(dayOf(until)+1))
		whole := target == dayStart(dayOf(until)+1)
		if !whole && time.Duration(target-until)*time.Millisecond < s.cfg.Every || target <= until {
			return false, nil
		}
	}
	if _, err := s.inner.Metrics(ctx); err != nil { // it is not ready, say: nothing is begun
		return false, err
	}
	progress := fleet.RollupProgress{From: time.UnixMilli(from), Until: time.UnixMilli(until), Target: time.UnixMilli(target)}
	if err := s.repo.SaveRollupProgress(ctx, progress); err != nil {
		return false, err
	}
	s.mu.Lock()
	s.bound = target // from now on a point before it is late
	s.mu.Unlock()
	// What was appended before the bound moved must be among the metrics.
	metrics, err := s.inner.Metrics(ctx)
	if err != nil {
		return false, err
	}
	for _, metric := range metrics {
		p := piece{store: s, metric: metric, from: until, to: target}
		if err := p.roll(ctx); err != nil {
			return false, err
		}
	}
	progress.Until = progress.Target
	if err := s.repo.SaveRollupProgress(ctx, progress); err != nil {
		return false, err
	}
	s.mu.Lock()
	s.until = target
	s.mu.Unlock()
	return true, nil
}

// piece is a part of a day of one metric that is being added to rollups.
type piece struct {
	store    *Store
	metric   string
	from, to int64
	some     []telemetry.KioskWindows // read and not yet written
}

func (p *piece) roll(ctx context.Context) error {
	fields := telemetry.FieldMin | telemetry.FieldMax | telemetry.FieldSum | telemetry.FieldCount | telemetry.FieldSketch
	err := p.store.inner.Summaries(ctx, telemetry.Selection{Metric: p.metric, From: p.from, To: p.to}, buckets, fields, func(k telemetry.KioskWindows) error {
		if p.some = append(p.some, k); len(p.some) < rollupsAtOnce {
			return nil
		}
		return p.write(ctx)
	})
	if err != nil {
		return err
	}
	return p.write(ctx)
}

// write merges what was read into the rollups.
func (p *piece) write(ctx context.Context) error {
	if len(p.some) == 0 {
		return nil
	}
	day := dayOf(p.from)
	first, end := int((p.from-dayStart(day))/bucketMilli), int((p.to-dayStart(day))/bucketMilli)
	records := make(map[string]*record, len(p.some))
	serials := make([]string, len(p.some))
	for i := range p.some {
		serials[i] = p.some[i].Serial
	}
	err := p.store.repo.Rollups(ctx, p.metric, serials, day, day, func(serial string, _ int64, data []byte) error {
		r, err := decode(data)
		if err != nil {
			p.store.damaged(serial, p.metric, day, err)
		}
		records[serial] = r
		return nil
	})
	if err != nil {
		return err
	}
	out := make([]fleet.Rollup, 0, len(p.some))
	for _, k := range p.some {
		r, exists := records[k.Serial]
		switch {
		case exists && r == nil: // damaged, and marked
			continue
		case !exists:
			r = &record{sketch: &telemetry.Sketch{}}
		case r.until >= end: // written by a try that was interrupted
			continue
		case r.until > first: // another process went on meanwhile, and its sketch has some of this
			r.sketch = nil
			p.store.again(k.Serial, day)
		}
		r.add(dayStart(day), k)
		r.until = end
		data, err := r.encode(nil)
		if err != nil {
			return err
		}
		out = append(out, fleet.Rollup{Metric: p.metric, Serial: k.Serial, Day: day, Data: data})
	}
	p.some = p.some[:0]
	if err := p.store.lease(ctx); err != nil {
		return err
	}
	return p.store.repo.SaveRollups(ctx, out, nil)
}

// add puts windows of a day that begins at start into their buckets.
func (r *record) add(start int64, k telemetry.KioskWindows) {
	for _, w := range k.Windows {
		if i := (w.Start - start) / bucketMilli; i >= 0 && i < bucketsPerDay {
			r.buckets[i] = bucket{w.Count, w.Min, w.Max, w.Sum}
		}
	}
	if k.Sketch == nil || r.sketch == nil {
		r.sketch = nil // one of a part of the day would be wrong
		return
	}
	r.sketch.Merge(k.Sketch)
}

// damaged has a day made again whose rollup cannot be read.
func (s *Store) damaged(serial, metric string, day int64, why error) {
	s.cfg.Log.Error("a rollup cannot be read and is made again", "serial", serial, "metric", metric, "day", time.UnixMilli(dayStart(day)).UTC().Format(time.DateOnly), "error", why)
	s.again(serial, day)
}

// again has a day made again.
func (s *Store) again(serial string, day int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := kioskDay{serial, day}
	if s.late[key] == nil {
		s.late[key] = &lateness{marked: 1, unsaved: true}
	}
}

// rebuild makes the marked days again.
func (s *Store) rebuild(ctx context.Context) error {
	if err := s.saveMarks(ctx); err != nil {
		return err
	}
	marks, err := s.repo.RollupMarks(ctx)
	if err != nil {
		return err
	}
	for len(marks) > 0 {
		n := 1
		for n < len(marks) && n < kiosksAtOnce && marks[n].Day == marks[0].Day && marks[0].Serial != "" {
			n++
		}
		if err := s.lease(ctx); err != nil {
			return err
		}
		if err := s.rebuildDay(ctx, marks[:n]); err != nil {
			return err
		}
		marks = marks[n:]
	}
	return nil
}

// rebuildDay makes a day again: of all kiosks when the only mark has no serial.
func (s *Store) rebuildDay(ctx context.Context, marks []fleet.RollupMark) error {
	day := marks[0].Day
	before := make([]int64, len(marks))
	s.mu.Lock()
	from, to := dayStart(day), min(dayStart(day+1), s.until)
	for i, m := range marks {
		if l := s.late[kioskDay{m.Serial, day}]; l != nil {
			before[i], l.saved = l.marked, false
		}
	}
	s.mu.Unlock()
	var serials []string
	if marks[0].Serial != "" {
		for _, m := range marks {
			serials = append(serials, m.Serial)
		}
	}
	metrics, err := s.inner.Metrics(ctx)
	if err != nil {
		return err
	}
	if from < to {
		for _, metric := range metrics {
			if err := s.remake(ctx, metric, serials, day, to); err != nil {
				return err
			}
		}
	}
	if err := s.repo.SaveRollups(ctx, nil, marks); err != nil {
		return err
	}
	s.mu.Lock()
	for i, m := range marks {
		key := kioskDay{m.Serial, day}
		if l := s.late[key]; l != nil && l.marked == before[i] {
			delete(s.late, key)
		}
	}
	progress := fleet.RollupProgress{From: time.UnixMilli(from), Until: time.UnixMilli(s.until), Target: time.UnixMilli(s.bound)}
	earlier := serials == nil && dayStart(day+1) == s.from // history from before the first start
	s.mu.Unlock()
	if !earlier {
		return nil
	}
	if err := s.repo.SaveRollupProgress(ctx, progress); err != nil {
		return err
	}
	s.mu.Lock()
	s.from = from
	s.mu.Unlock()
	return nil
}

// remake makes the rollups of one metric and day from the points before to.
func (s *Store) remake(ctx context.Context, metric string, serials []string, day, to int64) error {
	fields := telemetry.FieldMin | telemetry.FieldMax | telemetry.FieldSum | telemetry.FieldCount | telemetry.FieldSketch
	var some []fleet.Rollup
	write := func() error {
		kept, err := s.richer(ctx, metric, day, some)
		if err != nil {
			return err
		}
		some = some[:0]
		if err := s.lease(ctx); err != nil {
			return err
		}
		return s.repo.SaveRollups(ctx, kept, nil)
	}
	err := s.inner.Summaries(ctx, telemetry.Selection{Metric: metric, Serials: serials, From: dayStart(day), To: to}, buckets, fields, func(k telemetry.KioskWindows) error {
		r := &record{until: int((to - dayStart(day)) / bucketMilli), sketch: &telemetry.Sketch{}}
		r.add(dayStart(day), k)
		data, err := r.encode(nil)
		if err != nil {
			return err
		}
		if some = append(some, fleet.Rollup{Metric: metric, Serial: k.Serial, Day: day, Data: data}); len(some) < rollupsAtOnce {
			return nil
		}
		return write()
	})
	if err != nil {
		return err
	}
	return write()
}

// richer leaves out the rollups that have fewer points than those in the repository. The points of old days
// are no longer all kept, but what was known of them stays.
func (s *Store) richer(ctx context.Context, metric string, day int64, some []fleet.Rollup) ([]fleet.Rollup, error) {
	if len(some) == 0 {
		return nil, nil
	}
	serials := make([]string, len(some))
	counts := make(map[string]int64, len(some))
	for i := range some {
		serials[i] = some[i].Serial
	}
	err := s.repo.Rollups(ctx, metric, serials, day, day, func(serial string, _ int64, data []byte) error {
		if h, _, err := open(data); err == nil { // what cannot be read is worth nothing
			counts[serial] = h.total.count
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var poorer error
	kept := slices.DeleteFunc(slices.Clone(some), func(r fleet.Rollup) bool {
		h, _, err := open(r.Data)
		if err != nil {
			poorer = err
		}
		return h.total.count < counts[r.Serial]
	})
	if n := len(some) - len(kept); n > 0 {
		s.cfg.Log.Warn("rollups were kept because the points are no longer all there", "metric", metric, "day", time.UnixMilli(dayStart(day)).UTC().Format(time.DateOnly), "kiosks", n)
	}
	return kept, poorer
}

// expire removes the rollups of days that are beyond the retention.
func (s *Store) expire(ctx context.Context) error {
	before := dayOf(s.cfg.Now().Add(-s.cfg.Retention).UnixMilli())
	s.mu.Lock()
	progress := fleet.RollupProgress{From: time.UnixMilli(dayStart(before)), Until: time.UnixMilli(s.until), Target: time.UnixMilli(s.bound)}
	due := s.from < dayStart(before) && dayStart(before) <= s.until
	s.mu.Unlock()
	if !due {
		return nil
	}
	if err := s.repo.SaveRollupProgress(ctx, progress); err != nil {
		return err
	}
	s.mu.Lock()
	s.from = dayStart(before)
	s.mu.Unlock()
	for {
		n, err := s.repo.DeleteRollups(ctx, before)
		if n == 0 || err != nil {
			return err
		}
	}
}
