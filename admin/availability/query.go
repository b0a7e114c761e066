package availability

import (
	"context"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
)

// Query returns the availability of kiosks, sites or the fleet, by name and then by time. The hour that runs is in
// it, up to now. A period in which nobody was watched has no row. A kiosk counts for the site where it then was; one
// that was deleted still counts for its time.
//
// Errors: *fleet.ValidationError, which says how to ask; From and To must be on quarters of an hour, but To may be
// any time from now on.
func (b *Book) Query(ctx context.Context, q fleet.AvailabilityQuery) ([]fleet.Availability, error) {
	now := b.cfg.Now()
	periods, err := spans(&q, now)
	if err != nil || len(periods) == 0 {
		return nil, err
	}
	t := &tally{query: q, periods: periods, groups: map[string]*group{}}
	if q.Scope == "kiosk" {
		t.serial = q.Name
	} else {
		t.site = q.Name
	}
	b.saving.RLock()
	defer b.saving.RUnlock()
	last := min(q.To.UnixMilli(), now.UnixMilli())
	err = b.cfg.Store.AvailabilityWeeks(ctx, t.serial, t.site, weekOf(q.From.UnixMilli()), weekOf(last), t.week)
	if err != nil {
		return nil, err
	}
	if err := b.unwritten(t, now.UnixMilli()); err != nil {
		return nil, err
	}
	return t.rows(), nil
}

// unwritten adds the spells that are in memory only.
func (b *Book) unwritten(t *tally, now int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for serial, spells := range b.ended {
		for _, s := range spells {
			if err := t.spell(serial, s); err != nil {
				return err
			}
		}
	}
	for serial, a := range b.kiosks {
		if t.serial != "" && t.serial != serial {
			continue
		}
		for _, s := range a.pending {
			if err := t.spell(serial, s); err != nil {
				return err
			}
		}
		until := now
		if a.doubt != nil {
			until = a.doubt.from
			if err := t.spell(serial, spell{unknown, a.site, until, now}); err != nil {
				return err
			}
		}
		if err := t.spell(serial, spell{a.kind, a.site, a.since, until}); err != nil {
			return err
		}
	}
	return nil
}

// tally adds up by name and period.
type tally struct {
	query        fleet.AvailabilityQuery
	serial, site string // only of these; empty: of all
	periods      []span
	groups       map[string]*group
}

// group is what one row's name stands for: a kiosk, a site or the fleet.
type group struct {
	kiosks  map[string]int // numbered as they are found
	periods []sum
}

type sum struct {
	ms   [kinds]int64
	seen []uint64 // bits of the kiosks
}

func (t *tally) group(serial, site string) (*group, error) {
	name := ""
	switch t.query.Scope {
	case "kiosk":
		name = serial
	case "site":
		name = site
	}
	g := t.groups[name]
	if g == nil {
		if (len(t.groups)+1)*len(t.periods) > maxRows {
			return nil, fleet.Invalid("period", "more than %d rows: ask for longer periods, a shorter time, or a site instead of its kiosks", maxRows)
		}
		g = &group{kiosks: map[string]int{}, periods: make([]sum, len(t.periods))}
		t.groups[name] = g
	}
	return g, nil
}

func (g *group) number(serial string) int {
	n, ok := g.kiosks[serial]
	if !ok {
		n = len(g.kiosks)
		g.kiosks[serial] = n
	}
	return n
}

// see notes that a kiosk, by its number, has time in a period.
func (s *sum) see(n int) {
	for len(s.seen) <= n/64 {
		s.seen = append(s.seen, 0)
	}
	s.seen[n/64] |= 1 << (n % 64)
}

// week adds a packed week.
func (t *tally) week(w fleet.AvailabilityWeek) error {
	g, err := t.group(w.Serial, w.Site)
	if err != nil {
		return err
	}
	start, kiosk := w.Week*weekLong, g.number(w.Serial)
	i := t.first(start)
	err = decode(w.Data, func(first, run int, each *amounts) {
		from := start + int64(first)*quarter
		to := from + int64(run)*quarter
		for ; i < len(t.periods) && t.periods[i].from < to; i++ {
			// The bounds are on quarters, or behind everything that was counted.
			p, s := t.periods[i], &g.periods[i]
			if n := (min(to, p.to+quarter-1) - max(from, p.from)) / quarter; n > 0 {
				for k, ms := range each {
					s.ms[k] += n * int64(ms)
				}
				s.see(kiosk)
			}
			if p.to > to {
				return // the next run begins in it
			}
		}
	})
	if err != nil {
		return fmt.Errorf("kiosk %s: %w", w.Serial, err)
	}
	return nil
}

// first returns the first period that ends after ms.
func (t *tally) first(ms int64) int {
	i, _ := slices.BinarySearchFunc(t.periods, ms, func(p span, ms int64) int {
		if p.to <= ms {
			return -1
		}
		return 1
	})
	return i
}

// spell adds a spell, unless it is of a kiosk or site that was not asked for.
func (t *tally) spell(serial string, s spell) error {
	if t.serial != "" && t.serial != serial || t.site != "" && t.site != s.site || s.from >= s.to {
		return nil
	}
	i := t.first(s.from)
	if i == len(t.periods) || t.periods[i].from >= s.to {
		return nil
	}
	g, err := t.group(serial, s.site)
	if err != nil {
		return err
	}
	for ; i < len(t.periods) && t.periods[i].from < s.to; i++ {
		if ms := min(s.to, t.periods[i].to) - max(s.from, t.periods[i].from); ms > 0 {
			g.periods[i].ms[s.kind] += ms
			g.periods[i].see(g.number(serial))
		}
	}
	return nil
}

func (t *tally) rows() []fleet.Availability {
	var out []fleet.Availability
	for _, name := range slices.Sorted(maps.Keys(t.groups)) {
		g := t.groups[name]
		for i := range g.periods {
			s, p := &g.periods[i], t.periods[i]
			if s.seen == nil {
				continue
			}
			row := fleet.Availability{
				Scope: t.query.Scope, Name: name, From: time.UnixMilli(p.from).UTC(), To: time.UnixMilli(p.to).UTC(),
				Seconds: map[fleet.Verdict]float64{}, Maintenance: float64(s.ms[maintenance]) / 1000,
			}
			for k := range maintenance {
				row.Seconds[fleet.Verdict(k.String())] = float64(s.ms[k]) / 1000
			}
			for _, word := range s.seen {
				row.Kiosks += bits.OnesCount64(word)
			}
			out = append(out, row)
		}
	}
	return out
}
