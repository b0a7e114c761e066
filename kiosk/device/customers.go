package device

import (
	"kioskfleet/internal/hashed"
	"kioskfleet/kiosk/truth"
)

// session is what the customer inside does: look around, pay, print page by page, leave.
type session struct {
	who                  uint64 // 0: nobody is inside
	arrived, begun, ends instant
	pays                 string // card, cash or empty
	pages                int    // to print
	step                 int    // what has been done: 1 paid, then page by page
	printed              int
}

// waiting is a customer in the queue.
type waiting struct {
	who            uint64
	arrived, until instant
}

// maxQueue is how many wait at most; who finds a longer queue goes on.
const maxQueue = 4

// How customers pay.
const (
	card = "card"
	cash = "cash"
)

// shortest and longest bound a session, patience how long somebody waits.
const (
	shortest = 25.0 // s
	longest  = 300.0
	hasty    = 60.0 // s
	patient  = 360.0
)

// wants draws one of a customer's whims, uniformly from 0..1.
func wants(who, whim uint64) float64 { return hashed.Uniform(hashed.Of(who, whim)) }

// come is the arrival of a customer.
func (s *Simulated) come(t instant, who uint64) {
	switch {
	case !s.inService():
		s.tellSession(t, truth.CustomerSession{Arrived: t.time(), Ended: t.time(), Outcome: truth.TurnedAway})
	case s.session.who == 0:
		s.start(t, who, t)
	case len(s.queue) == maxQueue:
		s.tellSession(t, truth.CustomerSession{Arrived: t.time(), Ended: t.time(), Outcome: truth.LeftQueue})
	default:
		until := t + seconds(hasty+(patient-hasty)*wants(who, 1))
		s.queue = append(s.queue, waiting{who, t, until})
		s.due[dueQueue] = min(s.due[dueQueue], until)
	}
}

func seconds(x float64) instant { return instant(x * float64(second)) }

// start begins a session.
func (s *Simulated) start(t instant, who uint64, arrived instant) {
	u := wants(who, 2)
	in := session{
		who: who, arrived: arrived, begun: t,
		// Most are quick, few take minutes: 92 s on average.
		ends: t + seconds(shortest+(longest-shortest)*u*u*u*u/(1.2-u*0.2)+30*wants(who, 3)),
	}
	switch u := wants(who, 4); {
	case u < 0.15:
	case u < 0.75:
		in.pages = 1
	case u < 0.95:
		in.pages = 2
	default:
		in.pages = 3
	}
	switch u := wants(who, 5); {
	case u < 0.55:
		in.pays = card
	case u < 0.75:
		in.pays = cash
	}
	// Who cannot pay in one way pays in the other.
	switch {
	case in.pays == card && !s.readerWorks():
		in.pays = cash
	case in.pays == cash && !s.acceptorWorks():
		in.pays = card
	}
	s.session = in
	s.due[dueSession] = in.next()
	s.load.set(t, s.workload())
}

// next returns when the customer does the next thing.
func (in *session) next() instant {
	length := float64(in.ends - in.begun)
	switch {
	case in.step == 0:
		return in.begun + instant(0.55*length)
	case in.printed < in.pages:
		return in.begun + instant(length*(0.6+0.35*float64(in.printed+1)/float64(in.pages)))
	}
	return in.ends
}

// load returns what the session demands of the CPU, in %.
func (in *session) load() float64 {
	if in.who == 0 {
		return 0
	}
	level := browseLow + (browseTop-browseLow)*wants(in.who, 6)
	if in.step > 0 {
		level += printLoad
	}
	return level
}

// stranded reports whether the way that the customer wants to pay has failed.
func (in *session) stranded(s *Simulated) bool {
	return in.who != 0 && in.step == 0 && (in.pays == card && !s.readerWorks() || in.pays == cash && !s.acceptorWorks())
}

// proceed lets the customer inside do the next thing.
func (s *Simulated) proceed(t instant) {
	in := &s.session
	switch {
	case in.step == 0:
		in.step = 1
		s.due[dueSession] = in.next()
		s.pay(t, in)
		s.load.set(t, s.workload())
	case in.printed < in.pages:
		in.printed++
		s.due[dueSession] = in.next()
		s.print(t, in)
	default:
		who := in.who
		s.end(t, truth.Served)
		if wants(who, 7) < printerLoss {
			s.fail(printerLost, t)
		}
	}
}

// end ends the session, and the next in the queue comes in.
func (s *Simulated) end(t instant, outcome string) {
	in := s.session
	if in.who == 0 {
		return
	}
	s.session = session{}
	s.due[dueSession] = never
	s.guests++
	done := truth.CustomerSession{Arrived: in.arrived.time(), Ended: t.time(), Outcome: outcome, Printed: in.printed}
	if in.step > 0 {
		done.Paid = in.pays
	}
	s.tellSession(in.begun, done)
	if len(s.queue) > 0 && s.inService() {
		first := s.queue[0]
		s.dequeue(0)
		s.start(t, first.who, first.arrived)
		return
	}
	s.load.set(t, s.workload())
}

// leave sends everybody away; the session is interrupted.
func (s *Simulated) leave(t instant) {
	for _, w := range s.queue {
		s.tellSession(w.arrived, truth.CustomerSession{Arrived: w.arrived.time(), Ended: t.time(), Outcome: truth.TurnedAway})
	}
	s.queue = s.queue[:0]
	s.due[dueQueue] = never
	s.end(t, truth.Interrupted)
}

// tire lets those go who have waited long enough.
func (s *Simulated) tire(t instant) {
	for i := 0; i < len(s.queue); {
		if w := s.queue[i]; w.until <= t {
			s.dequeue(i)
			s.tellSession(w.arrived, truth.CustomerSession{Arrived: w.arrived.time(), Ended: t.time(), Outcome: truth.LeftQueue})
			continue
		}
		i++
	}
}

// dequeue takes one out of the queue.
func (s *Simulated) dequeue(i int) {
	s.queue = append(s.queue[:i], s.queue[i+1:]...)
	s.due[dueQueue] = never
	for _, w := range s.queue {
		s.due[dueQueue] = min(s.due[dueQueue], w.until)
	}
}

// tellSession tells of a session that began at t.
func (s *Simulated) tellSession(t instant, done truth.CustomerSession) {
	if s.observing {
		told := done // only what is told needs memory of its own
		s.sim.Observe(truth.Event{Time: t.time(), Serial: s.sim.Serial, Event: truth.Session, Session: &told})
	}
}
