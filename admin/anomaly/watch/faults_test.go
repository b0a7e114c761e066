package watch

import (
	"slices"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/kiosk/fault"
)

const (
	pace      = 30 * time.Second // between the readings of these kiosks
	schooling = 8                // days that they have lived
	school    = 3                // seed of their fleet
)

// schooled are states of kiosks that have lived for some days, by number.
var schooled [5]func() []byte

func init() {
	for n := range schooled {
		schooled[n] = sync.OnceValue(func() []byte {
			cfg := Default()
			k := New(&cfg, nil)
			lived(k, n, begin, graduation)
			state, err := k.AppendBinary(nil)
			if err != nil {
				panic(err)
			}
			return state
		})
	}
}

// graduation is where those days end: a midnight.
var graduation = begin.AddDate(0, 0, schooling)

// graduate returns kiosk n at its graduation.
func graduate(tb testing.TB, n int) *Kiosk {
	tb.Helper()
	cfg := Default()
	k := New(&cfg, nil)
	if err := k.UnmarshalBinary(schooled[n]()); err != nil {
		tb.Fatal(err)
	}
	return k
}

// found is an anomaly that fired.
type found struct {
	at      time.Time
	sensors []fleet.AnomalySensor
}

// lived lets a kiosk live with faults and returns what fired.
func lived(k *Kiosk, n int, from, to time.Time, faults ...fault.Fault) []found {
	var out []found
	run(simulated(school, n, faults...), from, to, pace, func(at time.Time, v []fleet.Value) {
		if f := k.Step(at, v, nil); f.Fired {
			out = append(out, found{at, k.Explain()})
		}
	})
	return out
}

// names lists all metrics that an anomaly names.
func (f *found) names() []string {
	var out []string
	for _, s := range f.sensors {
		out = append(append(out, s.Metric), s.With...)
	}
	return out
}

// noon is when faults begin: they last three hours.
var noon = graduation.Add(12 * time.Hour)

func TestFaultsAreFound(t *testing.T) {
	for _, tt := range []struct {
		kind   fault.Kind
		metric string
		names  []string // that the first anomaly names
		within time.Duration
		least  int // of the kiosks
	}{
		{fault.FanFailure, "", []string{"hardware.cpu_temp", "hardware.cpu_usage"}, 30 * time.Minute, 5},
		{fault.CorrelationBreak, "hardware.cpu_temp", []string{"hardware.cpu_temp"}, 3 * time.Hour, 4},
		{fault.CorrelationBreak, "hardware.cpu_usage", []string{"hardware.cpu_usage"}, 3 * time.Hour, 4},
		// What it shows is a night's, when there is little load to follow.
		{fault.CorrelationBreak, "hardware.ram_usage", []string{"hardware.ram_usage"}, 3 * time.Hour, 2},
		{fault.Drift, "hardware.cpu_temp", []string{"hardware.cpu_temp"}, 2 * time.Hour, 4},
		{fault.StuckSensor, "hardware.cpu_temp", []string{"hardware.cpu_temp"}, time.Hour, 4},
		{fault.NoiseBurst, "environmental.temperature", []string{"environmental.temperature"}, 5 * time.Minute, 4},
		{fault.Overheating, "", []string{"hardware.cpu_temp"}, 5 * time.Minute, 5},
		{fault.MemoryLeak, "", []string{"hardware.ram_usage"}, time.Hour, 4},
	} {
		t.Run(string(tt.kind)+" "+tt.metric, func(t *testing.T) {
			hits := 0
			for n := range schooled {
				params := map[string]string{}
				if tt.metric != "" {
					params["metric"] = tt.metric
				}
				k := graduate(t, n)
				lived(k, n, graduation, noon)
				all := lived(k, n, noon, noon.Add(tt.within), planned(tt.kind, noon, noon.Add(3*time.Hour), params))
				hit := slices.ContainsFunc(all, func(f found) bool {
					names := f.names()
					return !slices.ContainsFunc(tt.names, func(name string) bool { return !slices.Contains(names, name) })
				})
				if hit {
					hits++
				}
				for _, f := range all {
					t.Logf("kiosk %d after %s: %s", n, f.at.Sub(noon), f.sensors[0].Text)
				}
			}
			if hits < tt.least {
				t.Errorf("%d of %d kiosks, want %d", hits, len(schooled), tt.least)
			}
		})
	}
}

func TestAFaultIsNotLearntAway(t *testing.T) {
	open := 0
	for n := range schooled {
		k := graduate(t, n)
		end := noon.Add(3 * time.Hour)
		lived(k, n, graduation, end, planned(fault.FanFailure, noon, end, nil))
		if k.Open() {
			open++
		}
	}
	if open < 4 {
		t.Errorf("at the end of the fault the anomaly of %d of %d kiosks is still open, want 4", open, len(schooled))
	}
}
