package desk

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"kioskfleet/admin/fleet"
)

// Apply takes over what the alert engine found out, together with the states that it will go on from: all of it, or
// nothing and an error. Changes that were applied before change nothing, so after an error, or a crash, the engine
// may send the same again. An alert that somebody resolved by hand stays resolved: the engine still holds it to be
// open, so it opens another only after the condition was clear once. What Apply is given is kept: nobody may change
// it afterwards.
func (d *Desk) Apply(ctx context.Context, changes []fleet.AlertChange, states []fleet.AlertEngineState) error {
	err := d.change(ctx, func(r *draft) error {
		known, err := d.known(ctx, changes)
		if err != nil {
			return err
		}
		for i := range changes {
			c := &changes[i]
			switch c.Kind {
			case fleet.AlertEventOpened:
				if !known[c.Alert.ID] {
					r.opens(c)
				}
			case fleet.AlertEventResolved:
				r.ends(c)
			case fleet.AlertEventReason:
				r.rephrases(c)
			case fleet.AlertEventFlapping:
				r.flaps(c)
			default:
				return fmt.Errorf("apply a change of alert %s: the engine cannot make it %q", c.Alert.ID, c.Kind)
			}
		}
		r.batch.States = states
		// Maintenance by schedule begins and ends at other times for kiosks of other time zones.
		d.replan = d.replan || slices.ContainsFunc(d.windows, func(w fleet.MaintenanceWindow) bool { return w.Schedule != nil })
		return nil
	})
	if err == nil {
		d.kick()
	}
	return err
}

// known returns the ids of alerts that are to be opened and are there already, open or not.
func (d *Desk) known(ctx context.Context, changes []fleet.AlertChange) (map[string]bool, error) {
	known, ask := map[string]bool{}, []string{}
	for i := range changes {
		if id := changes[i].Alert.ID; changes[i].Kind != fleet.AlertEventOpened {
			continue
		} else if d.open[id] != nil {
			known[id] = true
		} else {
			ask = append(ask, id)
		}
	}
	if len(ask) == 0 {
		return known, nil
	}
	stored, err := d.config.Store.KnownAlerts(ctx, ask)
	if err != nil {
		return nil, err
	}
	maps.Copy(known, stored)
	return known, nil
}

func (r *draft) opens(c *fleet.AlertChange) {
	if r.look(c.Alert.ID) != nil { // twice in one call
		return
	}
	if other := r.openOf(c.Alert.Serial, c.Alert.Rule); other != "" {
		// The engine has lost its state and begins anew. What it no longer knows, it would never end.
		r.ends(&fleet.AlertChange{At: c.At, Alert: fleet.Alert{ID: other}})
	}
	a := c.Alert
	a.State, a.ResolvedAt, a.ResolvedWhy = fleet.AlertOpen, nil, ""
	a.AcknowledgedAt, a.AcknowledgedBy, a.Assignee, a.SnoozedUntil, a.IncidentID, a.Suppressed = nil, "", "", nil, "", ""
	r.touch(&a)
	r.tellAt(c.At, &a, fleet.AlertEventOpened, "", "%s", a.Reason)
	if a.Flapping {
		r.tellAt(c.At, &a, fleet.AlertEventFlapping, "", "%s", flappingText)
	}
}

// openOf returns the open alert of a kiosk and a rule, empty when there is none.
func (r *draft) openOf(serial, rule string) string {
	id := r.d.ofKiosk[serial][rule]
	if id != "" && r.look(id).Open() {
		return id
	}
	for _, id := range r.order {
		if a := r.alerts[id]; a.Open() && a.Serial == serial && a.Rule == rule {
			return id
		}
	}
	return ""
}

func (r *draft) ends(c *fleet.AlertChange) {
	a := r.alert(c.Alert.ID)
	if a == nil {
		return
	}
	at := c.At
	if c.Alert.ResolvedAt != nil {
		at = *c.Alert.ResolvedAt
	}
	a.State, a.ResolvedAt, a.SnoozedUntil = fleet.AlertResolved, &at, nil
	a.ResolvedWhy, a.Flapping = c.Alert.ResolvedWhy, false
	if a.ResolvedWhy == "" {
		a.ResolvedWhy = fleet.ResolvedCleared
	}
	r.tellAt(c.At, a, fleet.AlertEventResolved, "", "%s", map[string]string{
		fleet.ResolvedCleared: "it is over", fleet.ResolvedRule: "its rule no longer applies", fleet.ResolvedKiosk: "its kiosk is no longer registered",
	}[a.ResolvedWhy])
}

func (r *draft) rephrases(c *fleet.AlertChange) {
	a := r.look(c.Alert.ID)
	n := &c.Alert
	same := a != nil && a.Reason == n.Reason && a.Severity == n.Severity && a.NoData == n.NoData && slices.Equal(a.Values, n.Values)
	if a == nil || !a.Open() || same {
		return
	}
	a = r.alert(n.ID)
	text := n.Reason
	if a.Severity != n.Severity {
		text = fmt.Sprintf("%s, it was %s: %s", n.Severity, a.Severity, n.Reason)
	}
	a.Reason, a.Severity, a.NoData, a.Values = n.Reason, n.Severity, n.NoData, n.Values
	r.tellAt(c.At, a, fleet.AlertEventReason, "", "%s", text)
}

const flappingText = "it came and went so often that it is held open"

func (r *draft) flaps(c *fleet.AlertChange) {
	if a := r.look(c.Alert.ID); a == nil || !a.Open() || a.Flapping == c.Alert.Flapping {
		return
	}
	a := r.alert(c.Alert.ID)
	a.Flapping = c.Alert.Flapping
	text := flappingText
	if !a.Flapping {
		text = "it no longer comes and goes"
	}
	r.tellAt(c.At, a, fleet.AlertEventFlapping, "", "%s", text)
}
