package agent

import (
	"context"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/outbox"
)

// deepDevice needs much of a stack.
type deepDevice struct {
	device.Device
	samples *atomic.Int64
}

// depth is what it needs, in bytes.
const depth = 256 << 10

//go:noinline
func deep(levels int) byte {
	var room [1 << 10]byte
	if levels == 0 {
		return 0
	}
	room[levels%len(room)] = deep(levels - 1)
	return room[0]
}

func (d deepDevice) Sample(now time.Time, online bool) device.Sample {
	deep(depth >> 10)
	d.samples.Add(1)
	return d.Device.Sample(now, online)
}

// idleLink never connects.
type idleLink struct{}

func (idleLink) Run(ctx context.Context) error                 { <-ctx.Done(); return nil }
func (idleLink) Publish(context.Context, string, []byte) error { return nil }

func stacks() int64 {
	runtime.GC() // those of goroutines that have ended are given back
	sample := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// TestAWaitingAgentNeedsLittle: what goes deep does not leave its stack with the goroutine that waits.
func TestAWaitingAgentNeedsLittle(t *testing.T) {
	const agents = 40
	var samples atomic.Int64
	box, _ := openBox(t, t.TempDir(), outbox.Limits{MaxReadings: 100})
	ctx, stop := context.WithCancelCause(t.Context())
	before, others := stacks(), runtime.NumGoroutine()
	var running sync.WaitGroup
	for range agents {
		a, err := New(Config{
			Identity: enroll.Identity{Serial: testSerial, KioskID: 1}, Outbox: box, Interval: time.Hour,
			Store:  StateFile(filepath.Join(t.TempDir(), "state.json")),
			Device: deepDevice{device.NewSimulated(device.Simulation{Serial: testSerial}), &samples},
		})
		if err != nil {
			t.Fatal(err)
		}
		a.newLink = func(linkEvents) (link, error) { return idleLink{}, nil }
		signal(a.cameUp) // asks for a reading
		running.Go(func() {
			if err := a.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	// Each has two goroutines: its own and its link's.
	for limit := time.Now().Add(30 * time.Second); samples.Load() < agents || runtime.NumGoroutine() > others+2*agents; {
		if time.Now().After(limit) {
			t.Fatalf("%d samples, %d goroutines", samples.Load(), runtime.NumGoroutine()-others)
		}
		time.Sleep(time.Millisecond) // between polls
	}
	each := (stacks() - before) / agents
	stop(ErrCrash)
	running.Wait()
	if each > depth/4 {
		t.Errorf("an agent waits with %d bytes of stack", each)
	}
}
