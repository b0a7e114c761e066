package swarm

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/internal/latency"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/truth"
)

// Counters count what a swarm does. The zero value is ready; safe for concurrent use.
type Counters struct {
	Started  atomic.Int64
	Enrolled atomic.Int64
	GaveUp   atomic.Int64 // kiosks that ended by themselves
	Running  atomic.Int64 // kiosk processes right now
	Waiting  atomic.Int64 // readings in the outbox, as of a second ago
	// PublishToAck is how long the broker took to acknowledge each message, Answers how long each
	// command took from its arrival until the broker acknowledged its final ack.
	PublishToAck latency.Histogram
	Answers      latency.Histogram
	recent       latency.Histogram // like PublishToAck, of the last seconds

	mu    sync.Mutex // guards sites
	sites map[string]*Site
}

// Site counts what the kiosks of one site do.
type Site struct {
	Agents agent.Counters
	Kiosks atomic.Int64
	Faults atomic.Int64 // that are on right now
}

// Site returns the counters of a site.
func (c *Counters) Site(name string) *Site {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sites[name]
	if s == nil {
		if c.sites == nil {
			c.sites = map[string]*Site{}
		}
		s = &Site{}
		c.sites[name] = s
	}
	return s
}

// observe counts the faults from what the site's kiosks tell the truth log.
func (s *Site) observe(e truth.Event) {
	switch e.Event {
	case truth.FaultStart:
		s.Faults.Add(1)
	case truth.FaultEnd:
		s.Faults.Add(-1)
	}
}

// acknowledged is an agent's hook.
func (c *Counters) acknowledged(_ protocol.Channel, took time.Duration) {
	c.PublishToAck.Record(took)
	c.recent.Record(took)
}

// Totals are what counters say at one moment, of all sites together.
type Totals struct {
	Started, Enrolled, Running, Connected int64
	Readings                              Readings
	Commands                              Commands
	Errors                                []ErrorCount // of each kind, in the order to show them
}

// Readings counts readings.
type Readings struct {
	Sent         int64 `json:"sent"`         // to the broker, those sent again too
	Acknowledged int64 `json:"acknowledged"` // by the broker
	Resent       int64 `json:"resent"`       // of those sent
	Dropped      int64 `json:"dropped"`      // by a full outbox
	Waiting      int64 `json:"waiting"`      // in the outbox
}

// Commands counts commands.
type Commands struct {
	Received int64 `json:"received"`
	Executed int64 `json:"executed"`
	Rejected int64 `json:"rejected"`
	Failed   int64 `json:"failed"`
	// Pretended were acknowledged as succeeded and had no effect, by a fault.
	Pretended int64 `json:"pretended"`
}

// ErrorCount is how often one kind of error has happened.
type ErrorCount struct {
	Kind  string // words joined by _
	Count int64
}

// Totals sums up.
func (c *Counters) Totals() Totals {
	t := Totals{Started: c.Started.Load(), Enrolled: c.Enrolled.Load(), Running: c.Running.Load()}
	var lost, refused, distrusted, unanswered, unreachable, unacknowledged, outbox int64
	c.mu.Lock()
	for _, s := range c.sites {
		a := &s.Agents
		t.Connected += a.Connected.Load()
		t.Readings.Sent += a.SentReadings.Load()
		t.Readings.Acknowledged += a.Readings.Load()
		t.Readings.Resent += a.ResentReadings.Load()
		t.Readings.Dropped += a.Dropped.Load()
		t.Commands.Received += a.Commands.Load()
		t.Commands.Executed += a.Executed.Load()
		t.Commands.Rejected += a.Rejected.Load()
		t.Commands.Failed += a.Unmet.Load()
		t.Commands.Pretended += a.Pretended.Load()
		lost += a.Lost.Load()
		refused += a.Refused.Load()
		distrusted += a.Distrusted.Load()
		unanswered += a.Unanswered.Load()
		unreachable += a.Unreachable.Load()
		unacknowledged += a.PublishTimeouts.Load()
		outbox += a.OutboxErrors.Load()
	}
	c.mu.Unlock()
	t.Readings.Waiting = c.Waiting.Load()
	t.Errors = []ErrorCount{
		{"kiosk_gave_up", c.GaveUp.Load()}, {"connection_lost", lost},
		{"connection_refused", refused}, {"connection_distrusted", distrusted},
		{"connection_unanswered", unanswered}, {"connection_unreachable", unreachable},
		{"publish_timeout", unacknowledged}, {"outbox", outbox},
	}
	return t
}

// SiteTotals are what a site's counters say at one moment.
type SiteTotals struct {
	Name                      string
	Kiosks, Connected, Faults int64
}

// Sites returns the sites, those with the most kiosks first.
func (c *Counters) Sites() []SiteTotals {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]SiteTotals, 0, len(c.sites))
	for name, s := range c.sites {
		list = append(list, SiteTotals{name, s.Kiosks.Load(), s.Agents.Connected.Load(), s.Faults.Load()})
	}
	slices.SortFunc(list, func(a, b SiteTotals) int {
		return cmp.Or(cmp.Compare(b.Kiosks, a.Kiosks), cmp.Compare(a.Name, b.Name))
	})
	return list
}
