package auth

import (
	"fmt"
	"sync"
	"time"
)

// TooManyError says that there were too many wrong attempts; After is when to try again.
type TooManyError struct{ After time.Duration }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many wrong attempts, wait %s", e.After.Round(time.Second))
}

const (
	freeAttempts = 5                // wrong ones before anybody has to wait
	firstDelay   = time.Second      // doubles with each further wrong attempt
	longestDelay = 5 * time.Minute  // at most
	forgetAfter  = 15 * time.Minute // without wrong attempts
	maxThrottled = 10_000           // names and addresses remembered
)

// throttle slows down guessing, by user name and by address. Its memory is bounded: when it is full
// the entries that have been quiet for forgetAfter go, and if there are none new names are not counted.
type throttle struct {
	mu      sync.Mutex
	entries map[string]attempts
}

type attempts struct {
	wrong int
	last  time.Time
}

func newThrottle() *throttle { return &throttle{entries: map[string]attempts{}} }

// wait returns how long the caller must wait, 0 when it may try.
func (t *throttle) wait(now time.Time, keys []string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var longest time.Duration
	for _, k := range keys {
		e := t.entries[k]
		if e.wrong < freeAttempts || now.Sub(e.last) > forgetAfter {
			continue
		}
		delay := longestDelay
		if n := e.wrong - freeAttempts; n < 9 {
			delay = min(longestDelay, firstDelay<<n)
		}
		longest = max(longest, e.last.Add(delay).Sub(now))
	}
	return longest
}

func (t *throttle) failed(now time.Time, keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		e, ok := t.entries[k]
		if !ok && len(t.entries) >= maxThrottled {
			for key, old := range t.entries {
				if now.Sub(old.last) > forgetAfter {
					delete(t.entries, key)
				}
			}
			if len(t.entries) >= maxThrottled {
				continue
			}
		}
		if now.Sub(e.last) > forgetAfter {
			e.wrong = 0
		}
		t.entries[k] = attempts{e.wrong + 1, now}
	}
}

func (t *throttle) succeeded(keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		delete(t.entries, k)
	}
}
