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
