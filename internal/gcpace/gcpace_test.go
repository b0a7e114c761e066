package gcpace

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	p := policy{room: 200 << 20, least: 25}
	for _, c := range []struct {
		scanned uint64
		want    int
	}{{0, 100}, {200 << 20, 100}, {400 << 20, 50}, {800 << 20, 25}, {8 << 30, 25}} {
		if got := p.percent(c.scanned); got != c.want {
			t.Errorf("with %d MB in use: %d %%, want %d", c.scanned>>20, got, c.want)
		}
	}
}

// gcPercent is what is set right now.
func gcPercent() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

func TestRunFollowsTheHeapAndPutsBackWhatWas(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	held := make([]byte, 32<<20)
	runtime.GC()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		policy{room: 1 << 20, least: 20}.run(ctx, 0)
	}()
	for end := time.Now().Add(10 * time.Second); gcPercent() != 20; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("the percentage is %d, want 20", gcPercent())
		}
	}
	cancel()
	<-done
	if got := gcPercent(); got != 77 {
		t.Errorf("afterwards it is %d, want 77", got)
	}
	runtime.KeepAlive(held)
}

func TestALargeHeapHasNoBallast(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	live := func() uint64 {
		runtime.GC()
		s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	const ballast = 8 << 20
	before := live()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		policy{room: 1 << 30, least: 25}.run(ctx, ballast)
	}()
	await := func(what string, ok func(live uint64) bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(live()); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %d bytes are in use, %d were", what, live(), before)
			}
		}
	}
	await("with ballast", func(live uint64) bool { return live >= before+ballast })
	held := make([]byte, outgrown*ballast)
	await("much larger", func(live uint64) bool { return live < before+outgrown*ballast+ballast/2 })
	runtime.KeepAlive(held)
	cancel()
	<-done
}

func TestTheEnvironmentDecidesFirst(t *testing.T) {
	t.Setenv("GOGC", "50")
	ctx, cancel := context.WithCancel(t.Context())
	before := gcPercent()
	cancel()
	Run(ctx, 0)
	if got := gcPercent(); got != before {
		t.Errorf("the percentage is %d, it was %d", got, before)
	}
}
