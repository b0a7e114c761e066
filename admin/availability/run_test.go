package availability

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
)

// memory is a store that notes what it is asked to keep.
type memory struct {
	mu      sync.Mutex
	saved   []fleet.AvailabilityChange
	deleted []int64
}

func (m *memory) AvailabilityStates(context.Context) ([]fleet.AvailabilityState, time.Time, error) {
	return nil, time.Time{}, nil
}

func (m *memory) SaveAvailability(_ context.Context, c fleet.AvailabilityChange) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved = append(m.saved, c)
	return nil
}

func (m *memory) AvailabilityWeeks(context.Context, string, string, int64, int64, func(fleet.AvailabilityWeek) error) error {
	return nil
}

func (m *memory) DeleteAvailability(_ context.Context, before int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deleted = append(m.deleted, before)
	return nil
}

func TestRunWritesSoonAndLooksForWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now() // midnight
		m := &memory{}
		b, err := Open(t.Context(), Config{
			Store: m, Now: time.Now, Log: slog.New(slog.DiscardHandler), Retention: 30 * 24 * time.Hour,
			Site:        func(string) (string, bool) { return "x", true },
			Maintenance: func(_ string, at time.Time) bool { return !at.Before(start.Add(20 * time.Second)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(2500 * time.Millisecond) // in the bubble's time
		b.Changed(nil, &fleet.Live{Serial: "A", Presence: fleet.PresenceOnline, Verdict: fleet.VerdictCanServe}, time.Now())
		time.Sleep(time.Second)
		synctest.Wait()
		m.mu.Lock()
		last := m.saved[len(m.saved)-1]
		m.mu.Unlock()
		if len(last.States) != 1 || last.States[0].Kind != "can_serve" || !last.States[0].Since.Equal(start.Add(2500*time.Millisecond)) {
			t.Errorf("a second after the change: %+v", last)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		m.mu.Lock()
		last, deleted, n := m.saved[len(m.saved)-1], m.deleted, len(m.saved)
		m.mu.Unlock()
		if len(last.States) != 1 || last.States[0].Kind != "maintenance" || !last.States[0].Since.Equal(start.Add(20*time.Second)) || last.Alive.IsZero() {
			t.Errorf("after the window began: %+v", last)
		}
		if len(deleted) != 1 || deleted[0] != weekOf(start.Add(-30*24*time.Hour).UnixMilli()) {
			t.Errorf("deleted before %v", deleted)
		}
		if n > 4 {
			t.Errorf("%d writes in 23 seconds with two changes", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
