package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

func TestAKioskIsKeptWhole(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	k := fleet.Kiosk{
		Serial: "K-1", Site: "Señal 東京", Tags: []string{"a", `b"c`}, Model: "M", Timezone: "Europe/Madrid",
		Location: &fleet.Location{Lat: -34.6037, Lng: -58.3816},
	}
	added, err := s.AddKiosk(ctx, k, "ana", now)
	must(t, err)
	k.ID, k.CreatedAt, k.UpdatedAt = 1, now, now
	if !reflect.DeepEqual(added, k) {
		t.Errorf("added %+v, want %+v", added, k)
	}
	if got, err := s.Kiosk(ctx, "K-1"); err != nil || !reflect.DeepEqual(got, k) {
		t.Errorf("stored %+v, %v; want %+v", got, err, k)
	}
	if _, err := s.AddKiosk(ctx, k, "ana", now); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("the same serial: %v", err)
	}
	for _, serial := range []string{"K-2", "k-1", ""} {
		if _, err := s.Kiosk(ctx, serial); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("kiosk %q: %v", serial, err)
		}
	}
	addKiosk(t, s, "A-1")
	all, err := s.Kiosks(ctx)
	if err != nil || len(all) != 2 || all[0].Serial != "A-1" || !reflect.DeepEqual(all[1], k) {
		t.Errorf("kiosks = %+v, %v", all, err)
	}
}

func TestAChangeOfAKiosk(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	later := now.Add(time.Hour)
	change := func(at time.Time, f func(*fleet.Kiosk) (fleet.Event, error)) (fleet.Kiosk, error) {
		return s.ChangeKiosk(ctx, "K-1", "bob", at, f)
	}
	got, err := change(later, func(k *fleet.Kiosk) (fleet.Event, error) {
		k.Site, k.Tags, k.Generation, k.RevokedAt, k.Location = "Mall", []string{"x"}, 4, &later, &fleet.Location{Lat: 1}
		return fleet.Event{Kind: fleet.EventRevoked, Reason: "stolen"}, nil
	})
	must(t, err)
	stored, err := s.Kiosk(ctx, "K-1")
	if err != nil || !reflect.DeepEqual(got, stored) || stored.Generation != 4 || !stored.RevokedAt.Equal(later) || !stored.UpdatedAt.Equal(later) || !stored.CreatedAt.Equal(now) {
		t.Errorf("stored %+v, %v; returned %+v", stored, err, got)
	}
	events, err := s.Events(ctx, "K-1", time.Time{}, 0, 10)
	if err != nil || len(events) != 2 || events[0].Kind != fleet.EventRevoked || events[0].Actor != "bob" || !events[0].At.Equal(later) || events[1].Kind != fleet.EventRegistered {
		t.Errorf("events = %+v, %v", events, err)
	}
	if got := audits(t, s); got != "ana kiosk.registered K-1; bob kiosk.revoked K-1 stolen" {
		t.Errorf("audit = %s", got)
	}

	// The row's version grows within a millisecond, and when the clock is set back.
	for _, at := range []time.Time{later, later, now} {
		next, err := change(at, func(k *fleet.Kiosk) (fleet.Event, error) { k.Location = nil; return fleet.Event{}, nil })
		if err != nil || !next.UpdatedAt.After(got.UpdatedAt) || next.Location != nil {
			t.Errorf("changed at %s: %+v after %s, %v", at, next, got.UpdatedAt, err)
		}
		got = next
	}

	boom := errors.New("boom")
	before := lastChange(t, s)
	if _, err := change(later, func(k *fleet.Kiosk) (fleet.Event, error) { k.Site = "lost"; return fleet.Event{}, boom }); !errors.Is(err, boom) {
		t.Errorf("error = %v", err)
	}
	if k, err := s.Kiosk(ctx, "K-1"); err != nil || k.Site != "Mall" || lastChange(t, s) != before {
		t.Errorf("a refused change was written: %+v, %v", k, err)
	}
	if _, err := s.ChangeKiosk(ctx, "K-9", "bob", now, func(*fleet.Kiosk) (fleet.Event, error) {
		t.Error("called for nobody")
		return fleet.Event{}, nil
	}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("change of nobody: %v", err)
	}
}

