package scenario

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
)

// What an expectation may name; as in the platform's API.
var (
	presences = []string{"online", "stale", "offline", "never"}
	verdicts  = []string{"can_serve", "degraded", "cannot_serve", "unknown"}
	statuses  = []string{"online", "blocked", "maintenance", "restarting", "updating", "offline", "stale", "unknown"}
)

// phase reads the phase of that index, which begins at begin.
func (p *parser) phase(n *yaml.Node, index int, begin time.Duration) phase {
	ph := phase{begin: begin, end: begin, demand: 1}
	what := "phase " + strconv.Itoa(index+1)
	var faults, commands, expect *yaml.Node
	p.object(n, what, fields{
		"name": func(n *yaml.Node) { ph.name = p.text(n, "name", maxName) },
		"for": func(n *yaml.Node) {
			ph.end += p.duration(n, "for", time.Second, maxLength)
			if ph.end > maxLength {
				p.fail(placeOf(n), "the scenario is longer than %s", maxLength)
				ph.end = begin
			}
		},
		"demand":   func(n *yaml.Node) { ph.demand = p.number(n, "demand", 0, maxDemand) },
		"warmer":   func(n *yaml.Node) { ph.warmer = p.number(n, "warmer", -maxWarmer, maxWarmer) },
		"faults":   func(n *yaml.Node) { faults = n },
		"commands": func(n *yaml.Node) { commands = n },
		"expect":   func(n *yaml.Node) { expect = n },
	}, "name", "for")
	// These come last: where they may be depends on how long the phase is.
	if faults != nil {
		p.list(faults, "faults", maxItems, func(n *yaml.Node) {
			ph.faults = append(ph.faults, p.fault(n, &ph, drawKey(index, "fault", len(ph.faults))))
		})
	}
	if commands != nil {
		p.list(commands, "commands", maxItems, func(n *yaml.Node) {
			ph.commands = append(ph.commands, p.command(n, &ph, drawKey(index, "command", len(ph.commands))))
		})
	}
	if expect != nil {
		p.list(expect, "expect", maxItems, func(n *yaml.Node) {
			ph.expect = append(ph.expect, p.expectation(n, &ph, drawKey(index, "expectation", len(ph.expect))))
		})
	}
	return ph
}

// offset reads a time since the begin of the phase, before its end.
func (p *parser) offset(n *yaml.Node, ph *phase) time.Duration {
	at := p.duration(n, "at", 0, maxLength)
	if length := ph.end - ph.begin; at >= length && length > 0 {
		p.fail(placeOf(n), "at: %s is outside of the phase, which lasts %s", at, length)
		return 0
	}
	return at
}

func (p *parser) fault(n *yaml.Node, ph *phase, key string) scheduled {
	f := scheduled{of: target{draw: key}}
	var at, lasts time.Duration
	var lastsAt, until, with *yaml.Node
	p.object(n, "fault", fields{
		"fault":  func(n *yaml.Node) { f.kind = fault.Kind(p.word(n, "fault", kinds())) },
		"of":     func(n *yaml.Node) { f.of = p.target(n, key) },
		"at":     func(n *yaml.Node) { at = p.offset(n, ph) },
		"for":    func(n *yaml.Node) { lasts, lastsAt = p.duration(n, "for", time.Millisecond, maxLength), n },
		"until":  func(n *yaml.Node) { until = n; p.word(n, "until", []string{"end"}) },
		"spread": func(n *yaml.Node) { f.spread = p.duration(n, "spread", 0, maxLength) },
		"with":   func(n *yaml.Node) { with = n },
	}, "fault")
	if f.kind != "" {
		f.params = p.params(f.kind, with)
	}
	length := ph.end - ph.begin
	f.from = ph.begin + at
	switch {
	case lastsAt != nil && until != nil:
		p.fail(placeOf(until), "for and until exclude each other")
	case length == 0:
	case at+f.spread+lasts > length:
		p.fail(placeOf(n), "the fault reaches beyond its phase: at %s, spread %s and for %s are more than %s; make the phase longer or say until: end", at, f.spread, lasts, length)
	case lastsAt == nil && until == nil && at+f.spread == length:
		p.fail(placeOf(n), "the spread leaves no time until the end of the phase")
	}
	switch {
	case lastsAt != nil:
		f.to = f.from + lasts
	case until == nil:
		f.to, f.fixed = ph.end, true
	}
	return f
}

func kinds() []string {
	specs := fault.Specs()
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = string(s.Kind)
	}
	return names
}

func (p *parser) command(n *yaml.Node, ph *phase, key string) order {
	o := order{of: target{draw: key}, at: ph.begin}
	var known []string
	for _, name := range protocol.CommandNames() {
		known = append(known, string(name))
	}
	var params *yaml.Node
	p.object(n, "command", fields{
		"command": func(n *yaml.Node) { o.name = protocol.CommandName(p.word(n, "command", known)) },
		"params":  func(n *yaml.Node) { params = n },
		"of":      func(n *yaml.Node) { o.of = p.target(n, key) },
		"at":      func(n *yaml.Node) { o.at = ph.begin + p.offset(n, ph) },
	}, "command")
	if o.name != "" {
		o.params = p.commandParams(placeOf(n), o.name, params)
	}
	return o
}

func (p *parser) expectation(n *yaml.Node, ph *phase, key string) expected {
	e := expected{of: target{draw: key}, share: 1}
	var at, within time.Duration
	p.object(n, "expectation", fields{
		"presence": func(n *yaml.Node) { e.presence = p.words(n, "presence", presences) },
		"verdict":  func(n *yaml.Node) { e.verdict = p.words(n, "verdict", verdicts) },
		"status":   func(n *yaml.Node) { e.status = p.words(n, "status", statuses) },
		"of":       func(n *yaml.Node) { e.of = p.target(n, key) },
		"share":    func(n *yaml.Node) { e.share = p.share(n, "share") },
		"at":       func(n *yaml.Node) { at = p.offset(n, ph) },
		"within":   func(n *yaml.Node) { within = p.duration(n, "within", time.Second, maxLength) },
	})
	if e.presence == nil && e.verdict == nil && e.status == nil {
		p.fail(placeOf(n), "the expectation lacks presence, verdict or status")
	}
	length := ph.end - ph.begin
	if within == 0 {
		within = length - at
	}
	if at+within > length && length > 0 {
		p.fail(placeOf(n), "the expectation reaches beyond its phase: at %s and within %s are more than %s", at, within, length)
	}
	e.from, e.to = ph.begin+at, ph.begin+at+within
	return e
}
