package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry/embedded"
)

// BenchmarkBacktestDay runs a rule over a day of a hundred kiosks that report every 5 seconds, from the embedded store.
func BenchmarkBacktestDay(b *testing.B) {
	const kiosks, steps, every = 100, 24 * 60 * 12, 5 * time.Second
	log, dir := slog.New(slog.DiscardHandler), b.TempDir()
	database, err := store.Open(b.Context(), filepath.Join(dir, databaseFile))
	if err != nil {
		b.Fatal(err)
	}
	defer database.Close()
	numbers, err := embedded.Open(embedded.Config{Dir: filepath.Join(dir, "telemetry"), Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	defer numbers.Close()
	records, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		b.Fatal(err)
	}
	defer records.Close()
	world := newBench(b, nil)
	in, err := ingest.Open(ingest.Config{Journal: records, Live: world, Series: series{numbers}, DeadLetters: database, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	for n := range kiosks {
		serial := fmt.Sprintf("K-%03d", n)
		world.kiosks[serial] = &fleet.Kiosk{Serial: serial}
	}
	from := time.Now().UTC().Truncate(time.Second).Add(-25 * time.Hour)
	fill(b, numbers.Append, kiosks, steps, from, every)

	test := newBacktest(world, world.tracker, database, numbers, in, time.Now)
	ask := fleet.BacktestRequest{
		Rule: fleet.Rule{Name: "hot", Severity: fleet.SeverityWarning, Condition: "hardware.cpu_temp > 75", For: time.Minute},
		From: from, To: from.Add(steps * every),
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := test.Run(b.Context(), ask)
		if err != nil || got.Readings != kiosks*steps || len(got.Alerts) == 0 {
			b.Fatal(got.Readings, len(got.Alerts), err)
		}
	}
	b.ReportMetric(kiosks*steps*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
}

// fill stores readings whose temperature is high for a quarter of each half hour.
func fill(b *testing.B, store func(context.Context, []fleet.Reading) error, kiosks, steps int, from time.Time, every time.Duration) {
	b.Helper()
	batch := make([]fleet.Reading, 0, 5000)
	for i := range steps {
		at := from.Add(time.Duration(i) * every)
		for n := range kiosks {
			batch = append(batch, fleet.Reading{
				Serial: fmt.Sprintf("K-%03d", n), Time: at, ReceivedAt: at,
				Values: []fleet.Value{{Metric: "hardware.cpu_temp", Value: float64(60 + i/18%20)}},
			})
		}
		if len(batch) == cap(batch) || i == steps-1 {
			if err := store(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}
