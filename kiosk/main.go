// Command kiosk is the agent of one kiosk: it enrols if it has no certificate, connects to the
// platform's broker, reports what its device senses, and obeys commands. The device is simulated.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"time"
	_ "time/tzdata" // the time zone of a simulated kiosk, also where the system has none

	"kioskfleet/internal/config"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/outbox"
)

// Config is the kiosk's configuration.
type Config struct {
	Serial string `key:"serial" usage:"serial number of this kiosk (required)"`
	Admin  struct {
		URL string `key:"url" usage:"address of admin, where the kiosk enrols"`
	} `key:"admin"`
	TokenFile  string `key:"token_file" usage:"file with the enrolment token"`
	Enrollment struct {
		Token string `key:"token" usage:"the enrolment token itself; better given by the environment than by a flag"`
	} `key:"enrollment"`
	DataDir    string        `key:"data_dir" usage:"folder for key, certificate and state"`
	Interval   time.Duration `key:"interval" usage:"time between readings"`
	Model      string        `key:"model" usage:"model name that the kiosk announces"`
	Outbox     Outbox        `key:"outbox"`
	Simulation Simulation    `key:"simulation"`
	Log        daemon.Log    `key:"log"`
}

// Outbox is the part of the configuration that bounds what waits for the broker.
type Outbox struct {
	MaxReadings int          `key:"max_readings" usage:"readings kept while the broker is away; 0: 12 hours of them, at most 10000"`
	MaxSize     config.Bytes `key:"max_size" usage:"size of these readings"`
}

// Simulation is the part of the configuration that describes the simulated device.
type Simulation struct {
	Site     string  `key:"site" usage:"site of the simulated kiosk: kiosks of a site share climate and network"`
	Timezone string  `key:"timezone" usage:"IANA time zone of the simulated kiosk's customers"`
	Lat      float64 `key:"lat" usage:"latitude where the simulated kiosk stands, degrees"`
	Lng      float64 `key:"lng" usage:"longitude where the simulated kiosk stands, degrees"`
	Seed     int64   `key:"seed" usage:"seed of the simulated values; 0 derives it from the serial"`
	// The simulated kiosk's clock.
	StartAgo  time.Duration `key:"start_ago" usage:"how long ago the simulated kiosk's clock begins"`
	TimeScale float64       `key:"time_scale" usage:"how fast that clock runs until it has caught up with the present"`
}

const (
	// minInterval keeps a mistyped interval from flooding the platform.
	minInterval = 10 * time.Millisecond
	// minOutboxSize leaves room for a few readings.
	minOutboxSize = 64 << 10
	// maxStartAgo is what the platform takes by default: older readings are refused.
	maxStartAgo = 7 * 24 * time.Hour
)

// Defaults returns the configuration before file, environment and flags.
func Defaults() *Config {
	c := &Config{DataDir: "data", Interval: 5 * time.Second, Model: "Simulated kiosk", Log: daemon.DefaultLog()}
	c.Admin.URL = "http://127.0.0.1:8080"
	c.Outbox.MaxSize = outbox.DefaultMaxBytes
	c.Simulation = Simulation{Timezone: "UTC", TimeScale: 1}
	return c
}

