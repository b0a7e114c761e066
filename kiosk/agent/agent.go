// Package agent is a kiosk's agent: it keeps the connection to the broker, announces the kiosk,
// publishes its readings, obeys commands, and remembers what must survive its own end.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
)

// InitialVersion is the version that an agent reports until its first update.
const InitialVersion = "1.0.0"

// Config describes one agent. Identity, Device, Store and Outbox are required.
type Config struct {
	Identity enroll.Identity
	Device   device.Device
	Store    Store
	Outbox   Outbox
	Model    string
	Interval time.Duration // between readings; default 5 s
	Clock    Clock         // of readings; default the machine's
	// RestartTime and UpdateTime are how long these commands take; default 3 s and 2 s.
	RestartTime time.Duration
	UpdateTime  time.Duration
	Backoff     mqttclient.Backoff // between attempts to connect
	Counters    *Counters          // may be shared; nil: the agent's own
	Hooks       Hooks
	Log         *slog.Logger
}

const (
	defaultInterval    = 5 * time.Second
	defaultRestartTime = 3 * time.Second
	defaultUpdateTime  = 2 * time.Second
	// flushTime is how long an agent that leaves waits for its last messages to be acknowledged.
	flushTime = time.Second
	// publishTimeout is how long the broker may take to acknowledge a message before it is sent
	// again. The platform acknowledges what is on disk; a busy disk may take seconds.
	publishTimeout = 30 * time.Second
	publishRetry   = time.Second
)

// ErrCrash as the cause of Run's context makes the agent end as if its power had gone: nothing is flushed,
// nothing is said to the broker, which publishes the will. Another agent can go on with the same store and
// outbox as soon as Run has returned.
var ErrCrash = errors.New("the kiosk crashed")

// Agent is one kiosk's agent. Create it with New, drive it with Run.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	outbox Outbox
	// newLink makes the connection of one boot; tests replace it.
	newLink func(linkEvents) (link, error)

	capabilities []string

	session session
	inbox   inbox
	// Each of these holds at most one token: what it says has happened at least once.
	wake     chan struct{} // there is something to publish
	cameUp   chan struct{} // a connection stands
	progress chan struct{} // something was acknowledged, or the connection ended

	// The loop's own.
	state    State
	pending  []command        // accepted, in order, not begun
	updating <-chan time.Time // ends the update that has begun; nil: none has
	target   string           // the version of that update
	clock    Clock            // that of cfg, without its skew
	phase    time.Duration    // of the grid on which readings are due
	tick     time.Time        // when the next reading is due, by that clock
	bootID   string

	arrivals arrivals
	unsure   unsure // the publishing goroutine's own
}

