package device

import (
	"math"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/truth"
)

// start is a Monday noon in Madrid.
var start = time.Date(2026, 1, 12, 11, 0, 0, 0, time.UTC)

func kiosk(n int) *Simulated { return NewSimulated(simulation(n, start, start)) }

// run samples every step for the given time and hands each sample to look.
func run(s *Simulated, from time.Time, length, step time.Duration, serving bool, look func(time.Time, Sample)) {
	for at := from; at.Before(from.Add(length)); at = at.Add(step) {
		look(at, s.Sample(at, serving))
	}
}

// each hands all fields of a sample to look, by metric name.
func each(s *Sample, look func(name string, v any)) {
	for _, g := range []struct {
		name  string
		group protocol.Group
	}{
		{"environmental", s.Environmental}, {"hardware", s.Hardware}, {"peripherals", s.Peripherals},
		{"location", s.Location}, {"network", s.Network}, {"custom", s.Custom},
	} {
		for name, v := range g.group {
			look(g.name+"."+name, v)
		}
	}
}

// number returns one number of a sample.
func number(s Sample, gauge int) float64 {
	var out float64
	each(&s, func(name string, v any) {
		if name == gaugeTable[gauge].name {
			out = v.(float64)
		}
	})
	return out
}

func TestASampleHasExactlyTheFieldsOfTheCatalogue(t *testing.T) {
	got := map[string]any{}
	sample := kiosk(1).Sample(start, true)
	each(&sample, func(name string, v any) { got[name] = v })
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

func TestValuesAreSmooth(t *testing.T) {
	// The largest plausible step within 5 s.
	limits := map[string]float64{
		"environmental.temperature": 0.3, "environmental.humidity": 1, "environmental.air_quality": 5,
		"hardware.cpu_temp": 4, "hardware.ram_usage": 2, "hardware.disk_usage": 0.1, "network.signal_strength": 4,
	}
	for n := range 4 {
		s := kiosk(n)
		previous := map[string]float64{}
		run(s, start, 26*time.Hour, 5*time.Second, true, func(at time.Time, sample Sample) {
			if s.serviced == instantOf(at) {
				clear(previous)
			}
			each(&sample, func(name string, v any) {
				limit, ok := limits[name]
				if !ok {
					return
				}
				x := v.(float64)
				if before, seen := previous[name]; seen && math.Abs(x-before) > limit {
					t.Errorf("%s: %s went from %v to %v", at, name, before, x)
				}
				previous[name] = x
			})
		})
	}
}

func TestTheWeeklyServiceIsNotSeenInTheHeat(t *testing.T) {
	s := kiosk(1)
	s.Sample(start, true)
	service := s.due[dueService].time()
	before := number(s.Sample(service.Add(-time.Second), true), cpuTemp)
	levels := s.Sample(service, true)
	if after := number(levels, cpuTemp); math.Abs(after-before) > 1.5 {
		t.Errorf("the CPU temperature went from %v to %v", before, after)
	}
	if got := levels.Custom; got["paper_level"] != 100.0 || got["ink_level"] != 100.0 || got["cash_level"] != 0.0 {
		t.Errorf("levels after the service are %v", got)
	}
}

func TestABlockedKioskServesNobody(t *testing.T) {
	var outcomes = map[string]int{}
	var sessions int
	sim := simulation(1, start, start)
	sim.Observe = func(e truth.Event) {
		if e.Event == truth.Session {
			sessions++
			outcomes[e.Session.Outcome]++
			if e.Session.Printed > 0 && e.Session.Outcome != truth.Interrupted {
				t.Errorf("a blocked kiosk printed for %+v", e.Session)
			}
		}
	}
	open, blocked := kiosk(1), NewSimulated(sim)
	busy, idle := 0.0, 0.0
	var paper any
	run(open, start, 6*time.Hour, 5*time.Second, true, func(_ time.Time, s Sample) { busy += number(s, cpuUsage) })
	run(blocked, start, 6*time.Hour, 5*time.Second, false, func(at time.Time, s Sample) {
		idle += number(s, cpuUsage)
		if paper == nil {
			paper = s.Custom["paper_level"]
		}
		if s.Custom["paper_level"] != paper {
			t.Fatalf("%s: paper went from %v to %v", at, paper, s.Custom["paper_level"])
		}
	})
	if idle > busy*0.8 {
		t.Errorf("CPU usage sums to %.0f when blocked and %.0f when open", idle, busy)
	}
	// One customer may have been inside when it was blocked.
	if turned := outcomes[truth.TurnedAway]; turned < 20 || turned+outcomes[truth.Interrupted] != sessions || outcomes[truth.Interrupted] > 1 {
		t.Errorf("sessions ended as %v", outcomes)
	}
}

func TestARestartFreesMemoryAndHelpsElectronics(t *testing.T) {
	s := kiosk(1)
	s.Sample(start, true)
	service := s.due[dueService].time()
	first := number(s.Sample(service, true), ramUsage)
	if leaked := number(s.Sample(service.Add(24*time.Hour), true), ramUsage); leaked < first+2 {
		t.Errorf("memory went from %v to %v in a day, want a leak", first, leaked)
	}
	at := service.Add(25 * time.Hour)
	s.Sample(at, true)
	for _, kind := range []trouble{jam, readerError, acceptorError, printerLost} {
		s.fail(kind, s.last)
	}
	s.Restart(at)
	after := s.Sample(at, false)
	if ram := number(after, ramUsage); ram > first+1 {
		t.Errorf("memory is %v after a restart, was %v after the service", ram, first)
	}
	if p := after.Peripherals; p["printer_status"] != printerJam || p["card_reader"] != ready || p["cash_acceptor"] != ready {
		t.Errorf("after a restart peripherals are %v, want only the jam to stay", p)
	}
}

func TestARestartInterruptsTheSession(t *testing.T) {
	var told []truth.Event
	sim := simulation(1, start, start)
	sim.Observe = func(e truth.Event) { told = append(told, e) }
	s := NewSimulated(sim)
	at := start
	for s.Sample(at, true); s.session.who == 0 || len(s.queue) == 0; s.Sample(at, true) {
		at = at.Add(time.Second)
	}
	told = nil
	inside, waiting := s.session, len(s.queue)
	s.Restart(at)
	if len(told) != waiting+1 {
		t.Fatalf("%d events of %d people who waited and one inside", len(told), waiting)
	}
	last := told[waiting]
	if last.Session.Outcome != truth.Interrupted || !last.Time.Equal(inside.begun.time()) || !last.Session.Ended.Equal(at) {
		t.Errorf("the session was told as %+v %+v", last, last.Session)
	}
	for _, e := range told[:waiting] {
		if e.Session.Outcome != truth.TurnedAway {
			t.Errorf("who waited was told as %+v", e.Session)
		}
	}
}

func TestThePositionStaysNearTheRealPlace(t *testing.T) {
	run(kiosk(1), start, 6*time.Hour, 5*time.Second, true, func(at time.Time, s Sample) {
		if off := distance(s, Position{-34.6037, -58.3816}); off > 20 {
			t.Fatalf("%s: %.0f m off", at, off)
		}
	})
}

// distance returns how far a sample's position is from a place nearby, in metres.
func distance(s Sample, p Position) float64 {
	north := (number(s, latitude) - p.Lat) * metresPerDegree
	east := (number(s, longitude) - p.Lng) * metresPerDegree * math.Cos(p.Lat*math.Pi/180)
	return math.Hypot(north, east)
}

func TestPositionsAtTheEdgesOfTheMap(t *testing.T) {
	for _, p := range []Position{{90, 0}, {-90, 10}, {0, 180}, {12, -180}} {
		sim := simulation(1, start, start)
		sim.Position = p
		s := NewSimulated(sim)
		for i := range 100 {
			l := s.Sample(start.Add(time.Duration(i)*time.Minute), true).Location
			lat, lng := l["lat"].(float64), l["lng"].(float64)
			if !(math.Abs(lat) <= 90 && math.Abs(lng) <= 180 && math.Abs(lat-p.Lat) < 0.001) {
				t.Fatalf("at %v the position is %v, %v", p, lat, lng)
			}
		}
	}
	if p := (Position{0, 179.9}).travel(50_000, 90); p.Lng > -179.6 || p.Lng < -179.8 {
		t.Errorf("50 km east of 179.9° is %v", p)
	}
	if p := (Position{60, 10}).travel(111_320, 0); math.Abs(p.Lat-61) > 0.001 {
		t.Errorf("111 km north of 60° is %v", p)
	}
}

func TestAClockThatGoesBackALittleWaits(t *testing.T) {
	s := kiosk(1)
	s.Sample(start, true)
	late := s.Sample(start.Add(2*time.Hour), true)
	back := s.Sample(start.Add(90*time.Minute), true)
	if back.Custom["paper_level"] != late.Custom["paper_level"] {
		t.Errorf("paper went from %v to %v while the clock went back", late.Custom["paper_level"], back.Custom["paper_level"])
	}
	want := kiosk(1).Sample(start.Add(3*time.Hour), true)
	if got := s.Sample(start.Add(3*time.Hour), true); !equal(got, want) {
		t.Errorf("after the clock has caught up: %v, want %v", got, want)
	}
}

func TestLongGapsAndClocksThatAreSetBack(t *testing.T) {
	for name, to := range map[string]time.Time{
		"a day": start.Add(24 * time.Hour), "a month": start.Add(30 * 24 * time.Hour), "ten years": start.AddDate(10, 0, 0),
		"a day back": start.Add(-24 * time.Hour), "to 1970": time.Unix(0, 0), "to the year 1": {}, "to the year 9000": start.AddDate(6974, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			open := map[string]bool{}
			sim := simulation(1, start, start)
			sim.Observe = func(e truth.Event) {
				switch e.Event {
				case truth.FaultStart:
					if open[e.ID] {
						t.Errorf("%s began twice", e.ID)
					}
					open[e.ID] = true
				case truth.FaultEnd:
					if !open[e.ID] {
						t.Errorf("%s ended and had not begun", e.ID)
					}
					delete(open, e.ID)
				}
			}
			s := NewSimulated(sim)
			s.Sample(start, true)
			s.fail(jam, s.last)
			got, want := s.Sample(to, true), kiosk(1).Sample(to, true)
			if !equal(got, want) {
				t.Errorf("got %v, want %v as of a kiosk that begins then", got, want)
			}
		})
	}
}
