package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// manyRules use all that takes time.
func manyRules() fixed {
	return fixed{
		hot(func(r *above) { r.For, r.ClearFor, r.clear = 20*time.Second, 12*time.Second, 74 }),
		hot(func(r *above) { r.Name, r.limit, r.For = "longer", 70, 47*time.Second }),
		hot(func(r *above) { r.Name, r.limit, r.ClearFor = "warm", 71, 3*time.Second }),
		hot(func(r *above) { r.Name, r.limit, r.NoData = "quiet", 90, 30*time.Second }),
		hot(func(r *above) { r.Name, r.window, r.limit = "rises", 30*time.Second, 400 }),
		hot(func(r *above) { r.Name, r.Schedule, r.hours = "hourly", &fleet.Schedule{}, [2]int{9, 10} }),
		off(25 * time.Second),
	}
}

// drift is a temperature that stays above or below a limit for a while.
func drift(random *rand.Rand, value float64) float64 {
	return min(max(value+(random.Float64()-0.5)*6, 64), 84)
}

// text returns changes in the order of their times: what our restart held up is told after newer ones.
func text(t *testing.T, changes []fleet.AlertChange) []string {
	t.Helper()
	changes = slices.SortedStableFunc(slices.Values(changes), func(a, b fleet.AlertChange) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Alert.Rule, b.Alert.Rule))
	})
	out := []string{}
	for _, c := range changes {
		a := c.Alert
		values, err := json.Marshal(a.Values)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %s %s since %s opened %s: %s %s", c.At.Format(time.TimeOnly+".000"), c.Kind, a.Rule, a.ID,
			a.Since.Format(time.TimeOnly+".000"), a.OpenedAt.Format(time.TimeOnly+".000"), a.Reason, values))
	}
	return out
}

// differ says where two lists are not the same, empty when they are.
func differ(got, want []string) string {
	for i := range max(len(got), len(want)) {
		line := func(list []string) string {
			if i < len(list) {
				return list[i]
			}
			return "nothing more"
		}
		if line(got) != line(want) {
			return fmt.Sprintf("change %d:\n got %s\nwant %s", i, line(got), line(want))
		}
	}
	return ""
}

// TestThePaceOfTicksChangesNothing tells random stories with and without somebody asking in between.
func TestThePaceOfTicksChangesNothing(t *testing.T) {
	opened := map[string]int{}
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 2))
		rules := manyRules()
		var story []moment
		now, value := 3000.0, 70.0 // the hour turns soon
		for range 120 {
			now += float64(random.IntN(20000)) / 1000
			value = drift(random, value)
			m := moment{at: now}
			switch n := random.IntN(40); {
			case n < 4:
				m.without = true
			case n < 6:
				m.cpu, m.taken = value, now-600
			case n == 6:
				m.gone = true
			case n == 7:
				m.restart = true
			case n == 8:
				m.join = true
			case n == 9:
				m.rules = rules[random.IntN(3):]
			default:
				m.cpu = value
			}
			story = append(story, m)
		}
		want := text(t, play(rules, story, 0))
		for _, c := range play(rules, story, 0) {
			opened[c.Alert.Rule]++
		}
		for _, pace := range []float64{0.3, 1.7, 23} {
			if other := differ(text(t, play(rules, story, pace)), want); other != "" {
				t.Fatalf("seed %d, a tick each %g s: %s", seed, pace, other)
			}
		}
	}
	for _, r := range manyRules() {
		if name := r.Definition().Name; opened[name] < 20 {
			t.Errorf("of %s there were only %d changes: the stories say little", name, opened[name])
		}
	}
}

// TestACrashAnywhereChangesNothing holds a run that crashes and replays against one that does not. Without schedules: a
// rule whose hours begin between what was stored and what is told again first begins with that.
func TestACrashAnywhereChangesNothing(t *testing.T) {
	rules := slices.DeleteFunc(manyRules(), func(r Rule) bool { return r.Definition().Schedule != nil })
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 1))
		var inputs []*fleet.Reading
		now, value := 3200.0, 70.0 // the hour turns soon
		for i := range 120 {
			now += float64(random.IntN(12000)) / 1000
			value = drift(random, value)
			r := reading(i+1, now, value)
			switch random.IntN(12) {
			case 0:
				r.Values = nil
			case 1:
				r.Time = r.Time.Add(-time.Hour)
			}
			inputs = append(inputs, r)
		}
		want := text(t, survive(t, rules, inputs, nil))
		if len(want) == 0 {
			t.Fatalf("seed %d: nothing happens", seed)
		}
		crashes := map[int]bool{}
		for range 3 {
			crashes[random.IntN(len(inputs))] = true
		}
		if other := differ(text(t, survive(t, rules, inputs, maps.Clone(crashes))), want); other != "" {
			t.Fatalf("seed %d, crashes at %v: %s", seed, crashes, other)
		}
	}
}

func newestOf(readings []*fleet.Reading) *fleet.Reading {
	return slices.MaxFunc(readings, func(a, b *fleet.Reading) int { return a.Time.Compare(b.Time) })
}

// survive feeds readings, with a checkpoint now and then; at a crash everything in memory is lost, and what came after
// the last checkpoint comes again.
func survive(t *testing.T, rules Set, inputs []*fleet.Reading, crashes map[int]bool) []fleet.AlertChange {
	t.Helper()
	b, p := &book{}, &park{}
	fresh := func() *Engine {
		e := New(Config{Desk: b, Fleet: p, Now: func() time.Time { return start }, Log: slog.New(slog.DiscardHandler)})
		if err := e.Restore(b.saved()); err != nil {
			t.Fatal(err)
		}
		e.rules = rules
		return e
	}
	e, position := fresh(), 0
	for i := 0; i < len(inputs); i++ {
		// Presence keeps the newest reading over a crash, too.
		p.live = map[string]*fleet.Live{"K-1": {Serial: "K-1", Presence: fleet.PresenceOnline, LastReading: newestOf(inputs[:i+1])}}
		e.Reading(inputs[i])
		if crashes[i] {
			delete(crashes, i)
			e, i = fresh(), position-1
			continue
		}
		if i%3 == 0 { // found things are stored soon
			if err := e.write(t.Context(), false); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 9 {
			if err := e.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			position = i + 1
		}
	}
	e.Finish(t.Context())
	return b.changes
}
