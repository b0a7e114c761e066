package history

import (
	"fmt"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

// Names of how often faults come by chance.
const (
	NoFaults       = "none" // but wear, which is part of every device
	OrdinaryFaults = "ordinary"
	ChaoticFaults  = "chaotic"
)

// ordinary is a fleet in which each kiosk has a fault every day or two, many of them in its sensors and its
// network, which people on site would not notice.
var ordinary = fault.Rates{
	fault.Overheating: 0.02, fault.FanFailure: 0.02, fault.PaperJam: 0.1, fault.OutOfPaper: 0.05,
	fault.CashFull: 0.03, fault.ReaderDead: 0.03, fault.StuckSensor: 0.03, fault.Drift: 0.03,
	fault.NoiseBurst: 0.03, fault.CorrelationBreak: 0.02, fault.MemoryLeak: 0.02, fault.DiskFilling: 0.01,
	fault.RebootLoop: 0.005, fault.Crash: 0.05, fault.Flapping: 0.03, fault.SlowNetwork: 0.05,
	fault.SiteOutage: 0.03, fault.Relocation: 0.002, fault.GPSJitter: 0.02, fault.ClockSkew: 0.01,
	fault.MalformedPayload: 0.002, fault.SerialMismatch: 0.001,
}

// chaos is how many times as often faults come in a chaotic fleet.
const chaos = 10

// Rates returns the rates of a name.
//
// Errors: an unknown name.
func Rates(name string) (fault.Rates, error) {
	switch name {
	case NoFaults:
		return nil, nil
	case OrdinaryFaults, ChaoticFaults:
	default:
		return nil, fmt.Errorf("--faults: %q is none of %s, %s and %s", name, NoFaults, OrdinaryFaults, ChaoticFaults)
	}
	factor := 1.0
	if name == ChaoticFaults {
		factor = chaos
	}
	out := fault.Rates{}
	for kind, perDay := range ordinary {
		out[kind] = perDay * factor
	}
	return out, nil
}

// Chance is a fate of nothing but faults that come by chance.
func Chance(seed uint64, rates fault.Rates) func(roster.Kiosk) (*fault.Plan, []device.Condition) {
	return func(k roster.Kiosk) (*fault.Plan, []device.Condition) {
		return fault.NewPlan(seed, k.Serial, k.Site, nil, rates), nil
	}
}
