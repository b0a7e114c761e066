package mqttclient

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"
)

func TestDelay(t *testing.T) {
	const s = time.Second
	tests := []struct {
		backoff Backoff
		attempt int
		atLeast time.Duration
		atMost  time.Duration
	}{
		{Backoff{}, 0, s / 20, s/2 + s/20},
		{Backoff{}, 1, s / 20, s + s/20},
		{Backoff{}, 5, s / 20, 16*s + s/20},
		{Backoff{}, 6, s / 20, 30 * s},
		{Backoff{}, 1000, s / 20, 30 * s},
		{Backoff{}, math.MaxInt, s / 20, 30 * s},
		{Backoff{}, -1, s / 20, s/2 + s/20},
		{Backoff{Min: s, Max: 4 * s}, 1, s / 10, 2*s + s/10},
		{Backoff{Min: s, Max: 4 * s}, 2, s / 10, 4 * s},
		{Backoff{Min: s, Max: 4 * s}, 3, s / 10, 4 * s},
		{Backoff{Min: 10 * s, Max: s}, 0, s, 10 * s}, // Max is at least Min
		{Backoff{Min: time.Minute}, 0, 6 * s, time.Minute},
		{Backoff{Min: -s, Max: -s}, 0, s / 20, s/2 + s/20},
		{Backoff{Min: 1, Max: 1}, 0, 0, 0},
		{Backoff{Min: 30 * s, Max: 24 * time.Hour}, 29, 3 * s, 24 * time.Hour},
		{Backoff{Min: time.Hour, Max: math.MaxInt64}, 40, 6 * time.Minute, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v attempt %d", tt.backoff, tt.attempt), func(t *testing.T) {
			shortest, longest := time.Duration(math.MaxInt64), time.Duration(0)
			for range 2000 {
				d := tt.backoff.Delay(tt.attempt)
				shortest, longest = min(shortest, d), max(longest, d)
			}
			if shortest < tt.atLeast || longest > tt.atMost {
				t.Errorf("delays of %s to %s, want %s to %s", shortest, longest, tt.atLeast, tt.atMost)
			}
			// A fleet must spread over the whole range.
			if width := tt.atMost - tt.atLeast; shortest > tt.atLeast+width/10 || longest < tt.atMost-width/10 {
				t.Errorf("delays of %s to %s do not use the range of %s to %s", shortest, longest, tt.atLeast, tt.atMost)
			}
		})
	}
}

func TestConfigurationsAreChecked(t *testing.T) {
	for _, bad := range [][]string{nil, {""}, {"localhost:8883"}, {"tcp://localhost:1883"}, {"mqtts://"}, {"mqtts://localhost:8883", "http://x"}, {"mqtts://%zz"}} {
		if _, err := New(Config{Brokers: bad}); err == nil {
			t.Errorf("brokers %q are accepted", bad)
		}
	}
	c, err := New(Config{Brokers: []string{"mqtts://localhost:8883", "ssl://[::1]:1", "tls://h:2"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Connected() {
		t.Error("connected before Run")
	}
	if err := c.Publish(t.Context(), "t", 1, false, nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("publish before Run: %v", err)
	}
}
