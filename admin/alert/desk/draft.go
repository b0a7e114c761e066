package desk

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"kioskfleet/admin/alert/incident"
	"kioskfleet/admin/fleet"
)

// draft collects what a step changes. Nothing of it holds before commit.
type draft struct {
	d         *Desk
	at        time.Time
	alerts    map[string]*fleet.Alert // changed, by id
	order     []string                // of alerts, as they were touched
	incidents map[string]*fleet.Incident
	silences  []silence
	windows   []fleet.MaintenanceWindow
	batch     fleet.AlertBatch
}

func newDraft(d *Desk) *draft {
	return &draft{
		d: d, at: d.now(), alerts: map[string]*fleet.Alert{}, incidents: map[string]*fleet.Incident{},
		silences: d.silences, windows: d.windows,
	}
}

// look returns an alert that is open, or was before this step, for reading; nil when there is none.
func (r *draft) look(id string) *fleet.Alert {
	if a := r.alerts[id]; a != nil {
		return a
	}
	return r.d.open[id]
}

// alert returns an open alert for changing, nil when it is not open.
func (r *draft) alert(id string) *fleet.Alert {
	if a := r.look(id); a == nil || !a.Open() {
		return nil
	}
	if r.alerts[id] == nil {
		a := *r.d.open[id]
		r.touch(&a)
	}
	return r.alerts[id]
}

func (r *draft) touch(a *fleet.Alert) {
	r.alerts[a.ID] = a
	r.order = append(r.order, a.ID)
	a.UpdatedAt = grown(a.UpdatedAt, r.at)
}

// grown returns a time that is later than before, and as late as at.
func grown(before, at time.Time) time.Time {
	if !at.After(before) {
		return before.Add(time.Millisecond)
	}
	return at
}

// incident returns an open incident for changing, nil when it is not open.
func (r *draft) incident(id string) *fleet.Incident {
	if i := r.incidents[id]; i != nil {
		return i
	}
	open := r.d.incidents[id]
	if open == nil {
		return nil
	}
	i := *open
	r.setIncident(&i)
	return &i
}

func (r *draft) setIncident(i *fleet.Incident) {
	r.incidents[i.ID] = i
	i.UpdatedAt = grown(i.UpdatedAt, r.at)
}

// alertsOf returns the ids of an incident's open alerts, sorted.
func (r *draft) alertsOf(incident string) []string {
	var ids []string
	for id, a := range r.d.open {
		if a.IncidentID == incident {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// tell adds an event to the timeline of an alert.
func (r *draft) tell(a *fleet.Alert, kind fleet.AlertEventKind, actor, format string, args ...any) {
	r.tellAt(r.at, a, kind, actor, format, args...)
}

func (r *draft) tellAt(at time.Time, a *fleet.Alert, kind fleet.AlertEventKind, actor, format string, args ...any) {
	r.batch.Events = append(r.batch.Events, fleet.AlertEvent{
		At: at, Kind: kind, AlertID: a.ID, IncidentID: a.IncidentID, Actor: actor, Text: fmt.Sprintf(format, args...),
	})
}

// tellOf adds an event to the timeline of an incident as a whole.
func (r *draft) tellOf(i *fleet.Incident, kind fleet.AlertEventKind, actor, format string, args ...any) {
	r.batch.Events = append(r.batch.Events, fleet.AlertEvent{
		At: r.at, Kind: kind, IncidentID: i.ID, Actor: actor, Text: fmt.Sprintf(format, args...),
	})
}

func (r *draft) audit(actor, action, target, detail string) {
	r.batch.Audit = append(r.batch.Audit, fleet.AuditEntry{At: r.at, Actor: actor, Action: action, Target: target, Detail: detail})
}

// commit decides what is held back and what belongs together, stores the draft and then makes it true.
func (r *draft) commit(ctx context.Context) error {
	d := r.d
	changed := make([]*fleet.Alert, 0, len(r.order))
	for _, id := range r.order {
		a := r.alerts[id]
		if a.Open() {
			r.suppress(a, r.suppression(a))
		}
		changed = append(changed, a)
	}
	found := d.correlator.Step(incident.Input{Alerts: changed, Registered: d.config.Fleet.Registered})
	r.correlated(found)

	for _, id := range r.order { // more than before: alerts that waited for others
		r.batch.Alerts = append(r.batch.Alerts, *r.alerts[id])
	}
	for _, i := range r.incidents {
		r.batch.Incidents = append(r.batch.Incidents, *i)
	}
	slices.SortFunc(r.batch.Incidents, compareIncidents)
	if b := &r.batch; len(b.States)+len(b.Alerts)+len(b.Incidents)+len(b.Events)+len(b.Silences)+len(b.Windows)+len(b.RemovedWindows) > 0 {
		if err := d.config.Store.SaveAlerts(ctx, r.batch); err != nil {
			d.unsure = true
			return err
		}
	}

	d.correlator.Commit(found)
	for _, id := range r.order {
		d.put(r.alerts[id])
	}
	for id, i := range r.incidents {
		if i.State == fleet.AlertOpen {
			d.incidents[id] = i
		} else {
			delete(d.incidents, id)
		}
	}
	d.silences, d.windows = r.silences, r.windows
	d.covering.Store(&r.windows)
	if len(r.batch.Alerts)+len(r.batch.Incidents) > 0 {
		for _, o := range d.observers {
			o(r.batch.Alerts, r.batch.Incidents)
		}
	}
	return nil
}

func compareIncidents(a, b fleet.Incident) int {
	if c := a.OpenedAt.Compare(b.OpenedAt); c != 0 {
		return c
	}
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// correlated takes over what the correlator found: which alerts joined, and how incidents stand.
func (r *draft) correlated(found incident.Changes) {
	for _, c := range found.Incidents {
		i := r.incident(c.ID)
		before := fleet.Incident{Severity: c.Severity}
		if i == nil {
			i = &fleet.Incident{ID: c.ID}
			r.setIncident(i)
		} else {
			before = *i
		}
		i.Kind, i.Key, i.Site, i.Rule, i.Severity, i.State, i.Title = c.Kind, c.Key, c.Site, c.Rule, c.Severity, c.State, c.Title
		i.Kiosks, i.OfKiosks, i.Open, i.OpenedAt, i.ResolvedAt, i.Suppressed = c.Kiosks, c.OfKiosks, c.Open, c.OpenedAt, c.ResolvedAt, c.Suppressed
		if found.Opened[c.ID] {
			r.tellOf(i, fleet.AlertEventOpened, "", "%s", i.Title)
		}
		if i.Severity.Rank() < before.Severity.Rank() {
			r.tellOf(i, fleet.AlertEventReason, "", "%s: it is %s now", i.Title, i.Severity)
		}
		switch {
		case i.Suppressed == before.Suppressed || found.Closed[c.ID]:
		case i.Suppressed == "":
			r.tellOf(i, fleet.AlertEventReleased, "", "%s", i.Title)
		default:
			r.tellOf(i, fleet.AlertEventSuppressed, "", "%s", r.whySuppressed(i.Suppressed))
		}
		if found.Closed[c.ID] {
			i.SnoozedUntil = nil
			r.tellOf(i, fleet.AlertEventResolved, "", "%s: over", i.Title)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found.Joined)) {
		a := r.alerts[id]
		if a == nil {
			a = r.alert(id)
		}
		a.IncidentID = found.Joined[id]
		r.tell(a, fleet.AlertEventJoined, "", "%s", r.incidents[a.IncidentID].Title)
	}
}
