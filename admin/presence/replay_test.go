package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// told is something that the journal holds for the tracker.
type told func(t *Tracker, s fleet.Source)

// history makes up what a journal might hold of some kiosks, from one run of the program.
func history(random *rand.Rand, n int) []told {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var all []told
	for i := range n {
		at = at.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		now, serial, session := at, fmt.Sprintf("K-%d", random.IntN(4)), fmt.Sprint(i/40)
		switch random.IntN(12) {
		case 0:
			all = append(all, func(t *Tracker, s fleet.Source) {
				t.Connection(fleet.ConnectionEvent{Serial: serial, ConnectionID: fmt.Sprint(i), Connected: true, At: now, Source: s})
			})
		case 1:
			gone := i - random.IntN(3) // some that never came, some that others have
			all = append(all, func(t *Tracker, s fleet.Source) {
				t.Connection(fleet.ConnectionEvent{Serial: serial, ConnectionID: fmt.Sprint(gone), At: now, Source: s})
			})
		case 2:
			all = append(all, func(t *Tracker, s fleet.Source) {
				t.Joined(fleet.Origin{Serial: serial, At: now, Source: s}, protocol.Join{Session: session, BootID: "b" + session})
			})
		case 3:
			all = append(all, func(t *Tracker, s fleet.Source) {
				t.Bye(fleet.Origin{Serial: serial, At: now, Source: s}, protocol.Bye{Session: session, Reason: protocol.ByeStopped})
			})
		default:
			printer := []string{"ready", "paper_jam", "low_ink"}[random.IntN(3)]
			count, seq := 1+random.IntN(3), uint64(random.IntN(100))
			all = append(all, func(t *Tracker, s fleet.Source) {
				for item := range count { // an array is one record
					s.Item = item
					t.Reading(&fleet.Reading{
						Serial: serial, Session: session, Seq: seq + uint64(item), Time: now.Add(time.Duration(item) * time.Millisecond), ReceivedAt: now,
						Status: protocol.StateOnline, Texts: []fleet.Text{{Metric: metricPrinter, Text: printer}}, Source: s,
					})
				}
			})
		}
	}
	return all
}

// Whenever the process ends, and however often, the next one goes on from what was saved and from the
// records that it finds again; in the end nothing has happened twice and nothing is left out.
func TestACrashAtAnyTimeRepeatsAndForgetsNothing(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 7))
		all := history(random, 300)
		clock := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
		now := func() time.Time { return clock }

		whole := New(now)
		var want []fleet.Event
		whole.Observe(func(c Change) { want = append(want, c.Events...) })
		for i, tell := range all {
			tell(whole, fleet.Source{Record: uint64(i + 1)})
		}

		store := &fakeStore{saved: map[string]fleet.LiveState{}}
		committed := 0 // records that are never told again
		var tracker *Tracker
		for committed < len(all) {
			tracker = New(now)
			out := NewOutflow(tracker, store, nil, slog.New(slog.DiscardHandler))
			var saved []fleet.LiveState
			for serial := range store.saved {
				saved = append(saved, store.copy(t, serial))
			}
			tracker.Restore(saved)
			end := min(committed+random.IntN(120), len(all)) // where this process crashes
			for i := committed; i < end; i++ {
				all[i](tracker, fleet.Source{Record: uint64(i + 1)})
				switch random.IntN(10) {
				case 0:
					_ = out.write(t.Context(), false)
				case 1:
					if err := out.Checkpoint(t.Context()); err != nil {
						t.Fatal(err)
					}
					if random.IntN(2) == 0 { // or the process ends before the position is stored
						committed = i + 1
					}
				case 2:
					store.fail(errors.New("no"))
					_ = out.Checkpoint(context.Background())
					store.fail(nil)
				}
			}
			if end == len(all) {
				if err := out.Checkpoint(t.Context()); err != nil {
					t.Fatal(err)
				}
				committed = end
			}
		}
		byKiosk := func(events []fleet.Event) map[string][]fleet.Event {
			out := map[string][]fleet.Event{}
			for _, e := range events {
				out[e.Serial] = append(out[e.Serial], e)
			}
			return out
		}
		if got, want := byKiosk(store.events), byKiosk(want); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: events after crashes\n%v\nwithout\n%v", seed, got, want)
		}
		for _, l := range whole.All() {
			got := *tracker.Get(l.Serial)
			plain := *l
			got.Revision, plain.Revision = 0, 0
			if !reflect.DeepEqual(got, plain) {
				t.Fatalf("seed %d: after crashes\n%+v\nwithout\n%+v", seed, got, plain)
			}
			if a, b := tracker.Ledger(l.Serial), whole.Ledger(l.Serial); a != b {
				t.Fatalf("seed %d: the ledger after crashes\n%+v\nwithout\n%+v", seed, a, b)
			}
			if !slices.Equal(sorted(tracker.kiosks[l.Serial].connections), sorted(whole.kiosks[l.Serial].connections)) {
				t.Fatalf("seed %d: other connections after crashes", seed)
			}
		}
	}
}

// copy returns what is saved of a kiosk; what the tracker does to it does not change what is saved.
func (s *fakeStore) copy(t *testing.T, serial string) (out fleet.LiveState) {
	t.Helper()
	text, err := json.Marshal(s.saved[serial])
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sorted(set map[string]struct{}) []string {
	var out []string
	for id := range set {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
