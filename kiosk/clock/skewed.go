package clock

import (
	"sync/atomic"
	"time"
)

// Skewed is a wrong clock: it runs as a right one does, and shows another time. An agent that is given one
// takes its readings in the rhythm of the right clock, and what its device senses keeps to that too; only
// the times that readings claim are wrong.
//
// An outbox gives no reading a time before that of an earlier one. So when such a clock is set back, be it
// because it has been ahead and is right again, times go on by a millisecond for each reading until the
// clock has passed the newest of them; see docs/adr/0009-kiosk-outbox.md for what the platform makes of it.
type Skewed struct {
	right Clock
	skew  atomic.Int64 // nanoseconds
}

// NewSkewed returns a clock that is right until it is set.
func NewSkewed(right Clock) *Skewed { return &Skewed{right: right} }

// Set sets how far the clock is ahead; negative is behind. Safe for concurrent use.
func (s *Skewed) Set(ahead time.Duration) { s.skew.Store(int64(ahead)) }

// Skew returns how far the clock is ahead.
func (s *Skewed) Skew() time.Duration { return time.Duration(s.skew.Load()) }

// Right returns the clock that is right.
func (s *Skewed) Right() Clock { return s.right }

// Shows returns what the clock shows when the right one shows t.
func (s *Skewed) Shows(t time.Time) time.Time { return t.Add(s.Skew()) }

// Now returns the time that the clock shows.
func (s *Skewed) Now() time.Time { return s.Shows(s.right.Now()) }

// Until returns how long it takes, in real time, until the clock shows t, unless it is set meanwhile.
func (s *Skewed) Until(t time.Time) time.Duration { return s.right.Until(t.Add(-s.Skew())) }

// CaughtUp returns what the clock shows when the right one has caught up with the present.
func (s *Skewed) CaughtUp() time.Time {
	if t := s.right.CaughtUp(); !t.IsZero() {
		return s.Shows(t)
	}
	return time.Time{}
}
