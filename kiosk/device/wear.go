package device

import (
	"strconv"

	"kioskfleet/internal/hashed"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// supplies are what customers use up: pages left, and payments in the cash box. Worn is the pages that
// the printer has printed since the last service.
type supplies struct{ paper, ink, cash, worn int }

// trouble is a kind of trouble that wear and customers bring about.
type trouble int

const (
	jam trouble = iota
	paperOut
	cashBoxFull
	readerError
	acceptorError
	printerLost // its cable or its driver
	troubles
)

// kinds are what a truth log calls them.
var kinds = [troubles]fault.Kind{
	jam: fault.PaperJam, paperOut: fault.OutOfPaper, cashBoxFull: fault.CashFull,
	readerError: fault.ReaderDead, acceptorError: fault.AcceptorError, printerLost: fault.PrinterLost,
}

// How likely things fail at each use; a kiosk has a trouble every other day or so.
const (
	jamWhenFresh  = 1.0 / 900 // per page; it doubles with each jamWear pages after a service
	jamWear       = 800.0
	readerLoss    = 1.0 / 220 // per payment
	acceptorLoss  = 1.0 / 90  // per payment
	printerLoss   = 1.0 / 1200
	lowSupply     = 0.1 // share of ink and paper at which staff are called
	overlooksCall = 0.3 // share of the calls for paper that nobody answers until it has run out
)

func (s *Simulated) printerWorks() bool {
	return s.troubles[jam] == 0 && s.troubles[printerLost] == 0 && s.supplies.paper > 0 && !s.forced.jam
}

func (s *Simulated) readerWorks() bool { return s.troubles[readerError] == 0 && !s.forced.reader }

func (s *Simulated) acceptorWorks() bool {
	return s.troubles[acceptorError] == 0 && s.supplies.cash < s.traits.cash
}

// inService reports whether customers can use the kiosk.
func (s *Simulated) inService() bool {
	return s.serving && !s.forced.down && s.printerWorks() && (s.readerWorks() || s.acceptorWorks())
}

// pay is a payment, which may be the last that a peripheral takes.
func (s *Simulated) pay(t instant, in *session) {
	who := in.who
	switch in.pays {
	case card:
		if wants(who, 8) < readerLoss {
			s.fail(readerError, t)
		}
	case cash:
		s.supplies.cash++
		if s.supplies.cash >= s.traits.cash {
			s.fail(cashBoxFull, t)
		}
		if wants(who, 8) < acceptorLoss {
			s.fail(acceptorError, t)
		}
	}
}

// print is a page.
func (s *Simulated) print(t instant, in *session) {
	left := &s.supplies
	left.paper--
	left.worn++
	if left.ink = max(left.ink-1, 0); s.due[dueInk] == never && float64(left.ink) < lowSupply*float64(s.traits.ink) {
		s.due[dueInk] = t + s.delay(t, 5, 20, 110)
	}
	switch u := wants(in.who, 10+uint64(in.printed)); {
	case left.paper <= 0:
		s.fail(paperOut, t)
	case u < jamWhenFresh*(1+float64(left.worn)/jamWear):
		s.fail(jam, t)
	case s.due[dueRepair+int(paperOut)] == never && left.paper == int(lowSupply*float64(s.traits.paper)) && u > overlooksCall:
		s.due[dueRepair+int(paperOut)] = t + s.delay(t, 6, 20, 90)
	}
}

// draw draws a number for a purpose at an event, uniformly from [low, high).
func (s *Simulated) draw(t instant, purpose uint64, low, high float64) float64 {
	return hashed.Between(hashed.Of(s.seed, uint64(t), purpose, 4), low, high)
}

// delay returns how long staff take to come: low to high minutes, mostly nearer to low, and twice as
// long at night.
func (s *Simulated) delay(t instant, purpose uint64, low, high float64) instant {
	u := s.draw(t, purpose, 0, 1)
	minutes := low + (high-low)*u*u
	if _, clock := dayOf(s.calendar.local(t)); clock < 6*hour || clock >= 22*hour {
		minutes *= 2
	}
	return instant(minutes * float64(minute))
}

// fail begins a trouble; staff are called.
func (s *Simulated) fail(kind trouble, t instant) {
	if s.troubles[kind] != 0 {
		return
	}
	s.troubles[kind] = t
	s.due[dueRepair+int(kind)] = min(s.due[dueRepair+int(kind)], t+s.delay(t, 20+uint64(kind), 4, 35))
	s.tellTrouble(kind, truth.FaultStart, t)
	s.settle(t)
}

// repair is the arrival of staff.
func (s *Simulated) repair(kind trouble, t instant) {
	switch kind {
	case paperOut:
		s.supplies.paper = s.traits.paper
	case cashBoxFull:
		s.supplies.cash = 0
	}
	s.fix(kind, t)
}

// fix ends a trouble, if there is one, and nobody needs to come for it any more.
func (s *Simulated) fix(kind trouble, t instant) {
	s.due[dueRepair+int(kind)] = never
	if s.troubles[kind] != 0 {
		s.tellTrouble(kind, truth.FaultEnd, t)
		s.troubles[kind] = 0
	}
}

// tellTrouble tells that a trouble began or ended at t. Its ID is made from its begin.
func (s *Simulated) tellTrouble(kind trouble, event truth.Kind, t instant) {
	if s.observing {
		id := s.sim.Serial + "/wear/" + string(kinds[kind]) + "/" + strconv.FormatInt(int64(s.troubles[kind])/1e6, 10)
		s.sim.Observe(truth.Event{Time: t.time(), Serial: s.sim.Serial, Event: event, ID: id, Fault: kinds[kind]})
	}
}
