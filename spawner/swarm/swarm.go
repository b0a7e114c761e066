// Package swarm runs many simulated kiosks, as goroutines of one process or as one process each.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/outbox"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/life"
	"kioskfleet/spawner/roster"
)

// Config describes a swarm. Kiosks, Platform and Registrar are required.
type Config struct {
	Kiosks    []roster.Kiosk
	First     int // number of the first kiosk; default 1
	Platform  *enroll.Platform
	Tokens    enroll.Tokens
	Registrar *Registrar
	DataDir   string // identities and states go to <DataDir>/spawner/<serial>, the outbox beside
	// MaxReadings and MaxBytes bound the outbox of all kiosks together; each gets an equal share.
	// Default 200,000 and 256 MiB.
	MaxReadings int
	MaxBytes    int64
	Interval    time.Duration // of kiosks whose settings name none; default 5 s
	RampUp      float64       // kiosks started per second; default DefaultRampUp
	Seed        uint64        // of what the kiosks sense; 0 derives it from each serial
	// Fate says what befalls a kiosk: its faults, and what is unusual around it; nil: nothing but wear.
	Fate     func(k roster.Kiosk) (*fault.Plan, []device.Condition)
	Truth    func(truth.Event) // is told what really happens; safe for concurrent use; nil: nobody is
	Clock    clock.Clock       // the kiosks' time; nil: the machine's
	Backoff  mqttclient.Backoff
	Counters *Counters
	Log      *slog.Logger
}

const (
	defaultInterval = 5 * time.Second
	// stopTime is how long a swarm that stops waits for its kiosks to say goodbye.
	stopTime = 2800 * time.Millisecond
	// DataPart is the swarm's folder below the data folder.
	DataPart = "spawner"
)

// DefaultRampUp is how many kiosks are started per second unless somebody says otherwise: 50, and more of
// many, so that all are started within two minutes.
func DefaultRampUp(kiosks int) float64 { return max(50, float64(kiosks)/120) }

// firstRetry is the time within which kiosks that have lost the broker all at once try again for the first
// time: half a second, and longer for many, up to half a minute, so that about a thousand come in a second.
func firstRetry(kiosks int) time.Duration {
	return min(max(500*time.Millisecond, time.Duration(kiosks)*time.Millisecond), 30*time.Second)
}

// Bounds of what the kiosks of a swarm keep while the broker is away.
const (
	// DefaultMaxReadings and DefaultMaxBytes are for all kiosks together.
	DefaultMaxReadings = 200_000
	DefaultMaxBytes    = 256 << 20
	// The share of one kiosk stays within these.
	maxReadingsOfOne = 10_000
	minReadingsOfOne = 30
	minBytesOfOne    = 64 << 10
)

// share returns one kiosk's part of what all of a swarm may keep.
func share(maxReadings int, maxBytes int64, kiosks int) (readings int, bytes int64) {
	return min(max(maxReadings/kiosks, minReadingsOfOne), maxReadingsOfOne), max(maxBytes/int64(kiosks), minBytesOfOne)
}

// Swarm is kiosks in one process. Create it with New, drive it with Run.
type Swarm struct {
	cfg      Config
	enroller *enroll.Enroller
	bySerial map[string]roster.Kiosk
	zones    map[string]*time.Location
	agenda   *life.Agenda
}

