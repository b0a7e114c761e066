package rollup_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/rollup"
)

const metric = "hardware.cpu_temp"

var errKilled = errors.New("killed")

// mortal is a repository that ends after some writes: a process that is killed while it works.
type mortal struct {
	rollup.Repository
	left int // writes; negative: it lives on
}

func (m *mortal) write() error {
	if m.left == 0 {
		return errKilled
	}
	m.left--
	return nil
}

func (m *mortal) SaveRollupProgress(ctx context.Context, p fleet.RollupProgress) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Repository.SaveRollupProgress(ctx, p)
}

func (m *mortal) SaveRollups(ctx context.Context, r []fleet.Rollup, s []fleet.RollupMark) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Repository.SaveRollups(ctx, r, s)
}

func (m *mortal) MarkRollups(ctx context.Context, marks []fleet.RollupMark) error {
	if err := m.write(); err != nil {
		return err
	}
	return m.Repository.MarkRollups(ctx, marks)
}

// life is a fleet's history under a random regime.
type life struct {
	t       *testing.T
	random  *rand.Rand
	inner   telemetry.Store
	repo    *mortal
	store   *rollup.Store
	now     time.Time
	begin   time.Time
	journal []fleet.Reading // what was not synced yet
	used    map[string]bool
	origins map[rollup.Origin]int
}

