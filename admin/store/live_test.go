package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestTheEndOfAContextEndsAChangeOfManyRows(t *testing.T) {
	s := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	written := 0
	err := s.change(ctx, "try", func(tx *sql.Tx) error {
		return each(ctx, tx, `INSERT INTO events (serial, at, kind, subject, from_, to_, reason, actor) VALUES ($1, 0, '', '', '', '', '', '')`,
			[]string{"K-1", "K-2", "K-3"}, func(serial *string) ([]any, error) {
				if written++; written == 2 {
					cancel()
				}
				return []any{*serial}, nil
			})
	})
	if !errors.Is(err, context.Canceled) || written != 2 {
		t.Errorf("after %d rows: %v", written, err)
	}
	if events, err := s.Events(t.Context(), "K-1", time.Time{}, 0, 10); err != nil || len(events) != 0 {
		t.Errorf("events = %v, %v", events, err)
	}
}

// BenchmarkSaveLive writes 1,000 events and the states of 1,000 kiosks, as a checkpoint does.
func BenchmarkSaveLive(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "kioskfleet.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var events []fleet.Event
	var states []fleet.LiveState
	reading := &fleet.Reading{Time: now, Session: "session", Texts: []fleet.Text{{Metric: "peripherals.printer_status", Text: "ok"}}}
	for i := range 15 {
		reading.Values = append(reading.Values, fleet.Value{Metric: fmt.Sprintf("hardware.metric_%02d", i), Value: 12.5 * float64(i)})
	}
	for i := range 1000 {
		serial := fmt.Sprintf("K-%04d", i)
		if _, err := s.AddKiosk(b.Context(), fleet.Kiosk{Serial: serial, Tags: []string{}}, "ana", now); err != nil {
			b.Fatal(err)
		}
		events = append(events, fleet.Event{Serial: serial, At: now, Kind: fleet.EventPeripheral, Subject: "peripherals.printer_status", From: "ok", To: "paper_jam"})
		states = append(states, fleet.LiveState{Live: fleet.Live{Serial: serial, Status: "active", LastSeen: now, LastReading: reading}, LastArrival: now})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := s.SaveLive(b.Context(), events, states, now.Add(time.Second)); err != nil {
			b.Fatal(err)
		}
	}
}
