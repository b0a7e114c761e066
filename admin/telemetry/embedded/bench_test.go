package embedded

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/protocol"
)

// round returns one reading of each kiosk with 15 metrics.
func round(kiosks int, offset time.Duration) []fleet.Reading {
	readings := make([]fleet.Reading, kiosks)
	for k := range readings {
		r := fleet.Reading{Serial: fmt.Sprintf("SIM-KIOSK-%05d", k), Site: fmt.Sprintf("hall-%d", k%20), Time: noon.Add(offset)}
		for _, m := range protocol.Metrics() {
			if m.Kind == protocol.KindGauge {
				r.Values = append(r.Values, fleet.Value{Metric: m.Name, Value: float64(int(500+100*rand.NormFloat64())) / 10})
			}
		}
		readings[k] = r
	}
	return readings
}

// BenchmarkAppend stores one reading of each of 1,000 kiosks, 15 metrics each, per operation.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1000, 100} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			s := open(b, Config{Dir: b.TempDir()})
			readings := round(1000, 0)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				for k := range readings {
					readings[k].Time = noon.Add(time.Duration(n) * 5 * time.Second)
				}
				for from := 0; from < len(readings); from += size {
					mustAppend(b, s, readings[from:from+size]...)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(readings)), "ns/reading")
		})
	}
}

// BenchmarkAppendLate appends what a thousand kiosks have kept for two minutes, after they have told how they are now.
func BenchmarkAppendLate(b *testing.B) {
	readings := round(1000, 0)
	const backlog = 24
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := open(b, Config{Dir: b.TempDir()})
		for k := range readings {
			readings[k].Time = noon
		}
		mustAppend(b, s, readings...)
		b.StartTimer()
		for n := backlog; n > 0; n-- {
			for k := range readings {
				readings[k].Time = noon.Add(-time.Duration(n) * 5 * time.Second)
			}
			mustAppend(b, s, readings...)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*backlog*len(readings)), "ns/reading")
}

// BenchmarkRange asks a store that holds 24 hours of 100 kiosks, one reading every 5 s.
func BenchmarkRange(b *testing.B) {
	s := open(b, Config{Dir: b.TempDir()})
	const kiosks, interval, day = 100, 5 * time.Second, 24 * time.Hour
	readings := round(kiosks, 0)
	serials := make([]string, kiosks)
	for k := range readings {
		serials[k] = readings[k].Serial
		readings[k].Values = readings[k].Values[:3]
	}
	for offset := time.Duration(0); offset < day; offset += interval {
		for k := range readings {
			readings[k].Time = noon.Add(offset)
			for v := range readings[k].Values {
				readings[k].Values[v].Value = float64(rand.IntN(1000)) / 10
			}
		}
		mustAppend(b, s, readings...)
	}
	if err := s.db.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
	metric := readings[0].Values[0].Metric
	for _, c := range []struct {
		name      string
		serials   []string
		step      time.Duration
		aggregate telemetry.Aggregate
		points    int
	}{
		{"one kiosk, 24 h raw", serials[:1], 0, "", int(day / interval)},
		{"one kiosk, 24 h, mean of 5 min", serials[:1], 5 * time.Minute, telemetry.AggregateMean, 288},
		{"100 kiosks, 24 h, mean of 5 min", serials, 5 * time.Minute, telemetry.AggregateMean, 288 * kiosks},
		{"100 kiosks, 24 h, p95 of 5 min", serials, 5 * time.Minute, telemetry.AggregateP95, 288 * kiosks},
	} {
		b.Run(c.name, func(b *testing.B) {
			q := telemetry.Query{Metric: metric, Serials: c.serials, From: noon, To: noon.Add(day), Step: c.step, Aggregate: c.aggregate}
			b.ReportAllocs()
			for b.Loop() {
				if got := len(values(b, s, q)); got != c.points {
					b.Fatalf("%d points, want %d", got, c.points)
				}
			}
		})
	}
}