func (l *life) open() {
	s, err := rollup.Open(l.t.Context(), rollup.Config{
		Inner: l.inner, Repository: l.repo, Owner: "test", Now: func() time.Time { return l.now }, History: 48 * time.Hour, Every: 20 * time.Minute, Lag: time.Minute,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.store = s
}

// append appends readings as ingest does.
func (l *life) append(readings []fleet.Reading) {
	if err := l.store.Append(l.t.Context(), readings); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) readings() []fleet.Reading {
	var batch []fleet.Reading
	age := time.Duration(l.random.IntN(120)) * time.Second
	switch l.random.IntN(4) {
	case 0:
		age = time.Duration(l.random.IntN(72)) * time.Hour // late
	case 1:
		age = time.Duration(l.random.IntN(40)) * time.Minute
	}
	for range 1 + l.random.IntN(40) {
		r := fleet.Reading{Serial: fmt.Sprintf("K-%d", l.random.IntN(5)), Time: l.now.Add(-age).Add(-time.Duration(l.random.IntN(3600_000)) * time.Millisecond)}
		if key := fmt.Sprint(r.Serial, r.Time.UnixMilli()); !l.used[key] && r.Time.After(l.begin) {
			l.used[key] = true
			r.Values = []fleet.Value{{Metric: metric, Value: float64(l.random.IntN(4000)-1000) / 8}}
			if l.random.IntN(3) == 0 {
				r.Values = append(r.Values, fleet.Value{Metric: "custom.a", Value: float64(l.random.IntN(40))})
			}
			batch = append(batch, r)
		}
	}
	return batch
}

// crash ends the process while it does what it does after some more writes, and starts it again: readings
// that were not synced come again.
func (l *life) crash() {
	l.repo.left = l.random.IntN(6)
	for l.repo.left > 0 {
		before := l.repo.left
		if l.store.Work(l.t.Context()) != nil || l.store.Sync(l.t.Context()) != nil || l.repo.left == before {
			break
		}
	}
	l.repo.left = -1
	l.open()
	l.append(l.journal)
}

func (l *life) query() telemetry.Query {
	zones := []*time.Location{nil, time.UTC, mustZone(l.t, "Europe/Madrid"), mustZone(l.t, "Asia/Kolkata")}
	steps := []time.Duration{5 * time.Minute, 10 * time.Minute, time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * time.Minute}
	q := telemetry.Query{Metric: metric, Serials: []string{"K-3", "K-0", "K-4", "K-9", "K-1", "K-2"}, Step: steps[l.random.IntN(len(steps))], Zone: zones[l.random.IntN(len(zones))]}
	q.Aggregate = telemetry.Aggregates()[l.random.IntN(len(telemetry.Aggregates()))]
	if l.random.IntN(4) == 0 {
		q.Metric = "custom.a"
	}
	if l.random.IntN(2) == 0 {
		q.Groups = []telemetry.Group{{Name: "a", Serials: q.Serials[:3]}, {Name: "b", Serials: q.Serials[2:]}}
	}
	q.From = l.begin.Add(-24 * time.Hour).Add(time.Duration(l.random.Int64N(int64(l.now.Sub(l.begin)) + 1)))
	q.To = q.From.Add(time.Minute + time.Duration(l.random.Int64N(int64(96*time.Hour))))
	if l.random.IntN(2) == 0 {
		q.From = q.From.Truncate(24 * time.Hour)
	}
	switch l.random.IntN(4) {
	case 0:
		q.To = l.now.Add(time.Hour)
	case 1, 2:
		q.From, q.To = q.From.Truncate(5*time.Minute), q.From.Truncate(5*time.Minute).Add(time.Duration(1+l.random.IntN(400))*5*time.Minute)
	}
	return q
}

func mustZone(t *testing.T, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// compare asks both stores the same.
func (l *life) compare(what string) {
	l.t.Helper()
	q := l.query()
	want, err := l.inner.Range(l.t.Context(), q)
	if err != nil {
		l.t.Fatal(err)
	}
	got, origin, err := l.store.Answer(l.t.Context(), q)
	if err != nil {
		l.t.Fatal(err)
	}
	l.origins[origin]++
	tolerance := 0.0
	if q.Aggregate == telemetry.AggregateP95 && origin != rollup.OriginRaw {
		tolerance = 0.0100001
		l.origins["sketch"]++
	}
	same := slices.EqualFunc(got, want, func(a, b telemetry.Series) bool {
		return a.Serial == b.Serial && slices.EqualFunc(a.Points, b.Points, func(p, q telemetry.Point) bool {
			return p.Time.Equal(q.Time) && math.Abs(p.Value-q.Value) <= tolerance*math.Abs(q.Value)
		})
	})
	if !same {
		l.t.Fatalf("%s: %s of %s from %v to %v step %v zone %v, rolled up until %v, from %s:\ngot  %v\nwant %v", what, q.Aggregate, q.Metric, q.From, q.To, q.Step, q.Zone, l.store.Until(), origin, got, want)
	}
}

// Whatever comes late, twice or is interrupted, rollups answer as the points do.
func TestRollupsAnswerAsThePointsDo(t *testing.T) {
	origins := map[rollup.Origin]int{}
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			l := &life{
				t: t, random: rand.New(rand.NewPCG(seed, 7)), inner: openEmbedded(t, filepath.Join(t.TempDir(), "tsdb")),
				repo: &mortal{newMemory(), -1}, used: map[string]bool{}, origins: origins,
				now: time.Date(2026, 3, 27, 21, 0, 0, 0, time.UTC), // the clocks of Madrid change in the night of the 29th
			}
			l.begin = l.now.Add(-72 * time.Hour)
			l.open()
			for step := range 100 {
				l.now = l.now.Add(time.Duration(l.random.IntN(30)) * time.Minute)
				what := fmt.Sprintf("step %d", step)
				batch := l.readings()
				l.append(batch)
				l.journal = append(l.journal, batch...)
				l.compare(what + " after an append")
				if l.random.IntN(2) == 0 {
					if err := l.store.Sync(t.Context()); err != nil {
						t.Fatal(err)
					}
					l.journal = nil
				}
				switch l.random.IntN(6) {
				case 0, 1:
					if err := l.store.Work(t.Context()); err != nil {
						t.Fatal(err)
					}
				case 2:
					l.crash()
					l.compare(what + " after a crash")
				}
				l.compare(what)
			}
			for range 300 {
				l.compare("in the end")
			}
		})
	}
	if origins[rollup.OriginRollup] < 100 || origins[rollup.OriginMixed] < 300 || origins["sketch"] < 10 {
		t.Errorf("the answers came from %v: this proves nothing", origins)
	}
}
