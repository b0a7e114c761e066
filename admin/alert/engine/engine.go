// Package engine finds out when alert rules hold. Step is a pure function of a kiosk's state, its rules and what
// happened, so that live and backtest run the same code. Engine drives it: it keeps the states of all kiosks, feeds them
// with readings in order and with time, and hands what it found to the desk together with the states that it follows
// from, so that a restart neither repeats nor forgets an alert.
package engine

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/timezone"
)

// Desk takes what was found. Apply stores changes and states in one transaction; after an error neither is stored, or
// applying them again changes nothing.
type Desk interface {
	Apply(ctx context.Context, changes []fleet.AlertChange, states []fleet.AlertEngineState) error
}

// Fleet tells about kiosks. It may be asked while the engine holds a lock of its own.
type Fleet interface {
	// Kiosk returns a registered kiosk, nil when it is not registered.
	Kiosk(serial string) *fleet.Kiosk
	Live(serial string) *fleet.Live
	// Derived returns what is computed of a kiosk, nil when nothing is.
	Derived(serial string) rule.Derived
}

// Set finds the rules of a kiosk; nil asks for those of the platform itself.
type Set interface {
	For(k *fleet.Kiosk) []Rule
}

// Config says what an engine works with.
type Config struct {
	Desk  Desk
	Fleet Fleet
	Now   func() time.Time
	// Told returns the time up to which everything that was received has been told, as of now. Deadlines wait for it, so that
	// a reading which is still to be told is not taken for silence. nil: always up to now.
	Told func(now time.Time) time.Time
	Log  *slog.Logger
}

// shardCount is how many kiosks can be worked on at the same time.
const shardCount = 32

// Engine drives the states of all kiosks. It is safe for concurrent use; the inputs of one kiosk must come in order.
type Engine struct {
	cfg    Config
	seed   maphash.Seed
	shards [shardCount]shard
	outbox outbox

	replaying atomic.Bool // what came before this start is still told

	waitingMu sync.Mutex
	waiting   map[string]time.Time // kiosks of which something changed, and when; at most as many as there are
	wake      chan struct{}        // one slot is enough

	rulesMu  sync.RWMutex // guards the rest
	rules    Set
	platform rule.Derived
}

// shard holds some of the kiosks.
type shard struct {
	mu     sync.Mutex // guards all fields
	states map[string]*State
	dirty  map[string]struct{} // not saved as they are
	due    deadlines
	found  []fleet.AlertChange // not yet in the outbox
}

// New returns an engine without rules.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, seed: maphash.MakeSeed(), waiting: map[string]time.Time{}, wake: make(chan struct{}, 1)}
	for i := range e.shards {
		e.shards[i].states, e.shards[i].dirty = map[string]*State{}, map[string]struct{}{}
	}
	e.outbox.wake = make(chan struct{}, 1)
	return e
}

// Restore sets what an earlier run saved, and stops time until Started. A state that cannot be read is an error: to go on
// without it would tell alerts twice.
func (e *Engine) Restore(saved []fleet.AlertEngineState) error {
	e.replaying.Store(true)
	for _, one := range saved {
		s, err := load(one)
		if err != nil {
			return err
		}
		e.shard(s.Serial).states[s.Serial] = s
	}
	return nil
}

// Started says that everything from before this start has been told. From Restore to then time stands still, since what is
// told is of the past and what presence says is of before our restart. What fell due while we were away waits until something
// is heard of its kiosk: that nobody told us otherwise meanwhile proves nothing.
func (e *Engine) Started(at time.Time) {
	for i := range e.shards {
		sh := &e.shards[i]
		sh.mu.Lock()
		for serial, s := range sh.states {
			s.gap, s.frozen = true, serial != ""
			defer e.Changed(serial, at)
		}
		sh.mu.Unlock()
	}
	e.replaying.Store(false)
}

// SetRules replaces the rules and asks them about every kiosk.
func (e *Engine) SetRules(rules Set) {
	now := e.cfg.Now().UTC()
	e.tick(now)
	e.rulesMu.Lock()
	e.rules = rules
	e.rulesMu.Unlock()
	for i := range e.shards {
		sh := &e.shards[i]
		sh.mu.Lock()
		serials := make([]string, 0, len(sh.states))
		for serial := range sh.states {
			serials = append(serials, serial)
		}
		sh.mu.Unlock()
		for _, serial := range serials {
			e.Changed(serial, now)
		}
	}
}

func (e *Engine) shard(serial string) *shard {
	return &e.shards[maphash.String(e.seed, serial)%shardCount]
}

// Reading takes a reading that presence knows of already.
func (e *Engine) Reading(r *fleet.Reading) {
	e.step(r.Serial, Input{At: r.ReceivedAt, Source: r.Source, Reading: r})
}

// Changed says that presence, verdict or registration of a kiosk is another since a time, or that it was removed. It
// returns at once.
func (e *Engine) Changed(serial string, at time.Time) {
	e.waitingMu.Lock()
	if _, there := e.waiting[serial]; !there {
		e.waiting[serial] = at
	}
	e.waitingMu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Platform sets what is computed of the platform itself.
func (e *Engine) Platform(values rule.Derived, at time.Time) {
	e.rulesMu.Lock()
	e.platform = values
	e.rulesMu.Unlock()
	e.step("", Input{At: at})
}

// step works on one input of a kiosk.
func (e *Engine) step(serial string, in Input) {
	sh := e.shard(serial)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e.rulesMu.RLock()
	rules, platform := e.rules, e.platform
	e.rulesMu.RUnlock()
	if rules == nil {
		return
	}
	s := sh.states[serial]
	if serial == "" {
		in.Derived = platform
	} else {
		if in.Kiosk = e.cfg.Fleet.Kiosk(serial); in.Kiosk == nil {
			e.remove(sh, serial, in.At)
			return
		}
		in.Live, in.Derived, in.Zone = e.cfg.Fleet.Live(serial), e.cfg.Fleet.Derived(serial), timezone.OrUTC(in.Kiosk.Timezone)
	}
	if s == nil {
		s = &State{Serial: serial}
		sh.states[serial] = s
	}
	if s.reading == nil && in.Reading == nil && in.Live != nil {
		s.reading = in.Live.LastReading // from before our start
	}
	list := rules.For(in.Kiosk)
	before := s.due
	found := Step(s, list, in)
	if len(s.Past) > 0 || len(s.Came) > 0 {
		s.trim(list)
	}
	sh.dirty[serial] = struct{}{}
	if !s.due.Equal(before) {
		sh.due.set(serial, s.due)
	}
	sh.tell(e, found)
}

// tell puts what was found where the outbox takes it from. The lock is held.
func (sh *shard) tell(e *Engine, found []fleet.AlertChange) {
	if len(found) == 0 {
		return
	}
	sh.found = append(sh.found, found...)
	e.outbox.add(len(found))
}

// remove forgets a kiosk that is no longer registered. The lock of its shard is held.
func (e *Engine) remove(sh *shard, serial string, at time.Time) {
	s := sh.states[serial]
	if s == nil {
		return
	}
	sh.tell(e, s.forget(at))
	delete(sh.states, serial)
	sh.due.set(serial, time.Time{})
	sh.dirty[serial] = struct{}{} // its saved state goes with the kiosk
}
