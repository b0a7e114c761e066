package history

import (
	"slices"
	"time"

	"kioskfleet/kiosk/fault"
)

// span is the time [from, to).
type span struct{ from, to time.Time }

// course says when a kiosk's agent runs and when its connection comes back.
type course struct {
	up     []span // the agent runs, in order
	outage []span // the network is away, in order and apart
	cuts   []time.Time
}

// courseOf works out what the faults of agent and network do between start and end.
func courseOf(faults []fault.Fault, start, end time.Time) course {
	var down []span
	var c course
	for _, f := range faults {
		to := f.To
		if to.IsZero() || to.After(end) {
			to = end
		}
		switch f.Kind {
		case fault.Crash:
			down = append(down, span{f.From, to})
		case fault.RebootLoop:
			// It falls over at once, and again each time it has run for a while.
			lasts, runs := f.Params.Duration("down"), f.Params.Duration("every")
			for at := f.From; at.Before(to); at = at.Add(lasts + runs) {
				again := at.Add(lasts)
				if again.After(to) {
					again = to
				}
				down = append(down, span{at, again})
			}
		case fault.SiteOutage:
			c.outage = append(c.outage, span{f.From, to})
		case fault.Flapping:
			for at := f.From; at.Before(to); at = at.Add(f.Params.Duration("every")) {
				c.cuts = append(c.cuts, at)
			}
		}
	}
	c.outage = union(c.outage)
	slices.SortFunc(c.cuts, time.Time.Compare)
	from := start
	for _, d := range union(down) {
		if from.Before(d.from) {
			c.up = append(c.up, span{from, d.from})
		}
		if from.Before(d.to) {
			from = d.to
		}
	}
	if from.Before(end) {
		c.up = append(c.up, span{from, end})
	}
	return c
}

// union returns the spans in order, with those that touch as one.
func union(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var out []span
	for _, s := range spans {
		last := len(out) - 1
		switch {
		case last < 0 || out[last].to.Before(s.from):
			out = append(out, s)
		case out[last].to.Before(s.to):
			out[last].to = s.to
		}
	}
	return out
}

// reconnects returns when the agent that runs in up gets another connection after its first, in order.
func (c *course) reconnects(up span) []time.Time {
	var out []time.Time
	for _, o := range c.outage {
		if up.from.Before(o.to) && o.to.Before(up.to) {
			out = append(out, o.to)
		}
	}
	for _, at := range c.cuts {
		away := slices.ContainsFunc(c.outage, func(o span) bool { return !at.Before(o.from) && at.Before(o.to) })
		if !away && up.from.Before(at) && at.Before(up.to) {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return slices.Compact(out)
}
