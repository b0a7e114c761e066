// Package rollup keeps five-minute summaries of everything that a telemetry.Store takes, for years, so that
// questions for long times and many kiosks need not read every point. It is a telemetry.Store around
// another one: what it takes it passes on, and it answers from the summaries where they say the same.
//
// The summaries are made by reading back from the inner store, never from what passes by. So it does not
// matter what was appended twice or when the process ended; see docs/adr/0011-rollups.md.
package rollup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

// Repository keeps rollups; admin/store is one.
type Repository interface {
	RollupProgress(ctx context.Context) (fleet.RollupProgress, error)
	SaveRollupProgress(ctx context.Context, p fleet.RollupProgress) error
	LeaseRollups(ctx context.Context, owner string, now, until time.Time) (taken bool, err error)
	// SaveRollups writes rollups and removes the marks, unless they were set again since, all at once.
	SaveRollups(ctx context.Context, rollups []fleet.Rollup, settled []fleet.RollupMark) error
	// Rollups passes those of some kiosks (nil: of all) to found, day by day.
	Rollups(ctx context.Context, metric string, serials []string, first, last int64, found func(serial string, day int64, data []byte) error) error
	MarkRollups(ctx context.Context, marks []fleet.RollupMark) error
	// RollupMarks returns the marks, the newest day first.
	RollupMarks(ctx context.Context) ([]fleet.RollupMark, error)
	// DeleteRollups removes some of those before the day; 0 says that none is left.
	DeleteRollups(ctx context.Context, before int64) (int, error)
}

// Defaults of a Config.
const (
	DefaultRetention = 3 * 365 * 24 * time.Hour
	DefaultEvery     = 30 * time.Minute
	DefaultLag       = 2 * time.Minute
)

// Config says what a store rolls up, and when.
type Config struct {
	Inner      telemetry.Store
	Repository Repository
	Owner      string // names this process among those that may work on the rollups
	Now        func() time.Time
	Log        *slog.Logger

	// History is how far back the inner store may have points when there are no rollups yet.
	History time.Duration
	// Retention is how long rollups are kept; 0 means DefaultRetention.
	Retention time.Duration
	// Every is how much is rolled up at once: each time every rollup of the day is written again. What is
	// not rolled up yet is read from the points. 0 means DefaultEvery.
	Every time.Duration
	// Lag is how long points are waited for. Those that come later still count, for more work. 0 means
	// DefaultLag.
	Lag time.Duration
}

// Store is a telemetry.Store with rollups.
type Store struct {
	inner telemetry.Store
	repo  Repository
	cfg   Config

	// working is held by Work, so that one at a time works.
	working sync.Mutex

	// mu guards the fields below.
	mu sync.Mutex
	// Everything in [from, until) is rolled up; all Unix milliseconds.
	from, until int64
	// bound is until, or up to where Work is reading now: a point before it that is appended now may be
	// missing in the rollups.
	bound int64
	// late are the days of kiosks for which that happened. They are answered from the points.
	late map[kioskDay]*lateness
}

type kioskDay struct {
	serial string
	day    int64
}

// lateness of a day of a kiosk.
type lateness struct {
	marked  int64 // counts the appends that made it late
	unsaved bool  // the repository is to be told
	saved   bool  // the repository knows, and nobody has begun to make the day again since
}

var _ telemetry.Store = (*Store)(nil)

// Open reads how far the rollups are. Whoever opens a store drives it with Run.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Retention == 0 {
		cfg.Retention = DefaultRetention
	}
	if cfg.Every == 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Lag == 0 {
		cfg.Lag = DefaultLag
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{inner: cfg.Inner, repo: cfg.Repository, cfg: cfg, late: map[kioskDay]*lateness{}}
	p, err := s.repo.RollupProgress(ctx)
	if err != nil {
		return nil, fmt.Errorf("open rollups: %w", err)
	}
	if p.Until.IsZero() {
		first := dayStart(dayOf(cfg.Now().Add(-cfg.History).UnixMilli()))
		p = fleet.RollupProgress{From: time.UnixMilli(first), Until: time.UnixMilli(first), Target: time.UnixMilli(first)}
	}
	s.from, s.until = p.From.UnixMilli(), p.Until.UnixMilli()
	// A process that ended while it rolled up may have written some of it.
	s.bound = max(s.until, p.Target.UnixMilli())
	marks, err := s.repo.RollupMarks(ctx)
	if err != nil {
		return nil, fmt.Errorf("open rollups: %w", err)
	}
	for _, m := range marks {
		if m.Late {
			s.late[kioskDay{m.Serial, m.Day}] = &lateness{marked: 1, saved: true}
		}
	}
	return s, nil
}

