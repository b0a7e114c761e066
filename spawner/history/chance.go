package history

import (
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

// Chance is a fate of nothing but faults that come by chance.
func Chance(seed uint64, rates fault.Rates) func(roster.Kiosk) (*fault.Plan, []device.Condition) {
	return func(k roster.Kiosk) (*fault.Plan, []device.Condition) {
		return fault.NewPlan(seed, k.Serial, k.Site, nil, rates), nil
	}
}
