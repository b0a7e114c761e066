// Package device is what a kiosk senses: the Device interface that an agent reports from, and a
// simulated device whose values are smooth, plausible and repeatable.
package device

import (
	"time"

	"kioskfleet/internal/protocol"
)

// Sample is one set of measurements; names and units of its fields are in protocol.Metrics. The
// caller owns the groups.
type Sample struct {
	Environmental protocol.Group
	Hardware      protocol.Group
	Peripherals   protocol.Group
	Location      protocol.Group
	Network       protocol.Group
	Custom        protocol.Group
}

// Device is the machine below an agent. Its methods are called by one goroutine at a time.
type Device interface {
	// Capabilities lists the peripherals the kiosk has, such as protocol.CapabilityPrinter.
	Capabilities() []string
	// Sample measures at now. Serving says whether customers may use the kiosk: a blocked kiosk
	// goes on measuring, but nobody prints or pays.
	Sample(now time.Time, serving bool) Sample
	// Restart tells the device that the machine was restarted at now.
	Restart(now time.Time)
}

// Position is a place on Earth, WGS 84, in degrees.
type Position struct {
	Lat float64 `json:"lat"`
	Lng float64 `json:"lng"`
}
