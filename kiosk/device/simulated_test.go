package device

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

var start = time.Date(2026, 1, 2, 6, 0, 0, 0, time.UTC)

func kiosk(n int) *Simulated {
	return NewSimulated(Simulation{
		Serial:   fmt.Sprintf("SIM-KIOSK-%03d", n),
		Site:     fmt.Sprintf("Site %d", n%3),
		Position: Position{Lat: -34.6037, Lng: -58.3816},
	})
}

// run samples every step for the given time and hands each sample to look.
func run(s *Simulated, from time.Time, length, step time.Duration, serving bool, look func(time.Time, Sample)) {
	for at := from; at.Before(from.Add(length)); at = at.Add(step) {
		look(at, s.Sample(at, serving))
	}
}

// fields flattens a sample into metric names.
func fields(s Sample) map[string]any {
	out := map[string]any{}
	for group, g := range map[string]protocol.Group{
		"environmental": s.Environmental, "hardware": s.Hardware, "peripherals": s.Peripherals,
		"location": s.Location, "network": s.Network, "custom": s.Custom,
	} {
		for name, v := range g {
			out[group+"."+name] = v
		}
	}
	return out
}

func TestASampleHasExactlyTheFieldsOfTheCatalogue(t *testing.T) {
	got := fields(kiosk(1).Sample(start, true))
	for _, m := range protocol.Metrics() {
		v, ok := got[m.Name]
		delete(got, m.Name)
		switch v.(type) {
		case float64:
			if m.Kind != protocol.KindGauge {
				t.Errorf("%s is a number", m.Name)
			}
		case string:
			if m.Kind != protocol.KindState {
				t.Errorf("%s is a word", m.Name)
			}
		default:
			t.Errorf("%s = %v (%t)", m.Name, v, ok)
		}
	}
	if len(got) > 0 {
		t.Errorf("fields that the catalogue does not know: %v", got)
	}
}

func TestValuesStayInTheirRangeForADay(t *testing.T) {
	for n := range 4 {
		run(kiosk(n), start, 24*time.Hour, 5*time.Second, true, func(at time.Time, s Sample) {
			for name, v := range fields(s) {
				m, _ := protocol.LookupMetric(name)
				if x, ok := v.(float64); ok && !(x >= m.Min && x <= m.Max) {
					t.Fatalf("kiosk %d at %s: %s = %v, want %v to %v", n, at, name, x, m.Min, m.Max)
				}
			}
		})
	}
}

func TestTheSameSimulationGivesTheSameValues(t *testing.T) {
	record := func(n int) (out []Sample) {
		run(kiosk(n), start, time.Hour, 5*time.Second, true, func(_ time.Time, s Sample) { out = append(out, s) })
		return out
	}
	if !reflect.DeepEqual(record(1), record(1)) {
		t.Error("two runs of one kiosk differ")
	}
	if reflect.DeepEqual(record(1), record(2)) {
		t.Error("two kiosks have the same values")
	}
}

func TestValuesAreSmooth(t *testing.T) {
	// The largest plausible step within 5 s.
	limits := map[string]float64{
		"environmental.temperature": 0.5, "environmental.humidity": 3, "hardware.cpu_temp": 3,
		"hardware.ram_usage": 3, "hardware.disk_usage": 0.1, "custom.paper_level": 0.5,
	}
	previous := map[string]float64{}
	run(kiosk(3), start, 6*time.Hour, 5*time.Second, true, func(at time.Time, s Sample) {
		for name, v := range fields(s) {
			x, ok := v.(float64)
			if !ok {
				continue
			}
			before, seen := previous[name]
			if limit, ok := limits[name]; ok && seen && math.Abs(x-before) > limit && x != 100 {
				t.Errorf("%s: %s went from %v to %v", at, name, before, x)
			}
			previous[name] = x
		}
	})
}

