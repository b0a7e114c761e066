// Command spawner runs many simulated kiosks: in one process, or as one process each. They enrol and
// connect like any other kiosk.
package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
	_ "time/tzdata" // the kiosks' time zones, also where the system has none

	"github.com/mattn/go-isatty"

	"kioskfleet/internal/daemon"
	"kioskfleet/internal/gcpace"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/swarm"
)

func run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	who, err := cfg.cast()
	if err != nil {
		return err
	}
	if err := swarm.CheckOpenFiles(cfg.First, len(who.kiosks), cfg.Exec); err != nil {
		return err
	}
	platform, err := enroll.NewPlatform(cfg.Admin.URL)
	if err != nil {
		return err
	}
	progress := &swarm.Progress{First: cfg.First, Kiosks: len(who.kiosks), Counters: &swarm.Counters{}, Processes: cfg.Exec, Log: log}
	var output io.Writer = os.Stderr
	if isatty.IsTerminal(os.Stderr.Fd()) && os.Getenv("TERM") != "dumb" {
		progress.Screen = swarm.NewScreen(os.Stderr)
		output = progress.Screen
		if log, err = cfg.Log.Logger(output); err != nil {
			return err
		}
		progress.Log = log
	}
	// Ten kiosks may speak freely; of thousands, a few speak for all.
	kioskLog := slog.New(swarm.Quiet(log.Handler(), 20, 10*time.Second))
	tokens := enroll.Tokens{File: cfg.TokenFile, Text: cfg.Enrollment.Token, DataDir: cfg.DataDir}
	registrar := &swarm.Registrar{Platform: platform, Token: cfg.API.Token, DataDir: cfg.DataDir, Log: kioskLog}
	if cfg.Exec {
		r, err := cfg.processes(who.kiosks, tokens, registrar, output, progress.Counters, log)
		if err != nil {
			return err
		}
		return cfg.drive(ctx, r.Run, progress, log)
	}

	story, err := cfg.story(who, log)
	if err != nil {
		return err
	}
	if cfg.TimeScale > 1 {
		progress.Now = story.clock.Now
	}
	if story.run != nil {
		progress.Phase = story.phase
	}
	r, err := swarm.New(swarm.Config{
		Kiosks: who.kiosks, First: cfg.First, Platform: platform, Tokens: tokens, Registrar: registrar,
		DataDir: cfg.DataDir, MaxReadings: cfg.Outbox.MaxReadings, MaxBytes: int64(cfg.Outbox.MaxSize),
		RampUp: cfg.RampUp, Seed: story.seed, Fate: story.fate, Truth: story.tell, Clock: story.clock,
		Counters: progress.Counters, Log: kioskLog,
	})
	if err != nil {
		return errors.Join(err, story.close())
	}
	err = cfg.drive(ctx, func(ctx context.Context) (err error) {
		progress.Scenario, err = story.play(ctx, r.Run, cfg.watcher(platform, tokens, registrar), log)
		return err
	}, progress, log)
	return errors.Join(err, story.close())
}

// drive runs a swarm with what goes beside it, and sums up.
func (c *Config) drive(ctx context.Context, swarm func(context.Context) error, progress *swarm.Progress, log *slog.Logger) error {
	profiler, err := c.Debug.Listen(ctx)
	if err != nil {
		return err
	}
	starting := []any{"kiosks", progress.Kiosks, "first", progress.First, "admin", c.Admin.URL, "processes", c.Exec}
	beside, ended := context.WithCancel(ctx)
	defer ended()
	var background sync.WaitGroup
	if profiler != nil {
		starting = append(starting, "debug", profiler.URL())
		context.AfterFunc(beside, func() { _ = profiler.Close() })
		background.Go(func() {
			if err := profiler.Serve(); err != nil {
				log.Error("the profiler has ended", "error", err)
			}
		})
	}
	go gcpace.Run(beside, 0)
	log.Info("starting", starting...)
	background.Go(func() { progress.Run(beside) })
	err = swarm(ctx)
	ended()
	background.Wait()
	if err != nil && progress.Counters.Started.Load() == 0 {
		return err // there is nothing to sum up
	}
	summary := progress.Summary()
	progress.Tell(summary)
	if c.Summary != "" {
		err = errors.Join(err, summary.Write(c.Summary, os.Stdout))
	}
	return err
}

func (c *Config) processes(kiosks []roster.Kiosk, tokens enroll.Tokens, registrar *swarm.Registrar, output io.Writer, counters *swarm.Counters, log *slog.Logger) (*swarm.Processes, error) {
	binary := c.KioskBinary
	if binary == "" {
		var err error
		if binary, err = swarm.KioskBinary(); err != nil {
			return nil, err
		}
	}
	return swarm.NewProcesses(swarm.ProcessConfig{
		Kiosks: kiosks, First: c.First, Binary: binary, AdminURL: c.Admin.URL, Tokens: tokens, Registrar: registrar,
		DataDir: c.DataDir, MaxReadings: c.Outbox.MaxReadings, MaxBytes: int64(c.Outbox.MaxSize),
		RampUp: c.RampUp, LogLevel: c.Log.Level, LogFormat: c.Log.Format,
		Output: output, Counters: counters, Log: log,
	})
}

// program is the command line; tests use it too.
func program() daemon.Program[Config] {
	return daemon.Program[Config]{
		Name:     "spawner",
		Short:    "Run simulated kiosks",
		Long:     "Spawner runs simulated kiosks, which enrol, connect and obey like real ones.",
		Default:  Defaults,
		Log:      func(c *Config) daemon.Log { return c.Log },
		Run:      run,
		Commands: commands,
	}
}

func main() { program().Main() }
