// Package clock is the time that a kiosk lives in: the present, or a past that catches up with it.
package clock

import "time"

// Clock is the time that a kiosk lives in.
type Clock interface {
	Now() time.Time
	// Until returns how long it takes, in real time, until the clock shows t; not less than 0.
	Until(t time.Time) time.Duration
	// CaughtUp returns the time from which on the clock is that of the present. Readings that are due
	// before it are made up for when a kiosk is late, later ones are not.
	CaughtUp() time.Time
}

// Real is the machine's clock.
type Real struct{}

// Now returns the time.
func (Real) Now() time.Time { return time.Now() }

// Until returns how long it takes, in real time, until the clock shows t; not less than 0.
func (Real) Until(t time.Time) time.Duration { return max(0, time.Until(t)) }

// CaughtUp returns the time from which on the clock is that of the present: always.
func (Real) CaughtUp() time.Time { return time.Time{} }

// CatchUp is a clock that begins in the past and runs faster until it has caught up with the present;
// from then on it is the machine's. It never shows a time that lies in the future. Safe for concurrent use.
type CatchUp struct {
	began time.Time // by the machine's clock
	ago   time.Duration
	scale float64
}

// NewCatchUp returns a clock that shows the time ago before now and runs scale times as fast as the
// machine's. Ago must not be negative, and scale must be greater than 1 unless ago is 0.
func NewCatchUp(ago time.Duration, scale float64) *CatchUp {
	return &CatchUp{began: time.Now(), ago: ago, scale: scale}
}

// NewSpan returns a clock for a simulated time span that ends with the present: it shows a time that is
// ago before now and runs scale times as fast as the machine's, so that it meets the present once it has
// shown the span. Scale must be greater than 1.
func NewSpan(span time.Duration, scale float64) *CatchUp {
	return NewCatchUp(time.Duration(float64(span)*(1-1/scale)), scale)
}

// lasts is how long, in real time, the clock needs to catch up.
func (c *CatchUp) lasts() time.Duration {
	if c.ago <= 0 {
		return 0
	}
	return time.Duration(float64(c.ago) / (c.scale - 1))
}

// Now returns the time.
func (c *CatchUp) Now() time.Time {
	now := time.Now()
	elapsed := now.Sub(c.began)
	if elapsed >= c.lasts() {
		return now
	}
	return c.start().Add(time.Duration(float64(elapsed) * c.scale))
}

// start is what the clock showed at first.
func (c *CatchUp) start() time.Time { return c.began.Add(-c.ago) }

// Until returns how long it takes, in real time, until the clock shows t; not less than 0.
func (c *CatchUp) Until(t time.Time) time.Duration {
	at := t // when it shows t, by the machine's clock; the same from CaughtUp on
	if t.Before(c.CaughtUp()) {
		at = c.began.Add(time.Duration(float64(t.Sub(c.start())) / c.scale))
	}
	return max(0, time.Until(at))
}

// CaughtUp returns the time from which on the clock is that of the present.
func (c *CatchUp) CaughtUp() time.Time { return c.began.Add(c.lasts()) }
