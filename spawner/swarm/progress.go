package swarm

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Screen shows one line that is updated in place at the end of a terminal's output. What others
// write to the terminal passes through it, so that it appears above that line. Safe for concurrent use.
type Screen struct {
	out io.Writer

	mu   sync.Mutex // guards line
	line string
}

// NewScreen returns a screen on a terminal.
func NewScreen(out io.Writer) *Screen { return &Screen{out: out} }

const clearLine = "\r\x1b[K"

// Show replaces the line. Nothing can be done about a terminal that has gone, so errors are ignored.
func (s *Screen) Show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = line
	_, _ = io.WriteString(s.out, clearLine+line)
}

// Write puts whole lines above the line.
func (s *Screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.out.Write(b)
	}
	_, err := s.out.Write(append([]byte(clearLine), append(b[:len(b):len(b)], s.line...)...))
	return len(b), err
}

// Clear removes the line.
func (s *Screen) Clear() { s.Show("") }

// Intervals between updates on a terminal and between log lines.
const (
	screenInterval = 500 * time.Millisecond
	logInterval    = 5 * time.Second
)

// Progress tells how a swarm is doing.
type Progress struct {
	Total     int // kiosks in the end
	Counters  *Counters
	Processes bool    // one process per kiosk: only they are known, not what they do
	Screen    *Screen // a terminal; nil: log lines
	Log       *slog.Logger
}

// Run tells until ctx ends.
func (p *Progress) Run(ctx context.Context) {
	interval := logInterval
	if p.Screen != nil {
		interval = screenInterval
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var rate rate
	rate.next(time.Now(), p.Counters.Readings.Load())
	for {
		select {
		case <-ctx.Done():
			if p.Screen != nil {
				p.Screen.Clear()
			}
			return
		case now := <-ticker.C:
			perSecond := rate.next(now, p.Counters.Readings.Load())
			if p.Screen != nil {
				p.Screen.Show(p.Line(perSecond))
			} else {
				p.Log.Info("progress", p.attributes("readings_per_second", fmt.Sprintf("%.1f", perSecond))...)
			}
		}
	}
}

// Line says it in one line; perSecond is the rate of acknowledged readings.
func (p *Progress) Line(perSecond float64) string {
	c := p.Counters
	if p.Processes {
		return fmt.Sprintf("%d of %d processes running, %d ended by themselves", c.Running.Load(), p.Total, c.GaveUp.Load())
	}
	line := fmt.Sprintf("%d kiosks: %d enrolled, %d connected, %.1f readings/s", p.Total, c.Enrolled.Load(), c.Connected.Load(), perSecond)
	if n := c.Errors(); n > 0 {
		line += fmt.Sprintf(", %d errors", n)
	}
	return line
}

// Summary tells what the swarm has done.
func (p *Progress) Summary(took time.Duration) {
	took = took.Round(100 * time.Millisecond)
	if p.Screen == nil {
		p.Log.Info("stopped", p.attributes("took", took)...)
		return
	}
	c := p.Counters
	text := fmt.Sprintf("stopped after %s: %d kiosks, %d readings and %d acks acknowledged, %d readings dropped, %d errors\n",
		took, p.Total, c.Readings.Load(), c.Acks.Load(), c.Dropped.Load(), c.Errors())
	if p.Processes {
		text = fmt.Sprintf("stopped after %s: %d processes, %d had ended by themselves\n", took, p.Total, c.GaveUp.Load())
	}
	_, _ = io.WriteString(p.Screen, text) // nothing can be done about a terminal that has gone
}

func (p *Progress) attributes(more ...any) []any {
	c := p.Counters
	if p.Processes {
		return append([]any{"kiosks", p.Total, "running", c.Running.Load(), "ended", c.GaveUp.Load()}, more...)
	}
	return append([]any{
		"kiosks", p.Total, "enrolled", c.Enrolled.Load(), "connected", c.Connected.Load(),
		"readings", c.Readings.Load(), "acks", c.Acks.Load(), "dropped", c.Dropped.Load(), "errors", c.Errors(),
	}, more...)
}

// rate turns a growing number into a rate over the last rateWindow. Its zero value is ready.
type rate struct{ samples []rateSample } // oldest first

type rateSample struct {
	at    time.Time
	count int64
}

// rateWindow is as long as two usual intervals between readings, so that the rate holds still.
const rateWindow = 10 * time.Second

func (r *rate) next(now time.Time, count int64) (perSecond float64) {
	r.samples = append(r.samples, rateSample{now, count})
	for len(r.samples) > 2 && now.Sub(r.samples[1].at) >= rateWindow {
		r.samples = r.samples[1:]
	}
	oldest := r.samples[0]
	if seconds := now.Sub(oldest.at).Seconds(); seconds > 0 {
		perSecond = float64(count-oldest.count) / seconds
	}
	return perSecond
}
