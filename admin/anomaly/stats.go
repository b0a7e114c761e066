package anomaly

import (
	"sync/atomic"
	"time"
)

// counts are what is counted since the start.
type counts struct {
	open            atomic.Int64 // now
	opened          atomic.Int64
	steps           atomic.Int64
	stepTime        atomic.Int64 // nanoseconds
	late            atomic.Int64
	resting         atomic.Int64
	skipped         atomic.Int64
	snapshots       atomic.Int64
	snapshotsFailed atomic.Int64
	snapshotTime    atomic.Int64 // nanoseconds
	snapshotBytes   [shardCount]atomic.Int64
}

// Stats says how the Watch does. Counts are since the start.
type Stats struct {
	Kiosks          int           // whose state is in memory
	Open            int64         // anomalies that go on
	Opened          int64         // anomalies
	Steps           int64         // readings that were scored
	StepTime        time.Duration // that all of them took
	Late            int64         // readings that were older than the newest of their kiosk
	Resting         int64         // readings of kiosks that were worked on
	Skipped         int64         // values of metrics beyond those that are watched
	ScoresDropped   int64
	Snapshots       int64 // of shards
	SnapshotsFailed int64
	SnapshotTime    time.Duration // that all of them took
	SnapshotBytes   int64         // of all shards, as they were written last
}

// Stats returns how the Watch does.
func (w *Watch) Stats() Stats {
	c := &w.counts
	s := Stats{
		Open: c.open.Load(), Opened: c.opened.Load(), Steps: c.steps.Load(), StepTime: time.Duration(c.stepTime.Load()),
		Late: c.late.Load(), Resting: c.resting.Load(), Skipped: c.skipped.Load(), Snapshots: c.snapshots.Load(), SnapshotsFailed: c.snapshotsFailed.Load(),
		SnapshotTime: time.Duration(c.snapshotTime.Load()),
	}
	for i := range w.shards {
		s.SnapshotBytes += c.snapshotBytes[i].Load()
		w.shards[i].mu.RLock()
		s.Kiosks += len(w.shards[i].kiosks)
		w.shards[i].mu.RUnlock()
	}
	w.scores.mu.Lock()
	s.ScoresDropped = w.scores.dropped
	w.scores.mu.Unlock()
	return s
}
