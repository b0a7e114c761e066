package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
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
	f, err := os.OpenFile(file+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(lockPatience)
	defer patience.Stop()
	for {
		taken, err := tryLock(f)
		if taken {
			return f.Close, nil
		}
		if err != nil {
			return nil, errors.Join(&os.PathError{Op: "lock", Path: f.Name(), Err: err}, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-patience.C:
			return nil, errors.Join(fmt.Errorf("another process has been opening it for %v: wait for it, or end it", lockPatience), f.Close())
		case <-time.After(lockEvery):
		}
	}
}
