// Package life is a simulated kiosk from the cradle on: an agent with a simulated device, whose faults
// come and go as its plan says, and which starts again after each crash.
package life

import (
	"context"
	"slices"
	"sync"
	"time"

	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/kiosk/uplink"
)

// Config describes one simulated kiosk. Agent, Device, Clock and Agenda are required.
type Config struct {
	// Agent's Device and Clock are the life's; of its Hooks, Acknowledged and Answered are kept.
	Agent agent.Config
	// Device's Faults are those of all layers; Observe is Truth.
	Device device.Simulation
	Clock  clock.Clock // the kiosk's time, without a skew
	Agenda *Agenda
	Truth  func(truth.Event) // is told what really happens; nil: nobody is
}

// Life is one simulated kiosk. Create it with New, drive it with Run.
type Life struct {
	cfg    Config
	serial string
	device *device.Simulated
	uplink *uplink.Uplink // nil: no fault ever touches its connections
	skewed *clock.Skewed  // nil: its clock is never wrong
	power  chan struct{}  // holds a token when the power may have come back

	mu      sync.Mutex // guards the rest
	active  []fault.Fault
	fallen  map[string]bool         // ids of the faults that keep the agent from running just now
	down    bool                    // the agent does not run: crashed
	stop    context.CancelCauseFunc // ends the agent's program; nil while it does not run
	version string                  // of the agent's program; empty before its first start
	updated time.Time               // when it got this version; zero: before this life
	bad     map[string]fault.Fault  // the faults of bad firmware that have taken effect, by id
}

// horizon is how far ahead a life enters its faults into the agenda.
const horizon = 6 * time.Hour

// New returns a life that has not begun.
func New(cfg Config) *Life {
	l := &Life{
		cfg: cfg, serial: cfg.Agent.Identity.Serial, power: make(chan struct{}, 1),
		fallen: map[string]bool{}, bad: map[string]fault.Fault{},
	}
	l.cfg.Device.Observe = cfg.Truth
	l.device = device.NewSimulated(l.cfg.Device)
	l.cfg.Agent.Device = l.device
	l.cfg.Agent.Clock = cfg.Clock
	hooks := &l.cfg.Agent.Hooks
	hooks.Booted, hooks.Concluded = l.booted, l.concluded
	if plan := cfg.Device.Faults; !plan.Empty() {
		l.uplink = uplink.New()
		l.skewed = clock.NewSkewed(cfg.Clock)
		l.cfg.Agent.Clock = l.skewed
		hooks.Dial, hooks.Publish, hooks.Pretends = l.uplink.Dial, l.publish, l.pretends
	}
	return l
}

// Run lives until ctx ends; then the agent says goodbye. It returns early only with an error of the
// agent that no restart mends.
func (l *Life) Run(ctx context.Context) error {
	if l.uplink != nil {
		defer l.uplink.Close()
	}
	now := l.cfg.Clock.Now()
	l.foresee(ctx, time.Time{}, now)
	for ctx.Err() == nil {
		boot, stop := context.WithCancelCause(ctx)
		if !l.begin(stop) {
			stop(nil)
			select {
			case <-ctx.Done():
			case <-l.power:
				l.device.Restart(l.cfg.Clock.Now())
			}
			continue
		}
		a, err := agent.New(l.cfg.Agent)
		if err == nil {
			err = a.Run(boot)
		}
		crashed := l.end()
		stop(nil)
		if !crashed {
			return err
		}
	}
	return nil
}

// begin notes how to stop the agent, unless it may not run now.
func (l *Life) begin(stop context.CancelCauseFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return false
	}
	l.stop = stop
	return true
}

// end notes that the agent has ended and reports whether that was a crash.
func (l *Life) end() (crashed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop = nil
	return l.down
}

// foresee enters the faults that begin in [from, now+horizon) into the agenda; with a zero from also
// those that have begun before.
func (l *Life) foresee(ctx context.Context, from, now time.Time) {
	if ctx.Err() != nil || l.cfg.Device.Faults.Empty() {
		return
	}
	until := now.Add(horizon)
	since := from
	if since.IsZero() {
		since = now
	}
	for _, f := range l.cfg.Device.Faults.During(since, until) {
		if spec, ok := fault.Lookup(f.Kind); !ok || spec.Layer == fault.LayerDevice || f.From.Before(from) {
			continue
		}
		l.cfg.Agenda.At(f.From, func() { l.strike(f) })
		if !f.To.IsZero() {
			l.cfg.Agenda.At(f.To, func() { l.mend(f) })
		}
	}
	l.cfg.Agenda.At(until, func() { l.foresee(ctx, until, until) })
}

