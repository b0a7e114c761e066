package device

import (
	"slices"
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// planned is a fault of the plan.
type planned struct {
	fault.Fault
	own              bool // of fault.LayerDevice: it is told
	begin, end, gone instant
	begun, ended     bool
	seed             uint64
	gauge            int        // of the sensor that is at fault
	held             float64    // what a stuck sensor shows
	ghost            *Simulated // whose values a sensor without correlation shows; made when it is needed
}

const (
	// outlook is how far ahead the plan is asked about.
	outlook = 6 * hour
	// fading is how long a fault can be felt after its end.
	fading = 20 * minute
)

// felt are the kinds of faults that the sensors show in some way; the value says whether it is a device's
// own, which it tells of.
var felt = func() map[fault.Kind]bool {
	m := map[fault.Kind]bool{
		fault.SlowNetwork: false, fault.SiteOutage: false, fault.Flapping: false, fault.BadFirmware: false, fault.Crash: false,
	}
	for _, spec := range fault.Specs() {
		if spec.Layer == fault.LayerDevice {
			m[spec.Kind] = true
		}
	}
	return m
}()

// add takes a fault of the plan among the known ones.
func (s *Simulated) add(f fault.Fault) *planned {
	s.planned = append(s.planned, planned{
		Fault: f, own: felt[f.Kind], begin: instantOf(f.From), end: endOf(f.To), gone: never,
		seed: hashed.Of(s.seed, hashed.Text(f.ID)), gauge: gaugeOf(f.Params.Text("metric")),
	})
	p := &s.planned[len(s.planned)-1]
	if p.end < never {
		p.gone = p.end + fading
	}
	return p
}

// wanted reports whether the fault shows in the sensors and has a beginning before its end.
func wanted(f *fault.Fault) bool {
	_, ok := felt[f.Kind]
	return ok && (f.To.IsZero() || f.From.Before(f.To))
}

// recall finds the faults that are there at t or fade away, and asks about the next hours.
func (s *Simulated) recall(t instant) {
	s.planned = nil
	if s.sim.Faults.Empty() {
		return
	}
	for _, f := range s.sim.Faults.During((t - fading).time(), t.time()) {
		if !wanted(&f) || instantOf(f.From) >= t {
			continue
		}
		p := s.add(f)
		p.begun, p.ended = true, p.end <= t
		if p.Kind == fault.StuckSensor {
			p.held = s.heldAt(p)
		}
	}
	s.forecast(t)
}

// heldAt returns what a sensor that stuck before the last service showed then.
func (s *Simulated) heldAt(p *planned) float64 {
	sim := s.sim
	sim.Observe = nil
	past := NewSimulated(sim)
	past.open(p.begin)
	for i := range past.planned {
		if f := &past.planned[i]; f.ID == p.ID && f.begin == p.begin {
			return f.held
		}
	}
	return 0 // not reached: the plan tells of a fault whenever it is asked
}

// forecast asks the plan which faults begin in the next hours.
func (s *Simulated) forecast(t instant) {
	s.due[dueForecast] = t + outlook
	for _, f := range s.sim.Faults.During(t.time(), (t + outlook).time()) {
		if wanted(&f) && instantOf(f.From) >= t {
			s.add(f)
		}
	}
	s.planNext()
}

// planNext sets when the next planned fault begins, ends or has faded away.
func (s *Simulated) planNext() {
	next := never
	for i := range s.planned {
		switch f := &s.planned[i]; {
		case !f.begun:
			next = min(next, f.begin)
		case !f.ended:
			next = min(next, f.end)
		default:
			next = min(next, f.gone)
		}
	}
	s.due[dueFault] = next
}

// turn lets planned faults begin and end that do so at t.
func (s *Simulated) turn(t instant) {
	for i := range s.planned {
		f := &s.planned[i]
		if !f.begun && f.begin <= t {
			s.beginPlanned(f)
		}
		if f.begun && !f.ended && f.end <= t {
			s.endPlanned(f)
		}
	}
	if s.planned = slices.DeleteFunc(s.planned, func(f planned) bool { return f.gone <= t }); len(s.planned) == 0 {
		s.planned = nil
	}
	s.planNext()
	s.settle(t)
}

func (s *Simulated) beginPlanned(f *planned) {
	if f.Kind == fault.StuckSensor {
		f.held = s.gauges(f.begin)[f.gauge]
	}
	f.begun = true
	s.tellPlanned(f, truth.FaultStart, f.From)
	switch f.Kind {
	case fault.OutOfPaper:
		s.fix(paperOut, f.begin)
	case fault.CashFull:
		s.fix(cashBoxFull, f.begin)
	}
	s.fillForced()
}

// endPlanned ends a fault; supplies are refilled.
func (s *Simulated) endPlanned(f *planned) {
	f.ended = true
	s.tellPlanned(f, truth.FaultEnd, f.To)
	switch f.Kind {
	case fault.OutOfPaper:
		s.supplies.paper = s.traits.paper
	case fault.CashFull:
		s.supplies.cash = 0
	}
	s.fillForced()
}

// fillForced sets the supplies that planned faults have taken away.
func (s *Simulated) fillForced() {
	for i := range s.planned {
		f := &s.planned[i]
		if !f.begun || f.ended {
			continue
		}
		switch f.Kind {
		case fault.OutOfPaper:
			s.supplies.paper = 0
		case fault.CashFull:
			s.supplies.cash = s.traits.cash
		}
	}
}

func (s *Simulated) tellPlanned(f *planned, event truth.Kind, at time.Time) {
	if s.observing && f.own {
		s.sim.Observe(truth.Event{Time: at, Serial: s.sim.Serial, Event: event, ID: f.ID, Fault: f.Kind, Params: f.Params})
	}
}

// forced is what planned faults bring about as long as they last, apart from what sensors show.
type forced struct {
	jam, reader bool
	down        bool // the machine has crashed
	busy        bool // firmware gives the CPU no rest
}

func (s *Simulated) force() forced {
	var out forced
	for i := range s.planned {
		f := &s.planned[i]
		if !f.begun || f.ended {
			continue
		}
		switch f.Kind {
		case fault.PaperJam:
			out.jam = true
		case fault.ReaderDead:
			out.reader = true
		case fault.Crash:
			out.down = true
		case fault.BadFirmware:
			out.busy = out.busy || s.struck(f) && f.Params.Text("effect") == fault.EffectBusy
		}
	}
	return out
}

// struck reports whether the version that runs is the bad one of the fault.
func (s *Simulated) struck(f *planned) bool {
	if version := f.Params.Text("version"); version != "" {
		return s.version == version
	}
	return s.version != "" && s.updated >= f.begin
}
