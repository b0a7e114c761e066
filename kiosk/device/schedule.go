package device

import (
	"slices"

	"kioskfleet/kiosk/truth"
)

// schedule says when each kind of event comes next; never, if none is due.
type schedule [events]instant

// The kinds of events. Of those that are due at one time, the first in this list comes first.
const (
	dueService  = iota // the weekly service
	dueFault           // a planned fault begins, ends or has faded away
	dueForecast        // the plan is asked about the next hours
	dueRepair          // the end of the first trouble; those of the others follow
)

const (
	dueInk     = dueRepair + int(troubles) + iota // staff bring ink
	dueJob                                        // the nightly job begins or ends
	dueSession                                    // the customer inside does the next thing
	dueQueue                                      // somebody does not want to wait any longer
	dueArrival                                    // a customer comes, or the next slot begins
	events
)

// open begins at the last service before t and lives until t, with nobody looking; then it tells which
// faults there are.
func (s *Simulated) open(t instant) {
	s.observing = false
	serving := s.serving
	s.serving = true
	s.opened = true
	for i := range s.due {
		s.due[i] = never
	}
	begin := s.lastService(t)
	s.last = begin
	s.recall(begin)
	s.maintain(begin)
	s.live(t)
	s.observing = s.sim.Observe != nil
	s.report()
	if s.serving = serving; !serving {
		s.settle(t)
	}
}

// forget ends what has been told to have begun, before the kiosk begins anew at another time.
func (s *Simulated) forget() {
	s.leave(s.last)
	for i := range s.planned {
		if f := &s.planned[i]; f.begun && !f.ended {
			s.tellPlanned(f, truth.FaultEnd, s.last.time())
		}
	}
	for kind := range troubles {
		s.fix(kind, s.last)
	}
	s.planned = nil
}

// live goes from event to event until t; those at t itself happen.
func (s *Simulated) live(t instant) {
	for {
		next := 0
		for i := range s.due {
			if s.due[i] < s.due[next] {
				next = i
			}
		}
		at := s.due[next]
		if at > t {
			break
		}
		s.last = at
		s.happen(next, at)
	}
	s.last = t
}

func (s *Simulated) happen(event int, t instant) {
	switch event {
	case dueService:
		s.maintain(t)
	case dueFault:
		s.turn(t)
	case dueForecast:
		s.forecast(t)
	case dueInk:
		s.supplies.ink = s.traits.ink
		s.due[dueInk] = never
	case dueJob:
		s.shift(t)
	case dueSession:
		s.proceed(t)
	case dueQueue:
		s.tire(t)
	case dueArrival:
		s.arrive(t)
	default:
		s.repair(trouble(event-dueRepair), t)
	}
}

// lastService returns when staff serviced the kiosk last, at t at the latest.
func (s *Simulated) lastService(t instant) instant {
	today, _ := dayOf(s.calendar.local(t))
	ago := int64((weekdayOf(today) - s.traits.serviceWeekday + 7) % 7)
	service := s.calendar.at(today-ago, s.traits.service)
	if service > t {
		service = s.calendar.at(today-ago-7, s.traits.service)
	}
	return service
}

// maintain is the weekly service: everything is as it is after every service.
func (s *Simulated) maintain(t instant) {
	today, _ := dayOf(s.calendar.local(t))
	s.serviced = t
	s.due[dueService] = s.calendar.at(today+7, s.traits.service)
	for kind := range troubles {
		s.fix(kind, t)
	}
	s.supplies = supplies{paper: s.traits.paper, ink: s.traits.ink}
	s.due[dueInk] = never
	s.fillForced()
	s.session = session{}
	s.queue = s.queue[:0]
	s.due[dueSession], s.due[dueQueue] = never, never
	s.boot(t)
	s.working = false
	s.planJob(t)
	s.settle(t)
	s.load.rest(t)
	s.enter(int64((t + slot - 1) / slot))
}

// boot is a start of the machine: memory is fresh, and what only hangs works again.
func (s *Simulated) boot(t instant) {
	s.booted, s.guests = t, 0
	for _, kind := range []trouble{readerError, acceptorError, printerLost} {
		s.fix(kind, t)
	}
}

// settle draws the conclusions from a change at t: what the plan forces, who must leave, what the CPU
// has to do.
func (s *Simulated) settle(t instant) {
	s.forced = s.force()
	if !s.inService() {
		s.leave(t)
	} else if s.session.stranded(s) {
		s.end(t, truth.Interrupted)
	}
	s.load.set(t, s.workload())
}

// planJob sets when the next nightly job begins.
func (s *Simulated) planJob(t instant) {
	today, _ := dayOf(s.calendar.local(t))
	at := s.calendar.at(today, s.traits.job)
	if at <= t {
		at = s.calendar.at(today+1, s.traits.job)
	}
	s.due[dueJob] = at
}

// shift begins or ends the nightly job.
func (s *Simulated) shift(t instant) {
	if s.working = !s.working; s.working {
		s.due[dueJob] = t + instant(s.draw(t, 4, 8, 25)*float64(minute))
	} else {
		s.planJob(t)
	}
	s.load.set(t, s.workload())
}

// report tells of the faults that are there, by their begin.
func (s *Simulated) report() {
	if !s.observing {
		return
	}
	var told []truth.Event
	observe := s.sim.Observe
	s.sim.Observe = func(e truth.Event) { told = append(told, e) }
	for i := range s.planned {
		if f := &s.planned[i]; f.begun && !f.ended {
			s.tellPlanned(f, truth.FaultStart, f.From)
		}
	}
	for kind := range troubles {
		if s.troubles[kind] != 0 {
			s.tellTrouble(kind, truth.FaultStart, s.troubles[kind])
		}
	}
	s.sim.Observe = observe
	slices.SortStableFunc(told, func(a, b truth.Event) int { return a.Time.Compare(b.Time) })
	for _, e := range told {
		observe(e)
	}
}
