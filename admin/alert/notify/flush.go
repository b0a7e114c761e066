package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// retryFor is how long a message is tried again.
	retryFor = 24 * time.Hour
)

// item is one subject in a message.
type item struct {
	s     *subject
	event string
}

// message is what one target is told of a group.
type message struct {
	route *fleet.NotificationRoute
	group *group
	items []item
}

// flush tells what is due, into step.
func (r *router) flush(ctx context.Context, routes *routing, step *fleet.NotificationStep) error {
	now := r.n.now()
	var due []*group
	subjects := map[string]*subject{}
	// First everything that may fail, so that nothing is half done.
	for _, key := range sortedKeys(r.groups) {
		g := r.groups[key]
		if at, ok := g.due(routes.named(g.Route)); !ok || at.After(now) {
			continue
		}
		due = append(due, g)
		for key := range g.Things {
			s, err := r.n.load(ctx, key)
			if err != nil {
				return err
			}
			subjects[key] = s
		}
	}
	for _, g := range due {
		if len(g.Things) == 0 {
			r.drop(g)
			continue
		}
		if err := r.tell(routes.named(g.Route), g, subjects, now, step); err != nil {
			return err
		}
	}
	return nil
}

// tell tells what is due in a group.
func (r *router) tell(route *fleet.NotificationRoute, g *group, subjects map[string]*subject, now time.Time, step *fleet.NotificationStep) error {
	messages := map[string]*message{} // by target
	say := func(names []string, s *subject, event string) (told []string) {
		for _, name := range names {
			if !r.reaches(name, s) {
				continue
			}
			if messages[name] == nil {
				messages[name] = &message{route: route, group: g}
			}
			m := messages[name]
			if i := slices.IndexFunc(m.items, func(i item) bool { return i.s == s }); i < 0 {
				m.items = append(m.items, item{s, event})
			} else if pressing(event) < pressing(m.items[i].event) {
				m.items[i].event = event
			}
			told = append(told, name)
		}
		return told
	}
	for _, key := range sortedKeys(g.Things) {
		t, s := g.Things[key], subjects[key]
		if s != nil && s.open() {
			t.EndedAt = time.Time{}
		}
		switch {
		case s == nil, !t.told() && !s.tellable(now):
			r.leave(key, g)
		case !t.told():
			t.Targets = say(route.Targets, s, protocol.NotificationOpened)
			t.ToldAt, t.LastAt, t.EscalateFrom, t.Severity = now, now, now, s.severity()
			t.Quiet = s.acknowledged()
		case !s.open():
			say(r.endsFor(route, t), s, protocol.NotificationResolved)
			r.leave(key, g)
		case t.Worse && s.severity().Rank() < t.Severity.Rank():
			t.Targets = union(t.Targets, say(union(route.Targets, t.Targets), s, protocol.NotificationWorse))
			t.LastAt, t.Severity, t.Worse = now, s.severity(), false
		case s.acknowledged() || s.hushed(now):
			t.Quiet, t.Worse = true, false
		default:
			t.Worse = false
			r.again(route, g, t, s, now, say, step)
		}
	}
	r.dirty[g.key] = struct{}{}
	if len(messages) > 0 {
		g.LastAt = now
	}
	for _, name := range sortedKeys(messages) {
		deliveries, err := r.deliveries(name, messages[name], now, step)
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			step.Deliveries = append(step.Deliveries, d)
			if d.Status == fleet.DeliveryGaveUp {
				step.Events = append(step.Events, storyOf(d, fleet.AlertEventNotNotified, now, name+": "+d.Error)...)
			}
		}
	}
	return nil
}

// again repeats and escalates, if the route's schedule allows it now.
func (r *router) again(route *fleet.NotificationRoute, g *group, t *thing, s *subject, now time.Time, say func([]string, *subject, string) []string, step *fleet.NotificationStep) {
	if at, ok := t.repeatAt(route); !ok || at.After(now) {
		return
	}
	if holds, until := matcher.Scheduled(route.Schedule, now, r.n.zone(s)); !holds {
		g.asleep = later(until, now.Add(time.Second))
		return
	}
	for t.Steps < len(route.Escalations) && !t.EscalateFrom.Add(route.Escalations[t.Steps].After).After(now) {
		e := route.Escalations[t.Steps]
		t.Steps++
		t.Targets = union(t.Targets, say(e.Targets, s, protocol.NotificationEscalated))
		alerts, incident := s.ids()
		event := fleet.AlertEvent{At: now, Kind: fleet.AlertEventEscalated, IncidentID: incident, Text: fmt.Sprintf("not acknowledged for %s: %s", words(e.After), strings.Join(e.Targets, ", "))}
		if incident == "" {
			event.AlertID = alerts[0]
		}
		step.Events = append(step.Events, event)
	}
	if route.RepeatInterval > 0 && !t.LastAt.Add(route.RepeatInterval).After(now) {
		say(union(route.Targets, t.Targets), s, protocol.NotificationRepeated)
		t.LastAt = now
	}
}

