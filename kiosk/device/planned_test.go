package device

import (
	"math"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
)

// twins are the surveys of a kiosk with a fault and of the same kiosk without.
type twins struct{ with, without *survey }

// step is between samples of the twins; the fault begins an hour after the first and lasts two hours.
const step = 10 * time.Second

var (
	faultFrom = start.Add(time.Hour)
	faultTo   = start.Add(3 * time.Hour)
)

// indexes of samples from a time on.
func since(at time.Time) int { return int(at.Sub(start) / step) }

// differs returns by how much a number is higher with the fault, at a time.
func (w *twins) differs(gauge int, at time.Time) float64 {
	i := since(at)
	return w.with.values[gauge][i] - w.without.values[gauge][i]
}

// deviation returns the standard deviation of the difference in a number in the fault's second hour.
func (w *twins) deviation(gauge int) float64 {
	var sum, squares, n float64
	for i := since(faultFrom.Add(time.Hour)); i < since(faultTo); i++ {
		d := w.with.values[gauge][i] - w.without.values[gauge][i]
		sum, squares, n = sum+d, squares+d*d, n+1
	}
	return math.Sqrt(squares/n - sum*sum/n/n)
}

func within(x, low, high float64) bool { return x >= low && x <= high }

func TestPlannedFaults(t *testing.T) {
	mid := faultFrom.Add(time.Hour)
	last := faultTo.Add(-step)
	tests := []struct {
		name    string
		kind    fault.Kind
		given   map[string]string
		changes []int // numbers that differ
		there   func(w *twins) bool
	}{
		{"overheating", fault.Overheating, nil, []int{cpuTemp}, func(w *twins) bool {
			return within(w.differs(cpuTemp, faultFrom.Add(5*time.Minute)), 29, 32.1) && within(w.differs(cpuTemp, last), 31.8, 32.1)
		}},
		{"overheating by 12 K", fault.Overheating, map[string]string{"by": "12"}, []int{cpuTemp}, func(w *twins) bool {
			return within(w.differs(cpuTemp, mid), 11.8, 12.2)
		}},
		{"fan failure", fault.FanFailure, nil, []int{cpuTemp}, func(w *twins) bool {
			return w.deviation(cpuTemp) > 3
		}},
		{"fan that slows down", fault.FanFailure, map[string]string{"over": "4h"}, []int{cpuTemp}, func(w *twins) bool {
			return within(w.differs(cpuTemp, faultFrom.Add(5*time.Minute)), -1, 1) && w.deviation(cpuTemp) > 1
		}},
		{"stuck sensor", fault.StuckSensor, map[string]string{"metric": "environmental.temperature"}, []int{temperature}, func(w *twins) bool {
			held := w.with.values[temperature][since(faultFrom)]
			return held == w.without.values[temperature][since(faultFrom)] && held == w.with.values[temperature][since(mid)] &&
				held == w.with.values[temperature][since(last)] && w.without.values[temperature][since(last)] != held
		}},
		{"drift", fault.Drift, map[string]string{"metric": "environmental.humidity", "per_hour": "-10"}, []int{humidity}, func(w *twins) bool {
			return within(w.differs(humidity, mid), -4.2, -3.8) && within(w.differs(humidity, last), -8.2, -7.8)
		}},
		{"drift out of the world", fault.Drift, map[string]string{"metric": "hardware.ram_usage", "per_hour": "1000"}, []int{ramUsage}, func(w *twins) bool {
			return w.with.values[ramUsage][since(last)] == 100
		}},
		{"noise burst", fault.NoiseBurst, map[string]string{"metric": "hardware.cpu_temp", "sigma": "10"}, []int{cpuTemp}, func(w *twins) bool {
			return within(w.deviation(cpuTemp), 3.5, 4.5)
		}},
		{"noise burst of the signal", fault.NoiseBurst, map[string]string{"metric": "network.signal_strength", "sigma": "5"}, []int{signal}, func(w *twins) bool {
			return within(w.deviation(signal), 2.5, 3.5)
		}},
		{"correlation break", fault.CorrelationBreak, nil, []int{cpuTemp}, func(w *twins) bool {
			return w.deviation(cpuTemp) > 3
		}},
		{"correlation break of humidity", fault.CorrelationBreak, map[string]string{"metric": "environmental.humidity"}, []int{humidity}, func(w *twins) bool {
			return within(w.with.values[humidity][since(mid)], 30, 70) && w.deviation(humidity) > 0.3
		}},
		{"memory leak", fault.MemoryLeak, nil, []int{ramUsage}, func(w *twins) bool {
			return within(w.differs(ramUsage, mid), 14.8, 15.2)
		}},
		{"memory leak at 40 % an hour", fault.MemoryLeak, map[string]string{"per_hour": "40"}, []int{ramUsage}, func(w *twins) bool {
			return w.with.values[ramUsage][since(last)] == 100
		}},
		{"disk filling", fault.DiskFilling, map[string]string{"per_hour": "8"}, []int{diskUsage}, func(w *twins) bool {
			return within(w.differs(diskUsage, mid), 7.9, 8.1) && within(w.differs(diskUsage, last), 15.9, 16.1)
		}},
		{"disk filling to the top", fault.DiskFilling, map[string]string{"per_hour": "1000"}, []int{diskUsage}, func(w *twins) bool {
			return w.with.values[diskUsage][since(mid)] == fullDisk
		}},
		{"relocation", fault.Relocation, map[string]string{"metres": "3000", "bearing": "0"}, []int{latitude, longitude}, func(w *twins) bool {
			return within(w.differs(latitude, mid)*metresPerDegree, 2990, 3010) &&
				within(w.differs(latitude, faultFrom.Add(2*time.Minute))*metresPerDegree, 1190, 1210) &&
				within(w.differs(latitude, faultTo.Add(4*time.Minute))*metresPerDegree, 590, 610)
		}},
		{"relocation far away", fault.Relocation, map[string]string{"metres": "20000000", "bearing": "10"}, []int{latitude, longitude}, func(w *twins) bool {
			return within(w.with.values[latitude][since(mid)], 33, 36) && within(w.with.values[longitude][since(mid)], 120, 123)
		}},
		{"GPS jitter", fault.GPSJitter, nil, []int{latitude, longitude}, func(w *twins) bool {
			return within(w.deviation(latitude)*metresPerDegree, 130, 170)
		}},
		{"slow network", fault.SlowNetwork, map[string]string{"delay": "400ms"}, []int{latency}, func(w *twins) bool {
			return within(w.differs(latency, mid), 799, 801)
		}},
		{"site outage", fault.SiteOutage, nil, []int{signal}, func(w *twins) bool { return w.differs(signal, mid) == -weakSignal }},
		{"flapping", fault.Flapping, nil, []int{signal}, func(w *twins) bool { return w.differs(signal, mid) == -weakSignal }},
		{"clock skew", fault.ClockSkew, nil, nil, func(*twins) bool { return true }},
		{"malformed payload", fault.MalformedPayload, nil, nil, func(*twins) bool { return true }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			params, err := fault.Complete(test.kind, test.given)
			if err != nil {
				t.Fatal(err)
			}
			sim := simulation(3, start, start)
			w := twins{without: surveyOf(sim, start, 5*time.Hour, step)}
			sim.Faults = fault.NewPlan(1, sim.Serial, sim.Site, []fault.Fault{{Kind: test.kind, Params: params, From: faultFrom, To: faultTo}}, nil)
			w.with = surveyOf(sim, start, 5*time.Hour, step)
			if !test.there(&w) {
				t.Error("the effect is not there")
			}
			for i, at := range w.with.at {
				in := !at.Before(faultFrom) && at.Before(faultTo)
				for gauge := range w.with.values {
					got, healthy := w.with.values[gauge][i], w.without.values[gauge][i]
					affected := false
					for _, g := range test.changes {
						affected = affected || g == gauge
					}
					g := gaugeTable[gauge]
					if math.IsNaN(got) || got < g.low || got > g.high {
						t.Fatalf("%s: %s is %v", at, g.name, got)
					}
					cooling := (gauge == cpuTemp || test.kind == fault.Relocation) && !at.Before(faultTo) && at.Before(faultTo.Add(time.Duration(fading)))
					if may := affected && (in || cooling); got != healthy && !may {
						t.Fatalf("%s: %s is %v, without the fault %v", at, g.name, got, healthy)
					}
				}
			}
		})
	}
}

