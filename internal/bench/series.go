package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// seriesRun is what the time series cost: to store, to keep and to ask.
type seriesRun struct {
	Storing []storing `json:"storing"`
	Disk    *onDisk   `json:"disk,omitempty"`
	Asked   *asked    `json:"history,omitempty"` // what the queries are asked about
	Queries []latency `json:"queries"`
	Against *against  `json:"against,omitempty"`
	// Missing says what could not be measured here, and why.
	Missing []string `json:"missing,omitempty"`
}

// miss notes what is not measured for want of a program.
func (s *seriesRun) miss(what string, why error) {
	s.Missing = append(s.Missing, what+": "+why.Error())
}

// seriesOptions say how much is stored and asked.
type seriesOptions struct {
	storingKiosks int
	storing       time.Duration // of a round

	diskKiosks   int
	diskInterval time.Duration

	kiosks, monthKiosks, monthDays int
	pace, monthPace                time.Duration
	asks                           int           // of a question
	askTime                        time.Duration // after which a slow one is asked no more

	stackKiosks int
	offered     float64 // messages/s
	stack       time.Duration
}

// wholeSeries is a run for figures to keep; quickSeries is one of some seconds.
var (
	wholeSeries = seriesOptions{
		storingKiosks: 1000, storing: 10 * time.Second,
		diskKiosks: 20, diskInterval: 5 * time.Second,
		kiosks: 1000, monthKiosks: 200, monthDays: 30, pace: 5 * time.Second, monthPace: time.Minute, asks: 50, askTime: 10 * time.Second,
		stackKiosks: 600, offered: 3000, stack: 30 * time.Second,
	}
	quickSeries = seriesOptions{
		storingKiosks: 100, storing: time.Second,
		diskKiosks: 4, diskInterval: time.Minute,
		kiosks: 20, monthKiosks: 10, monthDays: 3, pace: time.Minute, monthPace: 5 * time.Minute, asks: 3, askTime: time.Second,
		stackKiosks: 20, offered: 200, stack: 2 * time.Second,
	}
)

// series measures one thing after the other. What fails leaves the rest.
func (b *bench) series(ctx context.Context, o seriesOptions) (*seriesRun, []error) {
	out := &seriesRun{}
	var failed []error
	for _, step := range []struct {
		name string
		run  func(context.Context, seriesOptions, *seriesRun) error
	}{{"storing", b.storing}, {"bytes on disk", b.onDisk}, {"queries", b.queries}, {"the same load elsewhere", b.against}} {
		if err := step.run(ctx, o, out); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	return out, failed
}

// print writes the run for people.
func (s *seriesRun) print(w io.Writer) {
	fmt.Fprintln(w, "\ntime series")
	s.printStoring(w)
	s.printDisk(w)
	s.printQueries(w)
	s.printAgainst(w)
	for _, missing := range s.Missing {
		fmt.Fprintf(w, "\nnot here: %s\n", missing)
	}
}

func (s *seriesRun) printStoring(w io.Writer) {
	if len(s.Storing) == 0 {
		return
	}
	first := s.Storing[0]
	fmt.Fprintf(w, "\nstoring %d metrics a reading of %d kiosks, %d readings at a time; medians (min–max)\n\n", first.Metrics, first.Kiosks, first.Batch)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "backend\treadings/s\tCPU µs/reading: adapter\tserver\t")
	for _, row := range s.Storing {
		server := ""
		if row.Backend == backendInflux {
			server = spreadOf(row.Rounds, func(r storingRound) float64 { return r.ServerMicros })
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", row.Backend, spreadOf(row.Rounds, func(r storingRound) float64 { return r.Rate }),
			spreadOf(row.Rounds, func(r storingRound) float64 { return r.AdapterMicros }), server)
	}
	_ = t.Flush()
}

func (s *seriesRun) printDisk(w io.Writer) {
	d := s.Disk
	if d == nil {
		return
	}
	fmt.Fprintf(w, "\non disk: %d readings of %d simulated kiosks, one each %.0f s, %d metrics each\n\n", d.Readings, d.Kiosks, d.Interval, d.Metrics)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "embedded\t%.1f bytes a reading, numbers only (blocks of the first %.0f hours)\n", d.Embedded, d.Blocks)
	if d.Influx > 0 {
		fmt.Fprintf(t, "influxdb\t%.1f bytes a reading, texts included (cold shards, compacted in full)\n", d.Influx)
	}
	fmt.Fprintf(t, "rollups\t%.0f bytes a kiosk and day\n", d.Rollups)
	_ = t.Flush()
}

func (s *seriesRun) printQueries(w io.Writer) {
	a := s.Asked
	if a == nil || len(s.Queries) == 0 {
		return
	}
	fmt.Fprintf(w, "\nqueries by HTTP, embedded store: %d points of %s; %d kiosks each %.0f s for 24 h, before that %d of them each %.0f s since %d days; stored in %.0f s, rolled up in %.0f s\n\n",
		a.Points, askedMetric, a.Kiosks, a.Pace, a.MonthOf, a.MonthPace, a.Days, a.Fill, a.RollUp)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "question\tAPI\tmade of\tpoints\truns\tp50 ms\tp95 ms\tgoal ms\t")
	for _, q := range s.Queries {
		if q.Problem != "" {
			fmt.Fprintf(t, "%s\t%s\t\t\t\t\t\t\t%s\n", q.Name, q.API, q.Problem)
			continue
		}
		goal := ""
		if q.Goal > 0 {
			goal = fmt.Sprintf("%.0f", q.Goal)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%.1f\t%.1f\t%s\t\n", q.Name, q.API, q.Source, q.Points, q.Runs, q.P50, q.P95, goal)
	}
	_ = t.Flush()
}

// goalRatio is how much of the other stack's CPU admin may use.
const goalRatio = 1.0 / 3

func (s *seriesRun) printAgainst(w io.Writer) {
	a := s.Against
	if a == nil || a.Admin == nil {
		return
	}
	fmt.Fprintf(w, "\n%.0f messages/s of %d kiosks for %.0f s, QoS 1; CPU of all processes for each stored message\n\n", a.Offered, a.Kiosks, a.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tacknowledged\tstored\tlost\tCPU µs/stored\tof which\t")
	for _, side := range []struct {
		name string
		*taken
	}{{"mosquitto, Telegraf, InfluxDB; plain TCP", a.Stack}, {"admin; mTLS", a.Admin}} {
		if side.taken == nil {
			continue
		}
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(side.CPU)) {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, side.CPU[name]))
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f\t%s\t\n", side.name, side.Acknowledged, side.Stored, side.Lost, side.Sum, strings.Join(parts, ", "))
	}
	_ = t.Flush()
	if a.Ratio > 0 {
		fmt.Fprintf(w, "admin needs %.2f of the other's CPU (goal: at most %.2f)\n", a.Ratio, goalRatio)
	}
}
