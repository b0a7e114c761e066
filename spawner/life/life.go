// Package life is a simulated kiosk from the cradle on: an agent with a simulated device, whose faults
// come and go as its plan says, and which starts again after each crash.
package life

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"kioskfleet/internal/hashed"
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
	// Truth is told what really happens; nil: nobody is. A fault that is on when the life ends ends with
	// it; one that has begun before the life begins is told with its own begin.
	Truth func(truth.Event)
}

// Life is one simulated kiosk. Create it with New, drive it with Run.
type Life struct {
	agent  agent.Config
	plan   *fault.Plan // nil: no fault ever befalls it
	clock  clock.Clock
	agenda *Agenda
	device *device.Simulated
	uplink *uplink.Uplink // nil without a plan
	skewed *clock.Skewed  // nil without a plan
	power  chan struct{}  // holds a token when the power may have come back
	record record

	mu      sync.Mutex // guards the rest
	active  []fault.Fault
	bad     []fault.Fault           // of the active ones, those of bad firmware that have taken effect
	loops   []*loop                 // reboot loops that are on
	silent  bool                    // packets vanish
	down    bool                    // the agent does not run: crashed
	fallen  bool                    // when the agent's program begins next, the machine has been started anew
	over    bool                    // no fault begins or ends any more
	stop    context.CancelCauseFunc // ends the agent's program; nil while it does not run
	version string                  // of the agent's program; empty before its first start
	updated time.Time               // when it got this version; zero: before this life
}

const (
	// horizon is how far ahead a life enters its faults into the agenda.
	horizon = 6 * time.Hour
	// leaving is how long the network may take for the last bytes of a life.
	leaving = 200 * time.Millisecond
)

// New returns a life that has not begun.
func New(cfg Config) *Life {
	l := &Life{agent: cfg.Agent, clock: cfg.Clock, agenda: cfg.Agenda, power: make(chan struct{}, 1)}
	l.record.serial, l.record.tell = cfg.Agent.Identity.Serial, cfg.Truth
	cfg.Device.Observe = nil
	if cfg.Truth != nil {
		cfg.Device.Observe = l.record.event
	}
	l.device = device.NewSimulated(cfg.Device)
	l.agent.Device = l.device
	l.agent.Clock = cfg.Clock
	hooks := &l.agent.Hooks
	hooks.Booted, hooks.Concluded = l.booted, l.concluded
	hooks.Dial, hooks.Publish, hooks.Pretends = nil, nil, nil
	if plan := cfg.Device.Faults; !plan.Empty() {
		l.plan = plan
		l.uplink = uplink.New()
		l.skewed = clock.NewSkewed(cfg.Clock)
		l.agent.Clock = l.skewed
		hooks.Dial, hooks.Publish, hooks.Pretends = l.uplink.Dial, l.publish, l.pretends
	}
	return l
}

// Run lives until ctx ends; then the agent says goodbye, unless nobody could hear it. It returns early
// only with an error of the agent that no restart mends. A life runs once.
func (l *Life) Run(ctx context.Context) error {
	defer l.leave()
	defer context.AfterFunc(ctx, l.halt)()
	l.foreseeFirst()
	for ctx.Err() == nil {
		boot, end := context.WithCancelCause(context.WithoutCancel(ctx))
		if !l.begin(end) {
			end(nil)
			select {
			case <-ctx.Done():
			case <-l.power:
			}
			continue
		}
		a, err := l.newAgent()
		if err == nil {
			err = a.Run(boot)
		}
		crashed := errors.Is(context.Cause(boot), agent.ErrCrash)
		end(nil)
		l.end(crashed)
		if !crashed {
			return err
		}
	}
	return nil
}

// newAgent makes the agent of one boot. It stands alone so that the settings, which go by value, are no part of
// the frame that waits for as long as the kiosk lives.
//
//go:noinline
func (l *Life) newAgent() (*agent.Agent, error) { return agent.New(l.agent) }

// begin notes how to end the agent's program, unless it may not run now.
func (l *Life) begin(end context.CancelCauseFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down || l.over {
		l.fallen = true
		return false
	}
	l.stop = end
	return true
}

// end notes that the agent's program has ended.
func (l *Life) end(crashed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop = nil
	l.fallen = crashed
	if crashed && !l.over && l.version != "" {
		l.device.Sample(l.clock.Now(), false) // nobody is served until it is back
	}
}

// halt ends the agent's program for good: with a goodbye, or at once if the network takes none. What the
// agent has to say is in its outbox then.
func (l *Life) halt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.stop == nil {
		return
	}
	if l.silent {
		l.uplink.Kill()
		l.stop(agent.ErrCrash)
		return
	}
	if l.uplink != nil {
		l.uplink.Slow(0, 0) // or the goodbye would take longer than anybody waits
	}
	l.stop(context.Canceled)
}

// leave is the end of the life.
func (l *Life) leave() {
	if l.uplink != nil {
		l.uplink.Leave(leaving)
	}
	now := l.clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, f := range slices.Clone(l.active) { // the agenda may be late
		if !f.To.IsZero() && !f.To.After(now) {
			l.cease(f)
		}
	}
	l.record.close(now)
}

// foreseeFirst lets the faults begin that are there already, and enters those to come into the agenda.
func (l *Life) foreseeFirst() {
	if l.plan == nil {
		return
	}
	now := l.clock.Now()
	for _, f := range l.plan.During(now, now.Add(1)) {
		l.strike(f)
	}
	// Lives that begin together ask their plans at different times from then on.
	first := time.Duration((0.5 + hashed.Uniform(hashed.Of(hashed.Text("foresee"), hashed.Text(l.record.serial)))/2) * float64(horizon))
	l.foresee(now.Add(1), now.Add(first))
}

// foresee enters the faults that begin in [from, until) into the agenda, and itself for those that follow.
func (l *Life) foresee(from, until time.Time) {
	for _, f := range l.plan.During(from, until) {
		if spec, ok := fault.Lookup(f.Kind); ok && spec.Layer != fault.LayerDevice && !f.From.Before(from) {
			l.agenda.At(f.From, func() { l.strike(f) })
		}
	}
	l.agenda.At(until, func() {
		if !l.isOver() {
			l.foresee(until, until.Add(horizon))
		}
	})
}

func (l *Life) isOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}