// dayOf returns the number of the day in UTC.
func dayOf(ms int64) int64 { return telemetry.WindowStart(ms, dayMilli) / dayMilli }

func dayStart(day int64) int64 { return day * dayMilli }

// Append passes the readings on, and notes which of them are too late for their rollup.
func (s *Store) Append(ctx context.Context, readings []fleet.Reading) error {
	err := s.inner.Append(ctx, readings)
	// Afterwards: if the bound is not yet beyond a reading now, whoever moves it will read that one. And
	// whatever the error, some may be stored.
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range readings {
		r := &readings[i]
		if ms := r.Time.UnixMilli(); ms < s.bound && ms >= s.from && len(r.Values) > 0 {
			key := kioskDay{r.Serial, dayOf(ms)}
			l := s.late[key]
			if l == nil {
				l = &lateness{}
				s.late[key] = l
			}
			l.marked++
			l.unsaved = !l.saved
		}
	}
	return err
}

// Sync brings what was appended to disk and with it, which days have to be made again.
func (s *Store) Sync(ctx context.Context) error {
	if err := s.inner.Sync(ctx); err != nil {
		return err
	}
	if err := s.saveMarks(ctx); err != nil {
		return fmt.Errorf("sync rollups: %w", err)
	}
	return nil
}

// saveMarks tells the repository which days have become late.
func (s *Store) saveMarks(ctx context.Context) error {
	var marks []fleet.RollupMark
	s.mu.Lock()
	for key, l := range s.late {
		if l.unsaved {
			l.unsaved, l.saved = false, true
			marks = append(marks, fleet.RollupMark{Serial: key.serial, Day: key.day, Late: true})
		}
	}
	s.mu.Unlock()
	if err := s.repo.MarkRollups(ctx, marks); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range marks {
			if l := s.late[kioskDay{m.Serial, m.Day}]; l != nil {
				l.unsaved, l.saved = true, false
			}
		}
		return err
	}
	return nil
}

// Summaries passes the question on to the inner store.
func (s *Store) Summaries(ctx context.Context, sel telemetry.Selection, grid telemetry.Grid, fields telemetry.Fields, add func(telemetry.KioskWindows) error) error {
	return s.inner.Summaries(ctx, sel, grid, fields, add)
}

// Metrics passes the question on to the inner store.
func (s *Store) Metrics(ctx context.Context) ([]string, error) { return s.inner.Metrics(ctx) }

// Close closes the inner store. Run must have ended.
func (s *Store) Close() error { return s.inner.Close() }

// Until returns up to when everything is rolled up.
func (s *Store) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.UnixMilli(s.until).UTC()
}

// Times of Run.
const (
	workEvery = time.Minute
	leaseFor  = 3 * time.Minute
)

// Run rolls up what is due, again and again until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	defer func() {
		now := s.cfg.Now()
		if _, err := s.repo.LeaseRollups(context.WithoutCancel(ctx), s.cfg.Owner, now, now); err != nil {
			s.cfg.Log.Warn("the lease of the rollups was not given back", "error", err)
		}
	}()
	ticker := time.NewTicker(workEvery)
	defer ticker.Stop()
	for {
		err := s.Work(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, telemetry.ErrNotReady), errors.Is(err, ErrBusy):
			s.cfg.Log.Debug("rollups have to wait", "error", err)
		case err != nil:
			s.cfg.Log.Warn("rollups are behind", "error", err, "retry_in", workEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// ErrBusy is the answer of Work while another process works on the rollups.
var ErrBusy = errors.New("another process works on the rollups")
