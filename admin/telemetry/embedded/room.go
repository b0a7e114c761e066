package embedded

import (
	"fmt"
	"time"

	"kioskfleet/admin/telemetry"
)

const (
	// spaceRetry is how soon to look again whether the disk has room.
	spaceRetry = time.Second
	// openFactor times Config.MinFreeBytes must be free to open the store, looseFactor times as much is plenty.
	openFactor  = 2
	looseFactor = 16
	// A disk that is neither full nor has plenty is looked at so many times before it is trusted: what became
	// free at this start, such as a journal's preallocated segment, may be taken again at once, and a TSDB that
	// finds no room while it replays its log ends the process.
	roomLooks = 6
	roomPause = 100 * time.Millisecond
)

// awaitRoom returns nil once the disk has had room for a while.
//
// Errors: a *telemetry.RetryAfterError when it has not.
func awaitRoom(dir string, minFree int64, freeOf func(dir string) (int64, error)) error {
	for look := 1; ; look++ {
		free, err := freeOf(dir)
		switch {
		case err != nil || free/looseFactor >= minFree:
			return nil //nolint:nilerr // a system that does not tell has the other ways to find out
		case free/openFactor < minFree:
			return &telemetry.RetryAfterError{After: spaceRetry, Err: fmt.Errorf("open embedded time series: the disk of %s has only %d MB left", dir, free>>20)}
		case look == roomLooks:
			return nil
		}
		time.Sleep(roomPause)
	}
}
