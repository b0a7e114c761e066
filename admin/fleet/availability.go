package fleet

import "time"

// Availability says for how long a kiosk, or the kiosks of a site or of the fleet, could serve in [From, To).
type Availability struct {
	Scope string // kiosk, site or fleet
	Name  string // serial or site
	From  time.Time
	To    time.Time
	// Seconds that kiosks spent in each verdict, added up over kiosks. Maintenance is apart from them: time in
	// which they could not serve because people worked on them as planned.
	Seconds     map[Verdict]float64
	Maintenance float64
	Kiosks      int
}

// Share returns the part of the time in which customers could be served, degraded or not, out of the time
// without maintenance, and false when there is none.
//
// Units: 0..1.
func (a *Availability) Share() (float64, bool) {
	var all float64
	for _, s := range a.Seconds {
		all += s
	}
	if all <= 0 {
		return 0, false
	}
	return (a.Seconds[VerdictCanServe] + a.Seconds[VerdictDegraded]) / all, true
}

// AvailabilityQuery asks for the availability of one kiosk, of the kiosks of one site, or of the fleet.
type AvailabilityQuery struct {
	Scope  string // kiosk, site or fleet
	Name   string // serial or site; empty with kiosk or site: a row for each
	From   time.Time
	To     time.Time
	Period string         // day, week or month: a row for each; empty: one for all
	Zone   *time.Location // of days, weeks and months; nil: UTC
}

// AvailabilityWeek is the packed record of how long a kiosk, while it was at a site, spent in each verdict in one
// week.
type AvailabilityWeek struct {
	Week         int64 // of seven days since 1970-01-01 in UTC
	Serial, Site string
	Data         []byte
}

// AvailabilityState is what a kiosk's time counts as since when, until it changes.
type AvailabilityState struct {
	Serial, Site string
	Kind         string // a verdict or maintenance
	Since        time.Time
	// Doubt is from when on it is not known whether that is still so, as the platform was down; zero: no doubt.
	Doubt time.Time
}

// AvailabilityChange is what is to be kept of availability; all of it or nothing.
type AvailabilityChange struct {
	Weeks  []AvailabilityWeek // in the place of those that were there
	Ended  []string           // kiosks that count no more
	States []AvailabilityState
	Alive  time.Time // up to then everything is known; zero: no news
}
