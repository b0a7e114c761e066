package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
)

// begin is a Monday, midnight in Madrid.
var begin = time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC)

var madrid = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		panic(err)
	}
	return zone
}()

// simulation returns kiosk n of a fleet of one seed.
func simulation(seed uint64, n int) device.Simulation {
	return device.Simulation{
		Seed: seed, Serial: fmt.Sprintf("SIM-KIOSK-%03d", n), Site: "Madrid Atocha",
		Position: device.Position{Lat: 40.4, Lng: -3.7}, Timezone: madrid,
	}
}

// simulated returns kiosk n of a fleet of one seed, with faults.
func simulated(seed uint64, n int, faults ...fault.Fault) *device.Simulated {
	sim := simulation(seed, n)
	sim.Faults = fault.NewPlan(seed, sim.Serial, sim.Site, faults, nil)
	return device.NewSimulated(sim)
}

// planned returns a fault with its usual parameters, apart from those given.
func planned(kind fault.Kind, from, to time.Time, params map[string]string) fault.Fault {
	complete, err := fault.Complete(kind, params)
	if err != nil {
		panic(err)
	}
	return fault.Fault{Kind: kind, Params: complete, From: from, To: to}
}

// gauges appends a sample's numbers that are watched, by metric.
func gauges(dst []fleet.Value, s device.Sample) []fleet.Value {
	dst = dst[:0]
	for _, g := range []struct {
		name  string
		group protocol.Group
	}{{"environmental", s.Environmental}, {"hardware", s.Hardware}, {"network", s.Network}, {"custom", s.Custom}} {
		for name, v := range g.group {
			metric := g.name + "." + name
			if x, ok := v.(float64); ok && !protocol.IsSupply(metric) {
				dst = append(dst, fleet.Value{Metric: metric, Value: x})
			}
		}
	}
	slices.SortFunc(dst, func(a, b fleet.Value) int { return strings.Compare(a.Metric, b.Metric) })
	return dst
}

// run gives a kiosk's readings of [from, to) to look.
func run(d *device.Simulated, from, to time.Time, step time.Duration, look func(time.Time, []fleet.Value)) {
	var values []fleet.Value
	for at := from; at.Before(to); at = at.Add(step) {
		values = gauges(values, d.Sample(at, true))
		look(at.In(madrid), values)
	}
}