// New returns an agent that has not started.
func New(cfg Config) (*Agent, error) {
	if cfg.Identity.Serial == "" || cfg.Device == nil || cfg.Store == nil || cfg.Outbox == nil {
		return nil, errors.New("agent: identity, device, store and outbox are required")
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.RestartTime <= 0 {
		cfg.RestartTime = defaultRestartTime
	}
	if cfg.UpdateTime <= 0 {
		cfg.UpdateTime = defaultUpdateTime
	}
	if cfg.Counters == nil {
		cfg.Counters = &Counters{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a := &Agent{
		cfg:          cfg,
		log:          cfg.Log.With("serial", cfg.Identity.Serial),
		outbox:       cfg.Outbox,
		capabilities: cfg.Device.Capabilities(),
		inbox:        inbox{ready: make(chan struct{}, 1)},
		wake:         make(chan struct{}, 1),
		cameUp:       make(chan struct{}, 1),
		progress:     make(chan struct{}, 1),
		clock:        right(cfg.Clock),
		phase:        phase(cfg.Identity.Serial, cfg.Interval),
	}
	a.newLink = func(ev linkEvents) (link, error) {
		return newMQTTLink(a.cfg.Identity, a.cfg.Backoff, a.cfg.Hooks.Dial, a.log, ev)
	}
	a.session.id = newID()
	return a, nil
}

// Run connects and reports until ctx ends; then it says goodbye, unless the cause is ErrCrash, and returns
// nil. Lost and refused connections are retried for ever.
//
// Errors: the state cannot be loaded or saved; a broker address is malformed.
func (a *Agent) Run(ctx context.Context) error {
	var err error
	aside(func() {
		if a.state, err = a.cfg.Store.Load(); err == nil {
			a.boot()
		}
	})
	if err != nil {
		return err
	}
	for {
		again, err := a.live(ctx)
		if err != nil {
			return fmt.Errorf("agent of %s: %w", a.cfg.Identity.Serial, err)
		}
		if !again {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // the next start finishes the restart
		case <-time.After(a.cfg.RestartTime):
		}
		aside(func() {
			a.cfg.Device.Restart(a.clock.Now())
			a.boot()
		})
	}
}

// boot begins a new life of the agent: a new boot id, and answers to the commands that the last one
// had begun.
func (a *Agent) boot() {
	a.bootID = newID()
	a.session.announce(a.bootID, a.version())
	if booted := a.cfg.Hooks.Booted; booted != nil {
		booted(a.bootID, a.version())
	}
	a.settleInterrupted()
}

// live runs one boot until ctx ends or a restart is due.
func (a *Agent) live(ctx context.Context) (restart bool, err error) {
	l, err := a.connection()
	if err != nil {
		return false, err
	}
	// The link outlives ctx by a moment, so that the last messages and the bye can leave.
	linkCtx, unlink := context.WithCancelCause(context.WithoutCancel(ctx))
	defer unlink(nil)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(linkCtx) }()

	restart = a.loop(ctx)
	if errors.Is(context.Cause(ctx), ErrCrash) {
		unlink(mqttclient.ErrAbandoned)
		err = <-ended
		a.disconnected()
		return false, err
	}
	a.session.leave(protocol.ByeStopped)
	if restart {
		a.session.leave(protocol.ByeRestarting)
	}
	a.flush()
	unlink(nil)
	err = <-ended
	a.disconnected()
	return restart, err
}

// connection returns the link of one boot.
func (a *Agent) connection() (l link, err error) {
	aside(func() {
		l, err = a.newLink(linkEvents{
			will:      a.will,
			received:  a.inbox.put,
			connected: func(ctx context.Context) { a.serve(ctx, l) },
			lost:      a.lost,
			failed:    a.failed,
			goodbye:   func(ctx context.Context) { a.goodbye(ctx, l) },
		})
	})
	return l, err
}

// loop samples and obeys until ctx ends or a restart is due.
func (a *Agent) loop(ctx context.Context) (restart bool) {
	timer := time.NewTimer(a.schedule())
	defer timer.Stop()
	do := func() {} // what an earlier life has left to do
	for {
		aside(func() {
			do()
			restart = a.next()
		})
		if restart {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			do = func() { timer.Reset(a.reportDue()) }
		case <-a.cameUp:
			// At once, so that the platform need not wait to know how the kiosk is.
			do = a.report
		case <-a.inbox.ready:
			do = a.acceptAll
		case <-a.updating:
			do = a.finishUpdate
		}
	}
}

// status is what the kiosk says about itself. A blocked kiosk stays blocked while somebody works on it.
func (a *Agent) status() protocol.State {
	switch {
	case a.state.Restarting != "":
		return protocol.StateRestarting
	case a.state.Updating != "":
		return protocol.StateUpdating
	case a.state.Blocked:
		return protocol.StateBlocked
	case a.state.Maintenance:
		return protocol.StateMaintenance
	}
	return protocol.StateOnline
}

func (a *Agent) version() string {
	if a.state.Version != "" {
		return a.state.Version
	}
	return InitialVersion
}

// signal leaves a token in a channel that holds at most one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
