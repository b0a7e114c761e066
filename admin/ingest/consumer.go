package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest/journal"
)

const (
	// batchRecords bounds what a consumer works on at a time.
	batchRecords = 2048
	batchBytes   = 4 << 20
	readPause    = time.Second
)

// errRewind asks for everything that the journal still holds: what was worked off got lost.
var errRewind = errors.New("work is lost, from the oldest record again")

// consumer reads the journal in batches. Its position moves on only when the effects of a batch are on
// disk, so that whatever stops the process, nothing is left out; after a crash some of it comes again.
type consumer struct {
	name    string
	reader  *journal.Reader
	log     *slog.Logger
	kept    payloads      // of the batch at hand
	batch   []record      // its memory
	company time.Duration // how long a first record waits for a batch to fill up, 0: not at all
	// work does a batch. errRewind sends the consumer back to the oldest record; any other error means
	// that the batch is to come again at the next start, and ends the consumer.
	work func(ctx context.Context, batch []record) error
	// checkpoint brings the effects of all work so far to disk; then the position moves on. It is asked
	// for about every checkpointEvery while there was work, less often but at least every checkpointLongest if it takes
	// long, and once at the end.
	checkpoint        func(ctx context.Context) error
	checkpointEvery   time.Duration
	checkpointLongest time.Duration // no more than checkpointEvery: always that
	// again says that work whose checkpoint failed is to be done again: nobody knows what became of it.
	again bool
	// caughtUp runs before each wait for a record, if it is set.
	caughtUp func(ctx context.Context)

	progress progress
}

// progress is what others may ask of a consumer.
type progress struct {
	mu      sync.Mutex // guards all fields
	next    uint64     // number of the first record that it has not worked off
	oldest  time.Time  // when that record, or one shortly before, was received
	problem string     // why it does not get on
	since   time.Time  // of the problem
}

func (p *progress) begin(first record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.oldest = first.number, first.at
}

func (p *progress) done(next uint64, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.oldest = next, at
}

// stuck notes why the consumer does not get on; nil says that it does.
func (p *progress) stuck(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.problem, p.since = "", time.Time{}
		return
	}
	if p.problem == "" {
		p.since = time.Now().UTC()
	}
	p.problem = err.Error()
}

// status says how the consumer does, next being the number of the journal's next record.
func (c *consumer) status(next uint64, now time.Time) fleet.ConsumerStatus {
	p := &c.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	s := fleet.ConsumerStatus{Name: c.name, Problem: p.problem, Since: p.since}
	if next > p.next {
		s.Behind, s.Lag = next-p.next, max(now.Sub(p.oldest), 0)
	}
	return s
}

// run works until ctx ends, then until the journal is worked off or the grace is over.
func (c *consumer) run(ctx context.Context) error {
	defer c.reader.Close()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(finishGrace, cancel) })
	defer stop()

	w := &workOff{consumer: c, lastCommit: time.Now(), spacing: c.checkpointEvery}
	for work.Err() == nil {
		if c.caughtUp != nil && c.reader.Ready() == 0 {
			c.caughtUp(work)
		}
		batch, last, err := c.take(ctx, work, w.nextCommit())
		switch {
		case errors.Is(err, errEnded):
			return w.finish(ctx)
		case errors.Is(err, errNewer):
			return fmt.Errorf("%s: %w", c.name, err)
		case err != nil:
			c.log.Error("journal cannot be read, trying again", "consumer", c.name, "error", err)
			c.progress.stuck(err)
			if !sleep(work, readPause) {
				return w.finish(ctx)
			}
		case last > 0:
			if err := w.do(work, batch, last); err != nil {
				if work.Err() != nil {
					return w.finish(ctx) // the grace is over; the rest is for the next start
				}
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		w.commitIfDue(work)
	}
	return w.finish(ctx)
}

// finish commits at the end. What cannot be committed comes again at the next start.
func (w *workOff) finish(ctx context.Context) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishGrace)
	defer cancel()
	if err := w.commit(limited); err != nil {
		w.log.Warn("the latest work comes again at the next start", "consumer", w.name, "error", err)
	}
	return nil
}

// workOff is how far one run of a consumer is.
type workOff struct {
	*consumer
	done, committed uint64 // numbers of records; 0: none in this run
	lastCommit      time.Time
	spacing         time.Duration // from it to the next
	unkept          bool          // a position was gone back to that is not on disk yet
}

// nextCommit is when a checkpoint is due; zero: there is nothing to be committed.
func (w *workOff) nextCommit() time.Time {
	if w.done == w.committed {
		return time.Time{}
	}
	return w.lastCommit.Add(w.spacing)
}

