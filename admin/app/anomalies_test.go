package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest"
	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/config"
	"kioskfleet/internal/protocol"
)

// run starts an admin on a folder; stop ends it.
func run(t *testing.T, dir string) (a *App, stop func()) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DataDir, cfg.HTTP.Addr, cfg.Broker.Kiosks.Addr, cfg.Broker.Integrators.Addr = dir, "127.0.0.1:0", "127.0.0.1:0", ""
	cfg.Journal.MaxSize, cfg.Journal.MinFree, cfg.Admin.Password = config.Bytes(256<<20), 0, "correct horse"
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return a, stop
}

// within waits until ok returns nil.
func within(t *testing.T, limit time.Duration, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// backfill is what a kiosk reported every five minutes, from so many readings ago until so many ago.
func backfill(t *testing.T, in *ingest.Ingest, serial string, from, to int, hot float64) {
	t.Helper()
	const every, atOnce = 5 * time.Minute, 200
	now := time.Now().UTC().Truncate(every)
	var readings []string
	send := func() {
		t.Helper()
		if err := in.Accept(ingest.Message{
			Serial: serial, Channel: protocol.ChannelTelemetry, Payload: []byte("[" + strings.Join(readings, ",") + "]"), ReceivedAt: time.Now().UTC(),
		}); err != nil {
			t.Fatal(err)
		}
		readings = nil
	}
	for i := from; i > to; i-- {
		noise := rand.New(rand.NewPCG(uint64(i), 1)) //nolint:gosec // a simulation
		usage := 30 + 3*noise.NormFloat64()
		readings = append(readings, fmt.Sprintf(`{"timestamp":%q,"serial":%q,"seq":%d,"session":"s","status":"online","hardware":{"cpu_usage":%.2f,"cpu_temp":%.2f},"network":{"latency":%.2f}}`,
			now.Add(-time.Duration(i)*every).Format(time.RFC3339Nano), serial, 10_000-i, usage, 40+usage/3+noise.NormFloat64()+hot, 40+4*noise.NormFloat64()))
		if len(readings) == atOnce {
			send()
		}
	}
	if len(readings) > 0 {
		send()
	}
}

// From the journal to the time series, the rules and the database, and over a restart.
func TestAReadingIsScoredAndAnAnomalyKept(t *testing.T) {
	const serial, week = "K-1", 7*24*12 - 12
	dir := t.TempDir()
	a, stop := run(t, dir)
	if _, err := a.registry.Add(t.Context(), fleet.Kiosk{Serial: serial, Site: "gate", Timezone: "America/Buenos_Aires"}, "ana"); err != nil {
		t.Fatal(err)
	}
	backfill(t, a.ingest, serial, week, 10, 0)
	scores := func(a *App) func() error {
		return func() error {
			now := time.Now()
			found, err := a.rollups.Range(t.Context(), telemetry.Query{Metric: fleet.AnomalyMetric, Serials: []string{serial}, From: now.Add(-8 * 24 * time.Hour), To: now.Add(time.Hour)})
			if err != nil {
				return err
			}
			if len(found) != 1 {
				return fmt.Errorf("%d series", len(found))
			}
			if n := len(found[0].Points); n != week-10 {
				return fmt.Errorf("%d scores of %d readings", n, week-10)
			}
			return nil
		}
	}
	within(t, time.Minute, "a score of each reading", scores(a))
	around := &surroundings{registry: a.registry, tracker: a.tracker, derived: a.alerts.derived, anomalies: a.anomalies}
	if score, ok := around.Derived(serial).Value("anomaly.score"); !ok || score < 0 || score > 1 {
		t.Errorf("rules see %v, %v", score, ok)
	}
	stop()

	a, stop = run(t, dir)
	within(t, time.Minute, "the scores after a restart", scores(a))
	backfill(t, a.ingest, serial, 10, 5, 45)
	var open fleet.Anomaly
	within(t, time.Minute, "an anomaly", func() error {
		found, err := a.store.OpenAnomalies(t.Context())
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%d open", len(found))
		}
		if err == nil {
			open = found[0]
		}
		return err
	})
	if len(open.Sensors) == 0 || open.Sensors[0].Metric != "hardware.cpu_temp" || open.Site != "gate" {
		t.Errorf("%+v", open)
	}
	around = &surroundings{registry: a.registry, tracker: a.tracker, derived: a.alerts.derived, anomalies: a.anomalies}
	texts, ok := around.Derived(serial).(computed)
	if !ok {
		t.Fatal("rules see no texts")
	}
	if sensors, ok := texts.Text("anomaly.sensors"); !ok || !strings.Contains(sensors, "CPU temperature") {
		t.Errorf("sensors %q, %v", sensors, ok)
	}
	if text, ok := texts.Text("anomaly.text"); !ok || text != open.Text || text == "" {
		t.Errorf("text %q, %v, want %q", text, ok, open.Text)
	}
	if text, ok := texts.Text("anomaly.mood"); ok {
		t.Errorf("another text is %q", text)
	}

	if err := a.registry.Delete(t.Context(), serial, "ana"); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, "its end with its kiosk", func() error {
		got, err := a.store.Anomaly(t.Context(), open.ID)
		if err == nil && got.Open() {
			err = errors.New("it is open")
		}
		return err
	})
	if _, ok := around.Derived(serial).Value("anomaly.score"); ok {
		t.Error("a kiosk that is gone has a score")
	}
	stop()
}

