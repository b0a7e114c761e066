package engine

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// rig is an engine with a desk and a fleet, on the clock of a bubble.
type rig struct {
	*Engine
	book *book
	park *park
	stop func()
}

func launch(t *testing.T, b *book, p *park, rules Set) *rig {
	t.Helper()
	e := New(Config{Desk: b, Fleet: p, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err := e.Restore(b.saved()); err != nil {
		t.Fatal(err)
	}
	e.SetRules(rules)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = e.Run(ctx) })
	return &rig{e, b, p, func() {
		cancel()
		group.Wait()
	}}
}

// begin launches an engine that there was no run before.
func begin(t *testing.T, b *book, p *park, rules Set) *rig {
	t.Helper()
	r := launch(t, b, p, rules)
	r.Started(time.Now())
	return r
}

func (r *rig) reading(serial string, record uint64, value float64) {
	now := time.Now()
	r.Reading(&fleet.Reading{Serial: serial, Time: now, ReceivedAt: now, Source: fleet.Source{Record: record}, Values: []fleet.Value{{Metric: temp, Value: value}}})
}

func kinds(changes []fleet.AlertChange) []string {
	out := []string{}
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s %s %s", c.Kind, c.Alert.Serial, c.Alert.Rule))
	}
	return out
}

func expect(t *testing.T, b *book, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := kinds(b.changes); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTimeOpensWithoutAnybodySayingAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{}, &park{}, fixed{hot(func(r *above) { r.For = time.Minute })})
		defer r.stop()
		r.reading("K-1", 1, 80)
		time.Sleep(59 * time.Second)
		expect(t, r.book)
		time.Sleep(2 * time.Second)
		expect(t, r.book, "opened K-1 hot")
	})
}

func TestARestartNeitherRepeatsNorForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := fixed{hot(func(r *above) { r.For = time.Minute })}
		b, p := &book{}, &park{}
		r := begin(t, b, p, rules)
		r.reading("K-1", 1, 80)
		r.reading("K-2", 2, 80)
		time.Sleep(30 * time.Second)
		r.reading("K-3", 3, 80)
		if err := r.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.stop()

		for _, serial := range []string{"K-1", "K-2", "K-3"} {
			p.set(serial, fleet.PresenceOffline, fleet.ReasonAdminRestart)
		}
		time.Sleep(20 * time.Second)
		r = launch(t, b, p, rules)
		r.reading("K-1", 1, 80) // the journal tells again what came since the last checkpoint
		r.Started(time.Now())
		time.Sleep(30 * time.Second)
		expect(t, b) // nobody has come back: nothing is known
		p.set("K-1", fleet.PresenceOnline, fleet.ReasonReporting)
		p.set("K-2", fleet.PresenceOnline, fleet.ReasonReporting)
		r.reading("K-1", 4, 80)
		r.reading("K-2", 5, 70)
		time.Sleep(time.Second)
		if expect(t, b, "opened K-1 hot"); t.Failed() { // it was so for more than a minute, our absence included
			t.FailNow()
		}
		if at := b.changes[0].Alert.OpenedAt.Sub(b.changes[0].Alert.Since); at != time.Minute {
			t.Errorf("it opened %s after its condition began", at)
		}
		if err := r.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.stop()

		r = launch(t, b, p, rules)
		r.Started(time.Now())
		r.reading("K-1", 6, 80)
		time.Sleep(time.Second)
		expect(t, b, "opened K-1 hot")
		r.reading("K-1", 7, 70)
		time.Sleep(time.Second)
		expect(t, b, "opened K-1 hot", "resolved K-1 hot")
		r.stop()
	})
}