// New returns a swarm that has not started.
func New(cfg Config) (*Swarm, error) {
	if cfg.Interval <= 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.RampUp <= 0 {
		cfg.RampUp = DefaultRampUp(len(cfg.Kiosks))
	}
	cfg.First = max(cfg.First, 1)
	if cfg.Backoff.Min <= 0 {
		cfg.Backoff.Min = firstRetry(len(cfg.Kiosks))
	}
	if cfg.MaxReadings <= 0 {
		cfg.MaxReadings = DefaultMaxReadings
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Counters == nil {
		cfg.Counters = &Counters{}
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Swarm{cfg: cfg, agenda: life.NewAgenda(cfg.Clock), bySerial: make(map[string]roster.Kiosk, len(cfg.Kiosks)), zones: map[string]*time.Location{}}
	for _, k := range cfg.Kiosks {
		s.bySerial[k.Serial] = k
		cfg.Counters.Site(k.Site).Kiosks.Add(1)
		if s.zones[k.Timezone] != nil {
			continue
		}
		// Loaded once for all: a time.Location weighs more than the rest of a kiosk's settings.
		zone, err := time.LoadLocation(k.Timezone)
		if err != nil {
			return nil, fmt.Errorf("timezone of %s: %w", k.Serial, err)
		}
		s.zones[k.Timezone] = zone
	}
	s.enroller = enroll.New(enroll.Config{
		Platform: cfg.Platform, Tokens: cfg.Tokens, Backoff: cfg.Backoff, Log: cfg.Log,
		Prepare: func(ctx context.Context, serial, ca string) error {
			return cfg.Registrar.Register(ctx, s.bySerial[serial], ca)
		},
	})
	return s, nil
}

// Run starts the kiosks at the ramp-up rate and runs them until ctx ends, then waits a moment for
// their goodbyes.
//
// Errors: every kiosk has ended by itself, the error is that of the first; another process runs some of
// the kiosks; the outbox cannot be opened.
func (s *Swarm) Run(ctx context.Context) error {
	claim, err := claimRange(ctx, s.cfg.DataDir, s.cfg.First, len(s.cfg.Kiosks))
	if err != nil {
		return err
	}
	defer claim.release()
	waiting, err := openOutbox(s.cfg.DataDir, s.cfg.First, s.cfg.Kiosks, s.cfg.Log)
	if err != nil {
		return err
	}
	return waiting.During(func() error {
		if err := claim.started(); err != nil {
			return err
		}
		counting, counted := context.WithCancel(ctx)
		var background sync.WaitGroup
		background.Go(func() { s.countWaiting(counting, waiting) })
		background.Go(func() { s.agenda.Run(counting) })
		err := launch(ctx, s.cfg.Kiosks, s.cfg.RampUp, s.cfg.Counters, s.cfg.Log, func(ctx context.Context, k roster.Kiosk) error {
			return s.kiosk(ctx, k, waiting)
		})
		counted()
		background.Wait()
		s.cfg.Counters.Waiting.Store(int64(waiting.Readings()))
		return err
	})
}

// countWaiting counts what is in the outbox, once a second until ctx ends.
func (s *Swarm) countWaiting(ctx context.Context, waiting *outbox.Log) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		s.cfg.Counters.Waiting.Store(int64(waiting.Readings()))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// kiosk runs one kiosk.
func (s *Swarm) kiosk(ctx context.Context, k roster.Kiosk, waiting *outbox.Log) error {
	dir := filepath.Join(s.cfg.DataDir, DataPart, k.Serial)
	identity, err := s.enroller.Identity(ctx, dir, k.Serial)
	if err != nil {
		return err
	}
	s.cfg.Counters.Enrolled.Add(1)
	var place device.Position
	if k.RealLocation != nil {
		place = *k.RealLocation
	}
	interval := time.Duration(k.Interval)
	if interval == 0 {
		interval = s.cfg.Interval
	}
	counters := &s.cfg.Counters.Site(k.Site).Agents
	limits := outbox.Limits{Dropped: func(n int) { counters.Dropped.Add(int64(n)) }}
	limits.MaxReadings, limits.MaxBytes = share(s.cfg.MaxReadings, s.cfg.MaxBytes, len(s.cfg.Kiosks))
	box, err := waiting.Box(k.Serial, limits)
	if err != nil {
		return err
	}
	sim := device.Simulation{Serial: k.Serial, Site: k.Site, Position: place, Timezone: s.zones[k.Timezone], Seed: s.cfg.Seed}
	if s.cfg.Fate != nil {
		sim.Faults, sim.Conditions = s.cfg.Fate(k)
	}
	return life.New(life.Config{
		Agent: agent.Config{
			Identity: identity,
			Store:    agent.StateFile(filepath.Join(dir, "state.json")),
			Model:    k.Model,
			Interval: interval,
			Outbox:   box,
			Backoff:  s.cfg.Backoff,
			Counters: counters,
			Hooks:    agent.Hooks{Acknowledged: s.cfg.Counters.acknowledged, Answered: s.cfg.Counters.Answers.Record},
			Log:      s.cfg.Log,
		},
		Device: sim, Clock: s.cfg.Clock, Agenda: s.agenda, Truth: s.observer(k.Site),
	}).Run(ctx)
}

// observer passes on what really happens at a site.
func (s *Swarm) observer(site string) func(truth.Event) {
	counters := s.cfg.Counters.Site(site)
	return func(e truth.Event) {
		counters.observe(e)
		if s.cfg.Truth != nil {
			s.cfg.Truth(e)
		}
	}
}

// launch starts one goroutine per kiosk at the ramp-up rate and waits for their end, for stopTime at
// most once ctx has ended.
func launch(ctx context.Context, kiosks []roster.Kiosk, rampUp float64, counters *Counters, log *slog.Logger, run func(context.Context, roster.Kiosk) error) error {
	var kiosksEnd sync.WaitGroup
	var mu sync.Mutex // guards first
	var first error
	began := time.Now()
	pace := time.NewTimer(0)
	defer pace.Stop()
ramp:
	for i, k := range kiosks {
		pace.Reset(time.Until(began.Add(time.Duration(float64(i) / rampUp * float64(time.Second)))))
		select {
		case <-ctx.Done():
			break ramp
		case <-pace.C:
		}
		counters.Started.Add(1)
		kiosksEnd.Go(func() {
			err := run(ctx, k)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("ended without an error")
			}
			counters.GaveUp.Add(1)
			log.Error("kiosk gave up", "serial", k.Serial, "error", err)
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		kiosksEnd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		limit := time.NewTimer(stopTime)
		defer limit.Stop()
		select {
		case <-ended:
		case <-limit.C:
			log.Warn("some kiosks did not say goodbye in time", "connected", counters.Totals().Connected)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	return fmt.Errorf("all %d kiosks gave up, the first: %w", len(kiosks), first)
}
