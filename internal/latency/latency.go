// Package latency counts how long things took, in HDR histograms.
package latency

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A duration is known within 0.1%, from 1 µs to 10 minutes; a longer one counts as 10 minutes.
const (
	unit              = time.Microsecond
	longest           = 10 * time.Minute
	significantDigits = 3
)

// Histogram counts durations. The zero value is ready and takes next to no memory; one that has counted
// takes about 200 KB. It is safe for concurrent use.
type Histogram struct {
	mu     sync.Mutex              // guards counts
	counts *hdrhistogram.Histogram // in units; nil: nothing was counted
}

// Record counts a duration; a negative one counts as 0.
func (h *Histogram) Record(d time.Duration) {
	v := int64(min(max(d, 0), longest) / unit)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		h.counts = hdrhistogram.New(1, int64(longest/unit), significantDigits)
	}
	_ = h.counts.RecordValue(v) // it is within the bounds
}

// Reset forgets everything.
func (h *Histogram) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts != nil {
		h.counts.Reset()
	}
}

// Quantile returns the duration that the share q, from 0 to 1, of all did not exceed; 0 without any.
func (h *Histogram) Quantile(q float64) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		return 0
	}
	return time.Duration(h.counts.ValueAtPercentile(100*q)) * unit
}

// Summary is what a histogram says in short, in milliseconds. It is zero without any durations.
type Summary struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
}

// Summary returns what was counted so far.
func (h *Histogram) Summary() Summary {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil || h.counts.TotalCount() == 0 {
		return Summary{}
	}
	millis := func(v int64) float64 { return float64(v) * float64(unit) / float64(time.Millisecond) }
	v := h.counts.ValueAtPercentilesSlice([]float64{50, 90, 99, 99.9})
	return Summary{
		Count: h.counts.TotalCount(), Min: millis(h.counts.Min()), Max: millis(h.counts.Max()),
		P50: millis(v[0]), P90: millis(v[1]), P99: millis(v[2]), P999: millis(v[3]),
	}
}