func TestABlockedKioskServesNobody(t *testing.T) {
	open, blocked := kiosk(1), kiosk(1)
	busy, idle := 0.0, 0.0
	paper := blocked.Sample(start, false).Custom["paper_level"]
	run(open, start, 6*time.Hour, 5*time.Second, true, func(_ time.Time, s Sample) { busy += s.Hardware["cpu_usage"].(float64) })
	run(blocked, start, 6*time.Hour, 5*time.Second, false, func(at time.Time, s Sample) {
		idle += s.Hardware["cpu_usage"].(float64)
		if s.Custom["paper_level"] != paper {
			t.Fatalf("%s: paper went from %v to %v", at, paper, s.Custom["paper_level"])
		}
		if state := s.Peripherals["printer_status"]; state == "paper_jam" {
			t.Fatalf("%s: a jam without printing", at)
		}
	})
	if idle > busy*0.8 {
		t.Errorf("CPU usage sums to %.0f when blocked and %.0f when open", idle, busy)
	}
}

func TestFaultsComeAndAreRepaired(t *testing.T) {
	seen := map[string]bool{}
	faulty, samples := 0, 0
	for n := range 10 {
		s := kiosk(n)
		since := map[string]time.Time{}
		run(s, start, 48*time.Hour, 30*time.Second, true, func(at time.Time, sample Sample) {
			samples++
			ok := true
			for name, state := range sample.Peripherals {
				if state == "ready" {
					delete(since, name)
					continue
				}
				ok = false
				seen[name+" "+state.(string)] = true
				if since[name].IsZero() {
					since[name] = at
				}
				if at.Sub(since[name]) > 45*time.Minute {
					t.Fatalf("kiosk %d: %s is %s since %s", n, name, state, since[name])
				}
			}
			if !ok {
				faulty++
			}
		})
	}
	for _, want := range []string{
		"printer_status low_ink", "printer_status paper_jam", "cash_acceptor full", "cash_acceptor error", "card_reader error",
	} {
		if !seen[want] {
			t.Errorf("never saw %s; saw %v", want, seen)
		}
	}
	if share := float64(faulty) / float64(samples); share > 0.15 || share < 0.005 {
		t.Errorf("kiosks are faulty %.1f %% of the time, want 0.5 to 15 %%", share*100)
	}
}

func TestARestartFreesMemory(t *testing.T) {
	s := kiosk(1)
	first := s.Sample(start, true).Hardware["ram_usage"].(float64)
	var leaked float64
	run(s, start.Add(5*time.Second), 12*time.Hour, 5*time.Second, true, func(_ time.Time, s Sample) { leaked = s.Hardware["ram_usage"].(float64) })
	if leaked < first+2 {
		t.Errorf("memory went from %v to %v in 12 hours, want a leak", first, leaked)
	}
	at := start.Add(13 * time.Hour)
	s.Restart(at)
	if after := s.Sample(at, false).Hardware["ram_usage"].(float64); after > first+1 {
		t.Errorf("memory is %v after a restart, was %v at first", after, first)
	}
}

func TestThePositionStaysNearTheRealPlace(t *testing.T) {
	run(kiosk(1), start, 6*time.Hour, 5*time.Second, true, func(at time.Time, s Sample) {
		north := (s.Location["lat"].(float64) + 34.6037) * metresPerDegree
		east := (s.Location["lng"].(float64) + 58.3816) * metresPerDegree * math.Cos(34.6037*math.Pi/180)
		if off := math.Hypot(north, east); off > 20 {
			t.Fatalf("%s: %.0f m off", at, off)
		}
	})
}

func TestGapsAndClocksThatGoBackDoNoHarm(t *testing.T) {
	s := kiosk(1)
	before := s.Sample(start, true).Custom["paper_level"].(float64)
	after := s.Sample(start.Add(1000*time.Hour), true).Custom["paper_level"].(float64)
	if before-after > 5 {
		t.Errorf("a suspended kiosk used %v %% of its paper", before-after)
	}
	back := s.Sample(start, true).Custom["paper_level"].(float64)
	if back != after {
		t.Errorf("paper went from %v to %v while the clock went back", after, back)
	}
}

func BenchmarkSample(b *testing.B) {
	s, at := kiosk(1), start
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(5 * time.Second)
		s.Sample(at, true)
	}
}
