package life

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"kioskfleet/kiosk/clock"
)

// Agenda does things at their time, by a clock that may run faster than the real one. One goroutine
// serves any number of kiosks: a timer for each fault of each kiosk would cost more than the faults.
// Create it with NewAgenda, drive it with Run. Safe for concurrent use.
type Agenda struct {
	clock  clock.Clock
	sooner chan struct{} // holds a token when the first entry is another one

	mu      sync.Mutex // guards the rest
	entries entries
	added   uint64
}

type entry struct {
	at    time.Time
	order uint64 // of entries for one moment, the one that was added first is done first
	do    func()
}

// NewAgenda returns an empty agenda.
func NewAgenda(time clock.Clock) *Agenda {
	return &Agenda{clock: time, sooner: make(chan struct{}, 1)}
}

// At has do called at t, or as soon as Run gets to it if t has passed. The functions are called one
// after another; they must not wait.
func (a *Agenda) At(t time.Time, do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.added++
	e := &entry{at: t, order: a.added, do: do}
	heap.Push(&a.entries, e)
	if a.entries[0] == e {
		select {
		case a.sooner <- struct{}{}:
		default:
		}
	}
}

// AtLast is At for what comes last at t: what is due at t by then, and what that adds for t, is done before.
func (a *Agenda) AtLast(t time.Time, do func()) {
	a.At(t, func() { a.At(t, do) })
}

// Run does what is due until ctx ends.
func (a *Agenda) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		next, wait := a.due()
		if next != nil {
			next()
			if ctx.Err() != nil {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-a.sooner:
		case <-timer.C:
		}
	}
}

// longestWait bounds a sleep: the machine's clock may be set meanwhile.
const longestWait = time.Minute

// due takes what is due, or says how long it takes until something is.
func (a *Agenda) due() (do func(), wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.entries) == 0 {
		return nil, longestWait
	}
	if wait := a.clock.Until(a.entries[0].at); wait > 0 {
		return nil, min(wait, longestWait)
	}
	e, _ := heap.Pop(&a.entries).(*entry)
	return e.do, 0
}

// entries is a heap, the next entry first.
type entries []*entry

func (e entries) Len() int { return len(e) }
func (e entries) Less(i, j int) bool {
	if c := e[i].at.Compare(e[j].at); c != 0 {
		return c < 0
	}
	return e[i].order < e[j].order
}
func (e entries) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *entries) Push(x any) {
	if x, ok := x.(*entry); ok {
		*e = append(*e, x)
	}
}
func (e *entries) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return last
}
