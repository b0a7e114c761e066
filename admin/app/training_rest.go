package app

import (
	"context"
	"time"

	"kioskfleet/admin/alert/backtest"
	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// statesAtOnce is how many changes of a kiosk's state are read at once.
const statesAtOnce = 500

// states is what a kiosk said of itself over some time, from one change in the log to the next.
type states struct {
	now     protocol.State
	changes []fleet.Event // that are still to come, oldest first
}

// statesOf reads the log of changes.
func statesOf(ctx context.Context, log backtest.Events, serial string, from, to time.Time) (*states, error) {
	s := &states{now: protocol.StateOnline}
	last, err := log.EventBefore(ctx, serial, fleet.EventStatus, "", from)
	if err != nil {
		return nil, err
	}
	if last != nil {
		s.now = protocol.State(last.To)
	}
	for {
		page, err := log.EventsBetween(ctx, serial, fleet.EventStatus, from, to, statesAtOnce)
		if err != nil {
			return nil, err
		}
		s.changes = append(s.changes, page...)
		if len(page) < statesAtOnce {
			return s, nil
		}
		from = page[len(page)-1].At.Add(time.Millisecond)
	}
}

// rests reports whether the kiosk was blocked or being worked on at a time; times must not go back.
func (s *states) rests(at time.Time) bool {
	for len(s.changes) > 0 && !s.changes[0].At.After(at) {
		s.now, s.changes = protocol.State(s.changes[0].To), s.changes[1:]
	}
	return anomaly.Rests(s.now)
}
