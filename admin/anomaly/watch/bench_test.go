package watch

import (
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// twelve adds three values to the nine of a simulated kiosk; they follow others, and so cost as much as any.
func twelve(v []fleet.Value) []fleet.Value {
	return append([]fleet.Value{{Metric: "custom.a", Value: 2 * v[0].Value}, {Metric: "custom.b", Value: 2 * v[3].Value}, {Metric: "custom.c", Value: 2 * v[4].Value}}, v...)
}

// grown returns a kiosk that has lived for days, and readings of the day that follows.
func grown(tb testing.TB, cfg *Config, days int, step time.Duration) (*Kiosk, []time.Time, [][]fleet.Value) {
	tb.Helper()
	k := New(cfg, nil)
	d := simulated(1, 1)
	end := begin.AddDate(0, 0, days)
	run(d, begin, end, step, func(at time.Time, v []fleet.Value) { k.Step(at, twelve(v), nil) })
	var times []time.Time
	var readings [][]fleet.Value
	run(d, end, end.AddDate(0, 0, 1), step, func(at time.Time, v []fleet.Value) {
		times = append(times, at)
		readings = append(readings, twelve(v))
	})
	return k, times, readings
}

// BenchmarkStep is one reading of twelve values, every five seconds.
func BenchmarkStep(b *testing.B) {
	for _, bench := range []struct {
		name  string
		trees bool
	}{{"plain", false}, {"trees", true}} {
		b.Run(bench.name, func(b *testing.B) {
			cfg := Default()
			cfg.Detect.Trees = bench.trees
			k, times, readings := grown(b, &cfg, 2, 5*time.Second)
			b.ReportAllocs()
			n, shift := 0, time.Duration(0)
			for b.Loop() {
				k.Step(times[n].Add(shift), readings[n], nil)
				if n++; n == len(times) {
					n, shift = 0, shift+24*time.Hour
				}
			}
		})
	}
}

// BenchmarkAppendBinary is the snapshot of a kiosk; it reports its size.
func BenchmarkAppendBinary(b *testing.B) {
	cfg := Default()
	k, _, _ := grown(b, &cfg, 2, time.Minute)
	var state []byte
	for b.Loop() {
		var err error
		if state, err = k.AppendBinary(state[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(state)), "bytes")
}
