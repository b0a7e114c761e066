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
	// Dropped lists readings that the kiosk's outbox gave up; see protocol.Reading.
	Dropped []protocol.SeqRange
	// Source is where in the journal the reading stands.
	Source Source
}

// Source is a place in the journal: the number of a record, and the item in it for a record that holds
// several. Places grow in the order in which things arrived; the zero Source is before all of them.
type Source struct {
	Record uint64 `json:"record"`
	Item   int    `json:"item,omitempty"`
}

// After reports whether s is a later place than t.
func (s Source) After(t Source) bool {
	return s.Record > t.Record || s.Record == t.Record && s.Item > t.Item
}

// OnlyReports reports whether the reading carries no sample, only word of readings that were dropped.
func (r *Reading) OnlyReports() bool {
	return len(r.Dropped) > 0 && len(r.Values) == 0 && len(r.Texts) == 0
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
