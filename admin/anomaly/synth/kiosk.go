package synth

import (
	"fmt"
	"iter"
	"math"
	"time"

	"kioskfleet/admin/anomaly/score"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/hashed"
)

// Kiosk is what one kiosk reported, and what was wrong with it.
type Kiosk struct {
	Serial, Model, Site string
	Metrics             []string // in order of their names
	Times               []time.Time
	Values              [][]float64    // of each metric, at each time
	Windows             []score.Window // in order of From, not overlapping; Metrics names whose fault it is, then with what it broke
}

// Reading returns reading i in order of the metrics' names, in the memory of into as far as that suffices.
func (k *Kiosk) Reading(i int, into []fleet.Value) []fleet.Value {
	into = into[:0]
	for m, name := range k.Metrics {
		into = append(into, fleet.Value{Metric: name, Value: k.Values[m][i]})
	}
	return into
}

// Track returns scores of the whole kiosk, one for each reading, with its windows, to be looked at from Learnt on.
func (k *Kiosk) Track(scores []float64) score.Track {
	return score.Track{Name: k.Serial, Times: k.Times, Scores: scores, Windows: k.Windows, From: k.Learnt()}
}

// Learnt is when a detector has seen enough of the kiosk to be judged: after a third of its time, at most five days.
// No fault is injected before. Zero without readings.
func (k *Kiosk) Learnt() time.Time {
	if len(k.Times) == 0 {
		return time.Time{}
	}
	return k.Times[0].Add(min(k.Times[len(k.Times)-1].Sub(k.Times[0])/3, 5*24*time.Hour))
}

// Options say what fleet is made.
type Options struct {
	Kiosks int
	Days   int
	Step   time.Duration // between readings
	Seed   uint64
}

// Validate returns a *fleet.ValidationError that names what cannot be made.
func (o Options) Validate() error {
	var v fleet.Violations
	if o.Kiosks < 1 || o.Kiosks > 100_000 {
		v.Add("kiosks", "%d: give 1 to 100000", o.Kiosks)
	}
	if o.Days < 1 || o.Days > 3660 {
		v.Add("days", "%d: give 1 to 3660", o.Days)
	}
	if o.Step < time.Second || o.Step > time.Hour {
		v.Add("step", "%s: give 1s to 1h", o.Step)
	}
	return v.Err()
}

// Fleet makes one kiosk after the other, so that only one is in memory.
func (o Options) Fleet() iter.Seq[Kiosk] {
	return func(yield func(Kiosk) bool) {
		for n := range o.Kiosks {
			if !yield(o.Kiosk(n)) {
				return
			}
		}
	}
}

// Metrics of synthetic kiosks, in order of their names.
const (
	cashLevel = iota
	inkLevel
	paperLevel
	airQuality
	humidity
	temperature
	cpuTemp
	cpuUsage
	diskUsage
	ramUsage
	latency
	signalStrength
	metricCount
)

// gauges are the metrics with the steps of their sensors and what they can show.
var gauges = [metricCount]struct {
	name            string
	step, low, high float64
}{
	{"custom.cash_level", 0.1, 0, 100},
	{"custom.ink_level", 0.1, 0, 100},
	{"custom.paper_level", 0.1, 0, 100},
	{"environmental.air_quality", 0.1, 0, 500},
	{"environmental.humidity", 0.1, 0, 100},
	{"environmental.temperature", 0.1, -40, 85},
	{"hardware.cpu_temp", 0.1, -40, 150},
	{"hardware.cpu_usage", 0.1, 0, 100},
	{"hardware.disk_usage", 0.01, 0, 100},
	{"hardware.ram_usage", 0.1, 0, 100},
	{"network.latency", 0.1, 0, 600_000},
	{"network.signal_strength", 1, -120, 0},
}

const (
	perSite = 40 // kiosks of a site
	inner   = 15 * time.Second
)

// Kiosk makes kiosk n of the fleet, in which nothing is wrong. Kiosks of a site share its weather, its customers'
// hours and its network; those of a model share how warm they get.
func (o Options) Kiosk(n int) Kiosk {
	model := fmt.Sprintf("K%d00", 1+n%2)
	site := fmt.Sprintf("Site %02d", 1+n/perSite)
	m := newMachine(draws(o.Seed, uint64(n), hashed.Text("kiosk")), draws(o.Seed, hashed.Text(site)), model, o.Step)
	count := int(time.Duration(o.Days) * 24 * time.Hour / o.Step)
	k := Kiosk{Serial: fmt.Sprintf("SYN-%d-%04d", o.Seed, n+1), Model: model, Site: site, Times: make([]time.Time, count)}
	for _, g := range gauges {
		k.Metrics = append(k.Metrics, g.name)
		k.Values = append(k.Values, make([]float64, count))
	}
	for i := range k.Times {
		k.Times[i] = begin.Add(time.Duration(i) * o.Step)
		m.live(k.Times[i])
		for j, x := range m.sense(k.Times[i]) {
			k.Values[j][i] = clamp(rounded(x, gauges[j].step), gauges[j].low, gauges[j].high)
		}
	}
	return k
}

// machine is a kiosk that lives: customers come and go, it warms up and cools down.
//
// Source: the same relations as the simulated device's (kiosk/device/physics.go), drawn anew.
type machine struct {
	r, site source
	step    time.Duration
	now     time.Time

	// What the site and the model have in common.
	temperature, humidity, air, latency, signal, daily float64
	siteLatency, siteAir                               *wander
	warmth, heating                                    float64

	// This kiosk's own.
	customers, ram, leak, disk, growth float64
	noise                              [metricCount]*wander
	supplies, perUse                   [3]float64

	// What goes on.
	session                float64 // s that are left of it
	height                 float64 // load of the session, % of the CPU
	load, chip, sink       float64
	leaked, grown          float64
	brownLeft, brownHeight float64 // s and share of a slow network
}

