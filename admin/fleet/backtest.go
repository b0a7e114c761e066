package fleet

import "time"

// BacktestRequest asks when a rule would have fired.
type BacktestRequest struct {
	Rule     Rule
	From, To time.Time
	Serials  []string // empty: all in the rule's scope
}

// BacktestResult is what a rule would have done. The same history gives the same result, to the byte.
type BacktestResult struct {
	From, To time.Time
	// Source is journal, when every message of the time is still there as it came, or series: then readings
	// count as received when they were taken.
	Source      string
	Approximate []string // why live could have been different, in words; empty: it could not
	Kiosks      int
	Readings    int
	Alerts      []Alert // by OpenedAt, then serial
	Truncated   bool    // there were more
	// FiringSeconds is the time that alerts stood, added up.
	FiringSeconds float64
}
