package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"kioskfleet/internal/daemon"
)

// report is all that a run found; it is the JSON file.
type report struct {
	Machine    machine          `json:"machine"`
	Seconds    float64          `json:"seconds"` // of one round
	Throughput []throughput     `json:"throughput"`
	PeakRSS    map[string]int64 `json:"peak_rss_bytes"` // by target
	Recovery   *recovery        `json:"recovery,omitempty"`
	Profile    *profile         `json:"profile,omitempty"`
	Fleet      *fleetRun        `json:"fleet,omitempty"`
	Series     *seriesRun       `json:"series,omitempty"`
	Alerts     *alertRun        `json:"alerts,omitempty"`
	Problems   []string         `json:"problems,omitempty"`
}

// machine is where and when the run was.
type machine struct {
	Date    time.Time `json:"date"`
	CPU     string    `json:"cpu"`
	Cores   int       `json:"cores"`
	Go      string    `json:"go"`
	OS      string    `json:"os"`
	Version string    `json:"version"`
}

func thisMachine() machine {
	m := machine{Date: time.Now().UTC().Truncate(time.Second), CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Version: daemon.Version}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	return m
}

// spread is a median with the smallest and the largest.
func spread(rounds []round, of func(round) float64) string { return spreadOf(rounds, of) }

// spreadOf is spread of any rounds; what is below 100 has a decimal.
func spreadOf[T any](rounds []T, of func(T) float64) string {
	low := slices.MinFunc(rounds, func(a, b T) int { return compareFloats(of(a), of(b)) })
	high := slices.MaxFunc(rounds, func(a, b T) int { return compareFloats(of(a), of(b)) })
	format := "%.0f (%.0f–%.0f)"
	if of(high) < 100 && of(high) != math.Trunc(of(high)) {
		format = "%.1f (%.1f–%.1f)"
	}
	return fmt.Sprintf(format, medianOf(rounds, of), of(low), of(high))
}

func compareFloats(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// print writes the report for people.
func (r *report) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "\n%s, %d cores, %s, %s, kioskfleet %s, %s\n", m.CPU, m.Cores, m.OS, m.Go, m.Version, m.Date.Format(time.RFC3339))
	if len(r.Throughput) > 0 {
		r.printThroughput(w)
	}
	if c := r.Recovery; c != nil {
		fmt.Fprintf(w, "\nstart with %d readings (%d MB, %d MB of journal) to work off: ready after %.2f s, time series caught up after %.1f s, live side after %.1f s; peak memory %d MB\n",
			c.Readings, c.PayloadBytes>>20, c.JournalBytes>>20, c.Ready, c.Series, c.Live, c.PeakRSS>>20)
	}
	if p := r.Profile; p != nil {
		if p.Problem != "" {
			fmt.Fprintf(w, "\nno profile of admin: %s\n", p.Problem)
		} else {
			fmt.Fprintf(w, "\nadmin under load, by its own time:\n%s\n\nby time with what it calls:\n%s\n", p.Flat, p.Cumulative)
		}
	}
	if r.Fleet != nil {
		r.Fleet.print(w)
	}
	if r.Series != nil {
		r.Series.print(w)
	}
	if r.Alerts != nil {
		r.Alerts.print(w)
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(w, "\nnot measured: %s\n", problem)
	}
}

func (r *report) printThroughput(w io.Writer) {
	fmt.Fprintf(w, "QoS 1, mTLS, readings of about 480 bytes, half of the clients MQTT 3.1.1 and half 5; generator on the same machine; medians (min–max) of rounds of %.0f s in turn\n\n", r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "target\tclients\twindow\tacknowledged/s\tratio\tstored/s\tratio\tcaught up after s\tCPU µs/msg\tgenerator µs/msg\tp50 ms\tp99 ms\t")
	for _, row := range r.Throughput {
		col := func(of func(round) float64) string { return fmt.Sprintf("%.1f", median(row.Rounds, of)) }
		ratio, stored, storedRatio, catchUp := "", "", "", ""
		if row.Target != targetBare {
			ratio, storedRatio = fmt.Sprintf("%.2f", row.Ratio), fmt.Sprintf("%.2f", row.StoredRatio)
			stored, catchUp = spread(row.Rounds, func(r round) float64 { return r.Stored }), col(func(r round) float64 { return r.CatchUp })
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", row.Target, row.Clients, row.Window,
			spread(row.Rounds, func(r round) float64 { return r.Acked }), ratio, stored, storedRatio, catchUp,
			col(func(r round) float64 { return r.CPUMicros }), col(func(r round) float64 { return r.ClientMicros }),
			col(func(r round) float64 { return r.P50Millis }), col(func(r round) float64 { return r.P99Millis }))
	}
	_ = t.Flush()
	for _, name := range []string{targetBare, targetQuiet, targetAdmin} {
		if bytes, ok := r.PeakRSS[name]; ok {
			fmt.Fprintf(w, "%s: peak memory %d MB\n", name, bytes>>20)
		}
	}
}