func TestPlannedTroubles(t *testing.T) {
	tests := []struct {
		kind         fault.Kind
		state, level string
		during       any
		after        float64
	}{
		{fault.PaperJam, "printer_status paper_jam", "", nil, 0},
		{fault.OutOfPaper, "printer_status offline", "paper_level", 0.0, 100},
		{fault.CashFull, "cash_acceptor full", "cash_level", 100.0, 0},
		{fault.ReaderDead, "card_reader error", "", nil, 0},
	}
	for _, test := range tests {
		for n := range 6 {
			sim := simulation(n, faultFrom, faultTo, test.kind)
			s := NewSimulated(sim)
			run(s, start, 5*time.Hour, step, true, func(at time.Time, sample Sample) {
				in := !at.Before(faultFrom) && at.Before(faultTo)
				seen := false
				for name, state := range sample.Peripherals {
					seen = seen || name+" "+state.(string) == test.state
				}
				natural := s.troubles != [troubles]instant{}
				if in && !seen || !in && seen && !natural {
					t.Fatalf("kiosk %d, %s at %s: peripherals are %v", n, test.kind, at, sample.Peripherals)
				}
				if test.level == "" {
					return
				}
				if in && sample.Custom[test.level] != test.during {
					t.Fatalf("kiosk %d, %s at %s: %s is %v", n, test.kind, at, test.level, sample.Custom[test.level])
				}
				if at.Equal(faultTo) && sample.Custom[test.level] != test.after {
					t.Fatalf("kiosk %d after %s: %s is %v", n, test.kind, test.level, sample.Custom[test.level])
				}
			})
		}
	}
}

