package rollup_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/rollup"
	"kioskfleet/internal/protocol"
)

// fill appends readings of so many kiosks and metrics from one instant to another, every interval.
func fill(b *testing.B, s telemetry.Store, kiosks, metrics int, from, to time.Time, interval time.Duration) []string {
	b.Helper()
	var names []string
	for _, m := range protocol.Metrics() {
		if m.Kind == protocol.KindGauge && len(names) < metrics {
			names = append(names, m.Name)
		}
	}
	for len(names) < metrics {
		names = append(names, fmt.Sprintf("custom.m%d", len(names)))
	}
	random := rand.New(rand.NewPCG(1, 2))
	serials := make([]string, kiosks)
	batch := make([]fleet.Reading, kiosks)
	for k := range batch {
		serials[k] = fmt.Sprintf("SIM-KIOSK-%05d", k)
		batch[k] = fleet.Reading{Serial: serials[k], Site: fmt.Sprintf("hall-%d", k%20), Values: make([]fleet.Value, metrics)}
		for m, name := range names {
			batch[k].Values[m] = fleet.Value{Metric: name, Value: 50}
		}
	}
	for at := from; at.Before(to); at = at.Add(interval) {
		for k := range batch {
			batch[k].Time = at
			for m := range batch[k].Values {
				v := &batch[k].Values[m]
				v.Value = math.Round(10*(v.Value+0.3*random.NormFloat64()+0.01*(50-v.Value))) / 10
			}
		}
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return serials
}

func openBench(b *testing.B, retention time.Duration) (telemetry.Store, string) {
	b.Helper()
	dir := b.TempDir()
	s, err := embedded.Open(embedded.Config{Dir: filepath.Join(dir, "tsdb"), Retention: retention})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s, dir
}

func openRollup(b *testing.B, inner telemetry.Store, dir string, history time.Duration, now *time.Time) *rollup.Store {
	b.Helper()
	s, err := rollup.Open(b.Context(), rollup.Config{
		Inner: inner, Repository: openRepository(b, filepath.Join(dir, "sql.db")), Owner: "bench", Now: func() time.Time { return *now }, History: history,
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

var benchDay = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// BenchmarkRollUp rolls up half an hour of 1,000 kiosks with 18 metrics and a reading every 5 s, in the middle
// of the day. "cores" is what it costs of one core, for 1,000 kiosks.
func BenchmarkRollUp(b *testing.B) {
	inner, dir := openBench(b, 30*24*time.Hour)
	from := benchDay.Add(12 * time.Hour)
	now := from
	s := openRollup(b, inner, dir, time.Minute, &now)
	took := time.Duration(0)
	rounds := 0
	for b.Loop() {
		b.StopTimer()
		fill(b, inner, 1000, 18, from, from.Add(rollup.DefaultEvery), 5*time.Second)
		from = from.Add(rollup.DefaultEvery)
		now = from.Add(rollup.DefaultLag)
		b.StartTimer()
		began := time.Now()
		if err := s.Work(b.Context()); err != nil {
			b.Fatal(err)
		}
		took += time.Since(began)
		rounds++
	}
	b.ReportMetric(took.Seconds()/float64(rounds)/rollup.DefaultEvery.Seconds(), "cores")
}

// BenchmarkQuery asks for a day of 1,000 kiosks with a reading every 5 s, and for a month of 200 kiosks with
// one every minute.
func BenchmarkQuery(b *testing.B) {
	b.Run("day", func(b *testing.B) {
		inner, dir := openBench(b, 30*24*time.Hour)
		from := benchDay.Add(10 * time.Hour)
		to := from.Add(24 * time.Hour)
		now := to
		s := openRollup(b, inner, dir, 24*time.Hour, &now)
		serials := fill(b, s, 1000, 1, from, to, 5*time.Second)
		if err := s.Work(b.Context()); err != nil {
			b.Fatal(err)
		}
		now = now.Add(25 * time.Minute) // the newest 27 minutes are not rolled up
		fill(b, s, 1000, 1, to, now, 5*time.Second)
		ask(b, "one kiosk, 24 h raw", s, telemetry.Query{Metric: "environmental.temperature", Serials: serials[:1], From: now.Add(-24 * time.Hour), To: now}, rollup.OriginRaw)
		mean := telemetry.Query{Metric: "environmental.temperature", Serials: serials, From: now.Add(-24 * time.Hour), To: now, Step: 5 * time.Minute, Aggregate: telemetry.AggregateMean}
		ask(b, "1,000 kiosks, 24 h, mean of 5 min", s, mean, rollup.OriginMixed)
		mean.Groups = []telemetry.Group{{Name: "all", Serials: serials}}
		ask(b, "1,000 kiosks, 24 h, fleet mean of 5 min", s, mean, rollup.OriginMixed)
		mean.From, mean.To = to.Add(-24*time.Hour), to.Add(-time.Hour)
		ask(b, "1,000 kiosks, 23 h, fleet mean of 5 min, all rolled up", s, mean, rollup.OriginRollup)
	})
	b.Run("month", func(b *testing.B) {
		inner, dir := openBench(b, 60*24*time.Hour)
		to := benchDay.Add(30 * 24 * time.Hour)
		now := to.Add(time.Hour)
		s := openRollup(b, inner, dir, 31*24*time.Hour, &now)
		serials := fill(b, inner, 200, 1, benchDay, to, time.Minute)
		if err := s.Work(b.Context()); err != nil {
			b.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, "sql.db")); err == nil {
			b.Logf("%d bytes of SQL for each kiosk, metric and day", info.Size()/200/30)
		}
		q := telemetry.Query{Metric: "environmental.temperature", Groups: []telemetry.Group{{Name: "all", Serials: serials}}, From: benchDay, To: to, Step: 24 * time.Hour, Aggregate: telemetry.AggregateP95}
		ask(b, "200 kiosks, 30 days, fleet p95 of each day", s, q, rollup.OriginRollup)
		q.Aggregate = telemetry.AggregateMean
		ask(b, "200 kiosks, 30 days, fleet mean of each day", s, q, rollup.OriginRollup)
		q.Step = time.Hour
		ask(b, "200 kiosks, 30 days, fleet mean of each hour", s, q, rollup.OriginRollup)
	})
}

func ask(b *testing.B, name string, s *rollup.Store, q telemetry.Query, want rollup.Origin) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			all, origin, err := s.Answer(b.Context(), q)
			if err != nil || len(all) == 0 || origin != want {
				b.Fatalf("%d series from %s, %v, want %s", len(all), origin, err, want)
			}
		}
	})
}