func lastChange(t *testing.T, s *Store) int64 {
	t.Helper()
	seq, err := s.LastKioskChange(t.Context())
	must(t, err)
	return seq
}

func TestConcurrentChangesOfAKioskAllCount(t *testing.T) {
	s := open(t)
	addKiosk(t, s, "K-1")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := s.ChangeKiosk(t.Context(), "K-1", "ana", now, func(k *fleet.Kiosk) (fleet.Event, error) {
				k.Generation++
				return fleet.Event{Kind: fleet.EventRevoked}, nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if k, err := s.Kiosk(t.Context(), "K-1"); err != nil || k.Generation != 20 {
		t.Errorf("generation = %d, %v", k.Generation, err)
	}
}

func TestTheFeedOfChanges(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	feed := func(after int64, want ...string) int64 {
		t.Helper()
		got, newest, err := s.KioskChanges(ctx, after)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("after %d: %q, %v; want %q", after, got, err, want)
		}
		return newest
	}
	if newest := feed(0); newest != 0 || lastChange(t, s) != 0 {
		t.Errorf("newest of nothing = %d", newest)
	}
	addKiosk(t, s, "K-1")
	addKiosk(t, s, "K-2")
	first := feed(0, "K-1", "K-2")
	if first != lastChange(t, s) || feed(first) != first {
		t.Errorf("newest = %d", first)
	}
	_, err := s.ChangeKiosk(ctx, "K-1", "ana", now, func(*fleet.Kiosk) (fleet.Event, error) { return fleet.Event{}, nil })
	must(t, err)
	must(t, s.AddEnrollmentToken(ctx, fleet.EnrollmentToken{ID: "t", MaxUses: 1, ExpiresAt: now.Add(time.Hour)}, "ana"))
	must(t, s.UseEnrollmentToken(ctx, "t", "K-2", 0, now))
	must(t, s.DeleteKiosk(ctx, "K-1", "ana", now))
	feed(first, "K-1", "K-2", "K-1")
	feed(first+2, "K-1")
	must(t, s.SaveLive(ctx, []fleet.Event{{Serial: "K-2"}}, nil, now))
	must(t, s.SaveLive(ctx, nil, []fleet.LiveState{{Live: fleet.Live{Serial: "K-2"}}}, now))
	feed(first + 3)
}

func TestADeletedKioskKeepsItsHistoryAndItsGeneration(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	_, err := s.ChangeKiosk(ctx, "K-1", "ana", now, func(k *fleet.Kiosk) (fleet.Event, error) { k.Generation = 6; return fleet.Event{}, nil })
	must(t, err)
	must(t, s.SaveLive(ctx, nil, []fleet.LiveState{{Live: fleet.Live{Serial: "K-1"}}}, now))
	must(t, s.DeleteKiosk(ctx, "K-1", "ana", now))
	if err := s.DeleteKiosk(ctx, "K-1", "ana", now); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("deleted again: %v", err)
	}
	if live, err := s.Live(ctx); err != nil || len(live) != 0 {
		t.Errorf("live state = %+v, %v", live, err)
	}
	if events, err := s.Events(ctx, "K-1", time.Time{}, 0, 10); err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
	for want := int64(7); want < 10; want++ {
		if k := addKiosk(t, s, "K-1"); k.Generation != want {
			t.Errorf("registered anew with generation %d, want %d", k.Generation, want)
		}
		must(t, s.DeleteKiosk(ctx, "K-1", "ana", now))
	}
	if k := addKiosk(t, s, "K-2"); k.Generation != 0 {
		t.Errorf("another kiosk has generation %d", k.Generation)
	}
}

