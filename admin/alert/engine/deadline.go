package engine

import (
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// Flap damping: an alert that opened flapCount times within flapWindow stays open until it was clear for flapHold. A
// person who is told the fourth time in half an hour learns nothing but to look away.
const (
	flapCount  = 4
	flapWindow = 30 * time.Minute
	flapHold   = 10 * time.Minute
)

// deadlines handles, in order, everything that falls due until the input. Between two inputs nothing changes but the
// time, so that what was so at the last one is so until then.
func (x *run) deadlines() {
	in := x.in
	defer func() { x.in = in }()
	x.in.Live, x.in.Kiosk, x.in.Reading = x.state.live, x.state.kiosk, nil
	for {
		at := x.next()
		if at.IsZero() || at.After(in.At) {
			return
		}
		from := x.state.At
		x.state.At = at
		x.view(at)
		for _, r := range x.rules {
			if !x.frozen(r) {
				x.due(r, from, at)
			}
		}
	}
}

// due handles what falls due for a rule after from, up to now.
func (x *run) due(r Rule, from, now time.Time) {
	s, d := x.state, r.Definition()
	p := s.Phases[d.Name]
	switch {
	case p != nil && p.Open && p.NoData && !p.Clearing.IsZero() && !x.complete(r):
		p.Clearing = time.Time{} // a value is missing again
	case p != nil && p.Open && !p.Clearing.IsZero() && !p.Clearing.Add(s.clearFor(d, p)).After(now):
		x.close(r, p, now)
		x.evaluate(r)
	case p != nil && !p.Open && !p.Since.IsZero() && !p.Since.Add(d.For).After(now):
		x.open(r, p, now, false)
	case x.missing(r, now):
		x.lacks(r)
	}
	if d.Schedule != nil && !r.NextBoundary(from, x.in.Zone).After(now) {
		x.evaluate(r)
	}
}

// missing reports whether a value that the rule needs is overdue, and nobody was told yet.
func (x *run) missing(r Rule, at time.Time) bool {
	d := r.Definition()
	if d.NoData <= 0 || !x.present() || len(r.Metrics()) == 0 || !r.InSchedule(&x.seen) {
		return false
	}
	if p := x.state.Phases[d.Name]; p != nil && p.Open {
		return false
	}
	from := x.awaited(r)
	return !from.IsZero() && !from.Add(d.NoData).After(at)
}

// awaited returns since when a value of the rule is awaited: since it came last, but not from before the kiosk did.
func (x *run) awaited(r Rule) time.Time {
	from := x.state.oldest(r)
	if l := x.in.Live; l != nil && l.PresenceSince.After(from) && l.Presence == fleet.PresenceOnline {
		from = l.PresenceSince
	}
	return from
}

// next returns the next deadline after the state's time, zero when there is none.
func (x *run) next() time.Time {
	s := x.state
	var next time.Time
	earliest := func(at time.Time) {
		if at.After(s.At) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, r := range x.rules {
		if x.frozen(r) {
			continue
		}
		d := r.Definition()
		p := s.Phases[d.Name]
		switch {
		case p != nil && p.Open:
			if !p.Clearing.IsZero() {
				earliest(p.Clearing.Add(s.clearFor(d, p)))
				if p.NoData {
					earliest(s.oldest(r).Add(d.NoData))
				}
			}
		case p != nil && !p.Since.IsZero():
			earliest(p.Since.Add(d.For))
		}
		if d.NoData > 0 && x.present() && (p == nil || !p.Open) {
			if from := x.awaited(r); !from.IsZero() {
				earliest(from.Add(d.NoData))
			}
		}
		if d.Schedule != nil {
			earliest(r.NextBoundary(s.At, x.in.Zone))
		}
	}
	return next
}

var _ rule.Rates = (*State)(nil)
