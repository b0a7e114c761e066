package truth

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kioskfleet/kiosk/fault"
)

// Interval is a fault of one kiosk, in [From, To) of its time. A zero From says that the log does not
// reach back to its start, a zero To that it has not ended.
type Interval struct {
	Serial   string
	Fault    fault.Kind
	ID       string
	Params   fault.Params
	From, To time.Time
}

// Contains reports whether the fault was there at t.
func (i Interval) Contains(t time.Time) bool {
	return !t.Before(i.From) && (i.To.IsZero() || t.Before(i.To))
}

// Intervals folds the starts and ends of faults. A fault that starts again with the time of its start has
// gone on: the spawner was started anew meanwhile, and has told the end of the fault if it was stopped.
//
// The result is sorted by serial, kind and begin.
func Intervals(events []Event) []Interval {
	type key struct{ serial, id string }
	var out []Interval
	open, latest := map[key]int{}, map[key]int{} // index in out
	for _, e := range events {
		k := key{e.Serial, e.ID}
		i, isOpen := open[k]
		before, known := latest[k]
		switch {
		case e.Event == FaultStart && !isOpen && known && out[before].From.Equal(e.Time):
			open[k] = before
			out[before].To = time.Time{}
		case e.Event == FaultStart && !isOpen:
			latest[k] = len(out)
			open[k] = len(out)
			out = append(out, Interval{Serial: e.Serial, Fault: e.Fault, ID: e.ID, Params: e.Params, From: e.Time})
		case e.Event == FaultEnd && isOpen:
			out[i].To = e.Time
			delete(open, k)
		case e.Event == FaultEnd:
			out = append(out, Interval{Serial: e.Serial, Fault: e.Fault, ID: e.ID, Params: e.Params, To: e.Time})
		}
	}
	slices.SortStableFunc(out, func(a, b Interval) int {
		return cmp.Or(strings.Compare(a.Serial, b.Serial), strings.Compare(string(a.Fault), string(b.Fault)), a.From.Compare(b.From))
	})
	return out
}
