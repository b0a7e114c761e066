// Package history writes down what simulated kiosks would have reported over days, with the truth about
// it, and loads such a history into a running platform by the way that kiosks take. See docs/history.md.
package history

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
)

// Formats of the readings' files.
const (
	JSONLines = "jsonl" // a line is a reading as kiosks send it
	CSV       = "csv"   // a column per metric; for analysis, it cannot be loaded
)

// Compressions of the readings' files.
const (
	Zstd  = "zstd"
	Plain = "none"
)

const day = 24 * time.Hour

// Config describes a history. Kiosks, Dir, Days and Start are required.
type Config struct {
	Dir      string
	Force    bool // write over the history that Dir holds, or what is left of one
	Kiosks   []roster.Kiosk
	Start    time.Time
	Days     int
	Interval time.Duration // between readings; default 1 min
	Seed     uint64        // of what the kiosks sense; 0 derives it from each serial
	// Fate says what befalls a kiosk; nil: nothing but wear. It is called on many goroutines.
	Fate     func(roster.Kiosk) (*fault.Plan, []device.Condition)
	Faults   string // names the faults of chance, and Scenario the scenario, in the history's list
	Scenario string
	Format   string // default JSONLines
	Compress string // default Zstd
	// Progress counts the readings that are done; nil: nobody wants to know.
	Progress *atomic.Int64
}

// Bounds of a history.
const (
	maxDays         = 1000
	maxKiosks       = 100_000
	minInterval     = time.Second
	maxInterval     = day
	defaultInterval = time.Minute
)

func (c Config) withDefaults() Config {
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	if c.Format == "" {
		c.Format = JSONLines
	}
	if c.Compress == "" {
		c.Compress = Zstd
	}
	if c.Fate == nil {
		c.Fate = func(roster.Kiosk) (*fault.Plan, []device.Condition) { return nil, nil }
	}
	if c.Progress == nil {
		c.Progress = &atomic.Int64{}
	}
	c.Start = c.Start.UTC()
	return c
}

func (c *Config) end() time.Time { return c.Start.Add(time.Duration(c.Days) * day) }

// expected is about how many readings the history will have.
func (c *Config) expected() int64 {
	return int64(len(c.Kiosks)) * int64(time.Duration(c.Days)*day/c.Interval)
}

// check names every fault, by the flag that sets it.
func (c *Config) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Dir == "" {
		fault("--out: name the folder to write to")
	}
	if len(c.Kiosks) == 0 {
		fault("--kiosks: there is none")
	}
	if c.Days < 1 || c.Days > maxDays {
		fault("--days: %d is not within 1 to %d", c.Days, maxDays)
	}
	if c.Interval < minInterval || c.Interval > maxInterval {
		fault("--interval: %s is not within %s to %s", c.Interval, minInterval, maxInterval)
	}
	if y := c.Start.Year(); y < 1971 || y > 2200 {
		fault("--start: the platform knows no readings of the year %d", y)
	}
	if !slices.Contains([]string{JSONLines, CSV}, c.Format) {
		fault("--format: %q is neither %s nor %s", c.Format, JSONLines, CSV)
	}
	if !slices.Contains([]string{Zstd, Plain}, c.Compress) {
		fault("--compress: %q is neither %s nor %s", c.Compress, Zstd, Plain)
	}
	return errors.Join(faults...)
}

// Write writes a history on all cores. The same configuration gives the same files, byte for byte. The
// list history.json comes last: a folder without it holds no whole history.
//
// Errors: what is wrong with the configuration, by flag; a folder that is not empty or cannot be written
// to; ctx ended. Then what was written is removed again.
func Write(ctx context.Context, cfg Config) (*Manifest, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := prepare(cfg.Dir, cfg.Force); err != nil {
		return nil, err
	}
	m, err := write(ctx, &cfg)
	if err != nil {
		return nil, errors.Join(err, clear(cfg.Dir))
	}
	return m, nil
}

func write(ctx context.Context, cfg *Config) (*Manifest, error) {
	zones, err := zonesOf(cfg.Kiosks)
	if err != nil {
		return nil, err
	}
	truths := &truthFiles{dir: filepath.Join(cfg.Dir, truthParts)}
	files := make([]KioskFile, len(cfg.Kiosks))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(cfg.Kiosks)) {
		workers.Go(func() {
			out, err := newOutput(cfg.Compress)
			if err != nil {
				cancel(err)
				return
			}
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(cfg.Kiosks) {
					return
				}
				k := cfg.Kiosks[i]
				if files[i], err = writeKiosk(ctx, cfg, k, zones[k.Timezone], out, truths); err != nil {
					cancel(fmt.Errorf("history of %s: %w", k.Serial, err))
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	m := &Manifest{Version: manifestVersion, Arguments: argumentsOf(cfg), Kiosks: files}
	for i := range files {
		m.add(&files[i])
	}
	if m.Truth, err = truths.merge(ctx, cfg.Dir); err != nil {
		return nil, err
	}
	return m, m.store(cfg.Dir)
}

// zonesOf loads each time zone once.
func zonesOf(kiosks []roster.Kiosk) (map[string]*time.Location, error) {
	zones := map[string]*time.Location{}
	for _, k := range kiosks {
		if zones[k.Timezone] != nil {
			continue
		}
		zone, err := time.LoadLocation(k.Timezone)
		if err != nil {
			return nil, fmt.Errorf("timezone of %s: %w", k.Serial, err)
		}
		zones[k.Timezone] = zone
	}
	return zones, nil
}

// writeKiosk lets one kiosk live through the history and writes its readings and its truth.
func writeKiosk(ctx context.Context, cfg *Config, k roster.Kiosk, zone *time.Location, out *output, truths *truthFiles) (KioskFile, error) {
	name := filepath.Join(readingsDir, k.Serial+suffix(cfg.Format, cfg.Compress))
	if err := out.open(filepath.Join(cfg.Dir, name)); err != nil {
		return KioskFile{}, err
	}
	defer out.abandon()
	form := formatOf(cfg.Format)
	f := KioskFile{Kiosk: k}
	f.Kiosk.Interval = roster.Duration(cfg.Interval)
	l := newLife(cfg, k, zone)
	l.report = func(r *reading) error {
		if r.leftOut {
			f.LeftOut++
			return nil
		}
		f.count(r.Timestamp)
		cfg.Progress.Add(1)
		if f.Readings%512 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, err := form.line(&r.Reading)
		if err == nil {
			err = out.write(line)
		}
		return err
	}
	if err := l.run(); err != nil {
		return f, err
	}
	f.Sessions = l.sessions
	if err := truths.add(l.truth); err != nil {
		return f, err
	}
	var err error
	f.File, err = out.finish()
	f.Name = filepath.ToSlash(name)
	return f, err
}

func suffix(format, compress string) string {
	parts := []string{"", format}
	if compress == Zstd {
		parts = append(parts, "zst")
	}
	return strings.Join(parts, ".")
}
