package load

import (
	"fmt"
	"sync/atomic"

	"kioskfleet/internal/latency"
)

// Stats counts what clients do. Many clients may share one; it is safe for concurrent use.
type Stats struct {
	Sent        atomic.Uint64     // readings sent, those sent again too
	Acked       atomic.Uint64     // readings acknowledged: PUBACK, or PUBREC at QoS 2
	Resent      atomic.Uint64     // readings sent again after a connection broke
	Refused     atomic.Uint64     // acknowledgements with a reason code that says no
	Connects    atomic.Uint64     // connections made
	Lost        atomic.Uint64     // connections that broke
	Failed      atomic.Uint64     // attempts to connect that failed
	Latency     latency.Histogram // from the first byte of a send to its acknowledgement
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
