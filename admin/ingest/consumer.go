package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kioskfleet/admin/ingest/journal"
)

const (
	// batchRecords bounds what a consumer works on at a time.
	batchRecords = 2048
	// commitEvery spaces the writes of a position that lags a little for cheap.
	commitEvery = time.Second
	readPause   = time.Second
)

// consumer reads the journal in batches. Its position moves on only when a batch is done, so that
// whatever stops the process, nothing is left out; after a crash some of it comes again.
type consumer struct {
	name    string
	reader  *journal.Reader
	log     *slog.Logger
	kept    payloads
	company time.Duration // how long a first record waits for others, 0: not at all
	// work does a batch. It reports whether its effects are on disk, so that the position may follow at
	// once; otherwise it follows about every second. An error means that the batch is to come again at
	// the next start, and ends the consumer.
	work func(ctx context.Context, batch []record) (durable bool, err error)
	// caughtUp runs before each wait for a record, if it is set.
	caughtUp func(ctx context.Context)
}

// run works until ctx ends, then until the journal is worked off or the grace is over.
func (c *consumer) run(ctx context.Context) error {
	defer c.reader.Close()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(finishGrace, cancel) })
	defer stop()

	var done, committed uint64
	lastCommit := time.Now()
	commit := func() error {
		if done == committed {
			return nil
		}
		if err := c.reader.Commit(done); err != nil {
			return err
		}
		committed, lastCommit = done, time.Now()
		return nil
	}
	for work.Err() == nil {
		if c.caughtUp != nil && !c.reader.Ready() {
			c.caughtUp(work)
		}
		batch, last, err := c.take(ctx, work)
		if err != nil {
			c.log.Error("journal cannot be read, trying again", "consumer", c.name, "error", err)
			if !sleep(work, readPause) {
				break
			}
			continue
		}
		if len(batch) == 0 {
			break
		}
		durable, err := c.work(work, batch)
		if err != nil {
			if work.Err() != nil {
				break // the grace is over; the rest is for the next start
			}
			return fmt.Errorf("%s: %w", c.name, err)
		}
		done = last
		if durable || time.Since(lastCommit) > commitEvery {
			if err := commit(); err != nil {
				// The work is done; coming again does no harm.
				c.log.Error("position not stored", "consumer", c.name, "error", err)
			}
		}
	}
	return commit()
}

// take waits for a record and collects what else is there. An empty batch means the end.
func (c *consumer) take(ctx, work context.Context) (batch []record, last uint64, err error) {
	for len(batch) < batchRecords {
		wait := ctx
		if len(batch) > 0 || ctx.Err() != nil {
			if !c.reader.Ready() {
				break
			}
			wait = work
		}
		raw, number, err := c.reader.Next(wait)
		if errors.Is(err, context.Canceled) || errors.Is(err, journal.ErrClosed) {
			if len(batch) == 0 && ctx.Err() != nil && work.Err() == nil && c.reader.Ready() {
				continue // the end was asked for while waiting; what came meanwhile is still worked off
			}
			break
		}
		if err != nil && len(batch) > 0 {
			break // what was read is worked on first; the error comes again
		}
		if err != nil {
			return nil, 0, err
		}
		last = number
		r, err := decodeRecord(raw)
		if err != nil {
			c.log.Error("journal record skipped", "consumer", c.name, "number", number, "error", err)
			continue
		}
		r.number, r.payload = number, c.kept.keep(r.payload)
		batch = append(batch, r)
		if len(batch) == 1 && c.company > 0 && ctx.Err() == nil {
			sleep(ctx, c.company)
		}
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
