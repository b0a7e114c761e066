package load

import (
	"sync"
	"time"
)

// Ledger remembers what a client has sent, in four bytes a reading. It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	base    int64    // Unix milliseconds of the first reading
	entries []uint32 // by seq-1: milliseconds after base, and the flag
	acked   int
}

// flagAcked marks an acknowledged reading; what is left of the 32 bits lasts 24 days.
const flagAcked = 1 << 31

// Entry is one reading of a ledger.
type Entry struct {
	Seq   uint64
	Time  time.Time // UTC, whole milliseconds
	Acked bool
}

// add notes a new reading and returns its seq.
func (l *Ledger) add(atMillis int64) (seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		l.base = atMillis
	}
	l.entries = append(l.entries, uint32(atMillis-l.base))
	return uint64(len(l.entries))
}

func (l *Ledger) ack(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := &l.entries[seq-1]; *e&flagAcked == 0 {
		*e |= flagAcked
		l.acked++
	}
}

// Acked is how many readings were acknowledged.
func (l *Ledger) Acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Entries returns every reading that was sent, by seq.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Entry, len(l.entries))
	for i, e := range l.entries {
		out[i] = Entry{Seq: uint64(i + 1), Time: time.UnixMilli(l.base + int64(e&^flagAcked)).UTC(), Acked: e&flagAcked != 0}
	}
	return out
}
