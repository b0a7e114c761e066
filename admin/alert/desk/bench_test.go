package desk_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/admin/alert/desk"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
)

// benchDesk returns a desk over a database on disk, with a fleet of 50 sites of 20 kiosks.
func benchDesk(b *testing.B) (*desk.Desk, *store.Store) {
	b.Helper()
	s, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "kioskfleet.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	k := &kiosks{live: map[string]*fleet.Live{}, kiosks: map[string]*fleet.Kiosk{}}
	for i := range 1000 {
		serial := benchSerial(i)
		k.kiosks[serial] = &fleet.Kiosk{Serial: serial, Site: benchSite(i)}
		k.live[serial] = &fleet.Live{Presence: fleet.PresenceOnline}
	}
	d, err := desk.New(b.Context(), desk.Config{Store: s, Fleet: k, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return d, s
}

func benchSite(i int) string   { return fmt.Sprintf("site-%d", i/20) }
func benchSerial(i int) string { return fmt.Sprintf("K-%04d", i) }

func benchAlert(rule string, i, round int) fleet.Alert {
	now := time.Now()
	return fleet.Alert{
		ID: fmt.Sprintf("%s/%d/%d", rule, i, round), Rule: rule, RuleVersion: 3, Serial: benchSerial(i), Site: benchSite(i), Model: "m9",
		Tags: []string{"arrivals"}, Labels: map[string]string{"team": "field"}, Severity: fleet.Severities()[i%3],
		Reason: "CPU at 93 °C for 5 minutes", Since: now, OpenedAt: now, AgentVersion: "1.4.2", Network: "10.1.2.0/24",
		Values: []fleet.Value{{Metric: "hardware.cpu_temp", Value: 93}},
	}
}

// BenchmarkApply opens 1,000 alerts of 1,000 kiosks (they become 50 incidents), then resolves them; each is one
// transaction that is on disk when it ends.
func BenchmarkApply(b *testing.B) {
	for _, tt := range []struct {
		name string
		rule func(i int) string
	}{
		{"50 incidents", func(int) string { return "offline" }},
		{"alone", func(i int) string { return fmt.Sprintf("rule_%d", i) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			d, _ := benchDesk(b)
			for round := 0; b.Loop(); round++ {
				for _, kind := range []fleet.AlertEventKind{fleet.AlertEventOpened, fleet.AlertEventResolved} {
					changes := make([]fleet.AlertChange, 1000)
					for i := range changes {
						changes[i] = fleet.AlertChange{Kind: kind, At: time.Now(), Alert: benchAlert(tt.rule(i), i, round)}
					}
					if err := d.Apply(context.Background(), changes, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/change")
		})
	}
}

// BenchmarkLists asks a database of 100,000 alerts, 1,000 of them open.
func BenchmarkLists(b *testing.B) {
	d, s := benchDesk(b)
	for round := range 100 {
		var batch fleet.AlertBatch
		for i := range 1000 {
			a := benchAlert("offline", i, round)
			a.State, a.OpenedAt = fleet.AlertResolved, a.OpenedAt.Add(-time.Duration(round)*time.Hour)
			at := a.OpenedAt.Add(time.Minute)
			a.ResolvedAt = &at
			if round == 0 {
				a.State, a.ResolvedAt = fleet.AlertOpen, nil
			}
			batch.Alerts = append(batch.Alerts, a)
		}
		if err := s.SaveAlerts(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	untold := false
	for _, tt := range []struct {
		name string
		ask  func() error
	}{
		{"count of all", func() error { _, err := d.CountAlerts(ctx, fleet.AlertFilter{}); return err }},
		{"count of the open", func() error {
			_, err := d.CountAlerts(ctx, fleet.AlertFilter{State: fleet.AlertOpen, Suppressed: &untold})
			return err
		}},
		{"count of one site", func() error { _, err := d.CountAlerts(ctx, fleet.AlertFilter{Site: "site-7"}); return err }},
		{"inbox", func() error {
			_, _, err := d.Alerts(ctx, fleet.AlertFilter{State: fleet.AlertOpen, WorstFirst: true}, "", 100)
			return err
		}},
		{"newest of one kiosk", func() error {
			_, _, err := d.Alerts(ctx, fleet.AlertFilter{Serial: benchSerial(7)}, "", 100)
			return err
		}},
		{"statistics of all", func() error {
			_, err := d.AlertStatistics(ctx, time.Now().Add(-200*time.Hour), time.Now())
			return err
		}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				if err := tt.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
