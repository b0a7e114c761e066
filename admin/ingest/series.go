package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
)

const (
	// seriesQueue bounds the readings that wait for the store. When it is full, the kiosks' queues
	// wait, then Accept, then the kiosks.
	seriesQueue = 50_000
	// batchSize and batchDelay bound one append; a reading waits at most that long for company.
	batchSize  = 5_000
	batchDelay = 200 * time.Millisecond
	// finishGrace is how long the store may take to swallow the rest at shutdown.
	finishGrace = 3 * time.Second

	retryFirst = 200 * time.Millisecond
	retryMax   = 10 * time.Second
)

// seriesWriter appends readings to the time-series store at its own pace, in batches, and tries
// again for as long as the store refuses.
type seriesWriter struct {
	cfg     Config
	metrics *metrics
	log     *slog.Logger

	wake      chan struct{} // buffered 1: something waits
	hurrying  chan struct{} // closed by hurry
	finishing chan struct{} // closed by finish

	mu        sync.Mutex
	notFull   *sync.Cond
	waiting   []fleet.Reading
	abandoned bool // the grace is over: what comes is counted as lost
}

func newSeriesWriter(cfg Config, m *metrics) *seriesWriter {
	w := &seriesWriter{cfg: cfg, metrics: m, log: cfg.Log, wake: make(chan struct{}, 1), hurrying: make(chan struct{}), finishing: make(chan struct{})}
	w.notFull = sync.NewCond(&w.mu)
	return w
}

// add queues readings; it waits while the queue is full.
func (w *seriesWriter) add(readings []fleet.Reading) {
	if len(readings) == 0 {
		return
	}
	w.mu.Lock()
	for len(w.waiting) >= seriesQueue && !w.abandoned {
		w.notFull.Wait()
	}
	if w.abandoned {
		w.mu.Unlock()
		w.metrics.lost.Add(float64(len(readings)))
		return
	}
	w.waiting = append(w.waiting, readings...)
	w.metrics.waiting.Set(float64(len(w.waiting)))
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// hurry begins the grace in which the store must have taken everything.
func (w *seriesWriter) hurry() { close(w.hurrying) }

// finish says that nothing more will be added; run ends once the queue is empty.
func (w *seriesWriter) finish() { close(w.finishing) }

func (w *seriesWriter) take() []fleet.Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), batchSize)
	batch := append([]fleet.Reading(nil), w.waiting[:n]...)
	w.waiting = append(w.waiting[:0], w.waiting[n:]...)
	w.metrics.waiting.Set(float64(len(w.waiting)))
	w.notFull.Broadcast()
	return batch
}

// run appends batches until finish and an empty queue, or hurry and the end of its grace.
func (w *seriesWriter) run(ctx context.Context) error {
	ctx, abandon := context.WithCancel(ctx)
	defer abandon()
	go func() {
		select {
		case <-ctx.Done():
		case <-w.hurrying:
			timer := time.AfterFunc(finishGrace, abandon)
			context.AfterFunc(ctx, func() { timer.Stop() })
		}
	}()
	for {
		batch := w.take()
		if len(batch) == 0 {
			if !w.await() {
				return nil
			}
			continue
		}
		if err := w.append(ctx, batch); err != nil {
			w.mu.Lock()
			lost := len(batch) + len(w.waiting)
			w.waiting, w.abandoned = nil, true
			w.notFull.Broadcast()
			w.mu.Unlock()
			w.metrics.lost.Add(float64(lost))
			return fmt.Errorf("%d readings were not stored: %w", lost, err)
		}
	}
}

// await waits until readings wait and have had time for company; false means the end.
func (w *seriesWriter) await() bool {
	select {
	case <-w.wake:
	case <-w.finishing:
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.waiting) > 0
	}
	timer := time.NewTimer(batchDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.hurrying:
	}
	return true
}

// append tries one batch until the store has taken or refused each reading, or ctx ends.
func (w *seriesWriter) append(ctx context.Context, batch []fleet.Reading) error {
	delay := retryFirst
	for {
		err := w.cfg.Series.Append(ctx, batch)
		if err == nil {
			w.metrics.stored.Add(float64(len(batch)))
			return nil
		}
		if rejected := w.cfg.Rejected(err); rejected != nil {
			for i, reason := range rejected {
				w.metrics.deadLetters.WithLabelValues(reasonRejected).Inc()
				w.log.Warn("reading refused by the time-series store", "serial", batch[i].Serial, "time", batch[i].Time, "reason", reason)
			}
			w.metrics.stored.Add(float64(len(batch) - len(rejected)))
			return nil
		}
		w.metrics.retries.Inc()
		pause := max(delay, w.cfg.Retry(err))
		w.log.Warn("time-series store does not take readings, trying again", "readings", len(batch), "retry_in", pause, "error", err)
		delay = min(2*delay, retryMax)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
