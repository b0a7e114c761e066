package device

import (
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

func equal(a, b Sample) bool {
	return maps.Equal(a.Environmental, b.Environmental) && maps.Equal(a.Hardware, b.Hardware) &&
		maps.Equal(a.Peripherals, b.Peripherals) && maps.Equal(a.Location, b.Location) &&
		maps.Equal(a.Network, b.Network) && maps.Equal(a.Custom, b.Custom)
}

// told is what happens to a kiosk from outside, at times after start.
var told = []struct {
	after time.Duration
	tell  func(s *Simulated, now time.Time, serving *bool)
}{
	{40 * time.Minute, func(_ *Simulated, _ time.Time, serving *bool) { *serving = false }},
	{75 * time.Minute, func(_ *Simulated, _ time.Time, serving *bool) { *serving = true }},
	{2 * time.Hour, func(s *Simulated, now time.Time, _ *bool) { s.Updated(now, "2.0.0") }},
	{3 * time.Hour, func(s *Simulated, now time.Time, _ *bool) { s.Restart(now) }},
	{7 * time.Hour, func(s *Simulated, now time.Time, _ *bool) { s.Updated(now, "2.0.1") }},
}

// common are the times, after start, at which samples are compared: every ten minutes of a day.
const (
	common = 10 * time.Minute
	until  = 24 * time.Hour
)

// live samples a kiosk from a time on, whenever pace says, at the common times and when it is told
// something. It returns the samples at common times and what was observed after start.
func live(sim Simulation, from time.Time, pace func(i int) time.Duration) (samples []Sample, events []truth.Event) {
	sim.Observe = func(e truth.Event) {
		if e.Session != nil && !e.Session.Ended.After(start) || e.Session == nil && !e.Time.After(start) {
			return
		}
		events = append(events, e)
	}
	s, serving, next := NewSimulated(sim), true, 0
	for i, at := 0, from; !at.After(start.Add(until)); i++ {
		if next < len(told) && at.Equal(start.Add(told[next].after)) {
			told[next].tell(s, at, &serving)
			next++
		}
		sample := s.Sample(at, serving)
		if since := at.Sub(start); since >= 0 && since%common == 0 {
			samples = append(samples, sample)
		}
		then := at.Add(pace(i))
		grid := start.Add(at.Sub(start).Truncate(common))
		if !grid.After(at) {
			grid = grid.Add(common)
		}
		if grid.Before(then) {
			then = grid
		}
		if next < len(told) && start.Add(told[next].after).Before(then) {
			then = start.Add(told[next].after)
		}
		at = then
	}
	return samples, events
}

func every(step time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return step }
}

// plagued is a kiosk with all kinds of faults, some of which began long ago.
func plagued(n int) Simulation {
	sim := simulation(n, start, start)
	rates := fault.Rates{}
	for _, spec := range fault.Specs() {
		rates[spec.Kind] = 0.4
	}
	long := func(kind fault.Kind, given map[string]string, from time.Time, length time.Duration) fault.Fault {
		params, err := fault.Complete(kind, given)
		if err != nil {
			panic(err)
		}
		return fault.Fault{Kind: kind, Params: params, From: from, To: from.Add(length)}
	}
	ago := start.AddDate(0, 0, -12)
	sim.Faults = fault.NewPlan(5, sim.Serial, sim.Site, []fault.Fault{
		long(fault.StuckSensor, map[string]string{"metric": "environmental.temperature"}, ago, 13*24*time.Hour),
		long(fault.StuckSensor, map[string]string{"metric": "hardware.ram_usage"}, ago.Add(4*time.Hour), 13*24*time.Hour),
		long(fault.CorrelationBreak, map[string]string{"metric": "hardware.cpu_usage"}, start.Add(5*time.Hour), 2*time.Hour),
		long(fault.OutOfPaper, nil, start.Add(8*time.Hour), time.Hour),
		long(fault.BadFirmware, map[string]string{"effect": "busy"}, start, 24*time.Hour),
		long(fault.BadFirmware, map[string]string{"effect": "leak", "version": "2.0.0"}, start, 24*time.Hour),
	}, rates)
	sim.Conditions = []Condition{{From: start.Add(-time.Hour), To: start.Add(20 * time.Hour), Warmer: 9, Demand: 1.7}}
	return sim
}

