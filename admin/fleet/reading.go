package fleet

import (
	"time"

	"kioskfleet/internal/protocol"
)

// Value is one numeric metric of a reading; booleans count as 0 and 1.
type Value struct {
	Metric string // group.field
	Value  float64
}

// Text is one textual metric of a reading, such as a peripheral's state.
type Text struct {
	Metric string
	Text   string
}

// Reading is one telemetry sample of a kiosk, decoded and checked.
type Reading struct {
	Serial        string
	Site          string    // the kiosk's site when the reading was received
	Time          time.Time // by the kiosk's clock, UTC, whole milliseconds
	ReceivedAt    time.Time // by ours, UTC
	Seq           uint64
	Session       string
	Status        protocol.State
	ConfigVersion int64
	Values        []Value // sorted by metric
	Texts         []Text  // sorted by metric
}

// Value returns the numeric metric of that name.
func (r *Reading) Value(metric string) (float64, bool) {
	for _, v := range r.Values {
		if v.Metric == metric {
			return v.Value, true
		}
	}
	return 0, false
}

// Text returns the textual metric of that name.
func (r *Reading) Text(metric string) (string, bool) {
	for _, t := range r.Texts {
		if t.Metric == metric {
			return t.Text, true
		}
	}
	return "", false
}
