package swarm

import (
	"time"

	"kioskfleet/internal/latency"
)

// rateWindow is as long as two usual intervals between readings, so that a rate holds still.
const rateWindow = 10 * time.Second

// rate turns a growing number into a rate over the last rateWindow. Its zero value is ready.
type rate struct{ samples []rateSample } // oldest first

type rateSample struct {
	at    time.Time
	count int64
}

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

// latencyWindow keeps the latencies of the last full rateWindow.
type latencyWindow struct {
	began time.Time
	last  latency.Summary
	full  bool // last is of a whole window
}

func (w *latencyWindow) begin(c *Counters, now time.Time) {
	w.began = now
	c.recent.Reset()
}

// next returns the latencies of the last full window, of the first one while that lasts.
func (w *latencyWindow) next(c *Counters, now time.Time) latency.Summary {
	full := now.Sub(w.began) >= rateWindow
	if full || !w.full {
		w.last, w.full = c.recent.Summary(), w.full || full
	}
	if full {
		w.begin(c, now)
	}
	return w.last
}