// Validate names every key at fault.
func (c *Config) Validate() error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf(key+": "+format, args...))
	}
	if c.Serial == "" {
		fault("serial", "is required: give --serial or KIOSKFLEET_SERIAL")
	} else if err := protocol.CheckSerial(c.Serial); err != nil {
		fault("serial", "%v", err)
	}
	if c.Interval < minInterval {
		fault("interval", "%s is less than %s", c.Interval, minInterval)
	}
	if _, err := enroll.NewPlatform(c.Admin.URL); err != nil {
		faults = append(faults, err)
	}
	if _, err := time.LoadLocation(c.Simulation.Timezone); err != nil {
		fault("simulation.timezone", "%q is not an IANA time zone such as Europe/Madrid", c.Simulation.Timezone)
	}
	if !(c.Simulation.Lat >= -90 && c.Simulation.Lat <= 90) {
		fault("simulation.lat", "%v is not within -90 to 90", c.Simulation.Lat)
	}
	if !(c.Simulation.Lng >= -180 && c.Simulation.Lng <= 180) {
		fault("simulation.lng", "%v is not within -180 to 180", c.Simulation.Lng)
	}
	if c.Outbox.MaxReadings < 0 {
		fault("outbox.max_readings", "%d is negative", c.Outbox.MaxReadings)
	}
	if c.Outbox.MaxSize < minOutboxSize {
		fault("outbox.max_size", "%s is less than %s", c.Outbox.MaxSize, config.Bytes(minOutboxSize))
	}
	ago, scale := c.Simulation.StartAgo, c.Simulation.TimeScale
	switch {
	case ago < 0 || ago > maxStartAgo:
		fault("simulation.start_ago", "%s is not within 0s to %s", ago, maxStartAgo)
	case !(scale >= 1) || math.IsInf(scale, 1):
		fault("simulation.time_scale", "%v is not a number of at least 1", scale)
	case ago > 0 && scale == 1:
		fault("simulation.time_scale", "must be greater than 1, or the clock never catches up with simulation.start_ago of %s", ago)
	case ago == 0 && scale > 1:
		fault("simulation.start_ago", "must be given with a simulation.time_scale of %v: the clock has nothing to catch up with", scale)
	}
	return errors.Join(faults...)
}

func run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	platform, err := enroll.NewPlatform(cfg.Admin.URL)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(cfg.Simulation.Timezone)
	if err != nil {
		return fmt.Errorf("simulation.timezone: %w", err)
	}
	dir := filepath.Join(cfg.DataDir, "kiosk", cfg.Serial)
	identity, err := enroll.New(enroll.Config{
		Platform: platform,
		Tokens:   enroll.Tokens{File: cfg.TokenFile, Text: cfg.Enrollment.Token, DataDir: cfg.DataDir},
		Log:      log,
	}).Identity(ctx, dir, cfg.Serial)
	if err != nil {
		return err
	}
	waiting, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, "outbox"), Log: log})
	if err != nil {
		return err
	}
	return waiting.During(func() error {
		a, err := cfg.agent(identity, dir, zone, waiting, log)
		if err != nil {
			return err
		}
		return a.Run(ctx)
	})
}

// agent makes the agent, with its part of the outbox.
func (c *Config) agent(identity enroll.Identity, dir string, zone *time.Location, waiting *outbox.Log, log *slog.Logger) (*agent.Agent, error) {
	counters := &agent.Counters{}
	limits := outbox.Limits{
		MaxReadings: c.Outbox.MaxReadings, MaxBytes: int64(c.Outbox.MaxSize),
		Dropped: func(n int) { counters.Dropped.Add(int64(n)) },
	}
	if limits.MaxReadings == 0 {
		limits.MaxReadings = outbox.DefaultMaxReadings(c.Interval)
	}
	box, err := waiting.Box(c.Serial, limits)
	if err != nil {
		return nil, err
	}
	return agent.New(agent.Config{
		Identity: identity,
		Device: device.NewSimulated(device.Simulation{
			Serial:   c.Serial,
			Site:     c.Simulation.Site,
			Position: device.Position{Lat: c.Simulation.Lat, Lng: c.Simulation.Lng},
			Timezone: zone,
			Seed:     uint64(c.Simulation.Seed),
		}),
		Store:    agent.StateFile(filepath.Join(dir, "state.json")),
		Outbox:   box,
		Model:    c.Model,
		Interval: c.Interval,
		Clock:    c.Simulation.clock(box.Newest()),
		Counters: counters,
		Log:      log,
	})
}

// clock returns the simulated kiosk's clock. It does not go back behind the newest reading that the
// outbox knows of.
func (s *Simulation) clock(newest time.Time) agent.Clock {
	if s.StartAgo == 0 {
		return clock.Real{}
	}
	ago := min(s.StartAgo, max(0, time.Since(newest)))
	return clock.NewCatchUp(ago, s.TimeScale)
}

// program is the command line; tests use it too.
func program() daemon.Program[Config] {
	return daemon.Program[Config]{
		Name:    "kiosk",
		Short:   "Run the agent of one kiosk",
		Long:    "Kiosk enrols with the platform, reports what its device senses, and obeys commands.",
		Default: Defaults,
		Log:     func(c *Config) daemon.Log { return c.Log },
		Run:     run,
	}
}

func main() { program().Main() }
