package influx

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/influxd"
)

// round returns one reading of each kiosk with 15 metrics.
func round(kiosks int, offset time.Duration) []fleet.Reading {
	readings := make([]fleet.Reading, kiosks)
	for k := range readings {
		r := fleet.Reading{Serial: fmt.Sprintf("SIM-KIOSK-%05d", k), Site: fmt.Sprintf("hall-%d", k%20), Time: noon.Add(offset), Status: protocol.StateOnline}
		for _, m := range protocol.Metrics() {
			if m.Kind == protocol.KindGauge {
				r.Values = append(r.Values, fleet.Value{Metric: m.Name, Value: float64(rand.IntN(1000)) / 10})
			}
		}
		readings[k] = r
	}
	return readings
}

// BenchmarkAppend stores one reading of each of 1,000 kiosks, 15 metrics each, per operation.
func BenchmarkAppend(b *testing.B) {
	s := open(b, fresh(influxd.Start(b)))
	for n := 0; b.Loop(); n++ {
		mustAppend(b, s, round(1000, time.Duration(n)*5*time.Second)...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/reading")
}

// BenchmarkRange asks a server that holds 24 hours of 500 kiosks, one reading every 2 min.
func BenchmarkRange(b *testing.B) {
	s := open(b, fresh(influxd.Start(b)))
	const kiosks, interval, day = 500, 2 * time.Minute, 24 * time.Hour
	readings := round(kiosks, 0)
	serials := make([]string, kiosks)
	for k := range readings {
		serials[k] = readings[k].Serial
		readings[k].Values = readings[k].Values[:1]
	}
	for offset := time.Duration(0); offset < day; offset += interval {
		for k := range readings {
			readings[k].Time = noon.Add(offset)
		}
		mustAppend(b, s, readings...)
	}
	for _, c := range []struct {
		name      string
		serials   []string
		step      time.Duration
		aggregate telemetry.Aggregate
	}{
		{"one kiosk, raw", serials[:1], 0, ""},
		{"500 kiosks, mean of 5 min", serials, 5 * time.Minute, telemetry.AggregateMean},
		{"500 kiosks, p95 of 5 min", serials, 5 * time.Minute, telemetry.AggregateP95},
	} {
		b.Run(c.name, func(b *testing.B) {
			q := telemetry.Query{Metric: readings[0].Values[0].Metric, Serials: c.serials, From: noon, To: noon.Add(day), Step: c.step, Aggregate: c.aggregate}
			for b.Loop() {
				if all, err := s.Range(b.Context(), q); err != nil || len(all) != len(c.serials) {
					b.Fatalf("%d series, %v", len(all), err)
				}
			}
		})
	}
}