// rare is how many times as long as a checkpoint took it is until the next: one that writes down a large fleet takes a second
// of a processor and more.
const rare = 30

// spacingAfter returns how long to wait from a checkpoint that took so long to the next.
func (c *consumer) spacingAfter(took time.Duration) time.Duration {
	return max(c.checkpointEvery, min(rare*took, c.checkpointLongest))
}

// do works on a batch.
func (w *workOff) do(ctx context.Context, batch []record, last uint64) error {
	if len(batch) > 0 {
		w.progress.begin(batch[0])
		err := w.consumer.work(ctx, batch)
		if errors.Is(err, errRewind) {
			w.rewind(batch[0].at)
			return nil
		}
		if err != nil {
			return err
		}
		w.progress.done(last+1, batch[len(batch)-1].at)
	}
	w.done = last
	return nil
}

// rewind goes back to the oldest record.
func (w *workOff) rewind(at time.Time) {
	err := w.reader.Rewind()
	if w.unkept = err != nil; w.unkept {
		w.log.Error("position not stored, trying again", "consumer", w.name, "error", err)
	}
	w.goneBack(at)
}

// goneBack notes that the reader stands at an earlier record.
func (w *workOff) goneBack(at time.Time) {
	w.done, w.committed = 0, 0
	w.progress.done(w.reader.Position(), at)
}

func (w *workOff) commitIfDue(ctx context.Context) {
	if w.done == w.committed || time.Since(w.lastCommit) < w.spacing {
		return
	}
	err := w.commit(ctx)
	if errors.Is(err, errRewind) {
		w.rewind(time.Now())
		return
	}
	w.progress.stuck(err)
	if err == nil || ctx.Err() != nil {
		return
	}
	w.log.Warn("checkpoint failed, trying again", "consumer", w.name, "error", err)
	if w.again {
		w.reader.Return()
		w.goneBack(time.Now())
		sleep(ctx, retryFirst)
	}
}

func (w *workOff) commit(ctx context.Context) error {
	if w.done == w.committed {
		return nil
	}
	w.lastCommit, w.spacing = time.Now(), w.checkpointEvery
	if w.unkept {
		// Before anything is confirmed anew: a crash must find what was lost.
		if err := w.reader.Keep(); err != nil {
			return err
		}
		w.unkept = false
	}
	if err := w.checkpoint(ctx); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	w.spacing = w.spacingAfter(time.Since(w.lastCommit))
	if err := w.reader.Commit(w.done); err != nil {
		return err
	}
	w.committed = w.done
	return nil
}

// errEnded is what take returns when there is nothing more to come.
var errEnded = errors.New("worked off")

// take waits for a record, until that time unless it is zero, and collects what else is there. A last of
// 0 means that none came. The batch is good until the next call.
func (c *consumer) take(ctx, work context.Context, until time.Time) (batch []record, last uint64, err error) {
	waiting := ctx
	if !until.IsZero() {
		var cancel context.CancelFunc
		waiting, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	c.kept.reset()
	batch = c.batch[:0]
	defer func() { c.batch = batch }()
	for size := 0; len(batch) < batchRecords && size < batchBytes; {
		wait := waiting
		if last > 0 || ctx.Err() != nil {
			if c.reader.Ready() == 0 {
				break
			}
			wait = work
		}
		raw, number, err := c.reader.Next(wait)
		if errors.Is(err, context.DeadlineExceeded) {
			return batch, last, nil
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, journal.ErrClosed) {
			if last == 0 && ctx.Err() != nil && work.Err() == nil && c.reader.Ready() > 0 {
				continue // the end was asked for while waiting; what came meanwhile is still worked off
			}
			break
		}
		if err != nil && last > 0 {
			break // what was read is worked on first; the error comes again
		}
		if err != nil {
			return batch, 0, err
		}
		first := last == 0
		last = number
		size += len(raw)
		r, err := decodeRecord(raw)
		if errors.Is(err, errNewer) {
			return batch, 0, fmt.Errorf("record %d: %w", number, err)
		}
		if err != nil {
			c.log.Error("journal record skipped", "consumer", c.name, "number", number, "error", err)
			continue
		}
		r.number, r.payload = number, c.kept.keep(r.payload)
		batch = append(batch, r)
		if first && c.company > 0 && ctx.Err() == nil && c.reader.Ready() < batchRecords-1 {
			sleep(ctx, c.company)
		}
	}
	if last == 0 {
		return batch, 0, errEnded
	}
	return batch, last, nil
}

// sleep waits for d and reports whether ctx is still going.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
