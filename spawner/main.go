// Command spawner runs many simulated kiosks: in one process, or as one process each. They enrol and
// connect like any other kiosk.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // the kiosks' time zones, also where the system has none

	"github.com/mattn/go-isatty"

	"kioskfleet/internal/config"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/swarm"
)

// Config is the spawner's configuration.
type Config struct {
	Count        int     `key:"count" short:"n" usage:"how many kiosks"`
	First        int     `key:"first" usage:"number of the first kiosk; processes with other numbers may share the data folder"`
	SerialPrefix string  `key:"serial_prefix" usage:"serials are this and a number"`
	KiosksFile   string  `key:"kiosks_file" usage:"settings of each kiosk, JSON; empty: configs/kiosks.json if it exists, else built-in ones"`
	RampUp       float64 `key:"ramp_up" usage:"kiosks started per second; 0: 50, and more of many, so that all are started within two minutes"`
	Exec         bool    `key:"exec" usage:"run each kiosk as a process of its own"`
	KioskBinary  string  `key:"kiosk_binary" usage:"the kiosk program for --exec; empty: the one beside this program"`
	Admin        struct {
		URL string `key:"url" usage:"address of admin, where the kiosks enrol"`
	} `key:"admin"`
	TokenFile  string `key:"token_file" usage:"file with the enrolment token"`
	Enrollment struct {
		Token string `key:"token" usage:"the enrolment token itself; better given by the environment than by a flag"`
	} `key:"enrollment"`
	API struct {
		Token string `key:"token" usage:"API token with which to register the kiosks first; better given by the environment than by a flag"`
	} `key:"api"`
	DataDir string `key:"data_dir" usage:"folder for keys, certificates, states and what waits for the broker"`
	Outbox  struct {
		MaxReadings int          `key:"max_readings" usage:"readings kept while the broker is away, of all kiosks together"`
		MaxSize     config.Bytes `key:"max_size" usage:"size of these readings"`
	} `key:"outbox"`
	Interval time.Duration `key:"interval" usage:"time between readings, for all kiosks; 0: as in their settings, else 5s"`
	Summary  string        `key:"summary" usage:"file for the summary as JSON at the end, - is the standard output"`
	Debug    daemon.Debug  `key:"debug"`
	Log      daemon.Log    `key:"log"`
}

const (
	defaultKiosksFile = "configs/kiosks.json"
	maxCount          = 100_000
	minInterval       = 10 * time.Millisecond
	minOutboxSize     = 64 << 10
)

// Defaults returns the configuration before file, environment and flags.
func Defaults() *Config {
	c := &Config{Count: 10, First: 1, SerialPrefix: "SIM-KIOSK-", DataDir: "data", Log: daemon.DefaultLog()}
	c.Admin.URL = "http://127.0.0.1:8080"
	c.Outbox.MaxReadings, c.Outbox.MaxSize = swarm.DefaultMaxReadings, swarm.DefaultMaxBytes
	return c
}

