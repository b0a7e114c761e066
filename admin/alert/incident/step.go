package incident

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
)

// Input is what happened since the last step.
type Input struct {
	// Alerts are those that opened, changed or were resolved, as they are now, in the order in which it happened.
	Alerts []*fleet.Alert
	// Registered says how many kiosks are registered with a key: of a site, on a network path, of an agent
	// version. 0: nobody knows, and their share is not asked for.
	Registered func(kind fleet.IncidentKind, name string) int
}

// Changes is what a step found out. Nothing of it holds until Commit.
type Changes struct {
	// Incidents are those that are new or changed, oldest first. They hold nothing of what people did.
	Incidents []fleet.Incident
	Opened    map[string]bool   // ids of incidents
	Closed    map[string]bool   // ids of incidents
	Joined    map[string]string // incident by alert

	draft *draft
}

// draft holds new versions of the parts of a state that a step touches.
type draft struct {
	*State
	groups  map[string]*group
	byKey   map[key][]string
	member  map[string]membership
	gone    map[string]bool // alerts that are open no longer
	waiting map[place][]waiting
	opened  map[string]bool
	closed  map[string]bool
	joined  map[string]string
	fresh   map[place]bool // places where something came to wait
}

// Step returns what follows from the input. It leaves the state as it is, so that what could not be stored has
// not happened; Commit takes the changes over, and must come before the next step.
func (s *State) Step(in Input) Changes {
	d := &draft{
		State: s, groups: map[string]*group{}, byKey: map[key][]string{}, member: map[string]membership{}, gone: map[string]bool{},
		waiting: map[place][]waiting{}, opened: map[string]bool{}, closed: map[string]bool{}, joined: map[string]string{},
		fresh: map[place]bool{},
	}
	for _, a := range in.Alerts {
		m, known := d.where(a.ID)
		switch {
		case !known && a.Open():
			d.arrive(a)
		case known && a.Open():
			d.member[a.ID] = membership{a, m.incident}
			if m.incident != "" {
				d.group(m.incident).open[a.ID] = a
			}
		case known:
			d.leave(a, m.incident)
		}
	}
	for _, p := range d.places() {
		d.cluster(p, in.Registered)
	}
	c := Changes{Opened: d.opened, Closed: d.closed, Joined: d.joined, draft: d}
	for id, g := range d.groups {
		g.describe(s)
		if before := s.groups[id]; before == nil || before.Incident != g.Incident {
			c.Incidents = append(c.Incidents, g.Incident)
		}
	}
	slices.SortFunc(c.Incidents, func(a, b fleet.Incident) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
	})
	return c
}

// places returns where something came to wait: by kind, where the oldest alert waits first.
func (d *draft) places() []place {
	since := make(map[place]time.Time, len(d.fresh))
	for p := range d.fresh {
		if list := d.waitingAt(p); len(list) > 0 {
			since[p] = list[0].openedAt
		}
	}
	return slices.SortedFunc(maps.Keys(since), func(a, b place) int {
		return cmp.Or(slices.Index(kinds, a.kind)-slices.Index(kinds, b.kind), since[a].Compare(since[b]),
			cmp.Compare(a.name, b.name), cmp.Compare(a.cause, b.cause))
	})
}

// where returns what is known of an open alert, and false for one that is not open.
func (d *draft) where(alert string) (m membership, open bool) {
	if d.gone[alert] {
		return membership{}, false
	}
	if m, open = d.member[alert]; !open {
		m, open = d.State.member[alert]
	}
	return m, open
}

// group returns an incident for changing.
func (d *draft) group(id string) *group {
	g := d.groups[id]
	if g == nil {
		g = d.State.groups[id].clone()
		d.groups[id] = g
	}
	return g
}

// peek returns an incident for reading.
func (d *draft) peek(id string) *group {
	if g := d.groups[id]; g != nil {
		return g
	}
	return d.State.groups[id]
}

func (d *draft) incidentsOf(k key) []string {
	if ids, ok := d.byKey[k]; ok {
		return ids
	}
	return d.State.byKey[k]
}

func (d *draft) waitingAt(p place) []waiting {
	if list, ok := d.waiting[p]; ok {
		return list
	}
	list := slices.Clone(d.State.waiting[p])
	d.waiting[p] = list
	return list
}

// arrive lets an alert join an open incident of its cause, or wait.
func (d *draft) arrive(a *fleet.Alert) {
	delete(d.gone, a.ID)
	cause := d.cause(a.Rule)
	for _, k := range keysOf(a) {
		for _, id := range d.incidentsOf(k) {
			if d.peek(id).about(d.State, cause) {
				d.join(a, id)
				return
			}
		}
	}
	d.member[a.ID] = membership{alert: a}
	w := waiting{a.ID, a.Serial, a.Site, a.OpenedAt}
	for _, k := range keysOf(a) {
		p := place{k, cause}
		list := d.waitingAt(p)
		i, _ := slices.BinarySearchFunc(list, w, compareWaiting)
		d.waiting[p] = slices.Insert(list, i, w)
		d.fresh[p] = true
	}
}

