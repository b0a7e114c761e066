package desk

import (
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// silence is a silence with its matchers compiled.
type silence struct {
	fleet.Silence
	matchers matcher.Matchers
}

func compileSilence(s fleet.Silence) (silence, error) {
	m, err := matcher.Compile(s.Matchers)
	return silence{s, m}, err
}

// suppression returns why nobody needs to hear of an open alert now, empty when somebody does. Maintenance comes
// first: a kiosk that is worked on is gone now and then. What a silence says, it says of every alert.
func (r *draft) suppression(a *fleet.Alert) string {
	kiosk := r.d.config.Fleet.Kiosk(a.Serial)
	if a.Serial != "" && kiosk == nil {
		return a.Suppressed // it was just removed, and the engine is about to end its alerts
	}
	if a.Serial != "" && !a.Security {
		live := r.d.config.Fleet.Live(a.Serial)
		if r.inMaintenance(kiosk, live) {
			return fleet.SuppressedMaintenance
		}
		if !a.AboutPresence && r.gone(a, live) {
			return fleet.SuppressedOffline
		}
	}
	for i := range r.silences {
		if s := &r.silences[i]; s.Active(r.at) && s.matchers.Matches(matcher.Labels(a)) {
			return fleet.SuppressedSilence + s.ID
		}
	}
	return ""
}

// inMaintenance reports whether the kiosk says that it is worked on, or said so before it was switched off, or a
// maintenance window covers it.
func (r *draft) inMaintenance(kiosk *fleet.Kiosk, live *fleet.Live) bool {
	if live != nil && live.ReportedState() == protocol.StateMaintenance {
		return true
	}
	return slices.ContainsFunc(r.windows, func(w fleet.MaintenanceWindow) bool { return covers(&w, kiosk, r.at) })
}

// covers reports whether a maintenance window is for a kiosk at a time.
func covers(w *fleet.MaintenanceWindow, kiosk *fleet.Kiosk, at time.Time) bool {
	if !within(at, w.From, w.Until) || !matcher.Covers(&w.Scope, kiosk) {
		return false
	}
	holds, _ := matcher.Scheduled(w.Schedule, at, matcher.Zone(kiosk))
	return holds
}

func within(at, from, until time.Time) bool { return !at.Before(from) && at.Before(until) }

// gone reports whether the alert follows from its kiosk not being there. When it is back, its alerts wait a little
// longer: a first value may close them. While nothing is known of a kiosk, because the platform itself has just
// started, everything stays as it was.
func (r *draft) gone(a *fleet.Alert, live *fleet.Live) bool {
	already := a.Suppressed == fleet.SuppressedOffline
	switch {
	case live == nil || live.Presence != fleet.PresenceOnline && live.PresenceReason == fleet.ReasonAdminRestart:
		return already
	case live.Presence == fleet.PresenceOnline:
		return already && r.at.Before(live.PresenceSince.Add(r.d.config.Grace))
	}
	return true
}

// suppress notes on a changed alert why it is held back, or that it no longer is.
func (r *draft) suppress(a *fleet.Alert, why string) {
	if a.Suppressed == why {
		return
	}
	a.Suppressed = why
	if why == "" {
		r.tell(a, fleet.AlertEventReleased, "", "no longer held back: %s", a.Reason)
	} else {
		r.tell(a, fleet.AlertEventSuppressed, "", "%s", r.whySuppressed(why))
	}
}

// whySuppressed returns a reason in words.
func (r *draft) whySuppressed(why string) string {
	switch why {
	case fleet.SuppressedOffline:
		return "held back: the kiosk is not there"
	case fleet.SuppressedMaintenance:
		return "held back: the kiosk is in maintenance"
	}
	id := strings.TrimPrefix(why, fleet.SuppressedSilence)
	for _, s := range r.silences {
		if s.ID == id {
			return "silenced by " + s.CreatedBy + " until " + s.Until.Format(time.RFC3339) + ": " + s.Comment
		}
	}
	return "silenced"
}
