package auth

import (
	"fmt"
	"testing"
	"time"
)

func TestDelaysGrowWithWrongAttempts(t *testing.T) {
	tests := []struct {
		wrong int
		want  time.Duration
	}{
		{0, 0}, {1, 0}, {4, 0}, {5, time.Second}, {6, 2 * time.Second}, {7, 4 * time.Second}, {12, 128 * time.Second},
		{13, 256 * time.Second}, {14, longestDelay}, {15, longestDelay}, {39, longestDelay}, {40, longestDelay}, {69, longestDelay}, {100, longestDelay}, {10_000, longestDelay},
	}
	now := time.Unix(1000, 0)
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.wrong), func(t *testing.T) {
			th := newThrottle()
			for range tt.wrong {
				th.failed(now, []string{"user:ana"})
			}
			if got := th.wait(now, []string{"user:ana"}); got != tt.want {
				t.Errorf("wait = %s, want %s", got, tt.want)
			}
			if got := th.wait(now.Add(tt.want), []string{"user:ana"}); got > 0 {
				t.Errorf("wait after the wait = %s", got)
			}
			if got := th.wait(now, []string{"user:bob", "remote:r"}); got != 0 {
				t.Errorf("somebody else waits %s", got)
			}
		})
	}
}

func TestTheLongerWaitCounts(t *testing.T) {
	th, now := newThrottle(), time.Unix(1000, 0)
	for range freeAttempts {
		th.failed(now, []string{"user:ana", "remote:r"})
	}
	th.failed(now, []string{"user:bob", "remote:r"})
	for i, keys := range [][]string{{"user:ana", "remote:r"}, {"remote:r", "user:ana"}} {
		if got := th.wait(now, keys); got != 2*time.Second {
			t.Errorf("%d: wait = %s, want 2s", i, got)
		}
	}
}

func TestWrongAttemptsAreForgotten(t *testing.T) {
	keys := []string{"user:ana"}
	now := time.Unix(1000, 0)
	th := newThrottle()
	for range 20 {
		th.failed(now, keys)
	}
	th.succeeded(keys)
	if got := th.wait(now, keys); got != 0 || len(th.entries) != 0 {
		t.Errorf("after a success: wait %s, %d entries", got, len(th.entries))
	}
	for range 20 {
		th.failed(now, keys)
	}
	later := now.Add(forgetAfter + time.Second)
	th.failed(later, keys)
	if got := th.wait(later, keys); got != 0 {
		t.Errorf("one wrong attempt after a quiet time: wait %s", got)
	}
}

func TestTheThrottlesMemoryIsBounded(t *testing.T) {
	th, now := newThrottle(), time.Unix(1000, 0)
	for i := range maxThrottled + 10 {
		th.failed(now, []string{fmt.Sprint("user:", i)})
	}
	if len(th.entries) != maxThrottled {
		t.Fatalf("%d names are remembered, at most %d may be", len(th.entries), maxThrottled)
	}
	// Who is known is still counted, and after a quiet time there is room for others.
	for range freeAttempts {
		th.failed(now, []string{"user:0"})
	}
	if th.wait(now, []string{"user:0"}) == 0 {
		t.Error("a known name is not slowed down")
	}
	later := now.Add(forgetAfter + time.Second)
	th.failed(later, []string{"user:new"})
	if n := len(th.entries); n != 1 {
		t.Errorf("%d names are remembered after a quiet time, want the new one", n)
	}
}
