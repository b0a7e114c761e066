package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// fleetRun is a whole simulated fleet, run by one spawner, on an admin in a process of its own.
type fleetRun struct {
	Kiosks   int     `json:"kiosks"`
	Interval float64 `json:"interval_seconds"` // between two readings of a kiosk
	// Enrolled and First are how long a fleet without certificates takes until all are enrolled, and until
	// all are connected; Again is how long a known fleet takes that connects at once. They count from the
	// start of the spawner. Enrolled is 0 where the spawner does not say.
	Enrolled float64 `json:"enrolled_seconds,omitempty"`
	First    float64 `json:"enrolled_and_connected_seconds"`
	Again    float64 `json:"connected_again_seconds"`
	// Seconds is how long the fleet was then left alone; what follows is of this time.
	Seconds  float64 `json:"steady_seconds"`
	Readings float64 `json:"readings_per_second"`
	Admin    used    `json:"admin"`
	Spawner  used    `json:"spawner"`

	Lately recent `json:"publish_to_ack"` // of messages in the steady time

	Sums  sums     `json:"sums"`
	Swarm *summary `json:"spawner_summary"` // of the second start

	// Silent is what a connection costs admin whose kiosk says nothing, in bytes.
	Silent int64 `json:"bytes_per_silent_connection"`
}

// used is what one of the two processes used.
type used struct {
	RSS   int64   `json:"rss_bytes"` // at the end
	Peak  int64   `json:"peak_rss_bytes"`
	Cores float64 `json:"cpu_cores"`
}

// fleetOptions say how large a fleet runs, and for how long.
type fleetOptions struct {
	kiosks int
	steady time.Duration
}

// settles is how long the fleet runs after it has connected before anything is measured.
func (o fleetOptions) settles() time.Duration { return min(o.steady, 10*time.Second) }

const (
	// fleetInterval is a kiosk's usual pace.
	fleetInterval = 5 * time.Second
	// progressWindow is what a line of the spawner's progress looks back on.
	progressWindow = 10 * time.Second
	// fleetPatience bounds each stage of it.
	fleetPatience = 10 * time.Minute
)

// fleet runs a fleet from its first day on: it enrols, goes, comes back all at once, reports, and is counted.
func (b *bench) fleet(ctx context.Context, o fleetOptions) (*fleetRun, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*fleetPatience+o.steady)
	defer cancel()
	out := &fleetRun{Kiosks: o.kiosks, Interval: fleetInterval.Seconds(), Seconds: o.steady.Seconds()}
	p, err := startPlatform(ctx, b.admin, filepath.Join(b.dir, "fleet"))
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := p.awaitReady(ctx); err != nil {
		return nil, err
	}
	began := time.Now().UTC()
	b.progress("fleet: %d kiosks enrol and connect", o.kiosks)
	first, err := b.startSwarm(ctx, p, o.kiosks)
	if err != nil {
		return nil, err
	}
	out.First, err = first.awaitConnected(ctx)
	before := first.stop()
	if err != nil {
		return nil, err
	}
	if before.AllEnrolled != nil {
		out.Enrolled = *before.AllEnrolled
	}
	if err := p.awaitMetric(ctx, metricConnections, pollSeldom, func(n float64) bool { return n == 0 }); err != nil {
		return nil, err
	}
	b.progress("fleet: enrolled and connected within %.1f s; all come back at once", out.First)
	again, err := b.startSwarm(ctx, p, o.kiosks)
	if err != nil {
		return nil, err
	}
	defer again.stop()
	if out.Again, err = again.awaitConnected(ctx); err != nil {
		return nil, err
	}
	b.progress("fleet: connected within %.1f s; %s of reporting", out.Again, o.steady)
	if err := sleep(ctx, o.settles()); err != nil {
		return nil, err
	}
	if err := out.steady(ctx, p, again, o.steady); err != nil {
		return nil, err
	}
	after := again.stop()
	out.Swarm = after
	if out.Sums, err = p.count(ctx, began, before, after); err != nil {
		return nil, err
	}
	b.progress("fleet: %d readings acknowledged, %d in the store; the same kiosks connect and say nothing", out.Sums.Acknowledged, out.Sums.Stored)
	p.stop()
	out.Silent, err = b.silent(ctx, p, o.settles())
	return out, err
}

// steady measures both processes for d.
func (f *fleetRun) steady(ctx context.Context, p *platform, s *swarm, d time.Duration) error {
	sides := map[*process]*used{p.process: &f.Admin, s.process: &f.Spawner}
	cpu := map[*process]time.Duration{}
	for side := range sides {
		var err error
		if cpu[side], err = side.cpu(); err != nil {
			return err
		}
	}
	readings, err := p.metric(ctx, metricReadings)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := sleep(ctx, d); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	after, err := p.metric(ctx, metricReadings)
	if err != nil {
		return err
	}
	f.Readings = (after - readings) / took
	f.Lately = lately(s.log(), began.Add(progressWindow))
	for side, u := range sides {
		end, err := side.cpu()
		if err != nil {
			return err
		}
		u.Cores = (end - cpu[side]).Seconds() / took
		if u.RSS, err = side.memory(rssNow); err != nil {
			return err
		}
		if u.Peak, err = side.memory(rssPeak); err != nil {
			return err
		}
	}
	return nil
}

// perKiosk is a kiosk's share of so many bytes, in KB.
func (f *fleetRun) perKiosk(bytes int64) float64 { return float64(bytes) / float64(f.Kiosks) / 1000 }

// print writes the run for people.
func (f *fleetRun) print(w io.Writer) {
	fmt.Fprintf(w, "\na fleet of %d kiosks in one process, a reading each %.0f s, on admin in its own\n\n", f.Kiosks, f.Interval)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	if f.Enrolled > 0 {
		row("all enrolled, first start", "%.1f s (%.0f/s)", f.Enrolled, float64(f.Kiosks)/f.Enrolled)
	}
	row("all enrolled and connected, first start", "%.1f s (%.0f/s)", f.First, float64(f.Kiosks)/f.First)
	row("all connected again at once", "%.1f s (%.0f/s)", f.Again, float64(f.Kiosks)/f.Again)
	for _, side := range []struct {
		name string
		used
	}{{"admin", f.Admin}, {"spawner", f.Spawner}} {
		row(side.name, "%.1f KB a kiosk, peak %.1f KB; %.2f cores", f.perKiosk(side.RSS), f.perKiosk(side.Peak), side.Cores)
	}
	row("of admin, a connection that says nothing", "%.1f KB", float64(f.Silent)/1000)
	row("readings", "%.0f/s over %.0f s", f.Readings, f.Seconds)
	row("acknowledged, stored, lost", "%d, %d, %d", f.Sums.Acknowledged, f.Sums.Stored, f.Sums.Lost)
	if s := f.Swarm; s != nil {
		row("sent, resent, dropped", "%d, %d, %d", s.Readings.Sent, s.Readings.Resent, s.Readings.Dropped)
		if s.PublishToAck.Count > 0 {
			row("publish to acknowledgement, p50, p99", "%.1f ms, %.1f ms; while they connected too: %.1f ms, %.1f ms", f.Lately.P50, f.Lately.P99, s.PublishToAck.P50, s.PublishToAck.P99)
		}
		for _, kind := range slices.Sorted(maps.Keys(s.Errors)) {
			if n := s.Errors[kind]; n > 0 {
				row("errors: "+kind, "%d", n)
			}
		}
	}
	_ = t.Flush()
}
