package desk

import (
	"strings"
	"time"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
)

// Bounds of what people may ask for.
const (
	maxComment  = 2000 // bytes
	maxAssignee = 64   // bytes
	maxSnooze   = 30 * 24 * time.Hour
)

// checkComment adds the faults of a comment to v.
func checkComment(v *fleet.Violations, comment string, required bool) {
	switch {
	case required && strings.TrimSpace(comment) == "":
		v.Add("comment", "say why: whoever looks at it later wants to know")
	case len(comment) > maxComment:
		v.Add("comment", "has %d bytes, at most %d are allowed", len(comment), maxComment)
	case !utf8.ValidString(comment):
		v.Add("comment", "is not valid UTF-8")
	}
}

func checkAssignee(v *fleet.Violations, assignee string) {
	if len(assignee) > maxAssignee || !utf8.ValidString(assignee) {
		v.Add("assignee", "must be a name of at most %d bytes", maxAssignee)
	}
}

// checkSnooze adds the faults of the end of a snooze to v; the zero time ends one.
func checkSnooze(v *fleet.Violations, until, now time.Time) {
	switch {
	case until.IsZero():
	case !until.After(now):
		v.Add("until", "has passed already")
	case until.Sub(now) > maxSnooze:
		v.Add("until", "is more than %d days away: make a silence instead", int(maxSnooze.Hours()/24))
	}
}

// subject is an open alert or incident in a draft: what people do to one they do to the other alike.
type subject struct {
	r    *draft
	care *fleet.Care
	kind string // alert or incident, in the audit log
	id   string
	tell func(kind fleet.AlertEventKind, actor, format string, args ...any)
}

func (r *draft) ofAlert(a *fleet.Alert) subject {
	return subject{r, &a.Care, "alert", a.ID, func(kind fleet.AlertEventKind, actor, format string, args ...any) {
		r.tell(a, kind, actor, format, args...)
	}}
}

func (r *draft) ofIncident(i *fleet.Incident) subject {
	return subject{r, &i.Care, "incident", i.ID, func(kind fleet.AlertEventKind, actor, format string, args ...any) {
		r.tellOf(i, kind, actor, format, args...)
	}}
}

// audit notes who did what.
func (s subject) audit(actor, action, detail string) {
	s.r.audit(actor, s.kind+"."+action, s.id, detail)
}

// acknowledge notes that somebody takes care. Of what is acknowledged already only the comment is noted.
func (s subject) acknowledge(comment, actor string) error {
	var v fleet.Violations
	checkComment(&v, comment, false)
	if err := v.Err(); err != nil {
		return err
	}
	s.seen(comment, actor)
	s.audit(actor, "acknowledge", comment)
	return nil
}

func (s subject) seen(comment, actor string) {
	if s.care.AcknowledgedAt != nil {
		if comment != "" {
			s.tell(fleet.AlertEventCommented, actor, "%s", comment)
		}
		return
	}
	at := s.r.at
	s.care.AcknowledgedAt, s.care.AcknowledgedBy = &at, actor
	s.tell(fleet.AlertEventAcknowledged, actor, "%s", comment)
}

// unseen takes an acknowledgement back.
func (s subject) unseen(actor string) {
	if s.care.AcknowledgedAt != nil {
		s.tell(fleet.AlertEventUnacknowledged, actor, "it was acknowledged by %s", s.care.AcknowledgedBy)
		s.care.AcknowledgedAt, s.care.AcknowledgedBy = nil, ""
	}
}

// assign gives it to somebody, or to nobody.
func (s subject) assign(assignee, actor string) error {
	var v fleet.Violations
	checkAssignee(&v, assignee)
	if err := v.Err(); err != nil {
		return err
	}
	if s.care.Assignee != assignee {
		s.care.Assignee = assignee
		to := "to " + assignee
		if assignee == "" {
			to = "to nobody"
		}
		s.tell(fleet.AlertEventAssigned, actor, "%s", to)
	}
	s.audit(actor, "assign", assignee)
	return nil
}

// snooze keeps it quiet until a time; the zero time wakes it.
func (s subject) snooze(until time.Time, comment, actor string) error {
	var v fleet.Violations
	checkComment(&v, comment, false)
	checkSnooze(&v, until, s.r.at)
	if err := v.Err(); err != nil {
		return err
	}
	s.r.d.replan = true
	kind, text := fleet.AlertEventAwake, comment
	s.care.SnoozedUntil = nil
	if !until.IsZero() {
		until = until.UTC()
		s.care.SnoozedUntil = &until
		kind, text = fleet.AlertEventSnoozed, "until "+until.Format(time.RFC3339)
		if comment != "" {
			text += ": " + comment
		}
	}
	s.tell(kind, actor, "%s", text)
	s.audit(actor, "snooze", text)
	return nil
}
