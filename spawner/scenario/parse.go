package scenario

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

const (
	maxName        = 64 // bytes, as in the registry
	maxDescription = 4000
	maxTags        = 32
	maxDemand      = 100
	maxWarmer      = 40 // K
	maxInterval    = 24 * time.Hour
)

// parse reads a scenario's text.
func parse(path string, text []byte) (*Scenario, error) {
	p := &parser{path: path}
	s := &Scenario{path: path}
	if doc := p.document(text); doc != nil {
		p.scenario(doc, s)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// announced is the cast of the fleets before the serials are known.
func (s *Scenario) announced() *cast {
	var all []member
	for _, f := range s.fleets {
		for range f.count {
			all = append(all, member{f.like, f.name})
		}
	}
	c := castOf(all)
	c.serials = nil
	return c
}

func (p *parser) scenario(doc *yaml.Node, s *Scenario) {
	chance := chance{}
	var fleets, phases *yaml.Node
	p.object(doc, "scenario", fields{
		"name":        func(n *yaml.Node) { s.Name = p.text(n, "name", maxName) },
		"description": func(n *yaml.Node) { s.Description = p.text(n, "description", maxDescription) },
		"seed":        func(n *yaml.Node) { s.Seed = p.seed(n) },
		"start":       func(n *yaml.Node) { s.Start = p.start(n) },
		"chance":      func(n *yaml.Node) { chance.profile(p, n) },
		"rates":       func(n *yaml.Node) { chance.rates(p, n) },
		"fleets":      func(n *yaml.Node) { fleets = n },
		"phases":      func(n *yaml.Node) { phases = n },
	}, "name", "phases")
	before := len(p.faults)
	if fleets != nil {
		p.list(fleets, "fleets", maxItems, func(n *yaml.Node) { s.fleets = append(s.fleets, p.fleet(n, len(s.fleets)+1)) })
	}
	s.rates = chance.all(nil)
	for i := range s.fleets {
		s.fleets[i].rates = s.fleets[i].chance.all(&chance)
	}
	p.numberFleets(s.fleets)
	known := fleets != nil && len(p.faults) == before
	if phases != nil {
		p.list(phases, "phases", maxItems, func(n *yaml.Node) {
			ph := p.phase(n, len(s.phases), s.length)
			s.length = ph.end
			s.phases = append(s.phases, ph)
		})
	}
	if known { // else a mistake in a fleet would be told again at each target
		s.checkTargets(p, s.announced())
	}
}

func (p *parser) seed(n *yaml.Node) uint64 {
	v, err := strconv.ParseUint(n.Value, 10, 64)
	if err != nil || n.Kind != yaml.ScalarNode {
		p.fail(placeOf(n), "seed: want a whole number from 0 to %d, not %s", uint64(math.MaxUint64), shown(n))
	}
	return v
}

func (p *parser) start(n *yaml.Node) time.Time {
	v, err := time.Parse(time.RFC3339, n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		p.fail(placeOf(n), "start: want a time with its zone such as 2026-03-02T06:00:00Z or …+01:00, not %s", shown(n))
	}
	return v.UTC()
}

// chance is which faults come by themselves: those of a profile, and rates that take their place.
type chance struct {
	said  bool
	base  fault.Rates
	given fault.Rates
}

func (c *chance) profile(p *parser, n *yaml.Node) {
	c.said = true
	if name := p.word(n, "chance", fault.Profiles()); name != "" {
		c.base, _ = fault.Profile(name) // word knows it
	}
}

func (c *chance) rates(p *parser, n *yaml.Node) {
	c.given = fault.Rates{}
	known := fields{}
	for _, spec := range fault.Specs() {
		known[string(spec.Kind)] = func(n *yaml.Node) {
			c.given[spec.Kind] = p.number(n, string(spec.Kind), 0, fault.MaxPerDay)
		}
	}
	p.object(n, "rates", known)
}

// all returns the rates; what is not said is as in general.
func (c *chance) all(general *chance) fault.Rates {
	out := fault.Rates{}
	if general != nil && !c.said {
		out = general.all(nil)
	}
	for _, from := range []fault.Rates{c.base, c.given} {
		for kind, rate := range from {
			out[kind] = rate
		}
	}
	return out
}

func (p *parser) fleet(n *yaml.Node, number int) fleet {
	f := fleet{at: placeOf(n), demand: 1}
	what := "fleet " + strconv.Itoa(number)
	p.object(n, what, fields{
		"name":     func(n *yaml.Node) { f.name = p.text(n, "name", maxName) },
		"site":     func(n *yaml.Node) { f.like.Site = p.text(n, "site", maxName) },
		"model":    func(n *yaml.Node) { f.like.Model = p.text(n, "model", maxName) },
		"timezone": func(n *yaml.Node) { f.like.Timezone = p.timezone(n) },
		"location": func(n *yaml.Node) { f.like.Location = p.location(n) },
		"kiosks":   func(n *yaml.Node) { f.count = p.integer(n, "kiosks", 1, maxKiosks) },
		"first":    func(n *yaml.Node) { f.first = p.integer(n, "first", 1, 1_000_000) },
		"interval": func(n *yaml.Node) {
			f.like.Interval = roster.Duration(p.duration(n, "interval", roster.MinInterval, maxInterval))
		},
		"tags": func(n *yaml.Node) {
			p.list(n, "tags", maxTags, func(n *yaml.Node) { f.like.Tags = append(f.like.Tags, p.text(n, "tags", maxName)) })
		},
		"demand": func(n *yaml.Node) { f.demand = p.number(n, "demand", 0, maxDemand) },
		"chance": func(n *yaml.Node) { f.chance.profile(p, n) },
		"rates":  func(n *yaml.Node) { f.chance.rates(p, n) },
	}, "name", "kiosks")
	return f
}

func (p *parser) timezone(n *yaml.Node) string {
	zone := p.text(n, "timezone", maxName)
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
		p.fail(placeOf(n), "timezone %q is not an IANA time zone such as Europe/Madrid", zone)
	}
	return zone
}

func (p *parser) location(n *yaml.Node) *device.Position {
	var at device.Position
	p.object(n, "location", fields{
		"lat": func(n *yaml.Node) { at.Lat = p.number(n, "lat", -90, 90) },
		"lng": func(n *yaml.Node) { at.Lng = p.number(n, "lng", -180, 180) },
	}, "lat", "lng")
	return &at
}

// numberFleets numbers the kiosks of the fleets and names what is there twice.
func (p *parser) numberFleets(fleets []fleet) {
	names := map[string]int{} // line
	next, total := 1, 0
	for i := range fleets {
		f := &fleets[i]
		if line, twice := names[f.name]; twice && f.name != "" {
			p.fail(f.at, "fleet %s is already at line %d", f.name, line)
		}
		names[f.name] = f.at.line
		if f.first == 0 {
			f.first = next
		}
		next = f.first + f.count
		for _, other := range fleets[:i] {
			if f.first < other.first+other.count && other.first < next {
				p.fail(f.at, "fleet %s: its serials %d to %d overlap with %d to %d of fleet %s", f.name,
					f.first, next-1, other.first, other.first+other.count-1, other.name)
			}
		}
		if total += f.count; total > maxKiosks && total-f.count <= maxKiosks {
			p.fail(f.at, "fleet %s: more than %d kiosks in all", f.name, maxKiosks)
		}
	}
}

// params reads a fault's parameters.
func (p *parser) params(kind fault.Kind, n *yaml.Node) fault.Params {
	spec, _ := fault.Lookup(kind)
	known, given := fields{}, map[string]string{}
	for _, param := range spec.Params {
		known[param.Name] = func(n *yaml.Node) {
			if n.Kind != yaml.ScalarNode {
				p.fail(placeOf(n), "%s: want one value, not %s", param.Name, shown(n))
				return
			}
			if _, err := fault.Complete(kind, map[string]string{param.Name: n.Value}); err != nil {
				p.fail(placeOf(n), "%s: %s", kind, strings.ReplaceAll(err.Error(), "\n", "; "))
				return
			}
			given[param.Name] = n.Value
		}
	}
	switch {
	case n != nil && len(known) == 0:
		p.fail(placeOf(n), "%s has no parameters", kind)
	case n != nil:
		p.object(n, "with", known)
	}
	params, _ := fault.Complete(kind, given) // each is checked
	return params
}

// commandParams reads a command's parameters.
func (p *parser) commandParams(at place, name protocol.CommandName, n *yaml.Node) map[string]any {
	params := map[string]any{}
	known, required := fields{}, []string{}
	switch name {
	case protocol.CommandMaintenance:
		known["enabled"] = func(n *yaml.Node) { params["enabled"] = p.boolean(n, "enabled") }
		required = append(required, "enabled")
	case protocol.CommandUpdate:
		known["version"] = func(n *yaml.Node) { params["version"] = p.text(n, "version", maxName) }
	}
	switch {
	case n == nil && len(required) > 0:
		p.fail(at, "%s lacks params: {%s: …}", name, required[0])
	case n != nil && len(known) == 0:
		p.fail(placeOf(n), "%s has no params", name)
	case n != nil:
		p.object(n, "params", known, required...)
	}
	return params
}
