package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/config"
)

// A rule that is made while admin is down holds for kiosks of which nobody has anything new to say.
func TestANewRuleSeesKiosksThatDoNotComeBack(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataDir, cfg.HTTP.Addr, cfg.Broker.Kiosks.Addr, cfg.Broker.Integrators.Addr = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", ""
	cfg.Journal.MaxSize, cfg.Journal.MinFree, cfg.Admin.Password = config.Bytes(256<<20), 0, "correct horse"
	during := func(f func(a *App)) {
		t.Helper()
		a, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		f(a)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	during(func(a *App) {
		if !slices.ContainsFunc(a.ingest.Status().Consumers, func(c fleet.ConsumerStatus) bool { return c.Name == liveConsumer }) {
			t.Errorf("no consumer %q, for which deadlines wait", liveConsumer)
		}
		if _, err := a.registry.Add(t.Context(), fleet.Kiosk{Serial: "K-1"}, "ana"); err != nil {
			t.Fatal(err)
		}
	})
	cfg.Alerts.Rules = filepath.Join(t.TempDir(), "alerts.yaml")
	rules := "rules:\n  - name: not_used\n    severity: info\n    condition: presence == \"never\"\n"
	if err := os.WriteFile(cfg.Alerts.Rules, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	during(func(a *App) {
		const patience = 15 * time.Second
		for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // between polls
			alerts, _, err := a.store.Alerts(t.Context(), fleet.AlertFilter{Rule: "not_used"}, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(alerts) == 1 && alerts[0].Serial == "K-1" {
				return
			}
			if time.Now().After(limit) {
				t.Fatalf("alerts: %+v", alerts)
			}
		}
	})
}
