package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kioskfleet/internal/config"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/scenario"
	"kioskfleet/spawner/swarm"
)

// Config is the spawner's configuration.
type Config struct {
	Count        int     `key:"count" short:"n" usage:"how many kiosks; 0: 10, or all that the scenario has"`
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
	Seed     uint64 `key:"seed" usage:"of everything that comes by chance; another seed is another fleet's life; 0: that of the scenario, if there is one"`
	Scenario string `key:"scenario" usage:"file that says what befalls the kiosks and when; the spawner ends with it"`
	Faults   string `key:"faults" usage:"faults that come by chance without a scenario: none (but wear), ordinary or chaotic"`
	Truth    Truth  `key:"truth"`
	// The kiosks' clock.
	TimeScale float64       `key:"time_scale" usage:"how fast the kiosks' clock runs; it begins in the past and ends with the present"`
	StartAgo  time.Duration `key:"start_ago" usage:"how long ago the kiosks' clock begins, without a scenario"`
	Interval  time.Duration `key:"interval" usage:"time between readings, for all kiosks; 0: as in their settings, else 5s"`
	Summary   string        `key:"summary" usage:"file for the summary as JSON at the end, - is the standard output"`
	Debug     daemon.Debug  `key:"debug"`
	Log       daemon.Log    `key:"log"`
}

// Truth is the part of the configuration that says where to record what really happens.
type Truth struct {
	File    string       `key:"file" usage:"file for what really happens, JSON lines; none: no file; empty: truth.jsonl in the swarm's folder"`
	MaxSize config.Bytes `key:"max_size" usage:"size at which that file becomes the old one, of which one is kept"`
}

const (
	defaultCount = 10
	noTruth      = "none"
	minTruthSize = 64 << 10
	// maxAgo is what the platform takes by default: older readings are refused.
	maxAgo            = 7 * 24 * time.Hour
	defaultKiosksFile = "configs/kiosks.json"
	maxCount          = 100_000
	minInterval       = 10 * time.Millisecond
	minOutboxSize     = 64 << 10
)

// Defaults returns the configuration before file, environment and flags.
func Defaults() *Config {
	c := &Config{First: 1, SerialPrefix: "SIM-KIOSK-", DataDir: "data", Faults: fault.ProfileOrdinary, TimeScale: 1, Log: daemon.DefaultLog()}
	c.Truth.MaxSize = truth.DefaultMaxBytes
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
	case c.Count < 0 || c.number() > maxCount-c.First+1:
		faults = append(faults, fmt.Errorf("count: %d is not within 1 to %d; kiosks have the numbers 1 to %d, the first is %d", c.Count, maxCount-c.First+1, maxCount, c.First))
	default:
		if err := protocol.CheckSerial(fmt.Sprintf("%s%03d", c.SerialPrefix, c.First+c.number()-1)); err != nil {
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
	faults = append(faults, c.validateLife()...)
	if len(faults) == 0 {
		if _, err := c.cast(); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// validateLife is the part of Validate that concerns what befalls the kiosks.
func (c *Config) validateLife() (faults []error) {
	wrong := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf(key+": "+format, args...))
	}
	if _, err := fault.Profile(c.Faults); err != nil {
		wrong("faults", "%w", err)
	}
	if c.Truth.File != "" && c.Truth.File != noTruth {
		if err := folderOf(c.Truth.File); err != nil {
			wrong("truth.file", "%w", err)
		}
	}
	if c.Truth.MaxSize < minTruthSize {
		wrong("truth.max_size", "%s is less than %s", c.Truth.MaxSize, config.Bytes(minTruthSize))
	}
	if c.Scenario != "" && c.Faults != fault.ProfileOrdinary {
		wrong("faults", "a scenario says itself what comes by chance, by its key chance: leave it out")
	}
	ago, scale := c.StartAgo, c.TimeScale
	switch {
	case !(scale >= 1) || math.IsInf(scale, 1):
		wrong("time_scale", "%v is not a number of at least 1", scale)
	case ago < 0 || ago > maxAgo:
		wrong("start_ago", "%s is not within 0s to %s", ago, maxAgo)
	case c.Scenario != "" && ago > 0:
		wrong("start_ago", "a scenario begins now, or by time_scale so that it ends now: leave it out")
	case c.Scenario == "" && ago > 0 && scale == 1:
		wrong("time_scale", "must be greater than 1, or the clock never catches up with a start_ago of %s", ago)
	case c.Scenario == "" && ago == 0 && scale > 1:
		wrong("start_ago", "must be given with a time_scale of %v: the clock has nothing to catch up with", scale)
	}
	if c.Exec && (c.Scenario != "" || scale != 1) {
		wrong("exec", "a scenario and a clock of their own need the kiosks in one process: leave out exec, or scenario and time_scale")
	}
	return faults
}

// number is how many kiosks there are without a scenario that says otherwise.
func (c *Config) number() int {
	if c.Count == 0 {
		return defaultCount
	}
	return c.Count
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

// cast is who takes part, and in what.
type cast struct {
	kiosks   []roster.Kiosk     // those that this process runs
	all      []roster.Kiosk     // those of the scenario, whoever runs them
	scenario *scenario.Scenario // nil: none
}

// cast returns the kiosks with their settings, and the scenario if there is one.
func (c *Config) cast() (*cast, error) {
	given, err := c.kiosks()
	if err != nil || c.Scenario == "" {
		return &cast{kiosks: given}, err
	}
	s, err := scenario.Load(c.Scenario)
	if err != nil {
		return nil, err
	}
	if span := s.Length(); c.TimeScale > 1 && span > maxAgo {
		return nil, fmt.Errorf("time_scale: the scenario lasts %s and would begin about as long ago; the platform takes readings of the last %s: use spawner history, whose load can shift them", span, maxAgo)
	}
	if c.Seed != 0 {
		s.Seed = c.Seed
	}
	all, err := s.Roster(c.SerialPrefix, given)
	if err != nil {
		return nil, err
	}
	out := &cast{kiosks: all, all: all, scenario: s}
	if s.HasFleets() {
		if c.First > len(all) {
			return nil, fmt.Errorf("first: the scenario has %d kiosks, there is no number %d", len(all), c.First)
		}
		out.kiosks = all[c.First-1:]
		if c.Count > len(out.kiosks) {
			return nil, fmt.Errorf("count: the scenario has %d kiosks, there is no number %d", len(all), c.First+c.Count-1)
		}
		if c.Count > 0 {
			out.kiosks = out.kiosks[:c.Count]
		}
		out.kiosks = slices.Clone(out.kiosks)
	}
	c.setInterval(out.kiosks)
	return out, nil
}

// kiosks returns the settings of the kiosks that no scenario makes up.
func (c *Config) kiosks() ([]roster.Kiosk, error) {
	path := c.KiosksFile
	if path == "" {
		path = defaultKiosksFile
	}
	known, err := roster.LoadFile(path)
	if err != nil && (c.KiosksFile != "" || !errors.Is(err, fs.ErrNotExist)) {
		return nil, fmt.Errorf("kiosks_file: %w", err)
	}
	kiosks := slices.Clone(roster.Plan(known, c.SerialPrefix, c.First+c.number()-1)[c.First-1:])
	c.setInterval(kiosks)
	return kiosks, nil
}

func (c *Config) setInterval(kiosks []roster.Kiosk) {
	if c.Interval == 0 {
		return
	}
	for i := range kiosks {
		kiosks[i].Interval = roster.Duration(c.Interval)
	}
}
