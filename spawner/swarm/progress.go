package swarm

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"kioskfleet/internal/latency"
	"kioskfleet/spawner/scenario"
)

// Intervals between updates on a terminal, between log lines, and between looks at what is yet to happen.
const (
	screenInterval    = 500 * time.Millisecond
	logInterval       = 5 * time.Second
	milestoneInterval = 50 * time.Millisecond
)

// Progress tells how a swarm is doing. Run it beside the swarm; Summary and the rest are for afterwards.
type Progress struct {
	First     int // number of the first kiosk
	Kiosks    int
	Counters  *Counters
	Processes bool    // one process per kiosk: only they are known, not what they do
	Screen    *Screen // a terminal; nil: log lines
	Log       *slog.Logger
	Now       func() time.Time // the kiosks' time; nil: the present
	Phase     func() string    // of the scenario; nil: there is none
	Scenario  *scenario.Report // what came of the scenario, once it has ended

	began        time.Time
	allEnrolled  time.Duration // since began; 0: not yet
	allConnected time.Duration
	readings     rate3
	// recent is of the publish-to-ack latencies of the last full window, which began at window.
	recent latencyWindow
}

// rate3 is the rates of the three counts of readings.
type rate3 struct{ sent, acknowledged, resent rate }

func (r *rate3) next(now time.Time, c Readings) rates {
	return rates{r.sent.next(now, c.Sent), r.acknowledged.next(now, c.Acknowledged), r.resent.next(now, c.Resent)}
}

// Run tells until ctx ends.
func (p *Progress) Run(ctx context.Context) {
	p.began = time.Now()
	interval := logInterval
	if p.Screen != nil {
		interval = screenInterval
		defer p.Screen.Clear()
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	milestones := time.NewTicker(milestoneInterval)
	defer milestones.Stop()
	p.readings.next(p.began, p.Counters.Totals().Readings)
	p.recent.begin(p.Counters, p.began)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-milestones.C:
			if p.look(now) {
				milestones.Stop()
			}
		case now := <-ticker.C:
			v := p.view(now)
			if p.Screen != nil {
				columns, lines := p.Screen.size()
				p.Screen.show(v.lines(columns-1, lines)) // a full line would make some terminals begin the next
			} else {
				p.Log.Info("progress", v.attributes()...)
			}
		}
	}
}

// look notes what has happened for the first time, and reports whether nothing is left to wait for.
func (p *Progress) look(now time.Time) (done bool) {
	t, all := p.Counters.Totals(), int64(p.Kiosks)
	if p.allEnrolled == 0 && t.Enrolled >= all {
		p.allEnrolled = now.Sub(p.began)
	}
	if p.allConnected == 0 && t.Connected >= all {
		p.allConnected = now.Sub(p.began)
	}
	return p.allEnrolled > 0 && p.allConnected > 0
}

// view is how things stand now.
func (p *Progress) view(now time.Time) *view {
	v := &view{
		first: p.First, kiosks: p.Kiosks, processes: p.Processes, up: now.Sub(p.began),
		totals: p.Counters.Totals(), publish: p.recent.next(p.Counters, now),
		answers: p.Counters.Answers.Summary(), sites: p.Counters.Sites(),
	}
	v.rates = p.readings.next(now, v.totals.Readings)
	if p.Now != nil {
		v.simulated = p.Now()
	}
	if p.Phase != nil {
		v.phase = p.Phase()
	}
	return v
}

// attributes say in a log line what the table shows.
func (v *view) attributes() []any {
	if v.processes {
		return v.totals.attributes(true, v.kiosks)
	}
	a := append(v.totals.attributes(false, v.kiosks), "readings_per_second", fmt.Sprintf("%.1f", v.rates.acknowledged))
	a = append(a, latencyAttributes(&v.publish)...)
	if !v.simulated.IsZero() {
		a = append(a, "simulated", v.simulated)
	}
	if v.phase != "" {
		a = append(a, "phase", v.phase)
	}
	return a
}

// attributes say in a log line what was counted.
func (t *Totals) attributes(processes bool, kiosks int) []any {
	if processes {
		a := []any{"kiosks", kiosks, "running", t.Running}
		return append(a, t.errorAttributes()...)
	}
	a := []any{
		"kiosks", kiosks, "enrolled", t.Enrolled, "connected", t.Connected,
		"sent", t.Readings.Sent, "acknowledged", t.Readings.Acknowledged, "resent", t.Readings.Resent,
		"dropped", t.Readings.Dropped, "waiting", t.Readings.Waiting,
		"commands", t.Commands.Received, "executed", t.Commands.Executed,
	}
	return append(a, t.errorAttributes()...)
}

// latencyAttributes say how long acknowledgements took, if there were any.
func latencyAttributes(publish *latency.Summary) []any {
	if publish.Count == 0 {
		return nil
	}
	return []any{"publish_to_ack_p50", millis(publish.P50), "publish_to_ack_p99", millis(publish.P99)}
}

// errorAttributes name the errors that there were.
func (t *Totals) errorAttributes() (a []any) {
	for _, e := range t.Errors {
		if e.Count > 0 {
			a = append(a, e.Kind, e.Count)
		}
	}
	return a
}