func TestTimeStandsStillWhileAnEarlierRunIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := fixed{hot(func(r *above) { r.For = time.Minute })}
		b, p := &book{}, &park{}
		r := begin(t, b, p, rules)
		r.reading("K-1", 1, 80)
		r.reading("K-2", 1, 80)
		crash := time.Now()
		time.Sleep(time.Second)
		if err := r.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.stop()

		time.Sleep(time.Hour)
		r = launch(t, b, p, rules)
		defer r.stop()
		time.Sleep(time.Second) // presence still says what it said before the crash
		again := func(record uint64, after time.Duration, value float64) {
			at := crash.Add(after)
			r.Reading(&fleet.Reading{Serial: "K-1", Time: at, ReceivedAt: at, Source: fleet.Source{Record: record}, Values: []fleet.Value{{Metric: temp, Value: value}}})
			time.Sleep(time.Second)
		}
		again(2, 5*time.Second, 80)
		again(3, 10*time.Second, 70)
		again(4, 15*time.Second, 80)
		p.set("K-1", fleet.PresenceOffline, fleet.ReasonAdminRestart)
		r.Started(time.Now()) // K-2 is connected again already
		time.Sleep(time.Minute)
		r.reading("K-2", 5, 70)
		p.set("K-1", fleet.PresenceOnline, fleet.ReasonReporting)
		r.Changed("K-1", time.Now())
		time.Sleep(time.Second)
		r.reading("K-1", 5, 70)
		time.Sleep(time.Second)
		expect(t, b)
	})
}

func TestTimeDoesNotOvertakeWhatIsStillToBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var behind atomic.Int64
		b := &book{}
		e := New(Config{
			Desk: b, Fleet: &park{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
			Told: func(now time.Time) time.Time { return now.Add(-time.Duration(behind.Load())) },
		})
		e.SetRules(fixed{hot(func(r *above) { r.For = time.Minute })})
		e.Started(time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = e.Run(ctx) })
		defer group.Wait()
		defer cancel()
		r := &rig{Engine: e}
		r.reading("K-1", 1, 80)
		r.reading("K-2", 1, 80)
		behind.Store(int64(5 * time.Minute))
		time.Sleep(59 * time.Second)
		at := time.Now()
		time.Sleep(2 * time.Minute)
		expect(t, b)
		e.Reading(&fleet.Reading{Serial: "K-1", Time: at, ReceivedAt: at, Source: fleet.Source{Record: 2}, Values: []fleet.Value{{Metric: temp, Value: 70}}})
		behind.Store(0)
		time.Sleep(time.Second)
		expect(t, b, "opened K-2 hot")
	})
}

func TestOtherRulesComeAfterWhatFellDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{}, &park{}, fixed{hot(func(r *above) { r.For = time.Minute })})
		defer r.stop()
		time.Sleep(tickEvery / 2)
		r.reading("K-1", 1, 80)
		time.Sleep(time.Minute + tickEvery/4) // no tick was since it fell due
		r.SetRules(fixed{})
		time.Sleep(time.Second)
		expect(t, r.book, "opened K-1 hot", "resolved K-1 hot")
	})
}

func TestADatabaseThatIsAwayLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{broken: true}, &park{}, fixed{hot(nil)})
		defer r.stop()
		r.reading("K-1", 1, 80)
		time.Sleep(10 * time.Second)
		r.reading("K-1", 2, 70)
		if err := r.Checkpoint(t.Context()); err == nil {
			t.Error("a checkpoint succeeded without a database")
		}
		r.book.mu.Lock()
		r.book.broken = false
		r.book.mu.Unlock()
		time.Sleep(3 * time.Second)
		expect(t, r.book, "opened K-1 hot", "resolved K-1 hot")
	})
}

func TestWhatCannotBeStoredHoldsBackWhatBringsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{broken: true}, &park{}, fixed{hot(nil)})
		defer r.stop()
		r.outbox.add(maxFound) // as if so many waited already
		r.reading("K-1", 1, 80)
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r.Room(short)
		if short.Err() == nil {
			t.Error("there was room while the database took nothing")
		}
		r.book.mu.Lock()
		r.book.broken = false
		r.book.mu.Unlock()
		patient, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r.Room(patient)
		if patient.Err() != nil {
			t.Error("there was no room after the database had taken everything")
		}
		expect(t, r.book, "opened K-1 hot")
	})
}

func TestPresenceAndRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{}, &park{}, fixed{off(10 * time.Second)})
		defer r.stop()
		r.reading("K-1", 1, 70)
		r.park.set("K-1", fleet.PresenceOffline, fleet.ReasonConnectionLost)
		r.Changed("K-1", time.Now())
		time.Sleep(11 * time.Second)
		expect(t, r.book, "opened K-1 offline")
		r.park.mu.Lock()
		r.park.gone = map[string]bool{"K-1": true}
		r.park.mu.Unlock()
		r.Changed("K-1", time.Now())
		time.Sleep(time.Second)
		expect(t, r.book, "opened K-1 offline", "resolved K-1 offline")
		if why := r.book.changes[1].Alert.ResolvedWhy; why != fleet.ResolvedKiosk {
			t.Errorf("resolved because of %q", why)
		}
		if saved := r.book.saved(); len(saved) != 0 {
			t.Errorf("the state of a kiosk that is gone is kept: %v", saved)
		}
	})
}

func TestOtherRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{}, &park{}, fixed{hot(nil)})
		defer r.stop()
		r.reading("K-1", 1, 80)
		time.Sleep(time.Second)
		r.SetRules(fixed{hot(func(r *above) { r.Name = "warm"; r.limit = 60 })})
		time.Sleep(time.Second)
		expect(t, r.book, "opened K-1 hot", "resolved K-1 hot", "opened K-1 warm")
	})
}

// onlyPlatform has one rule, for the platform itself.
type onlyPlatform struct{}

func (onlyPlatform) For(k *fleet.Kiosk) []Rule {
	if k != nil {
		return nil
	}
	return []Rule{&full{above{Rule: fleet.Rule{Name: "platform_disk", Severity: fleet.SeverityCritical}}}}
}

// full holds while the platform's disk is.
type full struct{ above }

func (r *full) Condition(v *rule.View) rule.Truth {
	x, ok := v.Derived.Value("platform.disk_used")
	return truth(ok, x > 0.9)
}

func (r *full) Clear(v *rule.View) rule.Truth {
	x, ok := v.Derived.Value("platform.disk_used")
	return truth(ok, x <= 0.9)
}

type values map[string]float64

func (v values) Value(name string) (float64, bool) {
	x, ok := v[name]
	return x, ok
}

func TestThePlatformItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{}, &park{}, onlyPlatform{})
		defer r.stop()
		for _, used := range []float64{0.5, 0.95, 0.96, 0.4} {
			r.Platform(values{"platform.disk_used": used}, time.Now())
			time.Sleep(time.Second)
		}
		expect(t, r.book, "opened  platform_disk", "resolved  platform_disk")
	})
}

func TestManyKiosksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, &book{}, &park{}, fixed{hot(nil)})
		var group sync.WaitGroup
		for w := range 8 {
			group.Go(func() {
				for i := range 50 {
					r.reading(fmt.Sprintf("K-%d-%d", w, i), uint64(i+1), 80)
				}
			})
		}
		group.Wait()
		time.Sleep(time.Second)
		r.stop()
		if n := len(r.book.changes); n != 400 {
			t.Errorf("%d alerts opened, want 400", n)
		}
		if r.book.applied > 5 {
			t.Errorf("what came at once took %d transactions", r.book.applied)
		}
	})
}

func FuzzLoad(f *testing.F) {
	s := &State{Serial: "K-1", At: start}
	Step(s, []Rule{hot(nil), hot(func(r *above) { r.Name, r.window = "rises", time.Minute })}, Input{At: at(0), Reading: reading(1, 0, 80), Live: &fleet.Live{Presence: fleet.PresenceOnline}})
	saved, err := s.save()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(saved.Data)
	f.Add([]byte(`{"phases":{"hot":null},"past":[null,{"points":[{}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := load(fleet.AlertEngineState{Serial: "K-1", Data: data})
		if err != nil || s.At.Year() > 9000 { // JSON knows no later time than 9999
			return
		}
		Step(s, []Rule{hot(nil), hot(func(r *above) { r.Name, r.window, r.NoData = "rises", time.Minute, time.Minute })},
			Input{At: s.At.Add(time.Minute), Reading: reading(9, 60, 80), Live: &fleet.Live{Presence: fleet.PresenceOnline}})
		if _, err := s.save(); err != nil {
			t.Errorf("a state that was loaded cannot be saved: %v", err)
		}
	})
}
