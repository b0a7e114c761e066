package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestACatchUpClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := NewCatchUp(time.Hour, 121) // catches up in 30 s
		for _, tt := range []struct {
			real, behind time.Duration // since the begin; how far the clock is behind
		}{
			{0, time.Hour}, {time.Second, time.Hour - 2*time.Minute}, {15 * time.Second, 30 * time.Minute},
			{29 * time.Second, 2 * time.Minute}, {30 * time.Second, 0}, {31 * time.Second, 0}, {time.Hour, 0},
		} {
			time.Sleep(time.Until(begin.Add(tt.real)))
			if got := time.Since(c.Now()); got != tt.behind {
				t.Errorf("after %s the clock is %s behind, want %s", tt.real, got, tt.behind)
			}
			if got := c.Now().Before(c.CaughtUp()); got != (tt.behind > 0) {
				t.Errorf("after %s it is before CaughtUp: %v", tt.real, got)
			}
		}
	})
}

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := NewCatchUp(time.Hour, 121)
		for _, tt := range []struct{ shows, takes time.Duration }{ // shows: since the begin
			{-2 * time.Hour, 0}, {-time.Hour, 0}, {-time.Hour + 121*time.Second, time.Second},
			{30 * time.Second, 30 * time.Second}, {time.Minute, time.Minute},
		} {
			if got := c.Until(begin.Add(tt.shows)); got != tt.takes {
				t.Errorf("until %s: %s, want %s", tt.shows, got, tt.takes)
			}
		}
		time.Sleep(2 * time.Second)
		if got := c.Until(begin.Add(-time.Hour + 363*time.Second)); got != time.Second {
			t.Errorf("two seconds later: %s, want 1s", got)
		}
		if got := (Real{}).Until(time.Now().Add(-time.Second)); got != 0 {
			t.Errorf("until a second ago: %s", got)
		}
	})
}

func TestAClockWithoutAPastIsTheMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCatchUp(0, 1)
		if c.Now().Before(c.CaughtUp()) || !c.Now().Equal(time.Now()) || c.Until(time.Now().Add(time.Minute)) != time.Minute {
			t.Error("it differs")
		}
	})
}

func TestASpanEndsWithThePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := NewSpan(24*time.Hour, 60) // 24 minutes
		began := c.Now()
		if ago := begin.Sub(began); ago != 23*time.Hour+36*time.Minute {
			t.Errorf("begins %s ago", ago)
		}
		time.Sleep(12 * time.Minute)
		if shown := c.Now().Sub(began); shown != 12*time.Hour {
			t.Errorf("at half time it has shown %s", shown)
		}
		time.Sleep(12 * time.Minute)
		// Within the rounding of its factor.
		if shown := c.Now().Sub(began); !c.Now().Equal(time.Now()) || (shown-24*time.Hour).Abs() > time.Microsecond {
			t.Errorf("at the end it has shown %s, and differs by %s", shown, time.Since(c.Now()))
		}
		if at := c.CaughtUp().Sub(begin); (at - 24*time.Minute).Abs() > time.Microsecond {
			t.Errorf("it catches up after %s", at)
		}
	})
}

func TestASkewedClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewSkewed(Real{})
		check := func(ahead time.Duration) {
			t.Helper()
			now := time.Now()
			if got := c.Now().Sub(now); got != ahead || c.Skew() != ahead {
				t.Errorf("it is %s ahead and says %s, want %s", got, c.Skew(), ahead)
			}
			if got := c.Until(now.Add(ahead + time.Minute)); got != time.Minute {
				t.Errorf("a minute takes %s", got)
			}
			if got := c.Until(now.Add(ahead - time.Minute)); got != 0 {
				t.Errorf("until a minute ago: %s", got)
			}
			if c.Now().Before(c.CaughtUp()) {
				t.Error("it has yet to catch up")
			}
		}
		check(0)
		c.Set(2 * time.Minute)
		check(2 * time.Minute)
		c.Set(-time.Hour)
		check(-time.Hour)
		c.Set(0)
		check(0)

		// Over a clock that catches up.
		right := NewCatchUp(time.Hour, 121)
		c = NewSkewed(right)
		c.Set(time.Minute)
		if got := c.CaughtUp().Sub(right.CaughtUp()); got != time.Minute || c.Right() != Clock(right) {
			t.Errorf("it has caught up %s later", got)
		}
		if got := c.Until(c.Now().Add(121 * time.Second)); got != time.Second {
			t.Errorf("121 of its seconds take %s", got)
		}
	})
}