// about reports whether one of the incident's alerts has that cause.
func (g *group) about(s *State, cause string) bool {
	for rule := range g.rules {
		if s.cause(rule) == cause {
			return true
		}
	}
	return false
}

func (d *draft) join(a *fleet.Alert, incident string) {
	d.group(incident).add(a)
	d.member[a.ID] = membership{a, incident}
	d.joined[a.ID] = incident
}

// leave takes out an alert that was resolved, and closes its incident when it was the last.
func (d *draft) leave(a *fleet.Alert, incident string) {
	d.gone[a.ID] = true
	if incident == "" {
		d.unwait(a)
		return
	}
	g := d.group(incident)
	delete(g.open, a.ID)
	t := g.rules[a.Rule]
	t.open--
	g.rules[a.Rule] = t
	if len(g.open) > 0 {
		return
	}
	g.State = fleet.AlertResolved
	g.ResolvedAt = a.ResolvedAt
	d.closed[incident] = true
	k := keyOf(&g.Incident)
	d.byKey[k] = slices.DeleteFunc(slices.Clone(d.incidentsOf(k)), func(id string) bool { return id == incident })
}

// unwait takes alerts from the places where they wait.
func (d *draft) unwait(alerts ...*fleet.Alert) {
	ids, places := map[string]bool{}, map[place]bool{}
	for _, a := range alerts {
		ids[a.ID] = true
		for _, k := range keysOf(a) {
			places[place{k, d.cause(a.Rule)}] = true
		}
	}
	for p := range places {
		d.waiting[p] = slices.DeleteFunc(d.waitingAt(p), func(w waiting) bool { return ids[w.id] })
	}
}

// cluster makes incidents of alerts that wait at a place and opened one soon after the other.
func (d *draft) cluster(p place, registered func(fleet.IncidentKind, string) int) {
	list := slices.Clone(d.waitingAt(p))
	of := -1
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].openedAt.Sub(list[to-1].openedAt) <= d.config.Window {
			to++
		}
		run := list[from:to]
		from = to
		if len(run) < d.config.MinKiosks {
			continue
		}
		if of < 0 && registered != nil {
			of = registered(p.kind, p.name)
		}
		of = max(of, 0)
		if d.enough(p, run, of) {
			d.found(p, run, list[to:], of)
			return
		}
	}
}

func (d *draft) enough(p place, run []waiting, of int) bool {
	serials, sites := map[string]bool{}, map[string]bool{}
	for _, w := range run {
		serials[w.serial], sites[w.site] = true, true
	}
	n := len(serials)
	return n >= d.config.MinKiosks && float64(n) >= d.config.MinShare*float64(of) &&
		(p.kind == fleet.IncidentSite || len(sites) > 1)
}

// found puts alerts into an incident: into one that is about the same kiosks and began at the same time, or into
// a new one. What opened later joins it, as it would have if it had come later.
func (d *draft) found(p place, run, later []waiting, of int) {
	id := d.sameTrouble(p.key, run)
	if id == "" {
		id = idOf(p, run[0].id)
		d.groups[id] = newGroup(fleet.Incident{
			ID: id, Kind: p.kind, Key: p.name, State: fleet.AlertOpen, OfKiosks: of, OpenedAt: run[0].openedAt,
		})
		d.byKey[p.key] = append(slices.Clone(d.incidentsOf(p.key)), id)
		d.opened[id] = true
	}
	var alerts []*fleet.Alert
	for _, w := range slices.Concat(run, later) {
		m, _ := d.where(w.id)
		alerts = append(alerts, m.alert)
	}
	d.unwait(alerts...)
	for _, a := range alerts {
		d.join(a, id)
	}
}

// sameTrouble returns an open incident with that key that another rule has told of: at most the window lies
// between its last alert and these, and half of these kiosks are in it. A power failure is one incident, by
// whatever rules it shows.
func (d *draft) sameTrouble(k key, run []waiting) string {
	first := run[0].openedAt
	for _, id := range d.incidentsOf(k) {
		g := d.peek(id)
		if first.Sub(g.lastOpened) > d.config.Window {
			continue
		}
		serials, shared := map[string]bool{}, 0
		for _, w := range run {
			if !serials[w.serial] && g.serials[w.serial] {
				shared++
			}
			serials[w.serial] = true
		}
		if 2*shared >= len(serials) {
			return id
		}
	}
	return ""
}

// Commit takes over what a step found.
func (s *State) Commit(c Changes) {
	d := c.draft
	for id, g := range d.groups {
		if d.closed[id] {
			delete(s.groups, id)
		} else {
			s.groups[id] = g
		}
	}
	keep(s.byKey, d.byKey)
	keep(s.waiting, d.waiting)
	maps.Copy(s.member, d.member)
	for id := range d.gone {
		delete(s.member, id)
	}
}

func keep[K comparable, V any](all, changed map[K][]V) {
	for k, list := range changed {
		if len(list) == 0 {
			delete(all, k)
		} else {
			all[k] = list
		}
	}
}
