package rule

import (
	"time"

	"kioskfleet/admin/fleet"
)

// View is what a rule sees of a kiosk at one instant. Kiosk is nil in the view of the platform itself.
type View struct {
	Now     time.Time
	Kiosk   *fleet.Kiosk
	Live    *fleet.Live    // presence, verdict, version; nil only in the platform's view
	Reading *fleet.Reading // the newest that counts as live; nil: none yet
	// Derived gives what is computed and not reported, such as location.distance; nil: nothing is.
	Derived Derived
	// Rates gives how fast metrics change; nil: nothing is known.
	Rates Rates
}

// Derived gives computed values of one kiosk by the name that rules use; false says that there is none.
type Derived interface {
	Value(name string) (float64, bool)
}

// DerivedTexts is a Derived that has computed texts as well.
type DerivedTexts interface {
	Derived
	Text(name string) (string, bool)
}

// Rates gives by how much a metric changed an hour, over the last window; false while too little is known.
type Rates interface {
	Rate(metric string, window time.Duration) (perHour float64, ok bool)
}

// Truth is the answer of a condition. Unknown says that a value it needs is missing: it opens nothing and
// closes nothing.
type Truth int

// The truths.
const (
	Unknown Truth = iota
	False
	True
)
