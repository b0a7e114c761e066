// Package scenario is what a simulated fleet goes through: who takes part, which faults befall whom and
// when, what operators do meanwhile, and what the platform must come to show. Scenarios are YAML files;
// docs/scenarios.md describes them.
package scenario

import (
	"fmt"
	"io"
	"os"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

// Scenario is a checked scenario file. Load returns one, Roster says who takes part, and At when what happens.
type Scenario struct {
	Name        string
	Description string
	Seed        uint64    // of everything that comes by chance
	Start       time.Time // when a history of it begins; zero: not said

	path   string
	fleets []fleet
	rates  fault.Rates // of kiosks without a fleet
	phases []phase
	length time.Duration
}

// fleet is kiosks that are alike.
type fleet struct {
	at     place
	name   string
	like   roster.Kiosk // without serial
	count  int
	first  int // number of the first serial
	demand float64
	chance chance
	rates  fault.Rates // of chance
}

// phase is a part of a scenario. Times count from the scenario's begin.
type phase struct {
	name           string
	begin, end     time.Duration
	demand, warmer float64
	faults         []scheduled
	commands       []order
	expect         []expected
}

// scheduled is a fault of a phase.
type scheduled struct {
	kind     fault.Kind
	params   fault.Params
	of       target
	from, to time.Duration // to 0: the end of the scenario
	fixed    bool          // to is not moved by the spread
	spread   time.Duration
}

// order is a command of a phase.
type order struct {
	name   protocol.CommandName
	params map[string]any
	of     target
	at     time.Duration
}

// expected is what the platform must show of some kiosks between two times.
type expected struct {
	presence, verdict, status []string // any of these; empty: whatever
	of                        target
	share                     float64 // 0..1, of the kiosks
	from, to                  time.Duration
}

// Bounds of a scenario.
const (
	maxFileBytes = 1 << 20
	maxKiosks    = 100_000
	maxItems     = 10_000 // of a list
	maxLength    = 10 * 366 * 24 * time.Hour
)

// Load reads a scenario file. It is strict.
//
// Errors: all that is wrong with the file, joined; each names file, line and column, and what is allowed.
func Load(path string) (*Scenario, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return parse(path, text)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder: name a file in it", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return text, nil
}

// Length returns how long the scenario lasts.
func (s *Scenario) Length() time.Duration { return s.length }

// HasFleets reports whether the scenario makes up its kiosks, or befalls those that are given.
func (s *Scenario) HasFleets() bool { return len(s.fleets) > 0 }

// Roster returns the kiosks that take part: those of the scenario's fleets, whose serials are the prefix
// and a number, or those given if it has none.
//
// Errors: a serial that is not allowed; targets that none of the kiosks is, with file and line.
func (s *Scenario) Roster(prefix string, given []roster.Kiosk) ([]roster.Kiosk, error) {
	p := &parser{path: s.path}
	var all []member
	if len(s.fleets) == 0 {
		for _, k := range given {
			all = append(all, member{k, ""})
		}
	}
	for i := range s.fleets {
		f := &s.fleets[i]
		last := f.first + f.count - 1
		if err := protocol.CheckSerial(serial(prefix, last)); err != nil {
			p.fail(f.at, "fleet %s: serial %s: %v", f.name, serial(prefix, last), err)
		}
		for n := f.first; n <= last; n++ {
			k := roster.Beside(serial(prefix, n), f.like)
			k.RealLocation = k.Location
			all = append(all, member{k, f.name})
		}
	}
	s.checkTargets(p, castOf(all))
	if err := p.err(); err != nil {
		return nil, err
	}
	kiosks := make([]roster.Kiosk, len(all))
	for i, m := range all {
		kiosks[i] = m.Kiosk
	}
	return kiosks, nil
}

func serial(prefix string, n int) string { return fmt.Sprintf("%s%03d", prefix, n) }

// targets calls visit with all targets, in the order of the file.
func (s *Scenario) targets(visit func(*target)) {
	for i := range s.phases {
		ph := &s.phases[i]
		for j := range ph.faults {
			visit(&ph.faults[j].of)
		}
		for j := range ph.commands {
			visit(&ph.commands[j].of)
		}
		for j := range ph.expect {
			visit(&ph.expect[j].of)
		}
	}
}

func (s *Scenario) checkTargets(p *parser, c *cast) {
	s.targets(func(t *target) { t.check(p, c) })
}