func TestAMemoryLeakBeginsAnewWithARestart(t *testing.T) {
	s := NewSimulated(simulation(3, faultFrom, faultTo, fault.MemoryLeak))
	before := number(s.Sample(faultFrom, true), ramUsage)
	full := number(s.Sample(faultFrom.Add(time.Hour), true), ramUsage)
	s.Restart(faultFrom.Add(time.Hour))
	fresh := number(s.Sample(faultFrom.Add(time.Hour+time.Second), true), ramUsage)
	again := number(s.Sample(faultFrom.Add(2*time.Hour-time.Second), true), ramUsage)
	// A session takes up to 3 %.
	if full < before+12 || fresh > before+1 || again < fresh+12 {
		t.Errorf("memory is %v, %v after an hour, %v after a restart, %v an hour later", before, full, fresh, again)
	}
}

func TestBadFirmware(t *testing.T) {
	plan := func(effect, version string) Simulation {
		params, err := fault.Complete(fault.BadFirmware, map[string]string{"effect": effect, "version": version})
		if err != nil {
			t.Fatal(err)
		}
		sim := simulation(3, start, start)
		sim.Faults = fault.NewPlan(1, sim.Serial, sim.Site, []fault.Fault{{Kind: fault.BadFirmware, Params: params, From: faultFrom, To: faultTo}}, nil)
		return sim
	}
	at := func(minutes int) time.Time { return faultFrom.Add(time.Duration(minutes) * time.Minute) }
	busy := func(s *Simulated, now time.Time) bool {
		sample := s.Sample(now, true)
		usage := number(sample, cpuUsage)
		return usage >= 85 && usage <= 95
	}
	t.Run("any version that comes meanwhile", func(t *testing.T) {
		s := NewSimulated(plan(fault.EffectBusy, ""))
		s.Sample(start, true)
		s.Updated(at(-30), "1.0.0")
		if busy(s, at(5)) {
			t.Error("a version that came before is bad")
		}
		s.Updated(at(10), "2.0.0")
		for minute := 10; minute < 120; minute++ {
			if !busy(s, at(minute)) {
				t.Fatalf("after %d minutes the CPU is not busy", minute)
			}
		}
		if temp := number(s.Sample(at(119), true), cpuTemp); temp < 65 {
			t.Errorf("a busy CPU has %v °C", temp)
		}
		if busy(s, at(120)) {
			t.Error("the CPU is busy after the fault")
		}
	})
	t.Run("one version, until another comes", func(t *testing.T) {
		s := NewSimulated(plan(fault.EffectBusy, "2.0.0"))
		s.Sample(start, true)
		s.Updated(at(5), "1.9.0")
		if busy(s, at(6)) {
			t.Error("another version is bad")
		}
		s.Updated(at(10), "2.0.0")
		if !busy(s, at(11)) {
			t.Error("the bad version does nothing")
		}
		s.Updated(at(40), "2.0.1")
		if busy(s, at(40)) {
			t.Error("the next version is bad")
		}
	})
	t.Run("told before the first sample", func(t *testing.T) {
		s := NewSimulated(plan(fault.EffectBusy, "2.0.0"))
		s.Updated(at(10), "2.0.0")
		if !busy(s, at(11)) {
			t.Error("the bad version does nothing")
		}
	})
	t.Run("leak", func(t *testing.T) {
		s := NewSimulated(plan(fault.EffectLeak, ""))
		before := number(s.Sample(at(0), true), ramUsage)
		s.Updated(at(0), "2.0.0")
		after := number(s.Sample(at(60), true), ramUsage)
		if after < before+37 {
			t.Errorf("memory went from %v to %v in an hour", before, after)
		}
	})
}

