package engine

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
)

const (
	// tickEvery is how often deadlines are looked for. An alert opens as of its deadline whenever that is.
	tickEvery = 100 * time.Millisecond
	// gather is how long what was found waits for more, so that the alerts of a whole site share a commit.
	gather = 5 * time.Millisecond
	// retryEvery spaces the attempts at a database that does not take what was found.
	retryEvery = time.Second
	// maxFound bounds what may wait for the database: beyond it Room holds back what brings more.
	maxFound = 100_000
)

// outbox counts what was found and not stored.
type outbox struct {
	mu     sync.Mutex // guards waiting
	count  int
	wake   chan struct{} // one slot is enough
	failed bool          // the latest write failed; only Run's side uses it

	saving  sync.Mutex // held while something is written, so that nothing overtakes
	changes []fleet.AlertChange
	states  map[string]fleet.AlertEngineState // of the changes; the newest of each kiosk
}

func (o *outbox) add(n int) {
	o.mu.Lock()
	o.count += n
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count > maxFound
}

// Room waits until what was found is little enough for more, or ctx ends.
func (e *Engine) Room(ctx context.Context) {
	for ctx.Err() == nil && e.outbox.full() {
		timer := time.NewTimer(tickEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// Run follows time and changes, and stores what is found, until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	var group sync.WaitGroup
	group.Go(func() { e.store(ctx) })
	defer group.Wait()
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
			e.Settle()
		case <-tick.C:
			e.tick(e.cfg.Now().UTC())
		}
	}
}

// Settle works on what Changed told, unless an earlier run is still told again.
func (e *Engine) Settle() {
	if e.replaying.Load() {
		return
	}
	e.waitingMu.Lock()
	waiting := e.waiting
	e.waiting = map[string]time.Time{}
	e.waitingMu.Unlock()
	for serial, at := range waiting {
		e.step(serial, Input{At: at})
	}
}

// tick handles the deadlines up to now, or up to when everything has been told.
func (e *Engine) tick(now time.Time) {
	if e.replaying.Load() {
		return
	}
	if e.cfg.Told != nil {
		now = e.cfg.Told(now)
	}
	for i := range e.shards {
		for _, serial := range e.shards[i].overdue(now) {
			e.step(serial, Input{At: now})
		}
	}
}

func (sh *shard) overdue(now time.Time) []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var out []string
	for len(sh.due.heap) > 0 && !sh.due.heap[0].at.After(now) {
		serial := sh.due.heap[0].serial
		sh.due.set(serial, time.Time{})
		if s := sh.states[serial]; s != nil {
			s.due = time.Time{}
			out = append(out, serial)
		}
	}
	return out
}

// store hands on what is found until ctx ends.
func (e *Engine) store(ctx context.Context) {
	wait := gather
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.outbox.wake:
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		wait = gather
		if err := e.write(ctx, false); err != nil {
			wait = retryEvery
			e.outbox.add(0)
		}
	}
}

// Checkpoint stores everything that is not stored yet. When it returns nil, a next start knows of everything that the
// engine was told before the call.
func (e *Engine) Checkpoint(ctx context.Context) error { return e.write(ctx, true) }

// Finish stores what is left; call it when nothing is told any more.
func (e *Engine) Finish(ctx context.Context) { _ = e.write(ctx, true) }

// write stores what was found with the states of its kiosks, or with all states that changed.
func (e *Engine) write(ctx context.Context, all bool) error {
	o := &e.outbox
	o.saving.Lock()
	defer o.saving.Unlock()
	if o.states == nil {
		o.states = map[string]fleet.AlertEngineState{}
	}
	if err := e.collect(all); err != nil {
		return err
	}
	if len(o.changes) == 0 && len(o.states) == 0 {
		return nil
	}
	states := make([]fleet.AlertEngineState, 0, len(o.states))
	for _, s := range o.states {
		states = append(states, s)
	}
	err := e.cfg.Desk.Apply(ctx, o.changes, states)
	if err != nil {
		if !o.failed {
			e.cfg.Log.Error("alerts not written, trying again", "alerts", len(o.changes), "kiosks", len(states), "error", err)
		}
		o.failed = true
		return err
	}
	o.mu.Lock()
	o.count -= len(o.changes)
	o.mu.Unlock()
	o.failed, o.changes, o.states = false, nil, nil
	return nil
}

// collect takes what is to be written from the shards, each at one moment: no change without the state that it led to.
func (e *Engine) collect(all bool) error {
	o := &e.outbox
	for i := range e.shards {
		if err := e.shards[i].collect(o, all); err != nil {
			return err
		}
	}
	return nil
}

func (sh *shard) collect(o *outbox, all bool) error {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	serials := map[string]struct{}{}
	for _, c := range sh.found {
		serials[c.Alert.Serial] = struct{}{}
	}
	if all {
		for serial := range sh.dirty {
			// Of most kiosks there is nothing to say, nor was at the last time: what comes again after a crash leads there again.
			if s := sh.states[serial]; s == nil || s.kept || !s.idle() {
				serials[serial] = struct{}{}
			}
		}
		clear(sh.dirty)
	}
	for serial := range serials {
		saved := fleet.AlertEngineState{Serial: serial} // without data: the kiosk is gone
		if s := sh.states[serial]; s != nil {
			var err error
			if saved, err = s.save(); err != nil {
				return err
			}
			s.kept = !s.idle()
		}
		o.states[serial] = saved
		delete(sh.dirty, serial)
	}
	o.changes = append(o.changes, sh.found...)
	sh.found = nil
	return nil
}

// deadlines is a heap of kiosks by their next deadline.
type deadlines struct {
	heap deadlineHeap
	of   map[string]*deadline
}

type deadline struct {
	serial string
	at     time.Time
	index  int
}

// set sets a kiosk's next deadline; zero: it has none.
func (d *deadlines) set(serial string, at time.Time) {
	one := d.of[serial]
	switch {
	case one == nil && at.IsZero():
	case one == nil:
		if d.of == nil {
			d.of = map[string]*deadline{}
		}
		one = &deadline{serial: serial, at: at}
		d.of[serial] = one
		heap.Push(&d.heap, one)
	case at.IsZero():
		heap.Remove(&d.heap, one.index)
		delete(d.of, serial)
	default:
		one.at = at
		heap.Fix(&d.heap, one.index)
	}
}

type deadlineHeap []*deadline

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h deadlineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *deadlineHeap) Push(x any) {
	one := x.(*deadline)
	one.index = len(*h)
	*h = append(*h, one)
}

// Pop implements heap.Interface.
func (h *deadlineHeap) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return one
}
