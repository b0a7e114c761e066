package anomaly

import (
	"context"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
)

// maxEvents bounds what waits for a database that does not take it: beyond it Room holds back what brings more.
const maxEvents = 10_000

// roomPause is how long Room waits before it looks again.
const roomPause = 200 * time.Millisecond

// events are what happened to anomalies and is not stored yet. Those without a kind are stored, and nobody is told.
type events struct {
	writing sync.Mutex // held while something is written, so that nothing overtakes

	mu      sync.Mutex // guards the rest
	waiting []fleet.AnomalyEvent
	full    int
	failed  bool // the latest write failed
}

func (e *events) put(event fleet.AnomalyEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(e.waiting, event)
}

func (e *events) take() []fleet.AnomalyEvent {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.waiting
	e.waiting = nil
	return taken
}

// putBack returns what could not be written, before what came meanwhile. It reports whether this is news.
func (e *events) putBack(taken []fleet.AnomalyEvent) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(taken, e.waiting...)
	first := !e.failed
	e.failed = true
	return first
}

func (e *events) written() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed = false
}

func (e *events) isFull() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.waiting) > e.full
}

// Room waits until what happened and is not stored yet is little enough for more, or ctx ends.
func (w *Watch) Room(ctx context.Context) {
	for w.events.isFull() {
		timer := time.NewTimer(roomPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// Checkpoint stores everything that is not stored yet. When it returns nil, no anomaly that the readings so far have
// led to is lost by a crash. Scores that the journal does not take are dropped and counted.
func (w *Watch) Checkpoint(ctx context.Context) error {
	w.flushScores()
	return w.flushEvents(ctx)
}

// flushEvents stores what waits, of each anomaly only how it is by now, and tells of it.
func (w *Watch) flushEvents(ctx context.Context) error {
	w.events.writing.Lock()
	defer w.events.writing.Unlock()
	taken := w.events.take()
	if len(taken) == 0 {
		return nil
	}
	place := make(map[string]int, len(taken))
	latest := make([]fleet.Anomaly, 0, len(taken))
	var told []fleet.AnomalyEvent
	for i := range taken {
		a := &taken[i].Anomaly
		if taken[i].Kind != "" {
			told = append(told, taken[i])
		}
		if at, ok := place[a.ID]; ok {
			latest[at] = *a
			continue
		}
		place[a.ID] = len(latest)
		latest = append(latest, *a)
	}
	if err := w.cfg.Keeper.SaveAnomalies(ctx, latest); err != nil {
		if w.events.putBack(taken) {
			w.cfg.Log.Error("anomalies not written, trying again", "anomalies", len(latest), "error", err)
		}
		return err
	}
	w.events.written()
	if len(told) > 0 {
		w.tell(told)
	}
	return nil
}
