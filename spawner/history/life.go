package history

import (
	"fmt"
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
)

// reading is a reading that a kiosk takes.
type reading struct {
	protocol.Reading
	leftOut bool // it is sent in a form that no platform accepts
}

// life is one kiosk's way through a history: what the device senses, and what becomes of it on the way
// through an agent and a network, without either.
type life struct {
	serial   string
	seed     uint64
	interval time.Duration
	start    time.Time // of this kiosk: kiosks do not report in step
	end      time.Time
	device   device.Device
	course   course
	faults   []fault.Fault // those that change readings
	report   func(*reading) error

	truth    []truth.Event
	sessions int
	boots    int
	session  string
	seq      uint64
	taken    uint64 // readings, over all sessions
	newest   int64  // the last timestamp, Unix ms
}

func newLife(cfg *Config, k roster.Kiosk, zone *time.Location) *life {
	plan, conditions := cfg.Fate(k)
	var place device.Position
	switch {
	case k.RealLocation != nil:
		place = *k.RealLocation
	case k.Location != nil:
		place = *k.Location
	}
	l := &life{
		serial: k.Serial, seed: hashed.Of(cfg.Seed, hashed.Text(k.Serial), uint64(cfg.Start.Unix())),
		interval: cfg.Interval, end: cfg.end(),
	}
	phase := time.Duration(hashed.Uniform(hashed.Of(l.seed, hashed.Text("phase"))) * float64(cfg.Interval))
	l.start = cfg.Start.Add(phase.Truncate(time.Millisecond))
	l.device = device.NewSimulated(device.Simulation{
		Serial: k.Serial, Site: k.Site, Position: place, Timezone: zone, Seed: cfg.Seed,
		Faults: plan, Conditions: conditions, Observe: l.observe,
	})
	faults := plan.During(cfg.Start, l.end)
	l.course = courseOf(faults, l.start, l.end)
	for _, f := range faults {
		spec, _ := fault.Lookup(f.Kind)
		if spec.Layer == fault.LayerDevice {
			continue // the device tells of these itself
		}
		l.observe(truth.Event{Time: f.From, Event: truth.FaultStart, ID: f.ID, Fault: f.Kind, Params: f.Params})
		if !f.To.IsZero() && f.To.Before(l.end) {
			l.observe(truth.Event{Time: f.To, Event: truth.FaultEnd, ID: f.ID, Fault: f.Kind, Params: f.Params})
		}
		switch f.Kind {
		case fault.ClockSkew, fault.SlowNetwork, fault.MalformedPayload, fault.SerialMismatch:
			l.faults = append(l.faults, f)
		}
	}
	return l
}

func (l *life) observe(e truth.Event) {
	e.Serial, e.Time = l.serial, e.Time.UTC()
	l.truth = append(l.truth, e)
}

// run lives through the history.
func (l *life) run() error {
	for _, up := range l.course.up {
		if l.boots > 0 || up.from.After(l.start) {
			// Nobody was served while the agent was down.
			l.device.Sample(up.from, false)
			l.device.Restart(up.from)
		}
		l.boot(up.from)
		reconnects := l.course.reconnects(up)
		tick := up.from
		for {
			if len(reconnects) > 0 && !reconnects[0].After(tick) {
				// An agent reports at once when it is connected again.
				tick, reconnects = reconnects[0], reconnects[1:]
				l.connect()
			}
			if !tick.Before(up.to) {
				break
			}
			if err := l.take(tick); err != nil {
				return err
			}
			tick = tick.Add(l.interval)
		}
		if up.to.Before(l.end) {
			// Until here customers were served.
			l.device.Sample(up.to, true)
		}
	}
	return nil
}

// boot begins a new life of the agent.
func (l *life) boot(at time.Time) {
	l.boots++
	id := l.name("boot", l.boots)
	l.observe(truth.Event{Time: at, Event: truth.Boot, Boot: &truth.BootEvent{ID: id, Version: agent.InitialVersion}})
	l.connect()
}

// connect begins a new session.
func (l *life) connect() {
	l.sessions++
	l.session, l.seq = l.name("session", l.sessions), 0
}

// name is an id that is as good as a random one.
func (l *life) name(of string, n int) string {
	h := hashed.Of(l.seed, hashed.Text(of), uint64(n))
	return fmt.Sprintf("%016x%016x", h, hashed.Of(h, 1))
}

// take takes one reading.
func (l *life) take(now time.Time) error {
	sample := l.device.Sample(now, true)
	l.seq++
	l.taken++
	r := reading{Reading: protocol.Reading{
		Serial: l.serial, Seq: l.seq, Session: l.session, Status: protocol.StateOnline,
		Environmental: sample.Environmental, Hardware: sample.Hardware, Peripherals: sample.Peripherals,
		Location: sample.Location, Network: sample.Network, Custom: sample.Custom,
	}}
	clock := now
	for i := range l.faults {
		f := &l.faults[i]
		if !f.ActiveAt(now) {
			continue
		}
		switch f.Kind {
		case fault.ClockSkew:
			clock = clock.Add(f.Params.Duration("by"))
		case fault.SerialMismatch:
			r.leftOut = true
		case fault.MalformedPayload:
			chance := hashed.Uniform(hashed.Of(l.seed, hashed.Text(f.ID), l.taken))
			r.leftOut = r.leftOut || chance < f.Params.Number("share")
		}
	}
	// As an outbox does: each time is later than those before, also when the clock was set back.
	l.newest = max(clock.UnixMilli(), l.newest+1)
	r.Timestamp = time.UnixMilli(l.newest).UTC()
	return l.report(&r)
}
