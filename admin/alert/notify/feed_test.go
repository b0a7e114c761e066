package notify

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestTheFeed(t *testing.T) {
	tests := []struct {
		name  string
		story func(w *world)
		want  []string
	}{
		{"the life of an alert", func(w *world) {
			w.opened("a", nil)
			w.change("a", fleet.AlertEventAcknowledged, acknowledged)
			w.change("a", fleet.AlertEventCommented, func(*fleet.Alert) {})
			w.change("a", fleet.AlertEventResolved, resolved)
		}, []string{"alerts/warning/K-a opened", "alerts/warning/K-a acknowledged", "alerts/warning/K-a resolved"}},
		{"also in an incident", func(w *world) {
			w.opened("a", func(a *fleet.Alert) { a.IncidentID = "i" })
		}, []string{"alerts/warning/K-a opened"}},
		{"the platform itself", func(w *world) {
			w.opened("a", func(a *fleet.Alert) { a.Serial = "" })
		}, []string{"alerts/warning/_platform opened"}},
		{"not what is suppressed", func(w *world) {
			w.opened("a", func(a *fleet.Alert) { a.Suppressed = fleet.SuppressedOffline })
			w.change("a", fleet.AlertEventResolved, resolved)
		}, nil},
		{"released", func(w *world) {
			w.opened("a", func(a *fleet.Alert) { a.Suppressed = fleet.SuppressedOffline })
			after(time.Minute)
			w.change("a", fleet.AlertEventReleased, func(a *fleet.Alert) { a.Suppressed = "" })
			after(time.Minute)
			w.change("a", fleet.AlertEventSuppressed, func(a *fleet.Alert) { a.Suppressed = fleet.SuppressedMaintenance })
			w.change("a", fleet.AlertEventResolved, resolved)
		}, []string{"alerts/warning/K-a opened", "alerts/warning/K-a resolved"}},
		{"an incident", func(w *world) {
			for _, kind := range []fleet.AlertEventKind{fleet.AlertEventOpened, fleet.AlertEventReason, fleet.AlertEventResolved} {
				w.changeIncident("i", kind, func(i *fleet.Incident) { i.ID, i.Site, i.Severity = "i", "Hall 1/2", fleet.SeverityCritical })
			}
		}, []string{"incidents/Hall 1%2F2 opened", "incidents/Hall 1%2F2 resolved"}},
		{"the broker is away", func(w *world) {
			w.mu.Lock()
			w.refuses = errors.New("no broker")
			w.mu.Unlock()
			w.opened("a", nil)
			w.opened("b", nil)
			after(time.Minute)
			w.mu.Lock()
			w.refuses = nil
			w.mu.Unlock()
		}, []string{"alerts/warning/K-a opened", "alerts/warning/K-b opened"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world, n *Notifier, _ time.Time) {
				stop := w.run(n)
				tt.story(w)
				after(2 * time.Minute)
				stop()
				w.run(w.notifier()) // which publishes nothing again
				after(time.Minute)
				if !slices.Equal(w.published, tt.want) {
					t.Errorf("published %q, want %q", w.published, tt.want)
				}
			})
		})
	}
}

func TestABrokerThatIsAwayFails(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, n *Notifier, _ time.Time) {
		w.refuses = errors.New("no broker")
		w.run(n)
		w.opened("a", nil)
		after(6 * time.Minute)
		if n.Failing() != 1 || n.Targets()[0].Problem != "no broker" {
			t.Errorf("%d failing: %+v", n.Failing(), n.Targets())
		}
	})
}
