package desk

import (
	"context"
	"time"

	"kioskfleet/admin/fleet"
)

// actOn does something to an open incident.
//
// Errors: fleet.ErrNotFound; *fleet.ValidationError when it is resolved.
func (d *Desk) actOn(ctx context.Context, id string, f func(r *draft, i *fleet.Incident) error) (fleet.Incident, error) {
	var done *fleet.Incident
	err := d.change(ctx, func(r *draft) error {
		if done = r.incident(id); done == nil {
			stored, err := d.config.Store.Incident(ctx, id)
			if err != nil {
				return err
			}
			return fleet.Invalid("id", "incident %s was resolved at %s: comments are all that it takes now", id, resolvedAt(stored.ResolvedAt))
		}
		return f(r, done)
	})
	if err != nil {
		return fleet.Incident{}, err
	}
	return *done, nil
}

// AcknowledgeIncident acknowledges an open incident and its open alerts. It returns the incident as it is then.
//
// Errors, as of everything that people do to an incident: fleet.ErrNotFound; *fleet.ValidationError when the input
// is wrong or the incident is resolved.
func (d *Desk) AcknowledgeIncident(ctx context.Context, id, comment, actor string) (fleet.Incident, error) {
	return d.actOn(ctx, id, func(r *draft, i *fleet.Incident) error {
		if err := r.ofIncident(i).acknowledge(comment, actor); err != nil {
			return err
		}
		for _, alert := range r.alertsOf(id) {
			if r.look(alert).AcknowledgedAt == nil {
				r.ofAlert(r.alert(alert)).seen("with its incident", actor)
			}
		}
		return nil
	})
}

// UnacknowledgeIncident takes back the acknowledgement of an incident and of its open alerts.
func (d *Desk) UnacknowledgeIncident(ctx context.Context, id, actor string) (fleet.Incident, error) {
	return d.actOn(ctx, id, func(r *draft, i *fleet.Incident) error {
		s := r.ofIncident(i)
		s.unseen(actor)
		for _, alert := range r.alertsOf(id) {
			if r.look(alert).AcknowledgedAt != nil {
				r.ofAlert(r.alert(alert)).unseen(actor)
			}
		}
		s.audit(actor, "unacknowledge", "")
		return nil
	})
}

// AssignIncident gives an incident to somebody; an empty assignee takes it from whoever has it.
func (d *Desk) AssignIncident(ctx context.Context, id, assignee, actor string) (fleet.Incident, error) {
	return d.actOn(ctx, id, func(r *draft, i *fleet.Incident) error {
		return r.ofIncident(i).assign(assignee, actor)
	})
}

// SnoozeIncident keeps an incident quiet until a time, at most 30 days away; the zero time wakes it.
func (d *Desk) SnoozeIncident(ctx context.Context, id string, until time.Time, comment, actor string) (fleet.Incident, error) {
	i, err := d.actOn(ctx, id, func(r *draft, i *fleet.Incident) error {
		return r.ofIncident(i).snooze(until, comment, actor)
	})
	d.kick()
	return i, err
}

// CommentIncident adds a comment to an incident, also to a resolved one.
func (d *Desk) CommentIncident(ctx context.Context, id, comment, actor string) error {
	return d.change(ctx, func(r *draft) error {
		var v fleet.Violations
		checkComment(&v, comment, true)
		if err := v.Err(); err != nil {
			return err
		}
		if d.incidents[id] == nil {
			if _, err := d.config.Store.Incident(ctx, id); err != nil {
				return err
			}
		}
		r.tellOf(&fleet.Incident{ID: id}, fleet.AlertEventCommented, actor, "%s", comment)
		r.audit(actor, "incident.comment", id, comment)
		return nil
	})
}

// ResolveIncident ends an incident by hand, with all of its alerts; the comment says why.
func (d *Desk) ResolveIncident(ctx context.Context, id, comment, actor string) (fleet.Incident, error) {
	return d.actOn(ctx, id, func(r *draft, i *fleet.Incident) error {
		var v fleet.Violations
		checkComment(&v, comment, true)
		if err := v.Err(); err != nil {
			return err
		}
		r.tellOf(i, fleet.AlertEventCommented, actor, "resolved by hand: %s", comment)
		for _, alert := range r.alertsOf(id) {
			r.resolve(r.alert(alert), comment, actor)
		}
		r.audit(actor, "incident.resolve", id, comment)
		return nil
	})
}
