package watch

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// Kiosks report what they like; a score is a number from 0 to 1 whatever that is.
func TestOddReadings(t *testing.T) {
	metrics := func(n int) []fleet.Value {
		values := make([]fleet.Value, n)
		for i := range values {
			values[i].Metric = fmt.Sprintf("custom.m%02d", i)
		}
		return values
	}
	for _, tt := range []struct {
		name    string
		metrics int
		skipped int
		value   func(r *rand.Rand, i, n int) float64 // of metric i in reading n; NaN: it is missing
	}{
		{"no metric", 0, 0, nil},
		{"one metric", 1, 0, func(r *rand.Rand, _, _ int) float64 { return r.NormFloat64() }},
		{"constants", 3, 0, func(_ *rand.Rand, i, _ int) float64 { return float64(i) }},
		{"copies of one another", 3, 0, func(_ *rand.Rand, _, n int) float64 { return math.Sin(float64(n) / 50) }},
		{"very large", 3, 0, func(r *rand.Rand, _, _ int) float64 { return r.NormFloat64() * (math.MaxFloat64 / 8) }},
		{"very small", 3, 0, func(r *rand.Rand, _, _ int) float64 { return r.NormFloat64() * math.SmallestNonzeroFloat64 * 100 }},
		{"of all sizes", 4, 0, func(r *rand.Rand, i, _ int) float64 { return math.Pow(10, float64(i*9-12)) * r.NormFloat64() }},
		{"more than are watched", 40, 8, func(r *rand.Rand, i, _ int) float64 { return r.NormFloat64() + float64(i) }},
		{"some missing", 6, 0, func(r *rand.Rand, i, n int) float64 {
			if (n/100+i)%3 == 0 {
				return math.NaN()
			}
			return r.NormFloat64() + math.Sin(float64(n)/30)
		}},
		{"constant, then not", 3, 0, func(r *rand.Rand, _, n int) float64 {
			return float64(n/2000) * (r.NormFloat64() + math.Sin(float64(n)/30))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Default()
			k := New(&cfg, nil)
			r := rand.New(rand.NewPCG(3, 4))
			all := metrics(tt.metrics)
			at := begin
			for n := range 4000 {
				// Now and then a reading is late or twice there.
				switch {
				case n%500 == 499:
					at = at.Add(3 * time.Hour)
				case n%300 != 7:
					at = at.Add(time.Minute)
				}
				values := slices.Clone(all)
				for i := range values {
					values[i].Value = tt.value(r, i, n)
				}
				values = slices.DeleteFunc(values, func(v fleet.Value) bool { return math.IsNaN(v.Value) })
				f := k.Step(at, values, nil)
				if !(f.Score >= 0 && f.Score <= 1) {
					t.Fatalf("reading %d has the score %v", n, f.Score)
				}
				if n%97 == 0 {
					checkSensors(t, k.Now())
				}
			}
			if k.Skipped() != tt.skipped {
				t.Errorf("%d metrics were left out, want %d", k.Skipped(), tt.skipped)
			}
			if _, err := k.AppendBinary(nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkSensors(t *testing.T, all []fleet.AnomalySensor) {
	t.Helper()
	sum := 0.0
	for i, s := range all {
		sum += s.Share
		if s.Text == "" || math.IsNaN(s.Low) || math.IsNaN(s.High) || math.IsInf(s.Value, 0) {
			t.Fatalf("sensor %+v", s)
		}
		if i > 0 && s.Share > all[i-1].Share {
			t.Fatal("the largest share is not first")
		}
	}
	if len(all) > 0 && math.Abs(sum-1) > 1e-9 {
		t.Fatalf("the shares add up to %v", sum)
	}
}

func TestAMetricWithoutARelationHasNone(t *testing.T) {
	cfg := Default()
	k := New(&cfg, nil)
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 3 * 24 * 120 {
		load := 50 + 20*math.Sin(float64(n)/40) + r.NormFloat64()
		k.Step(begin.Add(time.Duration(n)*30*time.Second), []fleet.Value{
			{Metric: "custom.alone", Value: r.NormFloat64()},
			{Metric: "custom.double", Value: 2*load + r.NormFloat64()},
			{Metric: "custom.fixed", Value: 7},
			{Metric: "custom.load", Value: load},
		}, nil)
	}
	for i, want := range []bool{false, true, false, true} {
		if s := &k.sensors[i]; s.rel.count > 0 != want {
			t.Errorf("%s has %d partners", s.name, s.rel.count)
		}
	}
	if got := k.closest(1); got[0] != 4 || got[1] != 0 {
		t.Errorf("custom.double goes with %v, want custom.load alone", got)
	}
}

func TestTexts(t *testing.T) {
	for _, tt := range []struct {
		sensor fleet.AnomalySensor
		among  int
		want   string
	}{
		{fleet.AnomalySensor{Metric: "hardware.cpu_temp", Kind: fleet.AnomalyRelation, Value: 63.04, Low: 48.2, High: 54, With: []string{"hardware.cpu_usage"}}, 0,
			"CPU temperature is 63 °C; with this CPU usage 48.2 to 54 °C is usual"},
		{fleet.AnomalySensor{Metric: "environmental.temperature", Kind: fleet.AnomalyRelation, Value: 25, Low: 20, High: 22, With: []string{"hardware.cpu_temp", "environmental.air_quality"}}, 0,
			"Room temperature is 25 °C; with this CPU temperature and air quality index 20 to 22 °C is usual"},
		{fleet.AnomalySensor{Metric: "network.latency", Kind: fleet.AnomalyLevel, Value: 250.7, Low: 20.2, High: 60.4}, 0,
			"Round trip to the broker is 251 ms; 20 to 60 ms is usual at this hour"},
		{fleet.AnomalySensor{Metric: "hardware.disk_usage", Kind: fleet.AnomalyRange, Value: 97}, 0,
			"Disk in use is 97 %, beyond everything seen before"},
		{fleet.AnomalySensor{Metric: "custom.cash_level", Kind: fleet.AnomalyDropout, Low: 40, High: 45}, 0,
			"Cash box filled fell to 0 %; 40 to 45 % was expected"},
		{fleet.AnomalySensor{Metric: "custom.shelf", Kind: fleet.AnomalyStuck, Value: 0.1234}, 0,
			"custom.shelf has stayed at 0.123 for longer than ever"},
		{fleet.AnomalySensor{Metric: "hardware.ram_usage", Kind: fleet.AnomalyPeers, Value: 71, Low: 48, High: 52}, 40,
			"Memory in use was 71 % in the last hour; 48 to 52 % is what 40 kiosks like it make likely"},
		{fleet.AnomalySensor{Metric: "hardware.ram_usage", Kind: fleet.AnomalyChange, Value: 38.9, Low: 39.13, High: 70.67}, 0,
			"Memory in use is 38.9 % and does not change as it usually does; 39.1 to 70.7 % was expected"},
		{fleet.AnomalySensor{Metric: "hardware.ram_usage", Kind: fleet.AnomalyChange, Value: 30.1, Low: 29.57, High: 56}, 0,
			"Memory in use is 30.1 % and does not change as it usually does, although 29.6 to 56 % is usual at this hour"},
	} {
		if got := text(&tt.sensor, tt.among); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestNobodyExpectsWhatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		metric    string
		low, high float64
		want      string
	}{
		{"hardware.cpu_usage", -17, 59, "0 59"},
		{"hardware.disk_usage", 80, 104, "80 100"},
		{"network.latency", -5, 300, "0 300"},
		{"network.signal_strength", -90, -60, "-90 -60"},
		{"environmental.temperature", -5, 3, "-5 3"},
		{"custom.shelf", -1, 1, "-1 1"},
		{"hardware.cpu_usage", 0, 0, "0 0"},
	} {
		low, high := possible(tt.metric, tt.low, tt.high)
		if got := fmt.Sprint(low, high); got != tt.want {
			t.Errorf("%s: %v to %v becomes %s, want %s", tt.metric, tt.low, tt.high, got, tt.want)
		}
	}
	band := possibleBand("hardware.cpu_usage", []fleet.AnomalyBand{{Hour: 3, Low: -2, High: 101}})
	if got := fmt.Sprint(band); got != "[{3 0 100}]" {
		t.Errorf("the band is %s", got)
	}
}

func TestAStrayFirstValueCostsNoDigits(t *testing.T) {
	for name, first := range map[string]float64{"all bits set": math.MaxUint32, "garbage": -1e300} {
		cfg := Default()
		k := New(&cfg, nil)
		k.Step(begin, []fleet.Value{{Metric: "a", Value: first}}, nil)
		for i := range 100 {
			x := 50 + math.Sin(float64(i))
			k.Step(begin.Add(time.Duration(i+1)*time.Minute), []fleet.Value{{Metric: "a", Value: x}}, nil)
			if s := &k.sensors[0]; math.Abs(s.origin+float64(s.v)-x) > 1e-3 || math.Abs(float64(s.move[now])) > 5 {
				t.Fatalf("%s, reading %d: %g is kept as %g + %g, its movement as %g", name, i, x, s.origin, s.v, s.move[now])
			}
		}
	}
}