// Validate names every key at fault.
func (c *Config) Validate() error {
	var faults []error
	switch {
	case c.First < 1 || c.First > maxCount:
		faults = append(faults, fmt.Errorf("first: %d is not within 1 to %d", c.First, maxCount))
	case c.Count < 1 || c.Count > maxCount-c.First+1:
		faults = append(faults, fmt.Errorf("count: %d is not within 1 to %d; kiosks have the numbers 1 to %d, the first is %d", c.Count, maxCount-c.First+1, maxCount, c.First))
	default:
		if err := protocol.CheckSerial(fmt.Sprintf("%s%03d", c.SerialPrefix, c.First+c.Count-1)); err != nil {
			faults = append(faults, fmt.Errorf("serial_prefix: %w", err))
		}
	}
	if !(c.RampUp >= 0) || math.IsInf(c.RampUp, 1) {
		faults = append(faults, fmt.Errorf("ramp_up: %v is not a number of kiosks per second", c.RampUp))
	}
	if c.Summary != "" && c.Summary != "-" {
		if err := folderOf(c.Summary); err != nil {
			faults = append(faults, fmt.Errorf("summary: %w", err))
		}
	}
	if err := c.Debug.Validate(); err != nil {
		faults = append(faults, err)
	}
	if c.Interval != 0 && c.Interval < minInterval {
		faults = append(faults, fmt.Errorf("interval: %s is less than %s", c.Interval, minInterval))
	}
	if c.Outbox.MaxReadings < 1 {
		faults = append(faults, fmt.Errorf("outbox.max_readings: %d is less than 1", c.Outbox.MaxReadings))
	}
	if c.Outbox.MaxSize < minOutboxSize {
		faults = append(faults, fmt.Errorf("outbox.max_size: %s is less than %s", c.Outbox.MaxSize, config.Bytes(minOutboxSize)))
	}
	if _, err := enroll.NewPlatform(c.Admin.URL); err != nil {
		faults = append(faults, err)
	}
	if len(faults) == 0 {
		if _, err := c.kiosks(); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// folderOf returns an error unless a file of that name can be in a folder: to learn that at the end would be
// late.
func folderOf(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder, want a file", path)
	}
	info, err := os.Stat(filepath.Dir(path))
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", filepath.Dir(path))
	}
	return err
}

// kiosks returns the settings of all kiosks.
func (c *Config) kiosks() ([]roster.Kiosk, error) {
	path := c.KiosksFile
	if path == "" {
		path = defaultKiosksFile
	}
	known, err := roster.LoadFile(path)
	if err != nil && (c.KiosksFile != "" || !errors.Is(err, fs.ErrNotExist)) {
		return nil, fmt.Errorf("kiosks_file: %w", err)
	}
	kiosks := slices.Clone(roster.Plan(known, c.SerialPrefix, c.First+c.Count-1)[c.First-1:])
	if c.Interval != 0 {
		for i := range kiosks {
			kiosks[i].Interval = roster.Duration(c.Interval)
		}
	}
	return kiosks, nil
}

// runner is either kind of swarm.
type runner interface {
	Run(ctx context.Context) error
}

func run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	if err := swarm.CheckOpenFiles(cfg.First, cfg.Count, cfg.Exec); err != nil {
		return err
	}
	kiosks, err := cfg.kiosks()
	if err != nil {
		return err
	}
	platform, err := enroll.NewPlatform(cfg.Admin.URL)
	if err != nil {
		return err
	}
	progress := &swarm.Progress{First: cfg.First, Kiosks: len(kiosks), Counters: &swarm.Counters{}, Processes: cfg.Exec, Log: log}
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

	var r runner
	if cfg.Exec {
		r, err = cfg.processes(kiosks, tokens, registrar, output, progress.Counters, log)
	} else {
		r, err = swarm.New(swarm.Config{
			Kiosks: kiosks, First: cfg.First, Platform: platform, Tokens: tokens, Registrar: registrar,
			DataDir: cfg.DataDir, MaxReadings: cfg.Outbox.MaxReadings, MaxBytes: int64(cfg.Outbox.MaxSize),
			RampUp: cfg.RampUp, Counters: progress.Counters, Log: kioskLog,
		})
	}
	if err != nil {
		return err
	}
	return cfg.drive(ctx, r, progress, log)
}

// drive runs a swarm with what goes beside it, and sums up.
func (c *Config) drive(ctx context.Context, r runner, progress *swarm.Progress, log *slog.Logger) error {
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
	log.Info("starting", starting...)
	background.Go(func() { progress.Run(beside) })
	err = r.Run(ctx)
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

func (c *Config) processes(kiosks []roster.Kiosk, tokens enroll.Tokens, registrar *swarm.Registrar, output io.Writer, counters *swarm.Counters, log *slog.Logger) (runner, error) {
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
