// Command kiosk is the agent of one kiosk: it enrols if it has no certificate, connects to the
// platform's broker, reports what its device senses, and obeys commands. The device is simulated.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"
	_ "time/tzdata" // the time zone of a simulated kiosk, also where the system has none

	"kioskfleet/internal/daemon"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
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
	Simulation Simulation    `key:"simulation"`
	Log        daemon.Log    `key:"log"`
}

// Simulation is the part of the configuration that describes the simulated device.
type Simulation struct {
	Site     string  `key:"site" usage:"site of the simulated kiosk: kiosks of a site share climate and network"`
	Timezone string  `key:"timezone" usage:"IANA time zone of the simulated kiosk's customers"`
	Lat      float64 `key:"lat" usage:"latitude where the simulated kiosk stands, degrees"`
	Lng      float64 `key:"lng" usage:"longitude where the simulated kiosk stands, degrees"`
	Seed     int64   `key:"seed" usage:"seed of the simulated values; 0 derives it from the serial"`
}

// minInterval keeps a mistyped interval from flooding the platform.
const minInterval = 10 * time.Millisecond

// Defaults returns the configuration before file, environment and flags.
func Defaults() *Config {
	c := &Config{DataDir: "data", Interval: 5 * time.Second, Model: "Simulated kiosk", Log: daemon.DefaultLog()}
	c.Admin.URL = "http://127.0.0.1:8080"
	c.Simulation = Simulation{Timezone: "UTC"}
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
	a, err := agent.New(agent.Config{
		Identity: identity,
		Device: device.NewSimulated(device.Simulation{
			Serial:   cfg.Serial,
			Site:     cfg.Simulation.Site,
			Position: device.Position{Lat: cfg.Simulation.Lat, Lng: cfg.Simulation.Lng},
			Timezone: zone,
			Seed:     uint64(cfg.Simulation.Seed),
		}),
		Store:    agent.StateFile(filepath.Join(dir, "state.json")),
		Model:    cfg.Model,
		Interval: cfg.Interval,
		Log:      log,
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
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
