package fleet

import "time"

// Forecast says when something runs out or fills up.
type Forecast struct {
	Serial  string
	Site    string
	Metric  string
	Level   float64 // now, in %
	Limit   float64 // where it ends: 0 or 100
	PerHour float64 // of late, in % an hour, negative when it goes down
	// Hours until Limit is reached: the median, and an interval that holds the truth in 80 of 100 cases. Infinite
	// when it does not get there.
	Hours    float64
	Earliest float64
	Latest   float64
	At       time.Time // when it was made
}

// VisitItem is one thing to bring to a kiosk.
type VisitItem struct {
	Serial string
	Metric string
	Need   string // paper, ink, cash, disk
	Level  float64
	Due    time.Time // when it runs out, earliest
	Text   string    // what to bring, or to do
}

// Visit is what to bring to a site, most urgent first.
type Visit struct {
	Site  string
	Due   time.Time // of the most urgent item
	Items []VisitItem
}

// DerivedState is what is kept of a kiosk's derived values over a restart: with the place in the journal up to which
// it was brought, so that nothing before it is worked on twice.
type DerivedState struct {
	Serial string
	Source Source
	Data   []byte
}