// endsFor returns who is told the end: those that were told the beginning, if the route wants it. Alertmanager
// always is, for it would hold the alert to be open.
func (r *router) endsFor(route *fleet.NotificationRoute, t *thing) []string {
	if route.Resolved {
		return t.Targets
	}
	return slices.DeleteFunc(slices.Clone(t.Targets), func(name string) bool { return !r.n.refreshes(name) })
}

// reaches reports whether a message about s goes to a target. That targets fail is not told to one that fails:
// it would only wait there with the others.
func (r *router) reaches(name string, s *subject) bool {
	t := r.n.target(name)
	if t == nil || t.Disabled || t.Kind == fleet.TargetMQTT {
		return false
	}
	return t.Since == nil || s.alert == nil || s.alert.Serial != "" || s.alert.Rule != ruleTargetFailing
}

// deliveries makes the deliveries of one message: one, but for a target that wants all alerts in full.
func (r *router) deliveries(name string, m *message, now time.Time, step *fleet.NotificationStep) ([]fleet.Delivery, error) {
	var out []fleet.Delivery
	full, waiting := r.n.refreshes(name), r.n.waiting(name)
	for _, d := range step.Deliveries {
		if d.Target == name && d.Status == fleet.DeliveryPending {
			waiting++
		}
	}
	for items := range slices.Chunk(ordered(m.items), chunk(full, len(m.items))) {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make the id of a delivery: %w", err)
		}
		part := message{route: m.route, group: m.group, items: items}
		payload, err := json.Marshal(part.notification(id.String(), now, r.n.cfg.PageURL, full))
		if err != nil {
			return nil, fmt.Errorf("write a message to %s: %w", name, err)
		}
		d := fleet.Delivery{
			ID: id.String(), Target: name, Route: m.route.Name, Group: m.group.key, Status: fleet.DeliveryPending,
			CreatedAt: now, UpdatedAt: now, NextAt: &now, GiveUpAt: now.Add(retryFor), Payload: payload,
		}
		for _, i := range items {
			alerts, incident := i.s.ids()
			d.AlertIDs, d.IncidentID = append(d.AlertIDs, alerts...), cmp.Or(d.IncidentID, incident)
		}
		if waiting+len(out) >= r.n.room {
			d.Status, d.NextAt = fleet.DeliveryGaveUp, nil
			d.Error = fmt.Sprintf("%d messages to this target wait already", r.n.room)
			r.n.dropped.Add(1)
		}
		out = append(out, d)
	}
	return out, nil
}

// chunkOfAll is how many alerts a target that wants all gets at once.
const chunkOfAll = 200

func chunk(full bool, items int) int {
	if full {
		return chunkOfAll
	}
	return max(items, 1)
}

// ordered puts the worst first, then the oldest.
func ordered(items []item) []item {
	out := slices.Clone(items)
	slices.SortStableFunc(out, func(a, b item) int {
		return cmp.Or(cmp.Compare(a.s.severity().Rank(), b.s.severity().Rank()), a.s.labelled().OpenedAt.Compare(b.s.labelled().OpenedAt), strings.Compare(a.s.key, b.s.key))
	})
	return out
}

// storyOf returns what a delivery means for the stories of what it is about.
func storyOf(d fleet.Delivery, kind fleet.AlertEventKind, at time.Time, text string) []fleet.AlertEvent {
	if d.IncidentID != "" {
		return []fleet.AlertEvent{{At: at, Kind: kind, IncidentID: d.IncidentID, Text: text}}
	}
	var out []fleet.AlertEvent
	for _, id := range d.AlertIDs {
		out = append(out, fleet.AlertEvent{At: at, Kind: kind, AlertID: id, Text: text})
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// union returns the names of both, in the order in which they come.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, name := range b {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
