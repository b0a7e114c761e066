package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/device"
	"kioskfleet/spawner/roster"
)

const (
	// simulatedSeed makes each run store the same values.
	simulatedSeed = 7
	// samplers is how many goroutines ask devices at a time.
	samplers = 4
)

// devices are simulated kiosks without their agents and connections.
type devices struct {
	kiosks  []roster.Kiosk
	devices []*device.Simulated
}

// newDevices returns kiosks 1 to n of the spawner's fleet.
func newDevices(n int) *devices {
	d := &devices{kiosks: roster.Plan(nil, "SIM-KIOSK-", n), devices: make([]*device.Simulated, n)}
	for i, k := range d.kiosks {
		sim := device.Simulation{Serial: k.Serial, Site: k.Site, Seed: simulatedSeed}
		if k.RealLocation != nil {
			sim.Position = *k.RealLocation
		}
		if zone, err := time.LoadLocation(k.Timezone); err == nil {
			sim.Timezone = zone
		}
		d.devices[i] = device.NewSimulated(sim)
	}
	return d
}

// sample asks the first n kiosks at an instant, several at a time.
func (d *devices) sample(at time.Time, n int, found func(i int, s device.Sample)) {
	var wg sync.WaitGroup
	for part := range samplers {
		wg.Go(func() {
			for i := part; i < n; i += samplers {
				found(i, d.devices[i].Sample(at, true))
			}
		})
	}
	wg.Wait()
}

// readings returns what each kiosk reports at an instant, as ingest hands it to the store.
func (d *devices) readings(at time.Time) []fleet.Reading {
	out := make([]fleet.Reading, len(d.devices))
	d.sample(at, len(out), func(i int, s device.Sample) {
		out[i] = fleet.Reading{Serial: d.kiosks[i].Serial, Site: d.kiosks[i].Site, Time: at, ReceivedAt: at, Status: protocol.StateOnline}
		out[i].Values, out[i].Texts = measured(s)
	})
	return out
}

// measured lists the metrics of a sample, sorted as those of a reading are.
func measured(s device.Sample) ([]fleet.Value, []fleet.Text) {
	values, texts := make([]fleet.Value, 0, 16), make([]fleet.Text, 0, 4)
	for name, group := range map[string]protocol.Group{
		"environmental": s.Environmental, "hardware": s.Hardware, "peripherals": s.Peripherals, "location": s.Location, "network": s.Network, "custom": s.Custom,
	} {
		for field, value := range group {
			switch v := value.(type) {
			case float64:
				values = append(values, fleet.Value{Metric: name + "." + field, Value: v})
			case string:
				texts = append(texts, fleet.Text{Metric: name + "." + field, Text: v})
			}
		}
	}
	slices.SortFunc(values, func(a, b fleet.Value) int { return strings.Compare(a.Metric, b.Metric) })
	slices.SortFunc(texts, func(a, b fleet.Text) int { return strings.Compare(a.Metric, b.Metric) })
	return values, texts
}
