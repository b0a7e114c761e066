package anomaly

import (
	"context"
	"errors"
	"time"
)

const (
	// flushEvery is by how much the store is behind with what happens to anomalies.
	flushEvery = 200 * time.Millisecond
	// scoresEvery is by how much the journal is behind with scores.
	scoresEvery = time.Second
	pruneEvery  = time.Hour
	pruneAtOnce = 1000
)

// Run stores what happens and what is learnt until ctx ends. Disabled, it only stores that what went on is over.
func (w *Watch) Run(ctx context.Context) error {
	if !w.cfg.Disabled {
		kept := make(chan struct{})
		go func() {
			defer close(kept)
			w.keepStates(ctx)
		}()
		defer func() { <-kept }()
		compared := make(chan struct{})
		go func() {
			defer close(compared)
			w.comparePeers(ctx)
		}()
		defer func() { <-compared }()
	}
	flush, scores, prune := time.NewTicker(flushEvery), time.NewTicker(scoresEvery), time.NewTicker(pruneEvery)
	defer flush.Stop()
	defer scores.Stop()
	defer prune.Stop()
	for {
		select {
		case <-flush.C:
			_ = w.flushEvents(ctx) // it is tried again, and said in the log
		case <-scores.C:
			w.flushScores()
		case <-w.scores.ready:
			w.flushScores()
		case <-prune.C:
			w.prune(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// keepStates reads all snapshots, then writes one shard after another, all of them within SnapshotEvery: a little all
// the time disturbs those less who wait for the disk than everything at once.
func (w *Watch) keepStates(ctx context.Context) {
	for i := range w.shards {
		if ctx.Err() != nil {
			return
		}
		w.load(&w.shards[i])
	}
	tick := time.NewTicker(w.cfg.SnapshotEvery / shardCount)
	defer tick.Stop()
	failed := false
	for next := 0; ; next = (next + 1) % shardCount {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := w.snapshot(ctx, &w.shards[next])
		if err != nil && !failed && ctx.Err() == nil {
			w.cfg.Log.Error("what detectors learn is not kept, trying again", "error", err)
		}
		failed = err != nil
	}
}

// Finish stores everything that is left; call it when Run has returned and no reading comes any more.
func (w *Watch) Finish(ctx context.Context) error {
	err := w.Checkpoint(ctx)
	if w.cfg.Disabled {
		return err
	}
	for i := range w.shards {
		err = errors.Join(err, w.snapshot(ctx, &w.shards[i]))
	}
	return err
}

// prune removes a step of the anomalies that are too old to be kept.
func (w *Watch) prune(ctx context.Context) {
	before := w.cfg.Now().Add(-w.cfg.Keep)
	for ctx.Err() == nil {
		n, err := w.cfg.Keeper.PruneAnomalies(ctx, before, pruneAtOnce)
		if err != nil {
			w.cfg.Log.Warn("old anomalies not removed, trying again later", "error", err)
		}
		if n < pruneAtOnce {
			return
		}
	}
}
