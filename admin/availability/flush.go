package availability

import (
	"context"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
)

// batch is what one transaction writes.
type batch struct {
	states []fleet.AvailabilityState
	ended  []string
	spells map[string][]spell // by serial
	taken  map[string]taken
}

// taken is how many of an account's pending spells are being written.
type taken struct {
	account *account
	n       int
}

// flush writes what changed; with alive also that we were there until now. An error leaves what was not written for
// the next time.
func (b *Book) flush(ctx context.Context, alive bool) (err error) {
	b.saving.Lock()
	defer b.saving.Unlock()
	now := b.cfg.Now()
	for {
		next, more := b.take()
		change := fleet.AvailabilityChange{States: next.states, Ended: next.ended}
		if alive && !more {
			change.Alive = now
		}
		if len(next.states)+len(next.ended) == 0 && change.Alive.IsZero() {
			return nil
		}
		if change.Weeks, err = b.weeks(ctx, next.spells); err == nil {
			err = b.cfg.Store.SaveAvailability(ctx, change)
		}
		b.written(ctx, next, err)
		if err != nil || !more {
			return err
		}
	}
}

// take returns what is to be written, and whether there is more.
func (b *Book) take() (next batch, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next = batch{spells: map[string][]spell{}, taken: map[string]taken{}}
	for serial, spells := range b.ended {
		if len(next.ended) == flushAtOnce {
			return next, true
		}
		next.ended = append(next.ended, serial)
		next.spells[serial] = spells
	}
	for serial := range b.dirty {
		if len(next.states) == flushAtOnce {
			return next, true
		}
		a := b.kiosks[serial]
		delete(b.dirty, serial)
		s := fleet.AvailabilityState{Serial: serial, Site: a.site, Kind: a.kind.String(), Since: time.UnixMilli(a.since)}
		if a.doubt != nil {
			s.Doubt = time.UnixMilli(a.doubt.from)
		}
		next.states = append(next.states, s)
		next.taken[serial] = taken{a, len(a.pending)}
		next.spells[serial] = append(next.spells[serial][:len(next.spells[serial]):len(next.spells[serial])], a.pending...)
	}
	return next, false
}

// written forgets what was written, or takes it back.
func (b *Book) written(ctx context.Context, done batch, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		for _, s := range done.states {
			if b.kiosks[s.Serial] != nil {
				b.dirty[s.Serial] = struct{}{}
			}
		}
		if !b.failed && ctx.Err() == nil {
			b.cfg.Log.Error("availability not written, trying again", "kiosks", len(done.states), "error", err)
		}
		b.failed = true
		return
	}
	b.failed = false
	for _, serial := range done.ended {
		b.forgetEnded(serial, len(done.spells[serial])-done.taken[serial].n)
	}
	for serial, t := range done.taken {
		if b.kiosks[serial] != t.account {
			b.forgetEnded(serial, t.n) // it was deleted meanwhile, and its spells went there
			continue
		}
		b.pending -= t.n
		t.account.pending = t.account.pending[t.n:]
		if len(t.account.pending) == 0 {
			t.account.pending = nil // or the memory behind it stays
		}
	}
}

func (b *Book) forgetEnded(serial string, n int) {
	b.pending -= n
	if b.ended[serial] = b.ended[serial][n:]; len(b.ended[serial]) == 0 {
		delete(b.ended, serial)
	}
}

// weeks returns the records with those spells added.
func (b *Book) weeks(ctx context.Context, spells map[string][]spell) ([]fleet.AvailabilityWeek, error) {
	type key struct {
		week int64
		site string
	}
	var out []fleet.AvailabilityWeek
	var used []*week // an unpacked week is large, and is needed until it is packed
	for serial, all := range spells {
		if len(all) == 0 {
			continue
		}
		records := map[key]*week{}
		first, last := weekOf(all[0].from), int64(0)
		for _, s := range all {
			first, last = min(first, weekOf(s.from)), max(last, weekOf(s.to-1))
			for n := weekOf(s.from); n <= weekOf(s.to-1); n++ {
				k := key{n, s.site}
				if records[k] == nil {
					used, records[k] = blank(used)
				}
				records[k].add(s.kind, s.from-n*weekLong, s.to-n*weekLong)
			}
		}
		err := b.cfg.Store.AvailabilityWeeks(ctx, serial, "", first, last, func(w fleet.AvailabilityWeek) error {
			r := records[key{w.Week, w.Site}]
			if r == nil {
				return nil
			}
			if err := r.load(w.Data); err != nil {
				return fmt.Errorf("kiosk %s: %w", serial, err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for k, r := range records {
			out = append(out, fleet.AvailabilityWeek{Week: k.week, Serial: serial, Site: k.site, Data: r.encode()})
			used = append(used, r)
		}
	}
	return out, nil
}

// blank returns a week without anything in it, one that was used before if there is one, and the others.
func blank(used []*week) ([]*week, *week) {
	if len(used) == 0 {
		return nil, &week{}
	}
	last := len(used) - 1
	w := used[last]
	*w = week{}
	return used[:last], w
}
