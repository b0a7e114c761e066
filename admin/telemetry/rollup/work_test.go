package rollup_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/rollup"
)

const day = 24 * time.Hour

// noon is when the readings of these tests begin: three days before the clock's time.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// fixture is three days of one kiosk, a reading a minute with the value 1, rolled up.
type fixture struct {
	*rollup.Store
	t     *testing.T
	inner telemetry.Store
	repo  *store.Store
	cfg   rollup.Config
	now   time.Time
}

func newFixture(t *testing.T, change ...func(*rollup.Config)) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{t: t, inner: openEmbedded(t, filepath.Join(dir, "tsdb")), repo: openRepository(t, filepath.Join(dir, "sql.db")), now: noon}
	f.cfg = rollup.Config{Inner: f.inner, Repository: f.repo, Owner: "a", Now: func() time.Time { return f.now }, History: day, Retention: 30 * day}
	for _, c := range change {
		c(&f.cfg)
	}
	f.open()
	for ; f.now.Before(noon.Add(3 * day)); f.now = f.now.Add(day) {
		f.append(f.now, 24*60)
	}
	f.work()
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	s, err := rollup.Open(f.t.Context(), f.cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Store = s
}

// append appends n readings of the value 1, a minute apart.
func (f *fixture) append(from time.Time, n int) {
	f.t.Helper()
	readings := make([]fleet.Reading, n)
	for i := range readings {
		readings[i] = fleet.Reading{Serial: "K-1", Time: from.Add(time.Duration(i) * time.Minute), Values: []fleet.Value{{Metric: metric, Value: 1}}}
	}
	if err := f.Append(f.t.Context(), readings); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) work() {
	f.t.Helper()
	if err := f.Work(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// expect counts the readings of the day after noon's, and compares where the answer comes from.
func (f *fixture) expect(what string, count float64, from rollup.Origin) {
	f.t.Helper()
	first := noon.Truncate(day).Add(day)
	all, origin, err := f.Answer(f.t.Context(), telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: first, To: first.Add(day), Step: day, Aggregate: telemetry.AggregateCount})
	if err != nil || len(all) != 1 || len(all[0].Points) != 1 || all[0].Points[0].Value != count || origin != from {
		f.t.Errorf("%s: %v from %s, %v, want %v from %s", what, all, origin, err, count, from)
	}
}

func TestLateReadingsOfDaysAgoChangeTheirRollup(t *testing.T) {
	f := newFixture(t)
	f.expect("at first", 1440, rollup.OriginRollup)
	f.append(noon.Add(day+30*time.Second), 1)
	f.expect("before it is made again", 1441, rollup.OriginMixed)
	f.work()
	f.expect("afterwards", 1441, rollup.OriginRollup)
	f.append(noon.Add(day+45*time.Second), 1)
	if err := f.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.open() // the process was killed
	f.expect("after a kill", 1442, rollup.OriginMixed)
	f.work()
	f.expect("and then", 1442, rollup.OriginRollup)
}

func TestADamagedRollupIsAnsweredFromThePointsAndMadeAgain(t *testing.T) {
	f := newFixture(t)
	number := noon.Unix()/86400 + 1
	if err := f.repo.SaveRollups(t.Context(), []fleet.Rollup{{Metric: metric, Serial: "K-1", Day: number, Data: []byte("rubbish")}}, nil); err != nil {
		t.Fatal(err)
	}
	f.expect("damaged", 1440, rollup.OriginMixed)
	q := telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: noon.Truncate(day).Add(day), To: noon.Truncate(day).Add(3 * day), Step: day, Aggregate: telemetry.AggregateP95}
	if all, err := f.Range(t.Context(), q); err != nil || len(all) != 1 || len(all[0].Points) != 2 {
		t.Errorf("its percentile: %v, %v", all, err)
	}
	f.work()
	f.expect("made again", 1440, rollup.OriginRollup)
}

func TestARollupIsNotReplacedByAPoorerOne(t *testing.T) {
	f := newFixture(t)
	// Another store on the same rollups, whose points are gone but for one.
	f.cfg.Inner = openEmbedded(t, filepath.Join(t.TempDir(), "tsdb"))
	f.open()
	f.append(noon.Add(day+30*time.Second), 1)
	f.work()
	f.expect("the day", 1440, rollup.OriginRollup)
}

func TestOldRollupsAreRemoved(t *testing.T) {
	f := newFixture(t, func(c *rollup.Config) { c.Retention = 16 * time.Hour })
	f.expect("beyond the retention", 1440, rollup.OriginRaw)
	left := 0
	err := f.repo.Rollups(t.Context(), metric, nil, noon.Unix()/86400-5, noon.Unix()/86400+5, func(string, int64, []byte) error { left++; return nil })
	if err != nil || left != 2 {
		t.Errorf("%d rollups are left, %v, want those of two days", left, err)
	}
}

func TestOneProcessWorksAtATime(t *testing.T) {
	f := newFixture(t)
	other := f.cfg
	other.Owner = "b"
	s, err := rollup.Open(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Work(t.Context()); !errors.Is(err, rollup.ErrBusy) {
		t.Errorf("while the other works: %v", err)
	}
	f.now = f.now.Add(10 * time.Minute) // it has been killed
	if err := s.Work(t.Context()); err != nil {
		t.Errorf("when its lease has ended: %v", err)
	}
}

func TestADayBeforeTheFirstStartCanBeRolledUp(t *testing.T) {
	f := newFixture(t, func(c *rollup.Config) { c.History = -2 * day }) // it looks back too little
	f.expect("before", 1440, rollup.OriginRaw)
	number := noon.Unix()/86400 + 1
	if err := f.repo.MarkRollups(t.Context(), []fleet.RollupMark{{Day: number}}); err != nil {
		t.Fatal(err)
	}
	f.work()
	f.expect("afterwards", 1440, rollup.OriginRollup)
}

// A server that has started, and not yet worked, does not know that a command has.
func TestWhatAnotherProcessRolledUpIsNotCountedTwice(t *testing.T) {
	f := newFixture(t)
	other := f.cfg
	other.Owner = "b"
	s, err := rollup.Open(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	f.append(f.now, 60)
	f.now = f.now.Add(time.Hour)
	f.work()
	for i := range 42 {
		r := fleet.Reading{Serial: "K-1", Time: f.now.Add(time.Duration(i) * time.Minute), Values: []fleet.Value{{Metric: metric, Value: 100}}}
		if err := s.Append(t.Context(), []fleet.Reading{r}); err != nil {
			t.Fatal(err)
		}
	}
	f.now = f.now.Add(90 * time.Minute)
	if err := s.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	today := f.now.Truncate(day)
	// 720 readings of 1 in the morning, 60 after noon, then 42 of 100: more than 5% of them, but not if some of 1
	// counted twice.
	for a, want := range map[telemetry.Aggregate]float64{telemetry.AggregateCount: 822, telemetry.AggregateP95: 100} {
		all, origin, err := s.Answer(t.Context(), telemetry.Query{Metric: metric, Serials: []string{"K-1"}, From: today, To: today.Add(day), Step: day, Aggregate: a})
		if err != nil || origin == rollup.OriginRaw || all[0].Points[0].Value < 0.99*want || all[0].Points[0].Value > 1.01*want {
			t.Errorf("%s: %v from %s, %v, want %v", a, all, origin, err, want)
		}
	}
}
