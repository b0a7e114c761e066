package ingest

import (
	"context"
	"sync"
	"time"
)

const (
	// maxNews bounds the news that wait for a journal that is full; of more, the oldest are lost and counted.
	maxNews   = 20_000
	newsPause = time.Second
)

// news takes what the broker itself has to tell of kiosks: connections that began or ended, and wills.
// Nobody sends it again, so while the journal refuses it waits here, in its order.
type news struct {
	in *Ingest

	mu      sync.Mutex // guards waiting
	waiting []*record
}

func (n *news) put(r record) {
	n.mu.Lock()
	first := len(n.waiting) == 0
	n.mu.Unlock()
	if first && n.in.append(r) == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) >= maxNews {
		n.waiting = n.waiting[1:]
		n.in.metrics.newsLost.Inc()
	}
	n.waiting = append(n.waiting, &r)
}

// run tries again what waits, until ctx ends.
func (n *news) run(ctx context.Context) {
	for sleep(ctx, newsPause) {
		for r := n.oldest(); r != nil && n.in.append(*r) == nil; r = n.oldest() {
			n.remove(r)
		}
	}
}

func (n *news) oldest() *record {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) == 0 {
		n.waiting = nil
		return nil
	}
	return n.waiting[0]
}

// remove removes the oldest, unless it had to go meanwhile.
func (n *news) remove(r *record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) > 0 && n.waiting[0] == r {
		n.waiting = n.waiting[1:]
	}
}
