package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/swarm"
)

// Spawner is what the subcommands take from the program's configuration.
type Spawner struct {
	Kiosks       func(n int) ([]roster.Kiosk, error) // settings of n kiosks
	SerialPrefix string
	Platform     *enroll.Platform
	Tokens       enroll.Tokens
	APIToken     string
	DataDir      string
	Logger       func(w io.Writer) (*slog.Logger, error) // as configured
}

// Loader reads the configuration that a subcommand was called with.
type Loader func(cmd *cobra.Command) (*Spawner, error)

// Scenario is what a scenario file says of a history.
type Scenario struct {
	Name   string
	Seed   uint64
	Start  time.Time // zero: it does not say
	Length time.Duration
	Kiosks []roster.Kiosk
	Fleets bool // the kiosks are its own, not those given
	// Fate returns what befalls the kiosks when it begins at start, with that seed; see Config.
	Fate func(start time.Time, seed uint64) func(roster.Kiosk) (*fault.Plan, []device.Condition)
}

// ScenarioReader reads a scenario file; given are the kiosks of one that names none.
type ScenarioReader func(s *Spawner, file string, given []roster.Kiosk) (*Scenario, error)

// Command returns the subcommand history, with its own subcommand load. Without scenario there is no
// --scenario.
func Command(load Loader, scenario ScenarioReader) *cobra.Command {
	o := options{readScenario: scenario}
	cmd := &cobra.Command{
		Use: "history", Short: "Write what simulated kiosks would have reported over days, with the truth about it",
		Long: `history lets simulated kiosks live through days as fast as this machine can, and writes their readings
and the truth about them to files. The same arguments and start give the same files, byte for byte.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.write(cmd, load) },
	}
	f := cmd.Flags()
	f.StringVar(&o.cfg.Dir, "out", "", "folder to write to; it must be empty")
	f.IntVar(&o.cfg.Days, "days", 7, "how many days")
	f.IntVar(&o.kiosks, "kiosks", 10, "how many kiosks")
	f.StringVar(&o.start, "start", "", "first moment, such as 2026-03-01T00:00:00Z; empty: so that it ends with the last midnight, UTC")
	f.DurationVar(&o.cfg.Interval, "interval", defaultInterval, "time between readings")
	f.Uint64Var(&o.cfg.Seed, "seed", 0, "another seed is another fleet's life (default 0, that of the swarm, or the scenario's)")
	f.StringVar(&o.cfg.Faults, "faults", fault.ProfileNone, "faults that come by chance: none, ordinary or chaotic")
	f.StringVar(&o.cfg.Format, "format", JSONLines, "jsonl (as kiosks send them) or csv (a column per metric, for analysis)")
	f.StringVar(&o.cfg.Compress, "compress", Zstd, "zstd or none")
	f.BoolVar(&o.cfg.Force, "force", false, "write over the history in the folder")
	if scenario != nil {
		f.StringVar(&o.scenario, "scenario", "", "scenario file, YAML; it says what befalls whom, and how long, from when and with which seed if no flag does")
	}
	_ = cmd.MarkFlagRequired("out") // the flag exists
	cmd.AddCommand(loadCommand(load))
	return cmd
}

// options are the arguments of history.
type options struct {
	cfg          Config
	kiosks       int
	start        string
	scenario     string
	readScenario ScenarioReader
}

func (o *options) write(cmd *cobra.Command, load Loader) error {
	s, err := load(cmd)
	if err != nil {
		return err
	}
	cfg := o.cfg
	if cfg.Interval == 0 {
		return errors.New("--interval: 0s is no time between readings")
	}
	if o.kiosks < 1 || o.kiosks > maxKiosks {
		return fmt.Errorf("--kiosks: %d is not within 1 to %d", o.kiosks, maxKiosks)
	}
	if err := o.fill(&cfg, s, cmd.Flags().Changed); err != nil {
		return err
	}
	cfg.Progress = &atomic.Int64{}
	began := time.Now()
	var m *Manifest
	err = telling(cmd, s, func(took time.Duration) (string, []any) {
		done, all := cfg.Progress.Load(), cfg.expected()
		perSecond := float64(done) / took.Seconds()
		return fmt.Sprintf("%d of about %d readings, %.0f a second", done, all, perSecond),
			[]any{"readings", done, "about", all, "readings_per_second", int64(perSecond)}
	}, func(*slog.Logger) error {
		m, err = Write(cmd.Context(), cfg)
		return err
	})
	if errors.Is(err, context.Canceled) {
		// An end by Ctrl-C, and yet no success: there is no history.
		return errors.New("interrupted: no history was written")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d readings of %d kiosks over %d days from %s, %d events of truth; %d bytes of readings, in %s\n",
		cfg.Dir, m.Readings, len(m.Kiosks), cfg.Days, cfg.Start.Format(time.RFC3339), m.Truth.Events, m.bytes(), time.Since(began).Round(100*time.Millisecond))
	return err
}

// fill finds out who lives when and through what: from the scenario, where no flag says otherwise.
func (o *options) fill(cfg *Config, s *Spawner, given func(flag string) bool) error {
	kiosks, err := s.Kiosks(o.kiosks)
	if err != nil {
		return err
	}
	if o.scenario == "" {
		rates, err := fault.Profile(cfg.Faults)
		if err != nil {
			return fmt.Errorf("--faults: %w", err)
		}
		cfg.Kiosks, cfg.Fate = kiosks, Chance(cfg.Seed, rates)
		cfg.Start, err = startOf(o.start, cfg.Days, time.Now())
		return err
	}
	if given("faults") {
		return errors.New("--faults: a scenario says itself what comes by chance, by its key chance: leave it out")
	}
	sc, err := o.readScenario(s, o.scenario, kiosks)
	if err != nil {
		return fmt.Errorf("--scenario: %w", err)
	}
	if sc.Fleets && given("kiosks") {
		return fmt.Errorf("--kiosks: the scenario says itself who takes part, in its fleets: leave it out")
	}
	if !given("days") {
		cfg.Days = int(max((sc.Length+day-1)/day, 1))
	}
	if !given("seed") {
		cfg.Seed = sc.Seed
	}
	cfg.Start = sc.Start
	if o.start != "" || sc.Start.IsZero() {
		if cfg.Start, err = startOf(o.start, cfg.Days, time.Now()); err != nil {
			return err
		}
	}
	cfg.Scenario, cfg.Faults, cfg.Kiosks, cfg.Fate = sc.Name, "", sc.Kiosks, sc.Fate(cfg.Start, cfg.Seed)
	return nil
}

// startOf reads the start, or finds the one with which the history ends at the last midnight.
func startOf(text string, days int, now time.Time) (time.Time, error) {
	if text == "" {
		return now.UTC().Truncate(day).AddDate(0, 0, -days), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("--start: %q is not a time such as 2026-03-01T00:00:00Z", text)
	}
	return t.UTC(), nil
}

func loadCommand(load Loader) *cobra.Command {
	cfg := LoadConfig{}
	shift := shiftNone
	cmd := &cobra.Command{
		Use: "load DIR", Short: "Load a history into a running platform, as kiosks send it",
		Long: `load lets each kiosk of a history register, enrol and connect like any other, and publish its readings. When
it is interrupted, the next run goes on where it stopped.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want the folder of one history, not %d: spawner history load DIR", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := load(cmd)
			if err != nil {
				return err
			}
			cfg := cfg
			if cfg.Rate < 0 {
				return fmt.Errorf("--rate: %v is no number of readings per second", cfg.Rate)
			}
			if cfg.Window <= 0 {
				return fmt.Errorf("--window: %s is not longer than nothing", cfg.Window)
			}
			if cfg.Shift, err = ParseShift(shift); err != nil {
				return err
			}
			cfg.Dir, cfg.Platform, cfg.Tokens, cfg.DataDir = args[0], s.Platform, s.Tokens, s.DataDir
			return loadAndTell(cmd, s, cfg)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&cfg.Rate, "rate", 0, "readings per second; 0: as fast as they are acknowledged")
	f.StringVar(&shift, "shift", shift, "move all times: none, a duration, or auto (whole days, so that it ends within the last day)")
	f.DurationVar(&cfg.Window, "window", defaultWindow, "how old a reading may be: telemetry.window of admin")
	f.BoolVar(&cfg.Force, "force", false, "load also what the platform will refuse for its time")
	return cmd
}

