package app

import (
	"context"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// statusLog is a log of one kiosk's changes of state, a second apart.
type statusLog []fleet.Event

func (l statusLog) EventsBetween(_ context.Context, _ string, _ fleet.EventKind, from, to time.Time, limit int) (out []fleet.Event, _ error) {
	for _, e := range l {
		if !e.At.Before(from) && e.At.Before(to) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (l statusLog) EventBefore(_ context.Context, _ string, _ fleet.EventKind, _ string, at time.Time) (found *fleet.Event, _ error) {
	for i := range l {
		if l[i].At.Before(at) {
			found = &l[i]
		}
	}
	return found, nil
}

func (l statusLog) EventFrom(context.Context, string, fleet.EventKind, string, time.Time) (*fleet.Event, error) {
	return nil, nil
}

func TestTrainingLeavesOutWhatRestingKiosksReport(t *testing.T) {
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	var busy statusLog // more than is read at once
	for i := range 2*statesAtOnce + 7 {
		to := protocol.StateMaintenance
		if i%2 == 1 {
			to = protocol.StateOnline
		}
		busy = append(busy, fleet.Event{At: at(i), To: string(to)})
	}
	some := statusLog{{At: at(-5), To: "blocked"}, {At: at(10), To: "online"}, {At: at(20), To: "updating"}}
	for _, test := range []struct {
		name string
		log  statusLog
		at   []int
		want []bool
	}{
		{"never changed", nil, []int{0, 100}, []bool{false, false}},
		{"before and between", some, []int{0, 9, 10, 19, 20, 100}, []bool{true, true, false, false, true, true}},
		{"many changes", busy, []int{0, 1, 2, 499, 500, 501, 1005, 1006, 2000}, []bool{true, false, true, false, true, false, false, true, true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := statesOf(t.Context(), test.log, "K-1", start, start.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			for i, second := range test.at {
				if got := s.rests(at(second)); got != test.want[i] {
					t.Errorf("second %d: %v", second, got)
				}
			}
		})
	}
}