func TestTrainingSeesWhatTheDetectorsSee(t *testing.T) {
	const serial = "K-1"
	a, stop := run(t, t.TempDir())
	if _, err := a.registry.Add(t.Context(), fleet.Kiosk{Serial: serial, Site: "gate", Model: "m1"}, "ana"); err != nil {
		t.Fatal(err)
	}
	backfill(t, a.ingest, serial, 60, 10, 0)
	data := history{a.registry.All, a.modelOf, a.rollups, a.store}
	now := time.Now().UTC()
	within(t, time.Minute, "the readings", func() error {
		n := 0
		err := data.Readings(t.Context(), serial, now.Add(-6*time.Hour), now, func(at time.Time, values []fleet.Value) error {
			n++
			if len(values) != 3 || values[0].Metric != "hardware.cpu_temp" || values[1].Metric != "hardware.cpu_usage" || values[2].Metric != "network.latency" {
				t.Errorf("%s: %v", at, values)
			}
			return nil
		})
		if err == nil && n != 50 {
			err = fmt.Errorf("%d of 50", n)
		}
		return err
	})
	if all, err := data.Kiosks(t.Context()); err != nil || len(all) != 1 || all[0].Model != "m1" || all[0].Site != "gate" {
		t.Errorf("%+v, %v", all, err)
	}
	stop()
}

func TestKeysOfAnomalyDetectionAreChecked(t *testing.T) {
	cfg := DefaultConfig()
	for _, test := range []struct {
		name, key string
		change    func(c *Config)
	}{
		{"no budget", "anomaly.budget", func(c *Config) { c.Anomaly.Budget = 0 }},
		{"snapshots too often", "anomaly.snapshot_every", func(c *Config) { c.Anomaly.SnapshotEvery = time.Millisecond }},
		{"training too often", "anomaly.retrain.every", func(c *Config) { c.Anomaly.Retrain.Every = time.Minute }},
		{"a short window", "anomaly.retrain.window", func(c *Config) { c.Anomaly.Retrain.Window = time.Hour }},
		{"no kiosks", "anomaly.retrain.kiosks", func(c *Config) { c.Anomaly.Retrain.Kiosks = 0 }},
		{"fewer days than none", "anomaly.retrain.min_kiosk_days", func(c *Config) { c.Anomaly.Retrain.MinKioskDays = -1 }},
		{"a step back", "anomaly.retrain.step", func(c *Config) { c.Anomaly.Retrain.Step = -time.Second }},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := *cfg
			test.change(&changed)
			if err := changed.Validate(); err == nil || !strings.HasPrefix(err.Error(), test.key+": ") {
				t.Errorf("error %v, want one of %s", err, test.key)
			}
		})
	}
}
