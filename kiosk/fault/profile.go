package fault

import (
	"fmt"
	"strings"
)

// Ordinary returns what a healthy fleet has: most kiosks see a handful of faults in a year. What wears and
// runs out by use, such as paper, is not among them: that comes from the device itself.
func Ordinary() Rates {
	perYear := Rates{
		Overheating: 0.6, FanFailure: 0.5, StuckSensor: 0.5, Drift: 0.4, NoiseBurst: 1, CorrelationBreak: 0.2,
		MemoryLeak: 1.5, DiskFilling: 0.8, RebootLoop: 0.3, Crash: 6, Flapping: 3, SlowNetwork: 8, SiteOutage: 4,
		Relocation: 0.1, GPSJitter: 1.5, ClockSkew: 0.4, BadFirmware: 0.1, CommandIgnored: 0.1, MalformedPayload: 0.1,
		SerialMismatch: 0.02,
	}
	for kind := range perYear {
		perYear[kind] /= 365
	}
	return perYear
}

// Chaotic returns what a busy test fleet has: each kind several times a week.
func Chaotic() Rates {
	rates := Rates{}
	for _, s := range specs {
		rates[s.Kind] = 4.0 / 7
	}
	return rates
}

// The names of profiles.
const (
	ProfileNone     = "none"
	ProfileOrdinary = "ordinary"
	ProfileChaotic  = "chaotic"
)

// Profiles lists the names that Profile knows.
func Profiles() []string { return []string{ProfileNone, ProfileOrdinary, ProfileChaotic} }

// Profile returns the rates of that name; the caller may change them.
//
// Errors: an unknown name, with the known ones.
func Profile(name string) (Rates, error) {
	switch name {
	case ProfileNone:
		return Rates{}, nil
	case ProfileOrdinary:
		return Ordinary(), nil
	case ProfileChaotic:
		return Chaotic(), nil
	}
	return nil, fmt.Errorf("unknown profile of faults %q: known are %s", name, strings.Join(Profiles(), ", "))
}