func TestLiveStatesAreKeptWhole(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	addKiosk(t, s, "K-2")
	l := fleet.LiveState{Live: fleet.Live{
		Serial: "K-1", Presence: fleet.PresenceOnline, PresenceReason: fleet.ReasonReporting, PresenceSince: now, Status: "online",
		Verdict: fleet.VerdictDegraded, Reasons: []fleet.VerdictReason{{Code: "c", Subject: "s", Value: "v", Text: "t", Since: now}}, VerdictSince: now,
		Session: "s", BootID: "b", AgentVersion: "1", Model: "m", Capabilities: []string{}, Commands: []string{"ping"}, BootedAt: now, LastSeen: now,
		LastReading: &fleet.Reading{
			Serial: "K-1", Site: "x", Time: now, ReceivedAt: now, Seq: 1<<63 + 1, Session: "s", Status: protocol.StateOnline, ConfigVersion: 3,
			Values: []fleet.Value{{Metric: "a.b", Value: 1.25e-9}}, Texts: []fleet.Text{{Metric: "a.c", Text: "ñ"}},
		},
		Skew: -3 * time.Second, Interval: 5 * time.Second, Revision: 1 << 60,
	}, Source: fleet.Source{Record: 1 << 50, Item: 3}, Ended: "r", Connections: []string{"c"}, LastArrival: now}
	l.Ledger.Book(l.LastReading)
	gone := fleet.LiveState{Live: fleet.Live{Serial: "K-9"}}
	must(t, s.SaveLive(ctx, nil, []fleet.LiveState{{Live: fleet.Live{Serial: "K-1", Status: "old"}}, {Live: fleet.Live{Serial: "K-2"}}, gone}, now))
	must(t, s.SaveLive(ctx, nil, []fleet.LiveState{l}, now))
	must(t, s.SaveLive(ctx, nil, nil, now))
	got, err := s.Live(ctx)
	must(t, err)
	slices.SortFunc(got, func(a, b fleet.LiveState) int { return map[bool]int{true: -1, false: 1}[a.Serial < b.Serial] })
	if len(got) != 2 || !reflect.DeepEqual(got[0], l) || got[1].Serial != "K-2" {
		t.Errorf("live states = %+v,\nwant %+v", got, l)
	}
	// No capabilities and none announced are not the same.
	if got[0].Capabilities == nil || got[1].Capabilities != nil {
		t.Errorf("capabilities %#v, %#v", got[0].Capabilities, got[1].Capabilities)
	}
}

func TestEventsAreListedNewestFirst(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	var events []fleet.Event
	for i := range 30 {
		// Three of a moment; written out of order, as events that waited for the database are.
		at := now.Add(time.Duration((i*7)%30/3) * time.Second)
		events = append(events, fleet.Event{
			Serial: "K-1", At: at, Kind: fleet.EventPeripheral, Subject: "s", From: "f", To: fmt.Sprint(i), Reason: "r", Actor: "a",
		}, fleet.Event{Serial: "K-2", At: at})
	}
	must(t, s.SaveLive(ctx, events, nil, now))
	all, err := s.Events(ctx, "K-1", time.Time{}, 0, 100)
	must(t, err)
	if len(all) != 30 || !slices.IsSortedFunc(all, func(a, b fleet.Event) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return int(b.ID - a.ID)
	}) {
		t.Errorf("%d events in this order: %+v", len(all), all)
	}
	if e := all[0]; e.Serial != "K-1" || e.Kind != fleet.EventPeripheral || e.Subject != "s" || e.From != "f" || e.To == "" || e.Reason != "r" || e.Actor != "a" || e.ID == 0 {
		t.Errorf("event = %+v", e)
	}
	for _, limit := range []int{1, 2, 7, 30} {
		var paged []fleet.Event
		var before time.Time
		var id int64
		for range len(all) + 1 {
			page, err := s.Events(ctx, "K-1", before, id, limit)
			must(t, err)
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
			before, id = page[len(page)-1].At, page[len(page)-1].ID
		}
		if !slices.Equal(paged, all) {
			t.Errorf("by %d: %d events, other than all at once", limit, len(paged))
		}
	}
}
