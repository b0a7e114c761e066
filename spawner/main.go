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
	"os"
	"time"
	_ "time/tzdata" // the kiosks' time zones, also where the system has none

	"github.com/mattn/go-isatty"

	"kioskfleet/internal/config"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/gcpace"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/swarm"
)

// Config is the spawner's configuration.
type Config struct {
	Count        int     `key:"count" short:"n" usage:"how many kiosks"`
	SerialPrefix string  `key:"serial_prefix" usage:"serials are this and a number"`
	KiosksFile   string  `key:"kiosks_file" usage:"settings of each kiosk, JSON; empty: configs/kiosks.json if it exists, else built-in ones"`
	RampUp       float64 `key:"ramp_up" usage:"kiosks started per second"`
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
	c := &Config{Count: 10, SerialPrefix: "SIM-KIOSK-", RampUp: 50, DataDir: "data", Log: daemon.DefaultLog()}
	c.Admin.URL = "http://127.0.0.1:8080"
	c.Outbox.MaxReadings, c.Outbox.MaxSize = swarm.DefaultMaxReadings, swarm.DefaultMaxBytes
	return c
}

// Validate names every key at fault.
func (c *Config) Validate() error {
	var faults []error
	if c.Count < 1 || c.Count > maxCount {
		faults = append(faults, fmt.Errorf("count: %d is not within 1 to %d", c.Count, maxCount))
	} else if err := protocol.CheckSerial(fmt.Sprintf("%s%03d", c.SerialPrefix, c.Count)); err != nil {
		faults = append(faults, fmt.Errorf("serial_prefix: %w", err))
	}
	if !(c.RampUp > 0) {
		faults = append(faults, fmt.Errorf("ramp_up: %v is not a positive number of kiosks per second", c.RampUp))
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
	kiosks := roster.Plan(known, c.SerialPrefix, c.Count)
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
	kiosks, err := cfg.kiosks()
	if err != nil {
		return err
	}
	platform, err := enroll.NewPlatform(cfg.Admin.URL)
	if err != nil {
		return err
	}
	progress := &swarm.Progress{Total: len(kiosks), Counters: &swarm.Counters{}, Processes: cfg.Exec, Log: log}
	var output io.Writer = os.Stderr
	if isatty.IsTerminal(os.Stderr.Fd()) {
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
			Kiosks: kiosks, Platform: platform, Tokens: tokens, Registrar: registrar,
			DataDir: cfg.DataDir, MaxReadings: cfg.Outbox.MaxReadings, MaxBytes: int64(cfg.Outbox.MaxSize),
			RampUp: cfg.RampUp, Counters: progress.Counters, Log: kioskLog,
		})
	}
	if err != nil {
		return err
	}
	go gcpace.Run(ctx)
	log.Info("starting", "kiosks", len(kiosks), "admin", cfg.Admin.URL, "processes", cfg.Exec)
	began := time.Now()
	telling, told := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		progress.Run(telling)
	}()
	err = r.Run(ctx)
	told()
	<-done
	progress.Summary(time.Since(began))
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
		Kiosks: kiosks, Binary: binary, AdminURL: c.Admin.URL, Tokens: tokens, Registrar: registrar,
		DataDir: c.DataDir, MaxReadings: c.Outbox.MaxReadings, MaxBytes: int64(c.Outbox.MaxSize),
		RampUp: c.RampUp, LogLevel: c.Log.Level, LogFormat: c.Log.Format,
		Output: output, Counters: counters, Log: log,
	})
}

// program is the command line; tests use it too.
func program() daemon.Program[Config] {
	return daemon.Program[Config]{
		Name:    "spawner",
		Short:   "Run simulated kiosks",
		Long:    "Spawner runs simulated kiosks, which enrol, connect and obey like real ones.",
		Default: Defaults,
		Log:     func(c *Config) daemon.Log { return c.Log },
		Run:     run,
	}
}

func main() { program().Main() }
