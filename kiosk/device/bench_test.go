package device

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"kioskfleet/kiosk/fault"
)

func BenchmarkSample(b *testing.B) {
	for _, bench := range []struct {
		name  string
		kinds []fault.Kind
	}{
		{"healthy", nil},
		{"faults", []fault.Kind{fault.Overheating, fault.Drift, fault.GPSJitter, fault.StuckSensor}},
		{"ghost", []fault.Kind{fault.CorrelationBreak}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s, at := NewSimulated(simulation(1, start, time.Time{}, bench.kinds...)), start
			b.ReportAllocs()
			for b.Loop() {
				at = at.Add(5 * time.Second)
				s.Sample(at, true)
			}
		})
	}
}

// BenchmarkFirstSample is a new device with what it lives through since its last service.
func BenchmarkFirstSample(b *testing.B) {
	rates := fault.Rates{}
	for _, spec := range fault.Specs() {
		rates[spec.Kind] = 0.1
	}
	for _, bench := range []struct {
		name  string
		rates fault.Rates
	}{{"healthy", nil}, {"faults", rates}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				sim := simulation(n, start, start)
				sim.Faults = fault.NewPlan(1, sim.Serial, sim.Site, nil, bench.rates)
				NewSimulated(sim).Sample(start, true)
			}
		})
	}
}

// BenchmarkMemory prints what a kiosk keeps while it lives.
func BenchmarkMemory(b *testing.B) {
	const kiosks = 2000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		all := make([]*Simulated, kiosks)
		for n := range all {
			all[n] = kiosk(n)
			for i := range 5 {
				all[n].Sample(start.Add(time.Duration(i)*time.Hour), true)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/kiosks, "B/kiosk")
		runtime.KeepAlive(all)
	}
}

// simulation is one kiosk of a fleet, with one fault of each kind in [from, to), which a zero to leaves
// open.
func simulation(n int, from, to time.Time, kinds ...fault.Kind) Simulation {
	sim := Simulation{
		Serial:   fmt.Sprintf("SIM-KIOSK-%03d", n),
		Site:     []string{"Lisbon LIS", "Madrid Atocha", "Buenos Aires EZE", "Sevilla Santa Justa"}[n%4],
		Position: Position{Lat: -34.6037, Lng: -58.3816},
		Timezone: madrid,
	}
	var faults []fault.Fault
	for _, kind := range kinds {
		params, err := fault.Complete(kind, nil)
		if err != nil {
			panic(err)
		}
		faults = append(faults, fault.Fault{Kind: kind, Params: params, From: from, To: to})
	}
	sim.Faults = fault.NewPlan(1, sim.Serial, sim.Site, faults, nil)
	return sim
}

var madrid = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		panic(err)
	}
	return zone
}()
