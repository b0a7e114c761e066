package load

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats counts what clients do. Many clients may share one; it is safe for concurrent use.
type Stats struct {
	Sent        atomic.Uint64 // readings sent, those sent again too
	Acked       atomic.Uint64 // readings acknowledged: PUBACK, or PUBREC at QoS 2
	Resent      atomic.Uint64 // readings sent again after a connection broke
	Refused     atomic.Uint64 // acknowledgements with a reason code that says no
	Connects    atomic.Uint64 // connections made
	Lost        atomic.Uint64 // connections that broke
	Failed      atomic.Uint64 // attempts to connect that failed
	Latency     Histogram     // from the first byte of a send to its acknowledgement
	lastFailure atomic.Pointer[string]
}

// LastFailure is why a connection last broke or could not be made, empty if none did.
func (s *Stats) LastFailure() string {
	if text := s.lastFailure.Load(); text != nil {
		return *text
	}
	return ""
}

func (s *Stats) failed(err error) {
	text := err.Error()
	s.lastFailure.Store(&text)
}

// String sums up the counters.
func (s *Stats) String() string {
	return fmt.Sprintf("%d sent, %d acknowledged, %d sent again, %d refused; %d connections, %d lost, %d failed attempts; p50 %s, p99 %s, max %s",
		s.Sent.Load(), s.Acked.Load(), s.Resent.Load(), s.Refused.Load(), s.Connects.Load(), s.Lost.Load(), s.Failed.Load(),
		s.Latency.Quantile(0.5), s.Latency.Quantile(0.99), s.Latency.Quantile(1))
}

// A histogram's buckets are 32 to a power of two, so a value is known within about 3%.
const (
	subBits    = 5
	subBuckets = 1 << subBits
	buckets    = (64 - subBits + 1) * subBuckets
)

// Histogram counts durations in buckets of about 3% width, as HdrHistogram does. The zero value is
// ready, and it is safe for concurrent use, which the libraries that we found are not.
type Histogram struct {
	counts [buckets]atomic.Uint64
}

// Record counts a duration.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)/time.Microsecond))].Add(1)
}

// Reset forgets everything.
func (h *Histogram) Reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
}

// Quantile returns the upper bound of the bucket that holds the quantile q of 0 to 1; 0 without values.
func (h *Histogram) Quantile(q float64) time.Duration {
	var total uint64
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	if total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(total)+0.5), 1)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			return time.Duration(upperBound(i)) * time.Microsecond
		}
	}
	return time.Duration(upperBound(buckets-1)) * time.Microsecond
}

func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

// upperBound is the largest value of a bucket.
func upperBound(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return (uint64(i%subBuckets+subBuckets)+1)<<shift - 1
}