func loadAndTell(cmd *cobra.Command, s *Spawner, cfg LoadConfig) error {
	c := &LoadCounters{}
	cfg.Counters = c
	began := time.Now()
	attributes := func(took time.Duration) []any {
		return []any{
			"readings", c.Total.Load(), "before", c.Before.Load(), "sent", c.Sent.Load(), "acknowledged", c.Acknowledged.Load(),
			"resent", c.Resent.Load(), "readings_per_second", int64(float64(c.Acknowledged.Load()) / took.Seconds()),
		}
	}
	err := telling(cmd, s, func(took time.Duration) (string, []any) {
		return fmt.Sprintf("%d of %d readings acknowledged, %.0f a second, %d resent", c.Before.Load()+c.Acknowledged.Load(), c.Total.Load(),
			float64(c.Acknowledged.Load())/took.Seconds(), c.Resent.Load()), attributes(took)
	}, func(log *slog.Logger) error {
		quiet := slog.New(swarm.Quiet(log.Handler(), 20, 10*time.Second))
		cfg.Log = quiet
		cfg.Registrar = &swarm.Registrar{Platform: s.Platform, Token: s.APIToken, DataDir: s.DataDir, Log: quiet}
		return Load(cmd.Context(), cfg)
	})
	if c.Total.Load() == 0 {
		return err // it did not begin
	}
	took := time.Since(began)
	_, printErr := fmt.Fprintf(cmd.OutOrStdout(), "%d readings: %d sent, %d acknowledged, %d resent, %d in earlier runs; %s, %.0f a second\n",
		c.Total.Load(), c.Sent.Load(), c.Acknowledged.Load(), c.Resent.Load(), c.Before.Load(), took.Round(100*time.Millisecond), float64(c.Acknowledged.Load())/took.Seconds())
	return errors.Join(err, printErr)
}