// strike lets a fault begin.
func (l *Life) strike(f fault.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = append(l.active, f)
	if f.Kind == fault.BadFirmware {
		l.infect(f.From) // it is told when it takes effect
		return
	}
	l.tell(truth.FaultStart, f, f.From)
	switch f.Kind {
	case fault.RebootLoop:
		l.fall(f, f.From)
	case fault.Flapping:
		l.flap(f, f.From)
	}
	l.apply()
}

// mend lets a fault end.
func (l *Life) mend(f fault.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = slices.DeleteFunc(l.active, func(other fault.Fault) bool { return other.ID == f.ID })
	if f.Kind == fault.BadFirmware {
		l.infect(f.To)
	} else {
		l.tell(truth.FaultEnd, f, f.To)
	}
	delete(l.fallen, f.ID)
	l.apply()
}

// there reports whether a fault is active; for bad firmware, whether it has taken effect.
func (l *Life) there(f fault.Fault) bool {
	if f.Kind == fault.BadFirmware {
		_, ok := l.bad[f.ID]
		return ok
	}
	return l.isActive(f.ID)
}

func (l *Life) isActive(id string) bool {
	return slices.ContainsFunc(l.active, func(f fault.Fault) bool { return f.ID == id })
}

// fall lets the agent crash at once, come back after a while and fall again.
func (l *Life) fall(f fault.Fault, at time.Time) {
	l.fallen[f.ID] = true
	l.apply()
	again := at.Add(f.Params.Duration("down"))
	l.cfg.Agenda.At(again, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.fallen, f.ID)
		l.apply()
	})
	l.fallLater(f, again.Add(f.Params.Duration("every")))
}

func (l *Life) fallLater(f fault.Fault, at time.Time) {
	l.cfg.Agenda.At(at, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.there(f) {
			l.fall(f, at)
		}
	})
}

// flap cuts the connection now and again.
func (l *Life) flap(f fault.Fault, at time.Time) {
	l.uplink.Cut()
	next := at.Add(f.Params.Duration("every"))
	l.cfg.Agenda.At(next, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.there(f) {
			l.flap(f, next)
		}
	})
}

// apply makes the network, the clock and the agent be as the active faults want them.
func (l *Life) apply() {
	var delay, skew time.Duration
	var bytesPerSecond int
	down := len(l.fallen) > 0
	out, silent := false, true
	for _, f := range l.active {
		switch f.Kind {
		case fault.Crash:
			down = true
		case fault.SlowNetwork:
			delay = max(delay, f.Params.Duration("delay"))
			if rate := int(f.Params.Number("bytes_per_second")); rate > 0 && (bytesPerSecond == 0 || rate < bytesPerSecond) {
				bytesPerSecond = rate
			}
		case fault.SiteOutage:
			out = true
			silent = silent && f.Params.Text("how") == fault.OutageSilent
		case fault.ClockSkew:
			skew += f.Params.Duration("by")
		}
	}
	l.skewed.Set(skew)
	l.uplink.Slow(delay, bytesPerSecond)
	if out {
		l.uplink.Down(silent)
	} else {
		l.uplink.Up()
	}
	switch {
	case down && !l.down:
		l.down = true
		l.uplink.Kill()
		if l.stop != nil {
			l.stop(agent.ErrCrash)
		}
	case !down && l.down:
		l.down = false
		l.uplink.Revive()
		select {
		case l.power <- struct{}{}:
		default:
		}
	}
}

// tell writes the begin or end of a fault into the truth log.
func (l *Life) tell(what truth.Kind, f fault.Fault, at time.Time) {
	l.event(truth.Event{Time: at, Event: what, ID: f.ID, Fault: f.Kind, Params: f.Params})
}

func (l *Life) event(e truth.Event) {
	if l.cfg.Truth == nil {
		return
	}
	e.Serial = l.serial
	l.cfg.Truth(e)
}