func newMachine(r, site source, model string, step time.Duration) *machine {
	m := &machine{
		r: r, site: site, step: step, now: begin,
		temperature: site.between(21, 25), humidity: site.between(42, 55), air: site.between(14, 26),
		latency: site.between(14, 70), signal: site.between(-66, -52), daily: site.between(0.8, 2),
		siteLatency: site.wander(steps(4*time.Minute, step)), siteAir: site.wander(steps(40*time.Minute, step)),
		warmth: 14.5, heating: 0.38,
		customers: r.between(90, 170), ram: r.between(30, 44), leak: r.between(0.02, 0.05),
		disk: r.between(36, 58), growth: r.between(0.1, 0.6),
	}
	if model == "K200" {
		m.warmth, m.heating = 19, 0.3
	}
	m.temperature += r.between(-0.6, 0.6)
	m.signal += r.between(-5, 5)
	memory := [metricCount]time.Duration{
		airQuality: 15 * time.Minute, humidity: 45 * time.Minute, temperature: 50 * time.Minute, cpuTemp: 6 * time.Minute,
		cpuUsage: 20 * time.Second, latency: 25 * time.Second, signalStrength: 5 * time.Minute,
	}
	for i, d := range memory {
		m.noise[i] = r.wander(steps(d, step))
	}
	for i := range m.supplies {
		m.supplies[i] = r.between(30, 100)
		m.perUse[i] = r.between(0.12, 0.3)
	}
	m.perUse[inkLevel] /= 2
	return m
}

// live lets everything happen until t.
func (m *machine) live(t time.Time) {
	for m.now.Before(t) {
		dt := min(inner, t.Sub(m.now))
		m.now = m.now.Add(dt)
		m.pass(dt.Seconds())
	}
}

// pass lets some seconds pass.
func (m *machine) pass(seconds float64) {
	rate := m.customers * rush(m.now) / 86400
	if m.now.Weekday() == time.Saturday || m.now.Weekday() == time.Sunday {
		rate *= 0.7
	}
	if m.session -= seconds; m.session < 0 && m.r.Float64() < rate*seconds {
		m.session, m.height = m.r.between(50, 140), m.r.between(28, 44)
		m.use()
	}
	m.load = 0
	if m.session > 0 {
		m.load += m.height
	}
	if h := hour(m.now); h >= 2 && h < 2.6 {
		m.load += 22 // the nightly job
	}
	m.chip += (m.load - m.chip) * (1 - math.Exp(-seconds/15))
	m.sink += (m.load - m.sink) * (1 - math.Exp(-seconds/90))
	m.grown += m.growth * seconds / 86400
	m.leaked -= m.leaked * seconds / (12 * 3600) // caches make room
	if hour(m.now) < 0.01 && m.now.Day() == 1 {
		m.grown = 0 // tidied up every month
	}
	if m.brownLeft -= seconds; m.brownLeft < 0 && m.site.Float64() < seconds/86400 {
		m.brownLeft, m.brownHeight = m.site.between(180, 840), m.site.between(0.5, 1)
	}
}

// use is what a customer uses up; staff fill up at once what is low in the opening hours.
func (m *machine) use() {
	m.leaked += m.leak
	m.supplies[paperLevel] -= m.perUse[paperLevel] * m.r.between(0.5, 1.5)
	m.supplies[inkLevel] -= m.perUse[inkLevel] * m.r.between(0.5, 1.5)
	m.supplies[cashLevel] += m.perUse[cashLevel] * m.r.between(0, 2)
	if h := hour(m.now); h < 9 || h > 17 {
		return
	}
	for _, s := range []int{paperLevel, inkLevel} {
		if m.supplies[s] < 15 {
			m.supplies[s] = 100
		}
	}
	if m.supplies[cashLevel] > 85 {
		m.supplies[cashLevel] = 0
	}
}

// sense returns what the sensors show at t.
func (m *machine) sense(t time.Time) [metricCount]float64 {
	r := m.r
	var x [metricCount]float64
	crowd := rush(t)
	noise := func(i int) float64 { return m.noise[i].next(r) }
	room := m.temperature + m.daily*wave(t, 9.5) + 0.15*crowd + 0.3*noise(temperature)
	x[temperature] = room
	x[humidity] = m.humidity - 2.2*(room-m.temperature) + 1.7*noise(humidity)
	x[airQuality] = m.air + 12*crowd/2 + 2.5*m.siteAir.next(m.site) + 2*noise(airQuality) + 0.5*r.NormFloat64()
	idle := 14.5 + 0.8*noise(cpuUsage)
	x[cpuUsage] = idle + m.load + 0.5*r.NormFloat64()
	x[cpuTemp] = room + m.warmth + m.heating*(idle+0.35*m.chip+0.65*m.sink) + 0.15*r.NormFloat64()
	x[ramUsage] = m.ram + m.leaked + 0.06*m.chip
	logs := math.Mod(hour(t)-3+24, 24) / 24
	x[diskUsage] = m.disk + 2*logs + m.grown
	brown := 0.0
	if m.brownLeft > 0 {
		brown = m.brownHeight
	}
	x[signalStrength] = m.signal - 4*brown + 1.5*noise(signalStrength)
	x[latency] = 5 + m.latency*(1+1.6*brown)*math.Exp(0.2*m.siteLatency.next(m.site)+0.15*noise(latency)+0.05*r.NormFloat64())
	copy(x[:], m.supplies[:])
	return x
}
