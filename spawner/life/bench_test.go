package life

import (
	"fmt"
	"runtime"
	"testing"

	"kioskfleet/kiosk/agent"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// BenchmarkLife tells what a life weighs beside its agent, its device and its connection, with the
// faults of an ordinary fleet and without any, and how long its plan takes for the next hours.
func BenchmarkLife(b *testing.B) {
	for _, profile := range []string{fault.ProfileNone, fault.ProfileOrdinary} {
		b.Run(profile, func(b *testing.B) {
			rates, err := fault.Profile(profile)
			if err != nil {
				b.Fatal(err)
			}
			agenda := NewAgenda(clock.Real{})
			lives := make([]*Life, 0, 10_000)
			tell := func(truth.Event) {}
			var before, after runtime.MemStats
			devices := weigh(&before, &after, func(i int) any {
				return device.NewSimulated(device.Simulation{Serial: fmt.Sprint("K-", i)})
			})
			var plans []*fault.Plan
			plan := weigh(&before, &after, func(i int) any {
				p := fault.NewPlan(1, fmt.Sprint("K-", i), "Lisbon", nil, rates)
				plans = append(plans, p)
				return p
			})
			all := weigh(&before, &after, func(i int) any {
				l := New(Config{
					Agent:  agent.Config{Identity: enroll.Identity{Serial: fmt.Sprint("K-", i)}},
					Device: device.Simulation{Serial: fmt.Sprint("K-", i), Faults: plans[i]},
					Clock:  clock.Real{}, Agenda: agenda, Truth: tell,
				})
				l.foreseeFirst()
				lives = append(lives, l)
				return l
			})
			now := clock.Real{}.Now()
			b.ResetTimer()
			for i := range b.N {
				lives[i%len(lives)].foresee(now, now.Add(horizon))
			}
			b.ReportMetric(float64(plan), "B/plan")
			b.ReportMetric(float64(all-devices), "B/life")
		})
	}
}

// weigh returns how many bytes one thing takes of many.
func weigh(before, after *runtime.MemStats, thing func(i int) any) int64 {
	const n = 10_000
	things := make([]any, n)
	runtime.GC()
	runtime.ReadMemStats(before)
	for i := range things {
		things[i] = thing(i)
	}
	runtime.GC()
	runtime.ReadMemStats(after)
	runtime.KeepAlive(things)
	return (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
}
