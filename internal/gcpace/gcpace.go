// Package gcpace sets how far the heap of a process with many long-lived objects may grow between two
// garbage collections. Go's default lets it double. For a small heap of much coming and going that is
// right; for one that holds a fleet it makes half of the memory garbage.
package gcpace

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// policy says how far the heap may grow.
type policy struct {
	// room is how many bytes may be allocated between two collections. A heap smaller than that may
	// double, as Go does it by itself.
	room uint64
	// least bounds what collections cost: however large the heap is, it may grow by so many percent.
	least int
}

// usual trades CPU for memory; docs/benchmarks.md has what it takes and gives with 15,000 kiosks.
var usual = policy{room: 128 << 20, least: 15}

const (
	// interval is short enough for a fleet that connects: it adds some 50 MB a second.
	interval = 2 * time.Second
	// mostPercent is Go's default.
	mostPercent = 100
)

// percent is the policy for a process whose last collection found so many bytes in use.
//
// Source: the heap's goal is live + (live + stacks + globals) × percent / 100, see runtime/debug.SetGCPercent.
func (p policy) percent(scanned uint64) int {
	if scanned <= p.room {
		return mostPercent
	}
	return max(p.least, int(p.room*mostPercent/scanned))
}

// Run adjusts the collector until ctx ends: a heap of up to 128 MiB may double, a larger one grow by 128 MiB,
// and by 15% at least. It leaves that alone where the environment says how to collect, by GOGC or GOMEMLIMIT.
//
// Ballast bytes count as in use but are never touched, and so take no memory: without them a small heap of much coming and
// going would be collected many times a second. A heap that is much larger gets rid of them, since the share of
// them by which it grows does take memory.
func Run(ctx context.Context, ballast int) { usual.run(ctx, ballast) }

// outgrown is how many times the ballast must be in use until there is none any more.
const outgrown = 8

func (p policy) run(ctx context.Context, ballast int) {
	held := make([]byte, ballast)
	defer func() { runtime.KeepAlive(held) }()
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		<-ctx.Done()
		return
	}
	before := debug.SetGCPercent(mostPercent)
	defer debug.SetGCPercent(before)
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for set := mostPercent; ; {
		metrics.Read(samples)
		var scanned uint64
		for _, s := range samples {
			scanned += s.Value.Uint64()
		}
		if scanned > outgrown*uint64(len(held)) {
			held = nil
		}
		if want := p.percent(scanned); want != set { // each change stops the world for a moment
			debug.SetGCPercent(want)
			set = want
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
