package device

import (
	"math"
	"time"
)

// instant is a time in nanoseconds of Unix time, quicker to reckon with than a time.Time.
type instant int64

// never is later than every time.
const never = instant(math.MaxInt64)

const (
	second = instant(time.Second)
	minute = instant(time.Minute)
	hour   = instant(time.Hour)
	day    = 24 * hour
	week   = 7 * day
)

// The simulation knows the years from 1971 to 2200. Times outside, which only a clock that is badly
// off shows, count as the nearest of these.
var (
	earliest = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

func instantOf(t time.Time) instant {
	switch {
	case t.Before(earliest):
		return instant(earliest.UnixNano())
	case t.After(latest):
		return instant(latest.UnixNano())
	}
	return instant(t.UnixNano())
}

func (t instant) time() time.Time { return time.Unix(0, int64(t)).UTC() }

// hoursSince returns the hours from an earlier time to t.
func (t instant) hoursSince(earlier instant) float64 { return float64(t-earlier) / float64(hour) }

// calendar turns instants into local time. It remembers the offset from UTC and how long that holds.
type calendar struct {
	zone        *time.Location
	offset      instant
	from, until instant // the offset holds in [from, until)
}

// local returns the reading of a local clock, counted like an instant.
func (c *calendar) local(t instant) instant {
	if t < c.from || t >= c.until {
		at := t.time().In(c.zone)
		_, seconds := at.Zone()
		c.offset, c.from, c.until = instant(seconds)*second, 0, never
		begin, end := at.ZoneBounds()
		if !begin.IsZero() {
			c.from = instantOf(begin)
		}
		if !end.IsZero() {
			c.until = instantOf(end)
		}
	}
	return t + c.offset
}

// at returns the instant of a local clock's reading on a local day, which is counted from 1 January 1970.
func (c *calendar) at(localDay int64, clock instant) instant {
	return instant(time.Date(1970, 1, 1+int(localDay), 0, 0, int(clock/second), 0, c.zone).UnixNano())
}

// dayOf splits local time into the day, counted from 1 January 1970, and the time since midnight.
func dayOf(local instant) (localDay int64, clock instant) {
	localDay = int64(local / day)
	if clock = local % day; clock < 0 {
		return localDay - 1, clock + day
	}
	return localDay, clock
}

// weekdayOf returns the weekday of a local day; the first of 1970 was a Thursday.
func weekdayOf(localDay int64) time.Weekday { return time.Weekday(((localDay+4)%7 + 7) % 7) }
