package desk

import (
	"context"
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

// withComment joins what was done and what was said about it.
func withComment(what, comment string) string {
	if what == "" || comment == "" {
		return what + comment
	}
	return what + ": " + comment
}

// act does something to an open alert.
//
// Errors: fleet.ErrNotFound; *fleet.ValidationError when it is resolved.
func (d *Desk) act(ctx context.Context, id string, f func(r *draft, a *fleet.Alert) error) (fleet.Alert, error) {
	var done *fleet.Alert
	err := d.change(ctx, func(r *draft) error {
		if done = r.alert(id); done == nil {
			return d.notOpen(ctx, id)
		}
		return f(r, done)
	})
	if err != nil {
		return fleet.Alert{}, err
	}
	return *done, nil
}

// notOpen says why nothing can be done to an alert.
func (d *Desk) notOpen(ctx context.Context, id string) error {
	a, err := d.config.Store.Alert(ctx, id)
	if err != nil {
		return err
	}
	return fleet.Invalid("id", "alert %s was resolved at %s: comments are all that it takes now", id, resolvedAt(a.ResolvedAt))
}

func resolvedAt(at *time.Time) string {
	if at == nil {
		return "an unknown time"
	}
	return at.Format(time.RFC3339)
}

// Acknowledge says that somebody has seen an open alert and takes care. Of one that is acknowledged already only
// the comment is noted. It returns the alert as it is then.
//
// Errors, as of everything that people do to an alert: fleet.ErrNotFound; *fleet.ValidationError when the input is
// wrong or the alert is resolved.
func (d *Desk) Acknowledge(ctx context.Context, id, comment, actor string) (fleet.Alert, error) {
	return d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		var v fleet.Violations
		checkComment(&v, comment, false)
		if err := v.Err(); err != nil {
			return err
		}
		r.acknowledge(a, comment, actor)
		r.audit(actor, "alert.acknowledge", id, comment)
		return nil
	})
}

func (r *draft) acknowledge(a *fleet.Alert, comment, actor string) {
	if a.AcknowledgedAt != nil {
		if comment != "" {
			r.tell(a, fleet.AlertEventCommented, actor, "%s", comment)
		}
		return
	}
	at := r.at
	a.AcknowledgedAt, a.AcknowledgedBy = &at, actor
	r.tell(a, fleet.AlertEventAcknowledged, actor, "%s", comment)
}

// Unacknowledge takes an acknowledgement back.
func (d *Desk) Unacknowledge(ctx context.Context, id, actor string) (fleet.Alert, error) {
	return d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		r.unacknowledge(a, actor)
		r.audit(actor, "alert.unacknowledge", id, "")
		return nil
	})
}

func (r *draft) unacknowledge(a *fleet.Alert, actor string) {
	if a.AcknowledgedAt != nil {
		r.tell(a, fleet.AlertEventUnacknowledged, actor, "it was acknowledged by %s", a.AcknowledgedBy)
		a.AcknowledgedAt, a.AcknowledgedBy = nil, ""
	}
}

// Assign gives an alert to somebody; an empty assignee takes it from whoever has it.
func (d *Desk) Assign(ctx context.Context, id, assignee, actor string) (fleet.Alert, error) {
	return d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		var v fleet.Violations
		checkAssignee(&v, assignee)
		if err := v.Err(); err != nil {
			return err
		}
		if a.Assignee != assignee {
			a.Assignee = assignee
			r.tell(a, fleet.AlertEventAssigned, actor, "%s", assigned(assignee))
		}
		r.audit(actor, "alert.assign", id, assignee)
		return nil
	})
}

func assigned(to string) string {
	if to == "" {
		return "to nobody"
	}
	return "to " + to
}

// Snooze keeps an alert quiet until a time, at most 30 days away; the zero time wakes it.
func (d *Desk) Snooze(ctx context.Context, id string, until time.Time, comment, actor string) (fleet.Alert, error) {
	a, err := d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		var v fleet.Violations
		checkComment(&v, comment, false)
		checkSnooze(&v, until, r.at)
		if err := v.Err(); err != nil {
			return err
		}
		var kind fleet.AlertEventKind
		var text string
		a.SnoozedUntil, kind, text = r.snooze(until, comment)
		r.tell(a, kind, actor, "%s", text)
		r.audit(actor, "alert.snooze", id, text)
		return nil
	})
	d.kick()
	return a, err
}

// snooze returns what to note of a snooze until a time.
func (r *draft) snooze(until time.Time, comment string) (*time.Time, fleet.AlertEventKind, string) {
	r.d.replan = true
	if until.IsZero() {
		return nil, fleet.AlertEventAwake, comment
	}
	until = until.UTC()
	return &until, fleet.AlertEventSnoozed, withComment("until "+until.Format(time.RFC3339), comment)
}

// Comment adds a comment to an alert, also to a resolved one.
func (d *Desk) Comment(ctx context.Context, id, comment, actor string) error {
	return d.change(ctx, func(r *draft) error {
		var v fleet.Violations
		checkComment(&v, comment, true)
		if err := v.Err(); err != nil {
			return err
		}
		a := r.look(id)
		if a == nil {
			stored, err := d.config.Store.Alert(ctx, id)
			if err != nil {
				return err
			}
			a = &stored
		}
		r.tell(a, fleet.AlertEventCommented, actor, "%s", comment)
		r.audit(actor, "alert.comment", id, comment)
		return nil
	})
}

// Resolve ends an alert by hand; the comment says why. It does not open again before its condition was clear once.
func (d *Desk) Resolve(ctx context.Context, id, comment, actor string) (fleet.Alert, error) {
	return d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		var v fleet.Violations
		checkComment(&v, comment, true)
		if err := v.Err(); err != nil {
			return err
		}
		r.resolve(a, comment, actor)
		r.audit(actor, "alert.resolve", id, comment)
		return nil
	})
}

func (r *draft) resolve(a *fleet.Alert, comment, actor string) {
	at := r.at
	a.State, a.ResolvedAt, a.ResolvedWhy, a.SnoozedUntil, a.Flapping = fleet.AlertResolved, &at, fleet.ResolvedPerson, nil, false
	r.tell(a, fleet.AlertEventResolved, actor, "%s", comment)
}
