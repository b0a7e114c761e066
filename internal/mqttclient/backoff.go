package mqttclient

import (
	"math/rand/v2"
	"time"
)

// Backoff spaces retries: the n-th waits a random time up to Min·2ⁿ, at most Max, so that a fleet
// that lost its broker does not come back all at once.
//
// Source: "full jitter" in M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
type Backoff struct {
	Min time.Duration // default 500 ms
	Max time.Duration // default 30 s
}

func (b Backoff) withDefaults() Backoff {
	if b.Min <= 0 {
		b.Min = 500 * time.Millisecond
	}
	if b.Max <= 0 {
		b.Max = 30 * time.Second
	}
	b.Max = max(b.Max, b.Min)
	return b
}

// Delay returns how long to wait before retry number attempt, counted from 0. It is at least a
// tenth of Min, so that a refusing broker is never hammered.
func (b Backoff) Delay(attempt int) time.Duration {
	b = b.withDefaults()
	attempt = min(max(attempt, 0), 62)
	ceiling := b.Max
	if b.Min <= b.Max>>attempt { // shifting Min could overflow
		ceiling = b.Min << attempt
	}
	return min(b.Min/10+rand.N(ceiling), b.Max)
}
