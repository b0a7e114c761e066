package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/spelling"
)

// What a route has where it says nothing.
const (
	DefaultGroupWait     = 10 * time.Second
	DefaultGroupInterval = time.Minute
)

// Bounds of what people may write.
const (
	maxRoutes      = 200
	maxNames       = 50 // of targets, sites and labels in one list
	maxEscalations = 10
	maxNameLength  = 64
	maxWait        = 10 * time.Minute
	maxInterval    = 24 * time.Hour
	minRepeat      = time.Minute
	maxRepeat      = 30 * 24 * time.Hour
)

// routing is a list of routes that is ready to use.
type routing struct {
	fleet.NotificationRoutes
	matchers []matcher.Matchers // of each route
}

func compile(r fleet.NotificationRoutes) (*routing, error) {
	out := &routing{NotificationRoutes: r, matchers: make([]matcher.Matchers, len(r.Routes))}
	for i, route := range r.Routes {
		var err error
		if out.matchers[i], err = matcher.Compile(route.Matchers); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// named returns a route, nil if there is none of that name.
func (r *routing) named(name string) *fleet.NotificationRoute {
	for i := range r.Routes {
		if r.Routes[i].Name == name {
			return &r.Routes[i]
		}
	}
	return nil
}

// match returns the routes that a subject takes at a time, by a clock of that zone.
func (r *routing) match(s *subject, at time.Time, zone *time.Location) []*fleet.NotificationRoute {
	var out []*fleet.NotificationRoute
	a := s.labelled()
	labels := s.labels()
	for i := range r.Routes {
		route := &r.Routes[i]
		if len(route.Severities) > 0 && !slices.Contains(route.Severities, a.Severity) {
			continue
		}
		if !matcher.Covers(&fleet.RuleScope{Sites: route.Sites}, &fleet.Kiosk{Site: a.Site}) || !r.matchers[i].Matches(labels) {
			continue
		}
		if holds, _ := matcher.Scheduled(route.Schedule, at, zone); !holds {
			continue
		}
		out = append(out, route)
		if !route.Continue {
			break
		}
	}
	return out
}

// users lists the routes that name a target.
func (r *routing) users(target string) []string {
	var out []string
	for _, route := range r.Routes {
		uses := slices.Contains(route.Targets, target)
		for _, e := range route.Escalations {
			uses = uses || slices.Contains(e.Targets, target)
		}
		if uses {
			out = append(out, route.Name)
		}
	}
	return out
}

// check fills in what routes leave open and finds their faults.
func check(routes []fleet.NotificationRoute, targets []string) error {
	var v fleet.Violations
	if len(routes) > maxRoutes {
		v.Add("routes", "%d routes, at most %d are allowed", len(routes), maxRoutes)
		return v.Err()
	}
	names := map[string]int{}
	for i := range routes {
		r, field := &routes[i], fmt.Sprintf("routes[%d].", i)
		checkName(&v, field+"name", r.Name)
		if j, ok := names[r.Name]; ok {
			v.Add(field+"name", "%q is the name of routes[%d], too", r.Name, j)
		}
		names[r.Name] = i
		checkWhat(&v, field, r)
		checkTargets(&v, field+"targets", r.Targets, targets)
		checkTimes(&v, field, r)
		checkEscalations(&v, field+"escalations", r, targets)
	}
	return v.Err()
}

func checkName(v *fleet.Violations, field, name string) {
	if name == "" || len(name) > maxNameLength || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		v.Add(field, "must be a name of 1 to %d bytes, without space around it", maxNameLength)
	}
}

func checkWhat(v *fleet.Violations, field string, r *fleet.NotificationRoute) {
	for i, s := range r.Severities {
		if !slices.Contains(fleet.Severities(), s) {
			v.Add(fmt.Sprintf("%sseverities[%d]", field, i), "%q is not critical, warning or info", s)
		}
	}
	var sites fleet.Violations
	matcher.CheckScope(&sites, "", &fleet.RuleScope{Sites: r.Sites})
	for _, fault := range sites {
		v.Add(field+strings.TrimPrefix(fault.Field, "."), "%s", fault.Reason)
	}
	if _, err := matcher.Compile(r.Matchers); err != nil {
		var faults *fleet.ValidationError
		if !errors.As(err, &faults) {
			faults = &fleet.ValidationError{Violations: []fleet.Violation{{Field: "matchers", Reason: err.Error()}}}
		}
		for _, fault := range faults.Violations {
			v.Add(field+fault.Field, "%s", fault.Reason)
		}
	}
	if r.Schedule != nil {
		matcher.CheckSchedule(v, field+"schedule", r.Schedule)
	}
	if len(r.GroupBy) > maxNames {
		v.Add(field+"group_by", "%d labels, at most %d are allowed", len(r.GroupBy), maxNames)
	}
	for i, label := range r.GroupBy {
		if label == "" || len(label) > maxNameLength {
			v.Add(fmt.Sprintf("%sgroup_by[%d]", field, i), "must be the name of a label, such as site, rule, severity or model")
		}
	}
}

func checkTargets(v *fleet.Violations, field string, names, known []string) {
	if len(names) > maxNames {
		v.Add(field, "%d targets, at most %d are allowed", len(names), maxNames)
		return
	}
	for i, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		advice := "; make it first"
		if near := spelling.Nearest(name, known, max(3, len(name)/3)); near != "" {
			advice = fmt.Sprintf("; did you mean %q?", near)
		}
		v.Add(fmt.Sprintf("%s[%d]", field, i), "there is no target %q%s", name, advice)
	}
}

func checkTimes(v *fleet.Violations, field string, r *fleet.NotificationRoute) {
	if r.GroupWait == 0 {
		r.GroupWait = DefaultGroupWait
	}
	if r.GroupInterval == 0 {
		r.GroupInterval = DefaultGroupInterval
	}
	if r.GroupWait < time.Second || r.GroupWait > maxWait {
		v.Add(field+"group_wait", "must be 1s to %s, or absent for %s", maxWait, DefaultGroupWait)
	}
	if r.GroupInterval < time.Second || r.GroupInterval > maxInterval {
		v.Add(field+"group_interval", "must be 1s to %s, or absent for %s", maxInterval, DefaultGroupInterval)
	}
	if r.RepeatInterval != 0 && (r.RepeatInterval < minRepeat || r.RepeatInterval > maxRepeat) {
		v.Add(field+"repeat_interval", "must be %s to %s, or 0 for never", minRepeat, maxRepeat)
	}
}

func checkEscalations(v *fleet.Violations, field string, r *fleet.NotificationRoute, targets []string) {
	if len(r.Escalations) > maxEscalations {
		v.Add(field, "%d steps, at most %d are allowed", len(r.Escalations), maxEscalations)
		return
	}
	before := time.Duration(0)
	for i, e := range r.Escalations {
		step := fmt.Sprintf("%s[%d].", field, i)
		switch {
		case e.After < time.Second || e.After > maxRepeat:
			v.Add(step+"after", "must be 1s to %s after the first message", maxRepeat)
		case e.After <= before:
			v.Add(step+"after", "%s is not later than the step before it (%s); order the steps by time", e.After, before)
		}
		before = max(before, e.After)
		if len(e.Targets) == 0 {
			v.Add(step+"targets", "is empty: say who is told then")
		}
		checkTargets(v, step+"targets", e.Targets, targets)
	}
}
