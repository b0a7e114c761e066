package anomaly

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// bench is what a Watch needs, as cheap as can be.
type bench struct {
	kiosks map[string]*fleet.Kiosk
	scores atomic.Int64
}

func (b *bench) Get(serial string) (*fleet.Kiosk, error) { return b.kiosks[serial], nil }
func (b *bench) SaveAnomalies(context.Context, []fleet.Anomaly) error {
	return nil
}
func (b *bench) OpenAnomalies(context.Context) ([]fleet.Anomaly, error) { return nil, nil }
func (b *bench) PruneAnomalies(context.Context, time.Time, int) (int, error) {
	return 0, nil
}
func (b *bench) JudgeAnomaly(context.Context, string, fleet.AnomalyFeedback) (fleet.Anomaly, []fleet.AnomalyTuning, error) {
	return fleet.Anomaly{}, nil, nil
}
func (b *bench) AnomalyTunings(context.Context) ([]fleet.AnomalyTuning, error) { return nil, nil }
func (b *bench) ResetAnomalyTuning(context.Context, string, string, time.Time) error {
	return nil
}
func (b *bench) AcceptScores(scores []fleet.KioskScore) error {
	b.scores.Add(int64(len(scores)))
	return nil
}
func (b *bench) LoadStates(int) ([]fleet.AnomalyState, error) { return nil, nil }
func (b *bench) SaveStates(int, []fleet.AnomalyState) error   { return nil }

const benchKiosks = 1000

func newBench(tb testing.TB, trees bool) (*Watch, *bench) {
	tb.Helper()
	b := &bench{kiosks: map[string]*fleet.Kiosk{}}
	for i := range benchKiosks {
		serial := fmt.Sprintf("SIM-KIOSK-%04d", i)
		b.kiosks[serial] = &fleet.Kiosk{ID: int64(i) + 1, Serial: serial, Site: "gate", Model: "m1", Timezone: "America/Buenos_Aires"}
	}
	detect := watch.Default()
	detect.Detect.Trees = trees
	w, err := New(tb.Context(), Config{Kiosks: b, Keeper: b, Words: b, Scores: b, States: b, Detect: detect, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return w, b
}

// twelve are the readings of kiosks with twelve gauges, every five seconds.
type twelve struct {
	reading fleet.Reading
	random  *rand.Rand
	base    [12]float64
}

func newTwelve() *twelve {
	t := &twelve{random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // a simulation
	for i, m := range []string{
		"custom.cash_level", "custom.ink_level", "custom.paper_level", "environmental.air_quality", "environmental.humidity", "environmental.temperature",
		"hardware.cpu_temp", "hardware.cpu_usage", "hardware.disk_usage", "hardware.ram_usage", "network.latency", "network.signal_strength",
	} {
		t.reading.Values = append(t.reading.Values, fleet.Value{Metric: m})
		t.base[i] = 20 + 5*float64(i)
	}
	return t
}

func (t *twelve) of(serial string, n int) *fleet.Reading {
	r := &t.reading
	r.Serial, r.Time, r.Source.Record = serial, monday.Add(time.Duration(n)*5*time.Second), uint64(n)+1
	common := t.random.NormFloat64()
	for i := range r.Values {
		r.Values[i].Value = t.base[i] + common + t.random.NormFloat64()
	}
	return r
}

func benchmarkReading(b *testing.B, trees bool) {
	w, all := newBench(b, trees)
	serials := make([]string, 0, benchKiosks)
	for serial := range all.kiosks {
		serials = append(serials, serial)
	}
	readings := newTwelve()
	n := 0
	tell := func(count int) {
		for range count {
			w.Reading(readings.of(serials[n%benchKiosks], n/benchKiosks))
			if n++; n%scoresAtOnce == 0 {
				w.flushScores()
			}
		}
	}
	tell(150 * benchKiosks)
	b.ReportAllocs()
	b.ResetTimer()
	tell(b.N)
}

func BenchmarkReading(b *testing.B)          { benchmarkReading(b, false) }
func BenchmarkReadingWithTrees(b *testing.B) { benchmarkReading(b, true) }

// BenchmarkTwelve is what BenchmarkReading spends on making its readings.
func BenchmarkTwelve(b *testing.B) {
	t := newTwelve()
	for n := range b.N {
		t.of("K", n)
	}
}

// BenchmarkSnapshot copies and encodes the states of 1,000 kiosks, without the disk. It reports what a kiosk takes in
// memory and in a snapshot.
func BenchmarkSnapshot(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w, all := newBench(b, false)
	t := newTwelve()
	for n := range 300 {
		for serial := range all.kiosks {
			w.Reading(t.of(serial, n))
		}
		w.flushScores()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for i := range w.shards {
			w.shards[i].changed = true
			if err := w.snapshot(b.Context(), &w.shards[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchKiosks, "B/kiosk")
	b.ReportMetric(float64(w.Stats().SnapshotBytes)/benchKiosks, "snapshot-B/kiosk")
}
