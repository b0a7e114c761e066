package agent

import "sync/atomic"

// Counters count what agents do. Many agents may share one set.
type Counters struct {
	Connected atomic.Int64 // agents that are connected right now
	Readings  atomic.Int64 // readings the broker has acknowledged
	Acks      atomic.Int64 // acks of commands the broker has acknowledged
	Dropped   atomic.Int64 // readings that a full outbox dropped
	Lost      atomic.Int64 // connections that broke
	Failed    atomic.Int64 // attempts that made no connection
	Refused   atomic.Int64 // those of them that the broker refused
}
