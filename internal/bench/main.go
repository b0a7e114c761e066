// Command bench measures the platform as its users meet it: admin and a bare MQTT broker as processes of
// their own, under load from real connections with client certificates, in turn, so that figures of one
// run can be compared. It prints a table and writes the same as JSON. See docs/benchmarks.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/testkit/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "bare" {
		return runBare(ctx, args[1:])
	}
	return run(ctx, args)
}

// bench is one run.
type bench struct {
	admin    string // the program
	spawner  string // that one
	dir      string // of this run, removed at its end
	rounds   int
	duration time.Duration // of a round
	warmUp   time.Duration
	session  int // of the last round
}

// maxKiosks is what a process that may open 20,000 files can connect.
const maxKiosks = 19_000

// options are the flags.
type options struct {
	json     string
	quick    bool
	clients  string
	windows  string
	rounds   int
	duration time.Duration
	journal  int64
	admin    string
	spawner  string
	profile  bool
	fleet    fleetOptions
	series   seriesOptions
	alerts   alertOptions
	only     string
}

// Parts of a run.
const (
	partThroughput = "throughput"
	partRecovery   = "recovery"
	partFleet      = "fleet"
	partSeries     = "series"
	partAlerts     = "alerts"
)

// runs tells whether a part was asked for.
func (o options) runs(part string) bool { return o.only == "" || o.only == part }

func parse(args []string) (options, []int, []int, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.json, "json", "", "write the report to this file as well")
	flags.BoolVar(&o.quick, "quick", false, "a run of about a minute and a half, too short for figures to keep")
	flags.StringVar(&o.clients, "clients", "200,1000", "numbers of clients")
	flags.StringVar(&o.windows, "windows", "1,8", "readings in flight of each client")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds of each target under each load")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "of a round")
	flags.Int64Var(&o.journal, "journal-mb", 1024, "megabytes of the journal on disk for the recovery, 0 for none")
	flags.BoolVar(&o.profile, "profile", true, "profile admin under load")
	flags.IntVar(&o.fleet.kiosks, "kiosks", 15_000, "kiosks of the fleet")
	flags.DurationVar(&o.fleet.steady, "steady", 2*time.Minute, "how long the fleet is measured once it is connected")
	flags.StringVar(&o.only, "only", "", "one part of it: throughput, recovery, fleet, series or alerts")
	flags.StringVar(&o.admin, "admin", "", "program to measure; default: built from this module")
	flags.StringVar(&o.spawner, "spawner", "", "program that runs the fleet; default: built from this module")
	if err := flags.Parse(args); err != nil {
		return o, nil, nil, err
	}
	if flags.NArg() > 0 {
		return o, nil, nil, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	o.series, o.alerts = wholeSeries, wholeAlerts
	if o.quick {
		o.series, o.alerts = quickSeries, quickAlerts
		quick := map[string]string{"clients": "200", "windows": "1,8", "rounds": "1", "duration": "3s", "journal-mb": "64", "kiosks": "300", "steady": "10s"}
		flags.Visit(func(f *flag.Flag) { delete(quick, f.Name) }) // what was asked for stays
		for name, value := range quick {
			if err := flags.Set(name, value); err != nil {
				return o, nil, nil, err
			}
		}
	}
	if o.rounds < 1 || o.duration < time.Second || o.journal < 0 {
		return o, nil, nil, fmt.Errorf("at least one round of at least 1s, and no negative journal")
	}
	if o.fleet.kiosks < 1 || o.fleet.kiosks > maxKiosks || o.fleet.steady < time.Second {
		return o, nil, nil, fmt.Errorf("1 to %d kiosks and at least 1s of them", maxKiosks)
	}
	if parts := []string{"", partThroughput, partRecovery, partFleet, partSeries, partAlerts}; !slices.Contains(parts, o.only) {
		return o, nil, nil, fmt.Errorf("--only %q is no part: throughput, recovery, fleet, series, alerts", o.only)
	}
	clients, err := numbers(o.clients, 10_000)
	if err != nil {
		return o, nil, nil, fmt.Errorf("--clients: %w", err)
	}
	windows, err := numbers(o.windows, 64)
	if err != nil {
		return o, nil, nil, fmt.Errorf("--windows: %w", err)
	}
	return o, clients, windows, nil
}