func TestACrashedKioskServesNobody(t *testing.T) {
	healthy, crashed := kiosk(3), NewSimulated(simulation(3, faultFrom, faultTo, fault.Crash))
	crashed.Sample(faultFrom, true)
	healthy.Sample(faultFrom, true)
	before := crashed.supplies
	crashed.Sample(faultTo.Add(-time.Second), true)
	healthy.Sample(faultTo.Add(-time.Second), true)
	if crashed.supplies.worn != before.worn || healthy.supplies.worn < before.worn+10 {
		t.Errorf("the crashed kiosk printed %d pages, the other %d", crashed.supplies.worn-before.worn, healthy.supplies.worn-before.worn)
	}
}

func TestAllKindsOfFaultsAndAllSensorsAreKnown(t *testing.T) {
	for _, spec := range fault.Specs() {
		if own := felt[spec.Kind]; own != (spec.Layer == fault.LayerDevice) {
			t.Errorf("%s: told by the device: %t", spec.Kind, own)
		}
	}
	for _, m := range protocol.Metrics() {
		if m.Kind == protocol.KindGauge && gaugeTable[gaugeOf(m.Name)].name != m.Name {
			t.Errorf("a fault of the sensor of %s would befall another", m.Name)
		}
	}
}

func TestSuppliesThatAPlannedFaultHasTakenStayAwayThroughTheService(t *testing.T) {
	plain := kiosk(3)
	plain.Sample(start, true)
	service := plain.due[dueService].time()
	for kind, want := range map[fault.Kind]Sample{
		fault.OutOfPaper: {Custom: protocol.Group{"paper_level": 0.0, "cash_level": 0.0}},
		fault.CashFull:   {Custom: protocol.Group{"paper_level": 100.0, "cash_level": 100.0}},
	} {
		sim := simulation(3, service.Add(-2*time.Hour), service.Add(2*time.Hour), kind)
		s := NewSimulated(sim)
		s.Sample(service.Add(-3*time.Hour), true)
		for _, after := range []time.Duration{0, time.Hour} {
			got, anew := s.Sample(service.Add(after), true), NewSimulated(sim).Sample(service.Add(after), true)
			if !equal(got, anew) {
				t.Errorf("%s: %v, of a new device %v", kind, got, anew)
			}
			if after == 0 && (got.Custom["paper_level"] != want.Custom["paper_level"] || got.Custom["cash_level"] != want.Custom["cash_level"]) {
				t.Errorf("%s: after the service levels are %v", kind, got.Custom)
			}
		}
	}
}
