package desk

import (
	"context"
	"time"

	"kioskfleet/admin/fleet"
)

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
		return r.ofAlert(a).acknowledge(comment, actor)
	})
}

// Unacknowledge takes an acknowledgement back.
func (d *Desk) Unacknowledge(ctx context.Context, id, actor string) (fleet.Alert, error) {
	return d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		s := r.ofAlert(a)
		s.unseen(actor)
		s.audit(actor, "unacknowledge", "")
		return nil
	})
}

// Assign gives an alert to somebody; an empty assignee takes it from whoever has it.
func (d *Desk) Assign(ctx context.Context, id, assignee, actor string) (fleet.Alert, error) {
	return d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		return r.ofAlert(a).assign(assignee, actor)
	})
}

// Snooze keeps an alert quiet until a time, at most 30 days away; the zero time wakes it.
func (d *Desk) Snooze(ctx context.Context, id string, until time.Time, comment, actor string) (fleet.Alert, error) {
	a, err := d.act(ctx, id, func(r *draft, a *fleet.Alert) error {
		return r.ofAlert(a).snooze(until, comment, actor)
	})
	d.kick()
	return a, err
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
