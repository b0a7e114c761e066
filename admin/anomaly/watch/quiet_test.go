package watch

import (
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
)

// Ordinary weeks have customers, refills, jams, a weekly service, nightly jobs and slow networks. In few weeks of few
// kiosks chance is large.
func TestOrdinaryWeeksKeepTheBudget(t *testing.T) {
	const kiosks, weeks = 4, 3
	cfg := Default()
	anomalies := 0
	for n := range kiosks {
		k := New(&cfg, nil)
		known := begin.AddDate(0, 0, 7)
		run(simulated(71, n), begin, known.AddDate(0, 0, 7*weeks), time.Minute, func(at time.Time, v []fleet.Value) {
			if f := k.Step(at, v, nil); f.Fired && at.After(known) {
				anomalies++
				t.Logf("kiosk %d %s: %s", n, at.Format(time.DateTime), k.Explain()[0].Text)
			}
		})
	}
	allowed := cfg.Budget * kiosks * weeks
	t.Logf("%d anomalies in %d weeks of %d kiosks, the budget allows %.0f", anomalies, weeks, kiosks, allowed)
	if float64(anomalies) > 2.5*allowed {
		t.Errorf("%d anomalies, the budget allows %.0f", anomalies, allowed)
	}
}

// crowded returns kiosk n with many times the customers in a while.
func crowded(n int, from, to time.Time, times float64) *device.Simulated {
	sim := simulation(school, n)
	sim.Conditions = []device.Condition{{From: from, To: to, Demand: times}}
	return device.NewSimulated(sim)
}

func TestManyCustomersAreNoAnomaly(t *testing.T) {
	fired := 0
	for n := range schooled {
		k := graduate(t, n)
		run(crowded(n, noon, noon.Add(3*time.Hour), 3), graduation, noon.Add(4*time.Hour), pace, func(at time.Time, v []fleet.Value) {
			if f := k.Step(at, v, nil); f.Fired && at.After(noon) {
				fired++
				t.Logf("kiosk %d after %s: %s", n, at.Sub(noon), k.Explain()[0].Text)
			}
		})
	}
	if fired > 1 {
		t.Errorf("%d of %d kiosks have an anomaly", fired, len(schooled))
	}
}

func TestGapsAreNoAnomaly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		length  time.Duration
		serving bool
		restart bool
	}{
		{"a restart", 2 * time.Minute, true, true},
		{"an outage", 15 * time.Minute, true, false},
		{"maintenance", 2 * time.Hour, false, true},
		{"a night without power", 11 * time.Hour, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fired := 0
			for n := range schooled {
				k, d := graduate(t, n), simulated(school, n)
				step := func(at time.Time, v []fleet.Value) {
					if f := k.Step(at, v, nil); f.Fired && at.After(noon) {
						fired++
						t.Logf("kiosk %d after %s: %s", n, at.Sub(noon), k.Explain()[0].Text)
					}
				}
				run(d, graduation, noon, pace, step)
				d.Sample(noon, tt.serving)
				if back := noon.Add(tt.length); tt.restart {
					d.Sample(back, tt.serving)
					d.Restart(back)
				}
				run(d, noon.Add(tt.length), noon.Add(tt.length+2*time.Hour), pace, step)
			}
			if fired > 1 {
				t.Errorf("%d anomalies of %d kiosks", fired, len(schooled))
			}
		})
	}
}

func TestANewKioskIsGuardedByThePrior(t *testing.T) {
	prior := new(Prior)
	for n := range schooled {
		prior.Add(graduate(t, n))
	}
	prior = throughJSON(t, prior)
	cfg := Default()
	found, early := 0, 0
	for n := 20; n < 25; n++ {
		k := New(&cfg, prior)
		if k.Learning() {
			t.Fatal("a kiosk with a prior is still learning")
		}
		start := noon.Add(-30 * time.Minute)
		for _, f := range lived(k, n, start, noon) {
			early++
			t.Logf("kiosk %d before: %s: %s", n, noon.Sub(f.at), f.sensors[0].Text)
		}
		all := lived(k, n, noon, noon.Add(30*time.Minute), planned(fault.FanFailure, noon, noon.Add(3*time.Hour), nil))
		for _, f := range all {
			t.Logf("kiosk %d after %s: %s", n, f.at.Sub(noon), f.sensors[0].Text)
			if names := f.names(); contains(names, "hardware.cpu_temp") && contains(names, "hardware.cpu_usage") {
				found++
				break
			}
		}
	}
	if found < 4 || early > 1 {
		t.Errorf("%d of 5 new kiosks found the fault in their first hour, and there were %d anomalies before", found, early)
	}
}

// Once a week somebody looks after each kiosk, and its memory is freed at once. A fleet that has seen that does not tell it
// of each new kiosk.
func TestWhatComesToAllOnceAWeekIsNothingNewToANewKiosk(t *testing.T) {
	const kiosks = 4
	cfg := Default()
	prior := new(Prior)
	for n := range kiosks {
		k := New(&cfg, nil)
		run(simulated(50, n), begin, begin.AddDate(0, 0, 14), time.Minute, func(at time.Time, v []fleet.Value) { k.Step(at, v, nil) })
		prior.Add(k)
	}
	prior = throughJSON(t, prior)
	for n := range kiosks {
		k := New(&cfg, prior)
		run(simulated(71, n), begin, begin.AddDate(0, 0, 7), time.Minute, func(at time.Time, v []fleet.Value) {
			if k.Step(at, v, nil).Fired {
				if s := k.Explain()[0]; s.Metric == "hardware.ram_usage" && s.Kind == fleet.AnomalyChange {
					t.Errorf("kiosk %d %s: %s", n, at.Format(time.DateTime), s.Text)
				}
			}
		})
	}
}
