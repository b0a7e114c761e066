package life

import (
	"slices"
	"sync"
	"time"

	"kioskfleet/kiosk/truth"
)

// record tells the truth about one kiosk: in UTC, and so that each start of a fault has one end. A log
// that is continued by the next run could not tell a fault that has ended meanwhile from one that goes on.
type record struct {
	serial string
	tell   func(truth.Event) // nil: nobody is told

	mu   sync.Mutex // guards the rest; held while telling, so that the order is one
	on   []truth.Event
	over bool
}

// event tells one.
func (r *record) event(e truth.Event) {
	if r.tell == nil {
		return
	}
	e.Serial, e.Time = r.serial, e.Time.UTC()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.on, func(f truth.Event) bool { return f.ID == e.ID })
	switch {
	case r.over:
		return
	case e.Event == truth.FaultStart:
		r.on = append(r.on, e)
	case e.Event == truth.FaultEnd && i >= 0:
		if r.on = slices.Delete(r.on, i, i+1); len(r.on) == 0 {
			r.on = nil
		}
	}
	r.tell(e)
}

// close ends the faults that are on. What comes later is not told.
func (r *record) close(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for _, e := range r.on {
		e.Event, e.Time = truth.FaultEnd, now.UTC()
		r.tell(e)
	}
	r.on = nil
}
