package notify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kioskfleet/admin/alert/notify/target"
	"kioskfleet/admin/fleet"
)

// eventsAtOnce is how many alert events are worked off in one step.
const eventsAtOnce = 500

// router decides who is told of what, and when. Only the goroutine of run uses it.
//
// It looks at what alerts are now, not at what an event says of them: so it does no harm to look twice, and after
// a pause what is over by then is not told.
type router struct {
	n    *Notifier
	wake chan struct{}

	loaded    bool
	cursor    int64
	version   int64 // of the routes that the groups were made by; 0: not looked yet
	groups    map[string]*group
	index     map[string]map[string]*group // by key of subject
	dirty     map[string]struct{}          // keys of groups that are to be written
	unsaved   *fleet.NotificationStep      // the store did not take it
	refreshAt time.Time                    // when those that forget are told again
	failing   bool
}

func newRouter(n *Notifier) *router {
	return &router{
		n: n, wake: make(chan struct{}, 1),
		groups: map[string]*group{}, index: map[string]map[string]*group{}, dirty: map[string]struct{}{},
	}
}

func (r *router) run(ctx context.Context) {
	for {
		more, err := r.step(ctx)
		if err != nil && ctx.Err() == nil && !r.failing {
			r.n.cfg.Log.Error("alerts are not told, trying again", "error", err)
		}
		r.failing = err != nil
		wait := r.n.poll
		if err == nil && !more {
			wait = r.wait()
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		if !pause(ctx, r.wake, wait) {
			return
		}
	}
}

// wait returns how long there is nothing to do but for what events bring.
func (r *router) wait() time.Duration {
	wait, now, routes := r.n.poll, r.n.now(), r.n.routing()
	for _, g := range r.groups {
		if route := routes.named(g.Route); route != nil {
			if at, ok := g.due(route); ok {
				wait = min(wait, at.Sub(now))
			}
		}
	}
	return max(wait, time.Millisecond)
}

// step works off the next events and, when there are no more, tells what is due. It reports whether there may be
// more to do now. What it decided is written before anything of it is sent.
func (r *router) step(ctx context.Context) (more bool, err error) {
	if err := r.load(ctx); err != nil {
		return false, err
	}
	if r.unsaved != nil {
		return true, r.save(ctx, r.unsaved)
	}
	routes := r.n.routing()
	if err := r.reroute(ctx, routes); err != nil {
		return false, err
	}
	events, err := r.n.cfg.Store.AlertEvents(ctx, r.cursor, eventsAtOnce)
	if err != nil {
		return false, err
	}
	if err := r.lookAll(ctx, routes, events); err != nil {
		return false, err
	}
	step := &fleet.NotificationStep{Cursor: r.cursor}
	if len(events) > 0 {
		step.Cursor = events[len(events)-1].ID
	}
	more = len(events) == eventsAtOnce
	if !more {
		if err := r.flush(ctx, routes, step); err != nil {
			return false, err
		}
	}
	if err := r.pack(step); err != nil {
		return false, err
	}
	if step.Cursor != r.cursor || len(step.Groups) > 0 || len(step.Deliveries) > 0 || len(step.Events) > 0 {
		if err := r.save(ctx, step); err != nil {
			return more, err
		}
	}
	if more {
		return true, nil
	}
	return false, r.refresh(ctx, r.n.now())
}

func (r *router) load(ctx context.Context) error {
	if r.loaded {
		return nil
	}
	kept, cursor, err := r.n.cfg.Store.NotificationGroups(ctx)
	if err != nil {
		return err
	}
	for _, k := range kept {
		g, err := unpack(k)
		if err != nil {
			return fmt.Errorf("notification group %q: %w", k.Key, err)
		}
		r.groups[g.key] = g
		for key := range g.Things {
			r.enter(key, g)
		}
	}
	r.cursor, r.loaded = cursor, true
	return nil
}

func (r *router) save(ctx context.Context, step *fleet.NotificationStep) error {
	r.unsaved = step
	if err := r.n.cfg.Store.SaveNotificationStep(ctx, *step); err != nil {
		return err
	}
	r.unsaved, r.cursor = nil, step.Cursor
	r.n.enqueue(step.Deliveries)
	return nil
}

// pack puts what changed of the groups into a step.
func (r *router) pack(step *fleet.NotificationStep) error {
	for _, key := range sortedKeys(r.dirty) {
		kept := fleet.NotificationGroup{Key: key}
		if g := r.groups[key]; g != nil {
			var err error
			if kept, err = g.pack(); err != nil {
				return fmt.Errorf("notification group %q: %w", key, err)
			}
		}
		step.Groups = append(step.Groups, kept)
	}
	clear(r.dirty)
	return nil
}

// reroute drops the groups of routes that are no more; what waited in them takes the routes that there are now.
func (r *router) reroute(ctx context.Context, routes *routing) error {
	if r.version == routes.Version {
		return nil
	}
	var waiting []string
	for _, g := range r.groups {
		if routes.named(g.Route) != nil {
			continue
		}
		for key, t := range g.Things {
			if !t.told() {
				waiting = append(waiting, key)
			}
		}
	}
	// First everything that may fail, so that nothing is half done.
	subjects := make([]*subject, len(waiting))
	for i, key := range waiting {
		var err error
		if subjects[i], err = r.n.load(ctx, key); err != nil {
			return err
		}
	}
	for _, g := range r.groups {
		if routes.named(g.Route) == nil {
			r.drop(g)
		}
	}
	for i, s := range subjects {
		r.look(routes, waiting[i], s, nil, r.n.now())
	}
	r.version = routes.Version
	return nil
}

// lookAll looks once at each alert and incident that events are about.
func (r *router) lookAll(ctx context.Context, routes *routing, events []fleet.AlertEvent) error {
	var keys []string
	at := map[string]time.Time{}
	touch := func(key string, t time.Time) {
		if _, ok := at[key]; !ok {
			at[key] = t
			keys = append(keys, key)
		}
	}
	for _, e := range events {
		switch e.Kind {
		case fleet.AlertEventNotified, fleet.AlertEventNotNotified, fleet.AlertEventEscalated, fleet.AlertEventCommented, fleet.AlertEventAssigned:
			continue // our own, or of no meaning here
		}
		if e.AlertID != "" {
			touch(alertKey+e.AlertID, e.At)
		}
		if e.IncidentID != "" {
			touch(incidentKey+e.IncidentID, e.At)
		}
	}
	incidents := map[string]*subject{}
	for _, key := range keys {
		s, err := r.n.load(ctx, key)
		if err != nil {
			return err
		}
		var incident *subject
		if s != nil && s.inIncident() {
			id := incidentKey + s.alert.IncidentID
			if _, known := incidents[id]; !known {
				if incidents[id], err = r.n.load(ctx, id); err != nil {
					return err
				}
			}
			incident = incidents[id]
		}
		r.look(routes, key, s, incident, at[key])
	}
	return nil
}

// look brings the groups up to what a subject is now; nil: it is gone. Incident is the one that an alert is in.
func (r *router) look(routes *routing, key string, s, incident *subject, at time.Time) {
	now := r.n.now()
	for _, g := range r.holding(key) {
		t := g.Things[key]
		switch {
		case s == nil, !t.told() && !s.tellable(now):
			r.leave(key, g)
			continue
		case incident != nil && r.told(routes, g.Route, incident, at):
			r.leave(key, g) // its incident goes on in its place
			continue
		}
		was := *t
		if !t.told() {
			continue
		}
		switch {
		case s.open():
			t.EndedAt = time.Time{}
		case t.EndedAt.IsZero():
			t.EndedAt = at
		}
		quiet := s.acknowledged() || s.hushed(now)
		if t.Quiet && !quiet {
			t.EscalateFrom = at
		}
		t.Quiet = quiet
		t.Worse = s.severity().Rank() < t.Severity.Rank()
		if was.EndedAt != t.EndedAt || was.Quiet != t.Quiet || was.Worse != t.Worse {
			r.dirty[g.key] = struct{}{}
		}
	}
	if s == nil || !s.tellable(now) || !r.worth(s) {
		return
	}
	for _, route := range routes.match(s, at, r.n.zone(s)) {
		if len(route.Targets) > 0 || len(route.Escalations) > 0 {
			// The wait begins now, not at the event: after a pause everybody has to catch up first, also those who
			// find out that many alerts are one incident.
			r.add(route, s, now)
		}
	}
}

// worth reports whether routes are to be looked for: once for each subject, and again when it is worse than all
// that is known of it. Otherwise the hour of the day alone would tell it again by another route.
func (r *router) worth(s *subject) bool {
	for _, g := range r.index[s.key] {
		if g.Things[s.key].Severity.Rank() <= s.severity().Rank() {
			return false
		}
	}
	return true
}

// told reports whether an incident is told, or about to be, by a route.
func (r *router) told(routes *routing, route string, incident *subject, at time.Time) bool {
	for _, g := range r.index[incident.key] {
		if g.Route == route {
			return true
		}
	}
	if !incident.tellable(r.n.now()) {
		return false
	}
	return slices.ContainsFunc(routes.match(incident, at, r.n.zone(incident)), func(m *fleet.NotificationRoute) bool { return m.Name == route })
}

func (r *router) add(route *fleet.NotificationRoute, s *subject, now time.Time) {
	for _, g := range r.index[s.key] {
		if g.Route == route.Name {
			return
		}
	}
	key, labels := groupFor(route, s)
	g := r.groups[key]
	if g == nil {
		g = &group{Route: route.Name, Labels: labels, Things: map[string]*thing{}, key: key}
		r.groups[key] = g
	}
	g.Things[s.key] = &thing{AddedAt: now, Severity: s.severity()}
	r.enter(s.key, g)
	r.dirty[key] = struct{}{}
}

func (r *router) enter(key string, g *group) {
	if r.index[key] == nil {
		r.index[key] = map[string]*group{}
	}
	r.index[key][g.key] = g
}

func (r *router) leave(key string, g *group) {
	delete(g.Things, key)
	r.dirty[g.key] = struct{}{}
	if delete(r.index[key], g.key); len(r.index[key]) == 0 {
		delete(r.index, key)
	}
}

func (r *router) drop(g *group) {
	for key := range g.Things {
		r.leave(key, g)
	}
	delete(r.groups, g.key)
	r.dirty[g.key] = struct{}{}
}

// holding lists the groups that a subject is in, in a fixed order.
func (r *router) holding(key string) []*group {
	var out []*group
	for _, k := range sortedKeys(r.index[key]) {
		out = append(out, r.index[key][k])
	}
	return out
}

// refresh tells targets that forget what still stands.
func (r *router) refresh(ctx context.Context, now time.Time) error {
	if now.Before(r.refreshAt) {
		return nil
	}
	standing := map[string][]message{}
	for _, key := range sortedKeys(r.index) {
		var names []string
		for _, g := range r.index[key] {
			if t := g.Things[key]; t.told() && t.EndedAt.IsZero() {
				names = append(names, t.Targets...)
			}
		}
		names = slices.DeleteFunc(names, func(name string) bool { return !r.n.refreshes(name) })
		if len(names) == 0 {
			continue
		}
		s, err := r.n.load(ctx, key)
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if s != nil && s.open() {
				standing[name] = append(standing[name], message{items: []item{{s: s}}})
			}
		}
	}
	for name, messages := range standing {
		r.n.refresh(name, messages)
	}
	r.refreshAt = now.Add(target.RefreshEvery)
	return nil
}
