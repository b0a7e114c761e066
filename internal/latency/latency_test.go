package latency

import (
	"sync"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Summary() != (Summary{}) {
		t.Error("an empty histogram has a median")
	}
	for i := 1; i <= 10_000; i++ {
		h.Record(time.Duration(i) * time.Millisecond)
	}
	h.Record(-1)
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0, 0}, {0.5, 5 * time.Second}, {0.99, 9900 * time.Millisecond}, {1, 10 * time.Second}} {
		if got := h.Quantile(tt.q); float64(got) < 0.999*float64(tt.want) || float64(got) > 1.001*float64(tt.want) {
			t.Errorf("quantile %v is %s, want %s within 0.1%%", tt.q, got, tt.want)
		}
	}
	s := h.Summary()
	if s.Count != 10_001 || s.Min != 0 || s.P50 < 4995 || s.P50 > 5005 || s.P90 < 8991 || s.P90 > 9009 || s.P999 < 9980 || s.P999 > 10_000 || s.Max < s.P999 || s.Max > 10_010 {
		t.Errorf("summary: %+v", s)
	}
	h.Reset()
	if h.Quantile(1) != 0 || h.Summary() != (Summary{}) {
		t.Error("it has not forgotten")
	}
}

func TestWhatTookTooLongCountsAsTheLongest(t *testing.T) {
	var h Histogram
	h.Record(1<<63 - 1)
	if got := h.Quantile(1); got < longest || got > longest+longest/1000 {
		t.Errorf("the longest is %s", got)
	}
	h.Record(17 * time.Microsecond)
	if s := h.Summary(); s.Count != 2 || s.Min != 0.017 {
		t.Errorf("%+v", s)
	}
}

func TestManyMayRecordAtOnce(t *testing.T) {
	var h Histogram
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				h.Record(time.Duration(i) * time.Microsecond)
				if i%100 == 0 {
					h.Quantile(0.5)
				}
			}
		})
	}
	all.Wait()
	if n := h.Summary().Count; n != 8000 {
		t.Errorf("%d were counted", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	b.RunParallel(func(p *testing.PB) {
		for d := time.Millisecond; p.Next(); d += 31 * time.Microsecond {
			h.Record(d % time.Second)
		}
	})
}
