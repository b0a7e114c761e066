package swarm

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/latency"
	"kioskfleet/spawner/scenario"
)

// Summary is what a swarm has done, from its start to its end. docs/operators.md describes its JSON form.
type Summary struct {
	First           int       `json:"first"` // number of the first kiosk
	Kiosks          int       `json:"kiosks"`
	Processes       bool      `json:"processes"` // each kiosk had a process of its own
	Started         time.Time `json:"started"`
	DurationSeconds float64   `json:"duration_seconds"`
	// What is not known of kiosks in processes of their own is nil, like what never happened.
	AllEnrolledSeconds   *float64         `json:"all_enrolled_seconds"`
	AllConnectedSeconds  *float64         `json:"all_connected_seconds"`
	Readings             *Readings        `json:"readings"`
	MessagesAcknowledged *int64           `json:"messages_acknowledged"`
	Commands             *Commands        `json:"commands"`
	Errors               map[string]int64 `json:"errors"`
	PublishToAck         *latency.Summary `json:"publish_to_ack"`
	CommandToAck         *latency.Summary `json:"command_to_ack"`
	Process              *Usage           `json:"process"`
	Scenario             *scenario.Report `json:"scenario,omitempty"`

	totals Totals
}

// Summary sums up, once Run and the swarm have ended.
func (p *Progress) Summary() *Summary {
	s := &Summary{
		First: p.First, Kiosks: p.Kiosks, Processes: p.Processes, Started: p.began.UTC(),
		DurationSeconds: time.Since(p.began).Seconds(), Errors: map[string]int64{}, Scenario: p.Scenario, totals: p.Counters.Totals(),
	}
	for _, e := range s.totals.Errors {
		s.Errors[e.Kind] = e.Count
	}
	if u, known := usage(); known {
		u.BytesPerKiosk = u.PeakMemory / int64(max(p.Kiosks, 1))
		s.Process = &u
	}
	if p.Processes {
		return s
	}
	s.AllEnrolledSeconds, s.AllConnectedSeconds = seconds(p.allEnrolled), seconds(p.allConnected)
	s.Readings, s.Commands = &s.totals.Readings, &s.totals.Commands
	publish, answers := p.Counters.PublishToAck.Summary(), p.Counters.Answers.Summary()
	s.PublishToAck, s.CommandToAck, s.MessagesAcknowledged = &publish, &answers, &publish.Count
	return s
}

func seconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// Write writes the summary as JSON to a file, whose old content stays until the new one is complete; - is
// out.
func (s *Summary) Write(path string, out io.Writer) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		text = append(text, '\n')
		if path == "-" {
			_, err = out.Write(text)
		} else {
			err = durablefile.Write(path, text, 0o644)
		}
	}
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

// Tell tells the summary: on the terminal as text, else in a log line.
func (p *Progress) Tell(s *Summary) {
	if p.Screen != nil {
		_, _ = io.WriteString(p.Screen, s.Text()) // nothing can be done about a terminal that has gone
		return
	}
	a := s.totals.attributes(s.Processes, s.Kiosks)
	if !s.Processes {
		a = append(append(a, "all_connected", after(s.AllConnectedSeconds)), latencyAttributes(s.PublishToAck)...)
	}
	p.Log.Info("stopped", append(a, "took", duration(s.DurationSeconds))...)
}

// Text is the summary for people, in lines.
func (s *Summary) Text() string {
	var b strings.Builder
	row := func(label string, cells ...string) {
		for _, text := range wrap(" "+label, cells, defaultColumns) {
			b.WriteString(text + "\n")
		}
	}
	fmt.Fprintf(&b, "stopped after %s: %d kiosks (%d to %d)\n", duration(s.DurationSeconds), s.Kiosks, s.First, s.First+s.Kiosks-1)
	if !s.Processes {
		row("all enrolled", after(s.AllEnrolledSeconds))
		row("all connected", after(s.AllConnectedSeconds))
		r, c := s.Readings, s.Commands
		row("readings", count(r.Sent, "sent"), count(r.Acknowledged, "acknowledged"), count(r.Resent, "resent"), count(r.Dropped, "dropped"), count(r.Waiting, "waiting"))
		row("commands", count(c.Received, "received"), count(c.Executed, "executed"), count(c.Rejected, "rejected"), count(c.Failed, "failed"))
		row("publish to ack", latencyCells(s.PublishToAck)...)
		row("command to ack", latencyCells(s.CommandToAck)...)
	}
	if errs := errorCells(s.totals.Errors); len(errs) > 0 {
		row("errors", errs...)
	} else {
		row("errors", "none")
	}
	if s.Scenario != nil {
		for _, o := range s.Scenario.Expectations {
			row("expected", o.String())
		}
		for _, d := range s.Scenario.Commands {
			row("sent", fmt.Sprintf("phase %s: %s, taken for %d of %d kiosks", d.Phase, d.Command, d.Taken, d.Kiosks))
		}
	}
	if u := s.Process; u != nil {
		row("this process", fmt.Sprintf("%.1f s CPU", u.CPUSeconds), fmt.Sprintf("%.1f MiB at most", float64(u.PeakMemory)/(1<<20)), fmt.Sprintf("%.1f KiB a kiosk", float64(u.BytesPerKiosk)/(1<<10)))
	}
	return b.String()
}

func latencyCells(l *latency.Summary) []string {
	if l.Count == 0 {
		return []string{"none"}
	}
	return []string{count(l.Count, "in all"), "p50 " + millis(l.P50), "p90 " + millis(l.P90), "p99 " + millis(l.P99), "p99.9 " + millis(l.P999), "max " + millis(l.Max)}
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond)
}

func after(seconds *float64) string {
	if seconds == nil {
		return "never"
	}
	return "after " + duration(*seconds).String()
}
