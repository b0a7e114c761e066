// Package incident finds out which alerts have one cause: many kiosks of one site, of one network path or of one
// agent version that fail at about the same time. It is pure: time, order and counts come in as input, and the
// same input gives the same incidents.
package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// Config says when alerts become an incident. The zero value takes the defaults.
type Config struct {
	// Window is how far apart alerts may open: each within it of the one before. 0: a minute.
	Window time.Duration
	// MinKiosks is how many kiosks it takes, at least. 0: 3.
	MinKiosks int
	// MinShare is how many of the key's registered kiosks it takes, 0..1. 0: 0.3.
	MinShare float64
	// Causes lists rules that tell of one and the same trouble, so that their alerts count together. nil: a
	// kiosk that is silent, gone, or cannot serve.
	Causes [][]string
}

// Defaults of Config.
const (
	DefaultWindow    = time.Minute
	DefaultMinKiosks = 3
	DefaultMinShare  = 0.3
)

func (c Config) withDefaults() Config {
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.MinKiosks = cmp.Or(c.MinKiosks, DefaultMinKiosks)
	c.MinShare = cmp.Or(c.MinShare, DefaultMinShare)
	if c.Causes == nil {
		c.Causes = [][]string{{"offline", "not_back", "stale", "cannot_serve"}}
	}
	return c
}

// kinds in the order in which they are tried: what is nearest explains best.
var kinds = []fleet.IncidentKind{fleet.IncidentSite, fleet.IncidentNetwork, fleet.IncidentVersion}

// key is what kiosks have in common.
type key struct {
	kind fleet.IncidentKind
	name string
}

// keysOf returns what an alert can have in common with others, in the order of kinds. The platform's own alerts
// have nothing.
func keysOf(a *fleet.Alert) []key {
	if a.Serial == "" {
		return nil
	}
	out := make([]key, 0, len(kinds))
	for i, name := range []string{a.Site, a.Network, a.AgentVersion} {
		if name != "" {
			out = append(out, key{kinds[i], name})
		}
	}
	return out
}

// place is where alerts that are in no incident wait for others.
type place struct {
	key
	cause string
}

// waiting is an open alert in no incident.
type waiting struct {
	id, serial, site string
	openedAt         time.Time
}

func compareWaiting(a, b waiting) int {
	return cmp.Or(a.openedAt.Compare(b.openedAt), cmp.Compare(a.id, b.id))
}

// membership is an open alert and its incident, empty when it is in none.
type membership struct {
	alert    *fleet.Alert
	incident string
}

// tally counts the alerts of one rule in an incident.
type tally struct{ open, all int }

// group is an open incident and what it is made of.
type group struct {
	fleet.Incident
	open       map[string]*fleet.Alert // by id
	serials    map[string]bool         // that have or had an alert in it
	sites      map[string]bool
	rules      map[string]tally
	lastOpened time.Time // of the alert that opened last
}

func (g *group) clone() *group {
	c := *g
	c.open, c.serials, c.sites, c.rules = maps.Clone(g.open), maps.Clone(g.serials), maps.Clone(g.sites), maps.Clone(g.rules)
	return &c
}

func (g *group) add(a *fleet.Alert) {
	t := g.rules[a.Rule]
	t.all++
	if a.Open() {
		t.open++
		g.open[a.ID] = a
	}
	g.rules[a.Rule] = t
	g.serials[a.Serial], g.sites[a.Site] = true, true
	if a.OpenedAt.After(g.lastOpened) {
		g.lastOpened = a.OpenedAt
	}
}

// State is what is known between steps: the open alerts and incidents. It belongs to one goroutine at a time.
type State struct {
	config  Config
	causes  map[string]string // of a rule, when it is not its own
	groups  map[string]*group // open incidents by id
	byKey   map[key][]string  // ids of open incidents, oldest first
	member  map[string]membership
	waiting map[place][]waiting // sorted
}

// New returns the state of open incidents, and of alerts: all open ones, and those resolved of open incidents.
func New(config Config, incidents []fleet.Incident, alerts []fleet.Alert) *State {
	s := &State{
		config: config.withDefaults(), causes: map[string]string{}, groups: map[string]*group{}, byKey: map[key][]string{},
		member: map[string]membership{}, waiting: map[place][]waiting{},
	}
	for _, family := range s.config.Causes {
		for _, rule := range family {
			s.causes[rule] = family[0]
		}
	}
	incidents = slices.Clone(incidents)
	slices.SortFunc(incidents, func(a, b fleet.Incident) int {
		return cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, i := range incidents {
		s.groups[i.ID] = newGroup(i)
		s.byKey[keyOf(&i)] = append(s.byKey[keyOf(&i)], i.ID)
	}
	for i := range alerts {
		a := &alerts[i]
		if g := s.groups[a.IncidentID]; g != nil {
			g.add(a)
		} else if a.Open() {
			for _, k := range keysOf(a) {
				p := place{k, s.cause(a.Rule)}
				s.waiting[p] = append(s.waiting[p], waiting{a.ID, a.Serial, a.Site, a.OpenedAt})
			}
		}
		if a.Open() {
			m := membership{alert: a}
			if s.groups[a.IncidentID] != nil {
				m.incident = a.IncidentID
			}
			s.member[a.ID] = m
		}
	}
	for _, list := range s.waiting {
		slices.SortFunc(list, compareWaiting)
	}
	return s
}

func newGroup(i fleet.Incident) *group {
	return &group{Incident: i, open: map[string]*fleet.Alert{}, serials: map[string]bool{}, sites: map[string]bool{}, rules: map[string]tally{}}
}

func keyOf(i *fleet.Incident) key { return key{i.Kind, i.Key} }

func (s *State) cause(rule string) string { return cmp.Or(s.causes[rule], rule) }

// idOf makes the id of an incident from what it began with.
func idOf(p place, firstAlert string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{string(p.kind), p.name, p.cause, firstAlert}, "\x00")))
	return "inc-" + hex.EncodeToString(sum[:10])
}
