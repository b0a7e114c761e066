package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/swarm"
)

// LoadConfig says which history to load where. Dir, Platform and Registrar are required.
type LoadConfig struct {
	Dir       string
	Platform  *enroll.Platform
	Tokens    enroll.Tokens
	Registrar *swarm.Registrar
	DataDir   string  // identities are in <DataDir>/spawner/<serial>, as a swarm's
	Rate      float64 // readings a second, of all kiosks together; 0: as fast as they are acknowledged
	Shift     Shift
	// Window is how late a reading may come: admin's telemetry.window; default 7 days.
	Window time.Duration
	Force  bool // load also what the platform would refuse
	// Patience is how long a kiosk goes on without one acknowledgement; default 2 min.
	Patience time.Duration
	Backoff  mqttclient.Backoff
	Counters *LoadCounters
	Log      *slog.Logger
}

// LoadCounters count readings.
type LoadCounters struct {
	Total        atomic.Int64 // of the history
	Before       atomic.Int64 // acknowledged in earlier runs
	Sent         atomic.Int64 // as often as they were sent
	Acknowledged atomic.Int64
	Resent       atomic.Int64 // sent again, because the first attempt was not acknowledged
}

const (
	defaultWindow   = 7 * day
	defaultPatience = 2 * time.Minute
	// connections is how many kiosks are loaded at a time. The platform works on one message of each: more
	// would not make it faster.
	connections = 32
	// saveEvery is how often what was acknowledged is noted; after a crash so much is sent twice.
	saveEvery = time.Second
	// retry is the pause after a message that was not acknowledged although the connection stands.
	retry = time.Second
)

func (c LoadConfig) withDefaults() LoadConfig {
	if c.Window <= 0 {
		c.Window = defaultWindow
	}
	if c.Patience <= 0 {
		c.Patience = defaultPatience
	}
	if c.Counters == nil {
		c.Counters = &LoadCounters{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Load loads a history into a platform: each kiosk registers, enrols and connects like any other, and
// publishes its readings in order, each message when the one before is acknowledged. What was acknowledged
// in an earlier run is not sent again.
//
// Errors: the history is not whole; the platform would refuse its times; not every reading was acknowledged.
func Load(ctx context.Context, cfg LoadConfig) error {
	cfg = cfg.withDefaults()
	m, err := Open(cfg.Dir)
	if err != nil {
		return err
	}
	if m.Arguments.Format != JSONLines {
		return fmt.Errorf("%s is in %s, which is for analysis: write the history with --format %s to load it", cfg.Dir, m.Arguments.Format, JSONLines)
	}
	token, err := cfg.Tokens.Find()
	if err != nil {
		return err
	}
	done, found, err := openLoaded(cfg.Dir, token.CA, m)
	if err != nil {
		return err
	}
	now := time.Now()
	shift := cfg.Shift.of(m.Last, now)
	switch {
	case !found:
		done.note.Shift = roster.Duration(shift)
	case cfg.Shift.Auto:
		shift = done.shift() // of the day on which the load began
	case shift != done.shift():
		return fmt.Errorf("--shift: the history was loaded in part with %s: give --shift %s, or delete %s to load it from its beginning", done.shift(), done.shift(), done.path)
	}
	if !cfg.Force {
		if err := checkTimes(m, done, shift, now, cfg.Window); err != nil {
			return err
		}
	}
	bySerial := make(map[string]roster.Kiosk, len(m.Kiosks))
	for _, k := range m.Kiosks {
		bySerial[k.Kiosk.Serial] = k.Kiosk
	}
	l := &loader{cfg: cfg, shift: shift, loaded: done, pace: pace{perSecond: cfg.Rate}, enroller: enroll.New(enroll.Config{
		Platform: cfg.Platform, Tokens: cfg.Tokens, Backoff: cfg.Backoff, Log: cfg.Log,
		Prepare: func(ctx context.Context, serial, ca string) error {
			return cfg.Registrar.Register(ctx, bySerial[serial], ca)
		},
	})}
	return l.run(ctx, m)
}

// loader is a load under way.
type loader struct {
	cfg      LoadConfig
	shift    time.Duration
	loaded   *loaded
	enroller *enroll.Enroller
	pace     pace
}

func (l *loader) run(ctx context.Context, m *Manifest) error {
	var waiting []*KioskFile
	for i := range m.Kiosks {
		k := &m.Kiosks[i]
		before := min(l.loaded.acknowledged(k.Kiosk.Serial), k.Readings)
		l.cfg.Counters.Total.Add(k.Readings)
		l.cfg.Counters.Before.Add(before)
		if before < k.Readings {
			waiting = append(waiting, k)
		}
	}
	saving, stop := context.WithCancel(context.WithoutCancel(ctx))
	saved := make(chan error, 1)
	go func() { saved <- l.save(saving) }()

	var next atomic.Int64
	var mu sync.Mutex // guards failed and first
	failed, first := 0, error(nil)
	var workers sync.WaitGroup
	for range min(connections, len(waiting)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(waiting) {
					return
				}
				k := waiting[i]
				err := l.kiosk(ctx, k)
				if err == nil || ctx.Err() != nil {
					continue
				}
				l.cfg.Log.Error("kiosk gave up", "serial", k.Kiosk.Serial, "error", err)
				mu.Lock()
				if failed++; first == nil {
					first = fmt.Errorf("%s: %w", k.Kiosk.Serial, err)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	stop()
	err := <-saved
	c := l.cfg.Counters
	if left := c.Total.Load() - c.Before.Load() - c.Acknowledged.Load(); left > 0 {
		// Not wrapped: an end that was asked for would count as a good one.
		if first == nil {
			return fmt.Errorf("interrupted: %d of %d readings are not acknowledged; run it again to go on", left, c.Total.Load())
		}
		return fmt.Errorf("%d of %d readings are not acknowledged, because %d kiosks gave up (the first: %w); run it again to go on", left, c.Total.Load(), failed, first)
	}
	return err
}

// save notes what was acknowledged now and then, and when ctx has ended.
func (l *loader) save(ctx context.Context) error {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.loaded.save()
		case <-ticker.C:
			if err := l.loaded.save(); err != nil {
				// It goes on: a reading that is sent twice does no harm.
				l.cfg.Log.Warn("cannot note what was loaded", "error", err)
			}
		}
	}
}

// kiosk loads one kiosk.
func (l *loader) kiosk(ctx context.Context, k *KioskFile) error {
	serial := k.Kiosk.Serial
	enrolling, done := context.WithTimeoutCause(ctx, l.cfg.Patience, fmt.Errorf("it could not enrol within %s", l.cfg.Patience))
	defer done()
	identity, err := l.enroller.Identity(enrolling, filepath.Join(l.cfg.DataDir, "spawner", serial), serial)
	if enrolling.Err() != nil {
		return context.Cause(enrolling)
	}
	if err != nil {
		return err
	}
	in, err := openLines(l.cfg.Dir, k, l.loaded.acknowledged(serial), l.shift)
	if err != nil {
		return err
	}
	u := &upload{loader: l, serial: serial, lines: in, alive: make(chan struct{}, 1), done: make(chan error, 1)}
	return errors.Join(u.run(ctx, identity), in.close())
}
