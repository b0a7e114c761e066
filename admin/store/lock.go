package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kioskfleet/internal/filelock"
)

const (
	// lockEvery is how long an opening waits until it asks again whether it is its turn.
	lockEvery = 10 * time.Millisecond
	// lockPatience is how long it waits for the others: migrations of a large database take a while.
	lockPatience = 2 * time.Minute
)

// lock waits until no other process opens the database file. SQLite's own wait is not enough for that: whoever
// migrates takes its lock again and again, those who wait ask for it less and less often, and on a busy machine
// somebody is always too late; and the change to a write-ahead log is refused at once while others do the same.
func lock(ctx context.Context, file string) (unlock func() error, err error) {
	patience := time.NewTimer(lockPatience)
	defer patience.Stop()
	for {
		f, err := filelock.Try(file + ".lock")
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, filelock.ErrHeld) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-patience.C:
			return nil, fmt.Errorf("another process has been opening it for %v: wait for it, or end it", lockPatience)
		case <-time.After(lockEvery):
		}
	}
}
