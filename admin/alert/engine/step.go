package engine

import (
	"slices"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// Rule is a compiled rule as the engine asks it. It may be asked by several goroutines at once.
type Rule interface {
	// Definition returns the rule as people wrote it; nobody changes it.
	Definition() *fleet.Rule
	Condition(v *rule.View) rule.Truth
	// Clear says whether an open alert may close.
	Clear(v *rule.View) rule.Truth
	Text(v *rule.View) string
	Values(v *rule.View) []fleet.Value
	InSchedule(v *rule.View) bool
	// NextBoundary returns when the schedule next begins or ends after a time, zero for a rule without one.
	NextBoundary(at time.Time, zone *time.Location) time.Time
	// Metrics are those of readings that the condition needs.
	Metrics() []string
	// Windows are the rates that the condition asks for.
	Windows() []rule.Window
	// AboutPresence reports whether the condition looks at presence itself.
	AboutPresence() bool
}

// Input is something that may change what holds for a kiosk. Kiosk and Live are nil for the platform itself.
type Input struct {
	At      time.Time    // our clock
	Source  fleet.Source // in the journal; zero: it does not come from there
	Reading *fleet.Reading
	Kiosk   *fleet.Kiosk
	Live    *fleet.Live
	Derived rule.Derived
	Zone    *time.Location // of the kiosk; nil: UTC
}

// Step brings the state of one kiosk forward to an input and returns what was found out, in the order of time. It has
// no clock and does no I/O: the same state, rules and input give the same result.
//
// Deadlines that lie before the input come first, each at its own time, so that it makes no difference how often
// somebody asks. The rules are taken to be those since the last input; before others are given, what fell due by the old
// ones is to be asked for. Rules that are no longer among those given resolve their alerts.
func Step(s *State, rules []Rule, in Input) []fleet.AlertChange {
	if in.Source != (fleet.Source{}) {
		if !in.Source.After(s.Source) {
			return nil
		}
		s.Source = in.Source
	}
	if in.At.Before(s.At) {
		in.At = s.At // what is told late happened before, but nobody can act on it before now
	}
	run := &run{state: s, rules: rules, in: in}
	if !s.seen && s.kept { // an earlier run left it, which told nothing of these
		s.live, s.kiosk = in.Live, in.Kiosk
	}
	if !s.gap && (s.seen || s.kept) {
		run.deadlines()
	}
	s.gap, s.seen, s.live, s.kiosk = false, true, in.Live, in.Kiosk
	s.At = in.At
	run.come()
	run.take()
	run.expect()
	run.view(in.At)
	run.drop()
	for _, r := range rules {
		run.evaluate(r)
	}
	s.due = run.next()
	// What fell due while we were away is found in the order of the rules.
	slices.SortStableFunc(run.changes, func(a, b fleet.AlertChange) int { return a.At.Compare(b.At) })
	return run.changes
}

// run is one step.
type run struct {
	state   *State
	rules   []Rule
	in      Input
	seen    rule.View // what rules see
	changes []fleet.AlertChange
}

// come notes whether the kiosk is there. What one that was gone said before tells nothing of how it is when it is back;
// of our own restart no kiosk knows, so that what waits goes on waiting until we hear of it again.
func (x *run) come() {
	s, l := x.state, x.in.Live
	switch {
	case x.restarted():
		s.frozen = true
	case l != nil && l.Presence == fleet.PresenceOffline:
		s.frozen, s.reading = false, nil
	}
}

// take notes the input's reading, if it counts as live: what comes late says nothing about now.
func (x *run) take() {
	s, r := x.state, x.in.Reading
	if l := x.in.Live; s.newest == nil && l != nil && l.LastReading != r && l.LastReading != nil && !l.LastReading.Source.After(s.Source) {
		s.newest = l.LastReading // from before our start
	}
	if r == nil || r.OnlyReports() {
		return
	}
	live := fleet.CountsAsLive(s.newest, r)
	if s.newest == nil || r.Time.After(s.newest.Time) {
		s.newest = r
	}
	if !live {
		return
	}
	s.reading, s.frozen = r, false
	for _, one := range x.rules {
		if one.Definition().NoData > 0 {
			for _, metric := range one.Metrics() {
				if _, ok := r.Value(metric); ok {
					s.note(metric, x.in.At)
				} else if _, ok := r.Text(metric); ok {
					s.note(metric, x.in.At)
				}
			}
		}
		for _, w := range one.Windows() {
			if v, ok := r.Value(w.Metric); ok {
				s.sample(w, r.Time, v)
			}
		}
	}
}

// expect notes that from now on a value is awaited that has not come since somebody asked for it: a rule that was just
// made knows nothing of what came before.
func (x *run) expect() {
	if x.in.Live == nil || !x.present() {
		return
	}
	for _, one := range x.rules {
		if one.Definition().NoData <= 0 {
			continue
		}
		for _, metric := range one.Metrics() {
			if _, ok := x.state.Came[metric]; !ok {
				x.state.note(metric, x.in.At)
			}
		}
	}
}

// view sets what rules see at a time. The values of a kiosk that is gone are not known.
func (x *run) view(at time.Time) {
	x.seen = rule.View{Now: at, Kiosk: x.in.Kiosk, Live: x.in.Live, Reading: x.state.reading, Derived: x.in.Derived, Rates: x.state}
	if l := x.in.Live; l != nil && l.Presence == fleet.PresenceOffline {
		x.seen.Reading, x.seen.Rates = nil, nil
	}
}

// restarted reports whether the kiosk has not come back since the platform restarted.
func (x *run) restarted() bool {
	l := x.in.Live
	return l != nil && l.Presence == fleet.PresenceOffline && l.PresenceReason == fleet.ReasonAdminRestart
}

// present reports whether values of the kiosk can be expected.
func (x *run) present() bool {
	l := x.in.Live
	return l == nil || l.Presence == fleet.PresenceOnline || l.Presence == fleet.PresenceStale
}

// frozen reports whether nothing can be said about a rule: it is about what the kiosk reports, and of that we have
// heard nothing since our restart.
func (x *run) frozen(r Rule) bool { return x.state.frozen && !r.AboutPresence() }

// drop resolves the alerts of rules that no longer hold for the kiosk.
func (x *run) drop() {
	s := x.state
	var gone []string
	for name := range s.Phases {
		if !slices.ContainsFunc(x.rules, func(r Rule) bool { return r.Definition().Name == name }) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	for _, name := range gone {
		if p := s.Phases[name]; p.Open {
			x.changes = append(x.changes, s.resolved(name, p, x.in.At, fleet.ResolvedRule))
		}
		delete(s.Phases, name)
	}
}

// evaluate asks a rule about now.
func (x *run) evaluate(r Rule) {
	if x.frozen(r) {
		return
	}
	s, d := x.state, r.Definition()
	p := s.Phases[d.Name]
	truth := r.Condition(&x.seen)
	if truth == rule.True && !r.InSchedule(&x.seen) {
		truth = rule.False
	}
	if p != nil && p.Open {
		x.still(r, p, truth)
		return
	}
	if x.missing(r, x.seen.Now) {
		x.lacks(r)
		return
	}
	if truth != rule.True {
		if p != nil {
			p.Since = time.Time{}
			s.rest(d.Name, p)
		}
		return
	}
	if p == nil {
		p = s.phase(d.Name)
	}
	if p.Since.IsZero() {
		p.Since = x.seen.Now
	}
	if !p.Since.Add(d.For).After(x.seen.Now) {
		x.open(r, p, p.Since.Add(d.For), false)
	}
}

// still asks whether an open alert may close.
func (x *run) still(r Rule, p *Phase, truth rule.Truth) {
	d, now := r.Definition(), x.seen.Now
	if p.Version != d.Version {
		p.Version = d.Version
		a := x.state.alert(r, p, &x.seen)
		x.changes = append(x.changes, fleet.AlertChange{Kind: fleet.AlertEventReason, At: now, Alert: a})
	}
	var clear rule.Truth
	switch {
	case p.NoData && r.InSchedule(&x.seen):
		clear = rule.False
		if x.complete(r) {
			clear = rule.True
		}
	case (p.NoData || truth == rule.False) && !r.InSchedule(&x.seen):
		clear = rule.True
	default:
		clear = r.Clear(&x.seen)
	}
	switch clear {
	case rule.Unknown: // nothing is known: it neither closes nor begins to
		return
	case rule.False:
		p.Clearing = time.Time{}
		return
	}
	if p.Clearing.IsZero() {
		p.Clearing = now
	}
	if end := p.Clearing.Add(x.state.clearFor(d, p)); !end.After(now) {
		x.close(r, p, end)
		x.evaluate(r) // what it was about may hold all the same, such as of an alert that opened because nothing came
	}
}

// complete reports whether every value that the condition needs has come lately.
func (x *run) complete(r Rule) bool {
	return x.state.oldest(r).Add(r.Definition().NoData).After(x.seen.Now)
}

// open opens an alert.
func (x *run) open(r Rule, p *Phase, at time.Time, noData bool) {
	s, d := x.state, r.Definition()
	p.Open, p.OpenedAt, p.NoData, p.Clearing, p.Version = true, at, noData, time.Time{}, d.Version
	p.ID = alertID(d.Name, s.Serial, at, p.openedAt(at))
	p.opened(at)
	view := x.seen
	view.Now = at
	x.changes = append(x.changes, fleet.AlertChange{Kind: fleet.AlertEventOpened, At: at, Alert: s.alert(r, p, &view)})
	if !p.Held && p.flaps(at) {
		p.Held = true
		x.changes = append(x.changes, fleet.AlertChange{Kind: fleet.AlertEventFlapping, At: at, Alert: s.alert(r, p, &view)})
	}
}

// lacks opens an alert because a value does not come.
func (x *run) lacks(r Rule) {
	p := x.state.phase(r.Definition().Name)
	p.Since = x.awaited(r)
	x.open(r, p, x.seen.Now, true)
}

// close resolves an alert.
func (x *run) close(r Rule, p *Phase, at time.Time) {
	s, name := x.state, r.Definition().Name
	x.changes = append(x.changes, s.resolved(name, p, at, fleet.ResolvedCleared))
	p.shut()
	s.rest(name, p)
}
