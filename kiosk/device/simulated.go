package device

import (
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// Simulation describes a simulated kiosk.
type Simulation struct {
	Serial string
	// Site is shared with other kiosks, and with it climate and network. An airport has an IATA code at
	// its name's end, as in Lisbon LIS; other sites are stations.
	Site     string
	Position Position       // where the kiosk really stands
	Timezone *time.Location // of the hours in which customers come; nil means UTC
	// Seed is the same for all kiosks of a fleet, which differ by Serial and Site.
	Seed uint64

	Faults     *fault.Plan // what goes wrong with it; nil: what wear and customers bring about
	Conditions []Condition // what is unusual around it
	// Observe is told, in the order of device time, of customers' sessions (when they end) and of the
	// begin and end of the faults of fault.LayerDevice, planned ones and those that wear brings about;
	// nil: nobody is. Faults that are older than the device are told with their begin at the first Sample.
	// After a clock was set back by more than an hour, what the kiosk lives through again is told again.
	Observe func(truth.Event)
}

// Condition is something unusual around a kiosk in [From, To) of its time; a zero To is never.
type Condition struct {
	From, To time.Time
	Warmer   float64 // K added to the air outside, of which the room takes its part within hours
	Demand   float64 // factor on the number of customers; 0: as usual; below: nobody comes
}

// condition is a Condition as the simulation reckons with it.
type condition struct {
	from, to       instant
	warmer, demand float64
}

// Simulated is a Device that computes its measurements. What it shows at a time is a function of that
// time, of the Simulation, and of what it was told by Sample (serving), Restart and Updated and when;
// it does not matter how often and since when it is asked. It reads no clock: time is what Sample is
// told.
//
// It lives from event to event: customers who come, pay, print and leave, troubles, repairs, planned
// faults. In between everything has a closed form: levels stand still, temperatures decay, noise is
// drawn for the time itself. Once a week staff service a kiosk, which sets it back to a known state; a
// new device begins at the last service and lives through what has happened since. Until its first
// Sample it has been serving.
type Simulated struct {
	sim            Simulation
	conditions     []condition
	seed, siteSeed uint64
	site           climate
	traits         traits
	calendar       calendar
	noises         [channels]octaves

	opened    bool // the first Sample has been
	observing bool // what happens is told
	serving   bool
	last      instant // how far it has lived
	due       schedule

	serviced instant // when staff tidied up last
	booted   instant // when the machine started
	guests   int     // customers since then
	working  bool    // the nightly job runs
	load     load
	arrivals arrivals
	queue    []waiting // at most maxQueue, in the order of their arrival
	session  session
	supplies supplies
	troubles [troubles]instant // since when; 0: not at all
	planned  []planned         // faults of the plan that are there, will soon be or fade away, by their begin
	forced   forced            // what these bring about
	version  string
	updated  instant // when version came
}

// NewSimulated returns a kiosk that has been standing at its place for long.
func NewSimulated(sim Simulation) *Simulated {
	zone := sim.Timezone
	if zone == nil {
		zone = time.UTC
	}
	s := &Simulated{
		sim:      sim,
		seed:     hashed.Of(sim.Seed, hashed.Text(sim.Serial)),
		siteSeed: hashed.Of(sim.Seed, hashed.Text(sim.Site), 1),
		calendar: calendar{zone: zone},
		serving:  true,
	}
	s.site = climateOf(sim.Site, s.siteSeed)
	s.traits = traitsOf(s.seed, s.site)
	for _, c := range sim.Conditions {
		out := condition{instantOf(c.From), endOf(c.To), c.Warmer, max(c.Demand, 0)}
		if c.Demand == 0 {
			out.demand = 1
		}
		s.conditions = append(s.conditions, out)
	}
	return s
}

// endOf returns the instant of an end; zero is never.
func endOf(t time.Time) instant {
	if t.IsZero() {
		return never
	}
	return instantOf(t)
}

// Capabilities lists all peripherals of the original design note.
func (s *Simulated) Capabilities() []string {
	return []string{protocol.CapabilityPrinter, protocol.CapabilityCashAcceptor, protocol.CapabilityCardReader}
}

// Restart frees leaked memory, sends customers away and clears the faults that live in software; a paper
// jam stays.
func (s *Simulated) Restart(now time.Time) {
	t := s.reach(now)
	s.leave(t)
	s.boot(t)
	s.settle(t)
}

// Updated tells the device that its program has another version since now. Planned faults of the kind
// fault.BadFirmware whose version this is take effect, as far as a device shows it: fault.EffectBusy and
// fault.EffectLeak. A fault without a version takes each that comes while it lasts.
func (s *Simulated) Updated(now time.Time, version string) {
	t := instantOf(now)
	if s.opened {
		t = s.reach(now)
	}
	s.version, s.updated = version, t
	if s.opened {
		s.settle(t)
	}
}

// Sample lives until now and returns what the sensors show. Serving holds from now on. A time before the
// last one shows the sensors' values of that time, while customers and levels wait until the clock has
// caught up; if it is more than an hour before, the kiosk goes back to what it was then.
func (s *Simulated) Sample(now time.Time, serving bool) Sample {
	t := s.reach(now)
	if serving != s.serving {
		s.serving = serving
		s.settle(t)
	}
	return s.read(instantOf(now))
}

const (
	// setBack is how far a clock may go back until the kiosk takes the earlier time for the true one.
	setBack = hour
	// away is how long a gap is lived through; after a longer one the kiosk begins as if it were new.
	away = 8 * week
)

// reach lives until now and returns the instant that was reached: now, or a later one if the clock has
// gone back a little.
func (s *Simulated) reach(now time.Time) instant {
	t := instantOf(now)
	switch {
	case !s.opened:
		s.open(t)
	case t < s.last-setBack || t > s.last+away:
		s.forget()
		s.open(t)
	case t > s.last:
		s.live(t)
	}
	return s.last
}
