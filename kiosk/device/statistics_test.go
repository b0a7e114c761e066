package device

import (
	"math"
	"slices"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// correlation returns Pearson's coefficient.
func correlation(x, y []float64) float64 {
	var sx, sy, sxx, syy, sxy float64
	for i := range x {
		sx, sy = sx+x[i], sy+y[i]
		sxx, syy, sxy = sxx+x[i]*x[i], syy+y[i]*y[i], sxy+x[i]*y[i]
	}
	n := float64(len(x))
	return (n*sxy - sx*sy) / math.Sqrt((n*sxx-sx*sx)*(n*syy-sy*sy))
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// survey is the measurements of a kiosk at equal steps.
type survey struct {
	at     []time.Time
	values [gaugeCount][]float64
	states map[string]int // samples by peripheral and state
}

func surveyOf(sim Simulation, from time.Time, length, step time.Duration) *survey {
	out := &survey{states: map[string]int{}}
	s := NewSimulated(sim)
	run(s, from, length, step, true, func(at time.Time, sample Sample) {
		out.at = append(out.at, at)
		for i, v := range [gaugeCount]any{
			sample.Environmental["temperature"], sample.Environmental["humidity"], sample.Environmental["air_quality"],
			sample.Hardware["cpu_temp"], sample.Hardware["cpu_usage"], sample.Hardware["ram_usage"], sample.Hardware["disk_usage"],
			sample.Location["lat"], sample.Location["lng"], sample.Location["accuracy"],
			sample.Network["latency"], sample.Network["signal_strength"],
			sample.Custom["paper_level"], sample.Custom["ink_level"], sample.Custom["cash_level"],
		} {
			out.values[i] = append(out.values[i], v.(float64))
		}
		allReady := true
		for name, state := range sample.Peripherals {
			out.states[name+" "+state.(string)]++
			allReady = allReady && state == ready
		}
		if !allReady {
			out.states["faulty"]++
		}
	})
	return out
}

// hours returns the values of a number at local hours [from, to).
func (v *survey) hours(gauge, from, to int) []float64 {
	var out []float64
	for i, at := range v.at {
		if h := at.In(madrid).Hour(); h >= from && h < to {
			out = append(out, v.values[gauge][i])
		}
	}
	return out
}

func TestAHealthyFleet(t *testing.T) {
	const kiosks, days = 10, 8
	states := map[string]int{}
	samples := 0
	for n := range kiosks {
		// Summer and winter, on both sides of the equator.
		sim := simulation(n, start, start)
		from := start.AddDate(0, n%4*3, 0)
		if n%2 == 0 {
			sim.Position.Lat = 40
		}
		v := surveyOf(sim, from, days*24*time.Hour, 30*time.Second)
		samples += len(v.at)
		for state, count := range v.states {
			states[state] += count
		}
		for i, values := range v.values {
			m := gaugeTable[i].metric
			low, high := slices.Min(values), slices.Max(values)
			if !(low >= m.Min && high <= m.Max) {
				t.Errorf("kiosk %d: %s goes from %v to %v, want %v to %v", n, m.Name, low, high, m.Min, m.Max)
			}
			edge := 0
			for _, x := range values {
				if m.Unit != "%" && (x == m.Min || x == m.Max) {
					edge++
				}
			}
			if share := float64(edge) / float64(len(values)); share > 0.001 {
				t.Errorf("kiosk %d: %s is at the edge of its range %.2f %% of the time", n, m.Name, 100*share)
			}
		}
		for _, gauge := range []int{cpuUsage, cpuTemp, airQuality, temperature} {
			if day, night := mean(v.hours(gauge, 8, 20)), mean(v.hours(gauge, 0, 5)); day < night*1.02 {
				t.Errorf("kiosk %d: %s is %.1f at day and %.1f at night", n, gaugeTable[gauge].name, day, night)
			}
		}
		if r := correlation(v.values[cpuUsage], v.values[cpuTemp]); r < 0.75 {
			t.Errorf("kiosk %d: load and CPU temperature correlate by %.2f, want more than 0.75", n, r)
		}
		if r := correlation(v.values[temperature], v.values[humidity]); r > -0.5 {
			t.Errorf("kiosk %d: temperature and humidity correlate by %.2f, want less than -0.5", n, r)
		}
	}
	for _, want := range []string{
		"printer_status low_ink", "printer_status paper_jam", "printer_status offline",
		"cash_acceptor full", "cash_acceptor error", "card_reader error",
	} {
		if states[want] == 0 {
			t.Errorf("never saw %s; saw %v", want, states)
		}
	}
	if share := float64(states["faulty"]) / float64(samples); share > 0.1 || share < 0.005 {
		t.Errorf("kiosks are faulty %.1f %% of the time, want 0.5 to 10 %%", share*100)
	}
}

func TestFaultsBreakTheCorrelationOfLoadAndTemperature(t *testing.T) {
	for _, kind := range []fault.Kind{fault.FanFailure, fault.CorrelationBreak} {
		for n := range 8 {
			const length = 6 * time.Hour
			from := start.Add(-3 * time.Hour)
			healthy := surveyOf(simulation(n, from, from), from, length, 10*time.Second)
			faulty := surveyOf(simulation(n, from, from.Add(length), kind), from, length, 10*time.Second)
			if r := correlation(healthy.values[cpuUsage], healthy.values[cpuTemp]); r < 0.75 {
				t.Errorf("kiosk %d: load and CPU temperature correlate by %.2f in health", n, r)
			}
			if r := correlation(faulty.values[cpuUsage], faulty.values[cpuTemp]); math.Abs(r) > 0.45 {
				t.Errorf("kiosk %d: load and CPU temperature correlate by %.2f under %s", n, r, kind)
			}
			low, high := slices.Min(faulty.values[cpuTemp]), slices.Max(faulty.values[cpuTemp])
			if low < 35 || high > 75 {
				t.Errorf("kiosk %d: under %s the CPU temperature goes from %v to %v", n, kind, low, high)
			}
			if kind != fault.FanFailure {
				continue
			}
			if rise := mean(faulty.values[cpuTemp]) - mean(healthy.values[cpuTemp]); math.Abs(rise-6) > 3.5 {
				t.Errorf("kiosk %d: without a fan the CPU is %.1f K warmer, want 6", n, rise)
			}
		}
	}
}

// arrivalsOf returns when customers come in days of a kiosk, and the mean number of them in each slot.
func arrivalsOf(n, days int) (arrived []instant, expected map[int64]float64) {
	sim := simulation(n, start, start)
	sim.Observe = func(e truth.Event) {
		if e.Event == truth.Session {
			arrived = append(arrived, instantOf(e.Session.Arrived))
		}
	}
	expected = map[int64]float64{}
	s := NewSimulated(sim)
	from := instantOf(start)
	for t := from; t < from+instant(days)*day; t += slot {
		s.reach(t.time())
		expected[int64(t/slot)] = s.expected(t)
	}
	// Those who are inside or wait are told when they leave.
	s.leave(s.last)
	slices.Sort(arrived)
	for len(arrived) > 0 && arrived[0] < from {
		arrived = arrived[1:]
	}
	return arrived, expected
}

func TestArrivalsAreAPoissonProcess(t *testing.T) {
	const kiosks, days = 12, 21
	var squares, freedom float64 // of the counts in slots of the same weekday hour
	var gaps []float64           // in units in which they are exponential with mean 1
	for n := range kiosks {
		arrived, expected := arrivalsOf(n, days)
		counts := map[int64]float64{}
		passed := 0.0
		number := int64(0)
		before := -1.0
		for _, at := range arrived {
			counts[int64(at/slot)]++
			for ; number < int64(at/slot); number++ {
				passed += expected[number]
			}
			now := passed + expected[number]*float64(at%slot)/float64(slot)
			if before >= 0 {
				gaps = append(gaps, now-before)
			}
			before = now
		}
		same := map[float64][]float64{}
		for number, mean := range expected {
			if mean > 0.3 {
				same[mean] = append(same[mean], counts[number])
			}
		}
		for _, group := range same {
			m := mean(group)
			for _, c := range group {
				if m > 0 {
					squares += (c - m) * (c - m) / m
				}
			}
			if m > 0 {
				freedom += float64(len(group) - 1)
			}
		}
	}
	// The index of dispersion of Poisson counts is 1; its standard error is below 2/sqrt(freedom).
	if index := squares / freedom; freedom < 5000 || math.Abs(index-1) > 6/math.Sqrt(freedom) {
		t.Errorf("variance over mean is %.3f of %.0f counts, want 1", index, freedom)
	}
	// Kolmogorov-Smirnov: the distance exceeds 1.63/sqrt(n) in 1 % of all seeds.
	slices.Sort(gaps)
	distance := 0.0
	for i, g := range gaps {
		at := -math.Expm1(-g)
		distance = max(distance, at-float64(i)/float64(len(gaps)), float64(i+1)/float64(len(gaps))-at)
	}
	if limit := 1.63 / math.Sqrt(float64(len(gaps))); len(gaps) < 15_000 || distance > limit {
		t.Errorf("the gaps of %d arrivals are %.4f away from exponential ones, want at most %.4f", len(gaps), distance, limit)
	}
}

func TestCustomersOfAWeek(t *testing.T) {
	byDay := map[bool]map[time.Weekday]float64{true: {}, false: {}} // of airports and stations
	var nights, rushes float64
	for n := range 40 {
		sim := simulation(n, start, start)
		arrived, _ := arrivalsOf(n, 7)
		perDay := map[time.Weekday]int{}
		for _, at := range arrived {
			local := at.time().In(madrid)
			perDay[local.Weekday()]++
			byDay[isAirport(sim.Site)][local.Weekday()]++
			switch h := local.Hour(); {
			case h >= 1 && h < 4:
				nights++
			case h >= 17 && h < 20:
				rushes++
			}
		}
		for weekday, count := range perDay {
			if count < 45 || count > 270 {
				t.Errorf("%d customers came to kiosk %d on %s", count, n, weekday)
			}
		}
	}
	if nights > rushes/4 {
		t.Errorf("%v customers came from 1 to 4 at night, %v from 17 to 20", nights, rushes)
	}
	for airport, days := range byDay {
		working := (days[time.Tuesday] + days[time.Wednesday] + days[time.Thursday]) / 3
		if ratio := days[time.Sunday] / working; airport != (ratio > 1) || math.Abs(ratio-1) < 0.04 {
			t.Errorf("airport %t: %.2f times as many customers on Sundays as on other days", airport, ratio)
		}
	}
}

func TestDemandAndWarmth(t *testing.T) {
	usual, unusual, closed := simulation(1, start, start), simulation(1, start, start), simulation(1, start, start)
	to := start.Add(12 * time.Hour)
	unusual.Conditions = []Condition{{From: start, To: to, Warmer: 12, Demand: 2.5}}
	closed.Conditions = []Condition{{From: start, To: to, Demand: -1}}
	count := func(sim Simulation) (n int) {
		sim.Observe = func(e truth.Event) {
			if e.Event == truth.Session && e.Session.Arrived.After(start.Add(20*time.Minute)) {
				n++
			}
		}
		surveyOf(sim, start, 12*time.Hour, time.Minute)
		return n
	}
	if few, many, none := count(usual), count(unusual), count(closed); many < 2*few || many > 3*few || none != 0 {
		t.Errorf("%d customers usually, %d with 2.5 times the demand, %d with none", few, many, none)
	}
	a := surveyOf(usual, start, 48*time.Hour, 10*time.Minute)
	b := surveyOf(unusual, start, 48*time.Hour, 10*time.Minute)
	warmer := func(h int) float64 { return b.values[temperature][h*6] - a.values[temperature][h*6] }
	if warmer(0) != 0 || warmer(2) < 1 || warmer(11) < 3.5 || warmer(11) > 6 || math.Abs(warmer(40)) > 0.2 {
		t.Errorf("the room is %.1f, %.1f, %.1f, %.1f K warmer after 0, 2, 11, 40 h", warmer(0), warmer(2), warmer(11), warmer(40))
	}
}

func TestKiosksOfASiteShareTheirNetwork(t *testing.T) {
	latencies := func(n int) []float64 {
		v := surveyOf(simulation(n, start, start), start, 24*time.Hour, 20*time.Second).values[latency]
		for i := range v {
			v[i] = math.Log(v[i])
		}
		return v
	}
	a, b, other := latencies(1), latencies(5), latencies(2)
	if same, apart := correlation(a, b), correlation(a, other); same < 0.5 || math.Abs(apart) > 0.2 {
		t.Errorf("latencies correlate by %.2f within a site and by %.2f between two", same, apart)
	}
}

func TestBrownoutsBefallAllKiosksOfASite(t *testing.T) {
	first, second := kiosk(1), kiosk(5)
	seen := 0
	for i := range 3 * 24 * 60 {
		at := instantOf(start) + instant(i)*minute
		brown := first.brownout(at)
		if brown != second.brownout(at) {
			t.Fatalf("%s: a brownout at one of two kiosks of a site", at.time())
		}
		if brown > 0.4 {
			seen++
			first.reach(at.time())
			quiet := first.site.latency
			if r := first.gauges(at); r[latency] < quiet*0.8 {
				t.Errorf("%s: latency is %v in a brownout, %v otherwise", at.time(), r[latency], quiet)
			}
		}
	}
	if seen < 5 || seen > 150 {
		t.Errorf("%d minutes of brownouts in three days", seen)
	}
}

func TestAirports(t *testing.T) {
	for site, want := range map[string]bool{
		"Lisbon LIS": true, "Buenos Aires EZE": true, "Madrid Atocha": false, "": false, "LIS": false, "Terminal 123": false,
	} {
		if got := isAirport(site); got != want {
			t.Errorf("isAirport(%q) = %t", site, got)
		}
	}
	if _, ok := protocol.LookupMetric(gaugeTable[cashLevel].name); !ok {
		t.Error("a number is not in the catalogue")
	}
}
