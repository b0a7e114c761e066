package scenario

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

// Run is a scenario with its kiosks and absolute times. It does not change and is safe for concurrent use.
type Run struct {
	scenario *Scenario
	start    time.Time
	members  []member
	bySerial map[string]int // index in members
	fleets   map[string]*fleet
	faults   [][]event                     // of each member
	around   map[string][]device.Condition // by fleet; the same for all its kiosks
}

// event is a fault that one kiosk takes part in.
type event struct {
	phase, item int
}

// Phase is a phase in [From, To).
type Phase struct {
	Name     string
	From, To time.Time
}

// Command is a command that operators send to some kiosks.
type Command struct {
	Phase   string
	At      time.Time
	Name    protocol.CommandName
	Params  json.RawMessage // an object; nil: none
	Serials []string
}

// Expectation is what the platform must show of a share of some kiosks at some moment of [From, Deadline].
type Expectation struct {
	Phase          string
	From, Deadline time.Time
	Presence       []string // one of these; empty: whatever
	Verdict        []string
	Status         []string
	Share          float64 // 0..1
	Serials        []string
}

// At returns the scenario as it begins at start, with the kiosks that Roster has returned: all of them,
// also when several processes run a part each, because who is drawn depends on who there is.
func (s *Scenario) At(start time.Time, kiosks []roster.Kiosk) *Run {
	r := &Run{
		scenario: s, start: start.UTC(), members: make([]member, len(kiosks)),
		bySerial: make(map[string]int, len(kiosks)), fleets: map[string]*fleet{}, faults: make([][]event, len(kiosks)),
		around: map[string][]device.Condition{},
	}
	for i, k := range kiosks {
		r.members[i].Kiosk = k
		r.bySerial[k.Serial] = i
	}
	r.around[""] = r.conditions(1)
	next := 0 // the roster has the fleets one after another
	for i := range s.fleets {
		f := &s.fleets[i]
		r.fleets[f.name] = f
		r.around[f.name] = r.conditions(f.demand)
		for range f.count {
			if next < len(kiosks) {
				r.members[next].fleet = f.name
				next++
			}
		}
	}
	for i := range s.phases {
		for j := range s.phases[i].faults {
			for _, k := range s.phases[i].faults[j].of.choose(s.Seed, r.members) {
				r.faults[k] = append(r.faults[k], event{i, j})
			}
		}
	}
	return r
}

// Seed returns the scenario's seed.
func (r *Run) Seed() uint64 { return r.scenario.Seed }

// End returns when the last phase ends.
func (r *Run) End() time.Time { return r.start.Add(r.scenario.length) }

// Phases returns the phases, one after another.
func (r *Run) Phases() []Phase {
	var out []Phase
	for _, ph := range r.scenario.phases {
		out = append(out, Phase{ph.name, r.start.Add(ph.begin), r.start.Add(ph.end)})
	}
	return out
}

// Fate returns what befalls a kiosk: its faults, and what is unusual around it, which must not be changed
// because others share it. One that does not take part has neither.
func (r *Run) Fate(k roster.Kiosk) (*fault.Plan, []device.Condition) {
	i, ok := r.bySerial[k.Serial]
	if !ok {
		return nil, nil
	}
	var faults []fault.Fault
	for _, e := range r.faults[i] {
		faults = append(faults, r.fault(k.Serial, e))
	}
	name, rates := r.members[i].fleet, r.scenario.rates
	if f := r.fleets[name]; f != nil {
		rates = f.rates
	}
	return fault.NewPlan(r.scenario.Seed, k.Serial, k.Site, faults, rates), r.around[name]
}

// fault returns the fault of an event for one kiosk.
func (r *Run) fault(serial string, e event) fault.Fault {
	f := &r.scenario.phases[e.phase].faults[e.item]
	var late time.Duration
	if f.spread > 0 {
		moment := hashed.Uniform(hashed.Of(r.scenario.Seed, hashed.Text(serial), uint64(e.phase), uint64(e.item)))
		late = time.Duration(moment * float64(f.spread)).Truncate(time.Millisecond)
	}
	to := r.End()
	switch {
	case f.fixed:
		to = r.start.Add(f.to)
	case f.to > 0:
		to = r.start.Add(f.to + late)
	}
	return fault.Fault{
		ID:   fmt.Sprintf("%s/%s/%d.%d", serial, f.kind, e.phase+1, e.item+1),
		Kind: f.kind, Params: f.params, From: r.start.Add(f.from + late), To: to,
	}
}

// conditions returns those of the phases and, after the last, what goes on.
func (r *Run) conditions(demand float64) []device.Condition {
	var out []device.Condition
	add := func(c device.Condition) {
		if c.Warmer == 0 && c.Demand == 1 {
			return
		}
		if c.Demand == 0 {
			c.Demand = -1 // a condition's zero is as usual
		}
		out = append(out, c)
	}
	for _, ph := range r.scenario.phases {
		add(device.Condition{From: r.start.Add(ph.begin), To: r.start.Add(ph.end), Warmer: ph.warmer, Demand: demand * ph.demand})
	}
	add(device.Condition{From: r.End(), Demand: demand})
	return out
}

// Commands returns what operators send, by time.
func (r *Run) Commands() []Command {
	var out []Command
	for _, ph := range r.scenario.phases {
		for _, o := range ph.commands {
			c := Command{Phase: ph.name, At: r.start.Add(o.at), Name: o.name, Serials: r.serials(&o.of)}
			if len(o.params) > 0 {
				c.Params, _ = json.Marshal(o.params) // texts and truth values
			}
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Command) int { return a.At.Compare(b.At) })
	return out
}

// Expectations returns what the platform must show, by the time from which on.
func (r *Run) Expectations() []Expectation {
	var out []Expectation
	for _, ph := range r.scenario.phases {
		for _, e := range ph.expect {
			out = append(out, Expectation{
				Phase: ph.name, From: r.start.Add(e.from), Deadline: r.start.Add(e.to),
				Presence: e.presence, Verdict: e.verdict, Status: e.status, Share: e.share, Serials: r.serials(&e.of),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b Expectation) int { return a.From.Compare(b.From) })
	return out
}

func (r *Run) serials(t *target) []string {
	chosen := t.choose(r.scenario.Seed, r.members)
	out := make([]string, len(chosen))
	for i, k := range chosen {
		out[i] = r.members[k].Serial
	}
	return out
}