func numbers(list string, most int) ([]int, error) {
	var out []int
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("%q is no number from 1 to %d", text, most)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(ctx context.Context, args []string) error {
	o, clients, windows, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{rounds: o.rounds, duration: o.duration, warmUp: min(2*time.Second, o.duration/3), admin: o.admin, spawner: o.spawner}
	if b.dir, err = os.MkdirTemp("", "kioskfleet-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	if err := b.build(ctx, "admin", &b.admin); err != nil {
		return err
	}
	r := &report{Machine: thisMachine(), Seconds: b.duration.Seconds(), PeakRSS: map[string]int64{}}
	// What fails is said in the report; the rest is measured all the same.
	problem := func(what string, err error) {
		if err != nil {
			r.Problems = append(r.Problems, what+": "+err.Error())
		}
	}
	if o.runs(partThroughput) {
		problem(partThroughput, b.throughput(ctx, r, clients, windows, o.profile))
	}
	if o.runs(partRecovery) && o.journal > 0 && ctx.Err() == nil {
		r.Recovery, err = b.fromJournal(ctx, o.journal<<20)
		problem(partRecovery, err)
	}
	if o.runs(partFleet) && ctx.Err() == nil {
		if err = b.build(ctx, "spawner", &b.spawner); err == nil {
			r.Fleet, err = b.fleet(ctx, o.fleet)
		}
		problem(partFleet, err)
	}
	if o.runs(partSeries) && ctx.Err() == nil {
		var failed []error
		r.Series, failed = b.series(ctx, o.series)
		for _, err := range failed {
			problem(partSeries, err)
		}
	}
	if o.runs(partAlerts) && ctx.Err() == nil {
		r.Alerts, err = b.alerts(ctx, o.alerts)
		problem(partAlerts, err)
	}
	r.print(os.Stdout)
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := durablefile.Write(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if len(r.Problems) > 0 {
		return errors.New("not everything was measured")
	}
	return nil
}

// build makes one of the programs unless its path is given.
func (b *bench) build(ctx context.Context, name string, path *string) error {
	if *path != "" {
		return nil
	}
	b.progress("building %s", name)
	*path = filepath.Join(b.dir, name)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", *path, "kioskfleet/"+name).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}

// throughput starts all targets and measures them under each load.
func (b *bench) throughput(ctx context.Context, r *report, clients, windows []int, withProfile bool) error {
	data := filepath.Join(b.dir, "data")
	ids, err := b.enrolled(ctx, data, slices.Max(clients))
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bare, line, err := startProcess(ctx, "the bare broker", environment(nil), bareAnnouncement, self, "bare", "-data", data)
	if err != nil {
		return err
	}
	defer bare.stop()
	_, port, _ := strings.Cut(strings.TrimPrefix(line, bareAnnouncement), ":")
	targets := []*target{{name: targetBare, address: "mqtts://localhost:" + port, process: bare}}
	for _, admin := range []struct {
		name     string
		settings map[string]string
	}{{targetQuiet, map[string]string{"ANOMALY_ENABLED": "false"}}, {targetAdmin, nil}} {
		own := filepath.Join(b.dir, "data of "+admin.name)
		if err := os.CopyFS(own, os.DirFS(data)); err != nil {
			return err
		}
		p, err := startPlatformWith(ctx, b.admin, own, admin.settings)
		if err != nil {
			return err
		}
		defer p.stop()
		if err := p.awaitReady(ctx); err != nil {
			return err
		}
		targets = append(targets, &target{name: admin.name, address: p.broker, process: p.process, platform: p})
	}
	for _, n := range clients {
		for _, window := range windows {
			rows, err := b.compare(ctx, targets, ids[:n], window)
			if err != nil {
				return err
			}
			r.Throughput = append(r.Throughput, rows...)
		}
	}
	for _, t := range targets {
		if r.PeakRSS[t.name], err = t.process.peakRSS(); err != nil {
			return err
		}
	}
	if withProfile {
		r.Profile = b.profileUnder(ctx, targets[len(targets)-1], ids[:clients[0]], windows[len(windows)-1])
	}
	return nil
}

// enrolled makes a data folder of an admin that knows n kiosks.
func (b *bench) enrolled(ctx context.Context, data string, n int) ([]load.Identity, error) {
	p, err := startPlatform(ctx, b.admin, data)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.awaitReady(ctx); err != nil {
		return nil, err
	}
	b.progress("enrolling %d kiosks", n)
	return p.enroll(ctx, n)
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