func TestWhatAKioskShowsDoesNotDependOnHowOftenAndSinceWhenItIsAsked(t *testing.T) {
	irregular := func(i int) time.Duration { return time.Duration(1+(i*7919)%97013) * time.Millisecond }
	ways := []struct {
		name    string
		earlier time.Duration
		pace    func(int) time.Duration
	}{
		{"every 5 s", 0, every(5 * time.Second)},
		{"every 60 s", 0, every(time.Minute)},
		{"irregularly", 0, irregular},
		{"as seldom as possible", 0, every(time.Hour)},
		{"a second earlier", time.Second, every(time.Minute)},
		{"an hour earlier", time.Hour, irregular},
		{"a day earlier", 24 * time.Hour, every(time.Minute)},
		{"a week earlier", 7 * 24 * time.Hour, every(7 * time.Minute)},
		{"three weeks earlier", 21 * 24 * time.Hour, every(time.Hour)},
	}
	for n := range 5 {
		sim := simulation(n, start, start)
		if n > 0 {
			sim = plagued(n)
		}
		want, events := live(sim, start, every(30*time.Second))
		if len(want) != int(until/common)+1 || len(events) < 50 {
			t.Fatalf("kiosk %d: %d samples, %d events", n, len(want), len(events))
		}
		for _, way := range ways {
			got, told := live(sim, start.Add(-way.earlier), way.pace)
			for i := range want {
				if !equal(got[i], want[i]) {
					t.Errorf("kiosk %d, %s, after %s:\n%v, want\n%v", n, way.name, time.Duration(i)*common, got[i], want[i])
					break
				}
			}
			if !reflect.DeepEqual(told, events) {
				t.Errorf("kiosk %d, %s: %d events differ from %d", n, way.name, len(told), len(events))
			}
		}
	}
}

func TestSampledEverySecond(t *testing.T) {
	sim := plagued(1)
	seldom, often := NewSimulated(sim), NewSimulated(sim)
	for i := range 4 * 3600 {
		at := start.Add(time.Duration(i) * time.Second)
		got := often.Sample(at, true)
		if i%900 == 0 && !equal(got, seldom.Sample(at, true)) {
			t.Fatalf("%s: kiosks that were sampled every second and every 15 minutes differ", at)
		}
	}
}

func TestANewDeviceGoesOnWhereTheLastOneWas(t *testing.T) {
	for n := range 3 {
		sim := plagued(n)
		s := NewSimulated(sim)
		for i := range 8 * 24 {
			at := start.Add(time.Duration(i) * 57 * time.Minute)
			if got := NewSimulated(sim).Sample(at, true); !equal(got, s.Sample(at, true)) {
				t.Fatalf("kiosk %d at %s: a new device shows %v", n, at, got)
			}
		}
	}
}

func TestSeedsAndSerialsDiffer(t *testing.T) {
	record := func(seed uint64, n int) []Sample {
		sim := simulation(n, start, start)
		sim.Seed, sim.Site = seed, "Lisbon LIS"
		samples, _ := live(sim, start, every(time.Hour))
		return samples
	}
	first := record(1, 1)
	if !slices.EqualFunc(first, record(1, 1), equal) {
		t.Error("two runs of one kiosk differ")
	}
	if slices.ContainsFunc(record(1, 2), func(s Sample) bool { return equal(s, first[0]) }) {
		t.Error("two kiosks have a sample in common")
	}
	for i, s := range record(2, 1) {
		if equal(s, first[i]) {
			t.Errorf("sample %d does not depend on the seed", i)
		}
	}
}
