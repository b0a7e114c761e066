package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/scenario"
	"kioskfleet/spawner/swarm"
)

// story is what befalls the kiosks of a swarm, its time, and its record.
type story struct {
	clock  clock.Clock
	seed   uint64
	fate   func(roster.Kiosk) (*fault.Plan, []device.Condition)
	record *truth.Log    // nil: none is kept
	run    *scenario.Run // nil: no scenario
	// follows says that another process has the scenario's first kiosk, and with it the commands and the
	// expectations: a command must come once.
	follows bool
}

// story begins now.
func (c *Config) story(who *cast, log *slog.Logger) (*story, error) {
	s := &story{clock: clock.Real{}, seed: c.Seed, follows: c.First > 1}
	switch {
	case c.TimeScale > 1 && who.scenario != nil:
		s.clock = clock.NewSpan(who.scenario.Length(), c.TimeScale)
	case c.TimeScale > 1:
		s.clock = clock.NewCatchUp(c.StartAgo, c.TimeScale)
	}
	if who.scenario != nil {
		s.run = who.scenario.At(s.clock.Now(), who.all)
		s.seed, s.fate = s.run.Seed(), s.run.Fate
	} else {
		rates, err := fault.Profile(c.Faults)
		if err != nil {
			return nil, err
		}
		s.fate = func(k roster.Kiosk) (*fault.Plan, []device.Condition) {
			return fault.NewPlan(c.Seed, k.Serial, k.Site, nil, rates), nil
		}
	}
	file := c.Truth.File
	if file == noTruth {
		return s, nil
	}
	if file == "" {
		file = filepath.Join(c.DataDir, swarm.DataPart, swarm.PartName("truth", c.First)+".jsonl")
	}
	var err error
	s.record, err = truth.Open(truth.LogConfig{Path: file, MaxBytes: int64(c.Truth.MaxSize), Log: log})
	return s, err
}

// tell writes into the record.
func (s *story) tell(e truth.Event) {
	if s.record != nil {
		s.record.Write(e)
	}
}

func (s *story) close() error {
	if s.record == nil {
		return nil
	}
	return s.record.Close()
}

// phase names the scenario's phase that is on.
func (s *story) phase() string {
	now := s.clock.Now()
	name := ""
	for _, p := range s.run.Phases() {
		if !p.From.After(now) {
			name = p.Name
		}
	}
	return name
}

// play runs a swarm through the scenario, if there is one, and ends it with that.
func (s *story) play(ctx context.Context, swarm func(context.Context) error, platform scenario.Platform, log *slog.Logger) (*scenario.Report, error) {
	if s.run == nil {
		return nil, swarm(ctx)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	checked := make(chan *scenario.Report, 1)
	go func() {
		defer end()
		var report *scenario.Report
		if !s.follows {
			checker := &scenario.Checker{Scenario: s.run, Platform: platform, Clock: s.clock, Log: log}
			r := checker.Check(ctx)
			report = &r
		}
		checked <- report
		for wait := s.clock.Until(s.run.End()); wait > 0; wait = s.clock.Until(s.run.End()) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	}()
	err := swarm(ctx)
	end()
	report := <-checked
	if err == nil && report != nil {
		err = report.Err()
	}
	return report, err
}

// watcher is the platform as a scenario's operators use it.
func (c *Config) watcher(platform *enroll.Platform, tokens enroll.Tokens, registrar *swarm.Registrar) scenario.Platform {
	return &scenario.API{Platform: platform, Access: func() (ca, token string) {
		t, err := tokens.Find()
		if err != nil && !errors.Is(err, enroll.ErrNoToken) {
			return "", ""
		}
		return t.CA, registrar.APIToken()
	}}
}
