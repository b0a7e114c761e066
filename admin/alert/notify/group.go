package notify

import (
	"encoding/json"
	"strings"
	"time"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

// group is what one route tells together. It is kept in SQL as JSON.
type group struct {
	Route  string            `json:"route"`
	Labels map[string]string `json:"labels,omitempty"` // what all in it share
	LastAt time.Time         `json:"last_at,omitzero"` // of its last message
	Things map[string]*thing `json:"things"`           // by key of subject

	key    string
	asleep time.Time // until then the route's schedule lets nothing be repeated
}

// thing is one subject in a group.
type thing struct {
	AddedAt  time.Time      `json:"added_at"`         // from when its wait counts
	Severity fleet.Severity `json:"severity"`         // as it was told; before that as it came
	ToldAt   time.Time      `json:"told_at,omitzero"` // zero: it waits to be told
	LastAt   time.Time      `json:"last_at,omitzero"` // when it was told last
	EndedAt  time.Time      `json:"ended_at,omitzero"`
	Worse    bool           `json:"worse,omitempty"` // its severity has risen since it was told
	// Quiet says that somebody takes care, or that nobody is to be told: so it is neither repeated nor escalated.
	Quiet bool `json:"quiet,omitempty"`
	// EscalateFrom is from when the times of escalations count, Steps how many were done, Targets who was told.
	EscalateFrom time.Time `json:"escalate_from,omitzero"`
	Steps        int       `json:"steps,omitempty"`
	Targets      []string  `json:"targets,omitempty"`
}

func (t *thing) told() bool { return !t.ToldAt.IsZero() }

// groupFor returns key and labels of the group of a route that a subject belongs to. An incident is a message of
// its own.
func groupFor(route *fleet.NotificationRoute, s *subject) (key string, labels map[string]string) {
	if len(route.GroupBy) == 0 || s.incident != nil {
		return route.Name + "\x00" + s.key, nil
	}
	return groupKey(route, s.labels())
}

func groupKey(route *fleet.NotificationRoute, set matcher.Set) (key string, labels map[string]string) {
	labels = map[string]string{}
	parts := []string{route.Name}
	for _, name := range route.GroupBy {
		labels[name] = set.Value(name)
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, "\x00"), labels
}

// repeatAt returns when a told thing is repeated or escalated next; false: not before an event.
func (t *thing) repeatAt(route *fleet.NotificationRoute) (at time.Time, ok bool) {
	if t.Quiet || !t.told() {
		return at, false
	}
	if t.Steps < len(route.Escalations) {
		at, ok = t.EscalateFrom.Add(route.Escalations[t.Steps].After), true
	}
	if route.RepeatInterval > 0 {
		if again := t.LastAt.Add(route.RepeatInterval); !ok || again.Before(at) {
			at, ok = again, true
		}
	}
	return at, ok
}

// due returns when the group has something to tell, or may be forgotten; false: it waits for an event.
func (g *group) due(route *fleet.NotificationRoute) (time.Time, bool) {
	next := g.LastAt // the least time of another message
	if !next.IsZero() {
		next = next.Add(route.GroupInterval)
	}
	if len(g.Things) == 0 {
		return next, true
	}
	first, any := time.Time{}, false
	for _, t := range g.Things {
		at, ok := next, true
		switch {
		case !t.told():
			at = later(t.AddedAt.Add(route.GroupWait), next)
		case !t.EndedAt.IsZero(), t.Worse:
		default:
			if at, ok = t.repeatAt(route); ok {
				at = later(at, g.asleep)
			}
		}
		if ok && (!any || at.Before(first)) {
			first, any = at, true
		}
	}
	return first, any
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (g *group) pack() (fleet.NotificationGroup, error) {
	data, err := json.Marshal(g)
	return fleet.NotificationGroup{Key: g.key, Data: data}, err
}

func unpack(kept fleet.NotificationGroup) (*group, error) {
	g := &group{key: kept.Key}
	if err := json.Unmarshal(kept.Data, g); err != nil {
		return nil, err
	}
	if g.Things == nil {
		g.Things = map[string]*thing{}
	}
	return g, nil
}
