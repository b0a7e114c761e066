package device

import (
	"math"
	"math/rand/v2"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// Simulation describes a simulated kiosk.
type Simulation struct {
	Serial   string
	Site     string         // kiosks of a site share its climate and network
	Position Position       // where the kiosk really stands
	Timezone *time.Location // shifts the hours in which customers come; nil means UTC
	Seed     uint64         // 0: derived from Serial

	Faults     *fault.Plan // what goes wrong with it; nil: what wear and customers bring about
	Conditions []Condition // what is unusual around it
	// Observe is told, in the order of device time, of customers' sessions and of the begin and end of
	// the faults of fault.LayerDevice, planned ones and those that wear brings about; nil: nobody is.
	Observe func(truth.Event)
}

// Condition is something unusual around a kiosk in [From, To) of its time; a zero To is never.
type Condition struct {
	From, To time.Time
	Warmer   float64 // K added to the air outside, of which the room takes its part within hours
	Demand   float64 // factor on the number of customers
}

// Simulated is a Device that computes its measurements. The same Simulation, asked at the same times
// in the same order, gives the same values. It reads no clock: time is what Sample is told.
type Simulated struct {
	site   climate
	traits traits
	place  Position
	zone   *time.Location
	random *rand.Rand

	last time.Time // of the last Sample; zero before the first

	load float64 // share of the time in which a customer is being served, 0..1

	// Slow noises around 0 and levels, in the unit of their metric.
	roomNoise, humidityNoise, airNoise    float64
	crowd, cpuNoise, latencyNoise, signal float64
	north, east                           float64 // GPS error, in units of the accuracy
	accuracy                              float64
	cpuTemp, ram, disk                    float64
	supplies                              supplies
	faults                                faults
}

// climate is what kiosks of one site have in common.
type climate struct {
	temperature, humidity, airQuality float64 // indoor means
	latencyMillis                     float64 // round trip of the site's uplink
	signal                            float64 // dBm
}

// traits are one kiosk's own offsets and rates.
type traits struct {
	warmth        float64 // K above or below the site's temperature
	ramAfterBoot  float64 // %
	leak          float64 // % of memory an hour, at full load
	diskGrowth    float64 // % of the disk an hour
	signal        float64 // dB against the site's
	popularity    float64 // factor on the number of customers
	accuracyMetre float64 // usual GPS accuracy
}

// maxStep bounds what one Sample simulates. Longer gaps are a suspended machine or a clock that was
// set: nothing happened in the kiosk meanwhile.
const maxStep = 10 * time.Minute

// NewSimulated returns a device that has just been installed: all peripherals ready, supplies at
// levels that differ from kiosk to kiosk.
func NewSimulated(sim Simulation) *Simulated {
	seed := sim.Seed
	if seed == 0 {
		seed = seedOf(sim.Serial)
	}
	zone := sim.Timezone
	if zone == nil {
		zone = time.UTC
	}
	s := &Simulated{
		site:   climateOf(sim.Site),
		place:  sim.Position,
		zone:   zone,
		random: rand.New(rand.NewPCG(seed, seedOf(sim.Site))),
	}
	s.traits = traits{
		warmth:        s.between(-0.8, 0.8),
		ramAfterBoot:  s.between(32, 46),
		leak:          s.between(0.5, 1.8),
		diskGrowth:    s.between(0.01, 0.04),
		signal:        s.between(-5, 5),
		popularity:    s.between(0.7, 1.2),
		accuracyMetre: s.between(2.5, 5),
	}
	if s.random.IntN(8) == 0 {
		// One kiosk in eight writes too much log: its disk fills up within days.
		s.traits.diskGrowth = s.between(0.3, 0.8)
	}
	s.ram = s.traits.ramAfterBoot
	s.disk = s.between(38, 68)
	s.accuracy = s.traits.accuracyMetre
	s.supplies = supplies{paper: s.between(25, 98), ink: s.between(18, 100), cash: s.between(5, 85)}
	s.cpuTemp = s.equilibrium(cpuIdle, s.site.temperature+s.traits.warmth)
	return s
}

func climateOf(site string) climate {
	r := rand.New(rand.NewPCG(seedOf(site), 0))
	between := func(low, high float64) float64 { return low + (high-low)*r.Float64() }
	return climate{
		temperature:   between(21, 24),
		humidity:      between(40, 55),
		airQuality:    between(18, 35),
		latencyMillis: between(14, 75),
		signal:        between(-68, -50),
	}
}

// Capabilities lists all peripherals of the original design note.
func (s *Simulated) Capabilities() []string {
	return []string{protocol.CapabilityPrinter, protocol.CapabilityCashAcceptor, protocol.CapabilityCardReader}
}

// Restart frees leaked memory and clears the faults that live in software; a paper jam stays.
func (s *Simulated) Restart(time.Time) {
	s.ram = s.traits.ramAfterBoot
	s.load = 0
	s.faults.clearElectronics()
}

// Sample advances the simulation to now and returns its values.
func (s *Simulated) Sample(now time.Time, serving bool) Sample {
	var dt float64
	if !s.last.IsZero() && now.After(s.last) {
		dt = min(now.Sub(s.last), maxStep).Seconds()
	}
	if s.last.IsZero() || now.After(s.last) {
		s.last = now
	}
	serving = serving && s.faults.printerWorks(now)

	hour := hourOfDay(now.In(s.zone))
	s.crowd = s.drift(s.crowd, 0.15, 90, dt)
	target := 0.0
	if serving {
		target = clamp(demand(hour)*s.traits.popularity+s.crowd, 0, 1)
	}
	s.load = approach(s.load, target, 20, dt)
	customers := s.load * dt / secondsPerCustomer

	s.faults.step(s, now, dt)
	s.supplies.step(s, now, customers)

	room := s.room(hour, dt)
	usage := s.cpu(dt)
	s.cpuTemp = approach(s.cpuTemp, s.equilibrium(usage, room), 90, dt)
	s.ram = clamp(s.ram+(0.15+s.traits.leak*s.load)*dt/3600, 0, 97)
	s.disk = clamp(s.disk+s.traits.diskGrowth*(0.5+s.load)*dt/3600, 0, 99)

	return Sample{
		Environmental: s.environment(hour, room, dt),
		Hardware: protocol.Group{
			"cpu_temp":   round(normally("hardware.cpu_temp", s.cpuTemp), 1),
			"cpu_usage":  round(usage, 1),
			"ram_usage":  round(s.ram+5*s.load, 1),
			"disk_usage": round(s.disk, 2),
		},
		Peripherals: protocol.Group{
			"printer_status": s.faults.printerStatus(s.supplies, now),
			"cash_acceptor":  s.faults.cashStatus(s.supplies, now),
			"card_reader":    s.faults.cardStatus(now),
		},
		Location: s.position(dt),
		Network:  s.network(dt),
		Custom: protocol.Group{
			"paper_level": round(s.supplies.paper, 1),
			"ink_level":   round(s.supplies.ink, 1),
			"cash_level":  round(s.supplies.cash, 1),
		},
	}
}

const (
	secondsPerCustomer = 70.0
	cpuIdle            = 13.0 // %
)

func hourOfDay(t time.Time) float64 {
	return float64(t.Hour()) + float64(t.Minute())/60 + float64(t.Second())/3600
}

// demand is the usual load by local hour: quiet nights, a rush in the morning, a longer one at the
// end of the day.
func demand(hour float64) float64 {
	rush := func(at, width float64) float64 {
		away := math.Abs(hour - at)
		away = min(away, 24-away)
		return math.Exp(-away * away / (2 * width * width))
	}
	return 0.06 + 0.42*rush(8.5, 1.8) + 0.18*rush(13, 2.5) + 0.5*rush(18, 2.6)
}

// cpu returns the CPU usage in %.
func (s *Simulated) cpu(dt float64) float64 {
	s.cpuNoise = s.drift(s.cpuNoise, 2, 15, dt)
	return normally("hardware.cpu_usage", cpuIdle+54*s.load+s.cpuNoise)
}

// equilibrium is the CPU temperature that a constant usage (%) ends at in a room of that temperature.
func (s *Simulated) equilibrium(usage, room float64) float64 { return room + 14 + 0.42*usage }

// room returns the room temperature: warmest in the afternoon.
func (s *Simulated) room(hour, dt float64) float64 {
	s.roomNoise = s.drift(s.roomNoise, 0.4, 1200, dt)
	daily := 1.2 * math.Sin((hour-9)/24*2*math.Pi)
	return normally("environmental.temperature", s.site.temperature+s.traits.warmth+daily+s.roomNoise)
}

func (s *Simulated) environment(hour, room, dt float64) protocol.Group {
	s.humidityNoise = s.drift(s.humidityNoise, 2, 1800, dt)
	s.airNoise = s.drift(s.airNoise, 4, 900, dt)
	// Warmer air holds more water: relative humidity falls by about 2 % a kelvin.
	humidity := s.site.humidity - 2*(room-s.site.temperature) + s.humidityNoise
	return protocol.Group{
		"temperature": round(room, 1),
		"humidity":    round(normally("environmental.humidity", humidity), 1),
		// People make the air worse.
		"air_quality": round(normally("environmental.air_quality", s.site.airQuality+22*demand(hour)+s.airNoise), 1),
	}
}

func (s *Simulated) network(dt float64) protocol.Group {
	s.signal = s.drift(s.signal, 2, 300, dt)
	s.latencyNoise = s.drift(s.latencyNoise, 0.35, 20, dt)
	// Latencies are skewed: never much below their usual value, now and then far above it.
	latency := s.site.latencyMillis * math.Exp(s.latencyNoise)
	return protocol.Group{
		"latency":         round(normally("network.latency", latency), 1),
		"signal_strength": round(normally("network.signal_strength", s.site.signal+s.traits.signal+s.signal), 0),
	}
}

// metresPerDegree is the length of a degree of latitude.
const metresPerDegree = 111_320

func (s *Simulated) position(dt float64) protocol.Group {
	s.accuracy = s.traits.accuracyMetre + s.drift(s.accuracy-s.traits.accuracyMetre, 0.5, 300, dt)
	s.north = s.drift(s.north, 0.4, 120, dt)
	s.east = s.drift(s.east, 0.4, 120, dt)
	accuracy := normally("location.accuracy", s.accuracy)
	lat := s.place.Lat + s.north*accuracy/metresPerDegree
	// Meridians meet at the poles; there, an error in metres would be any longitude.
	width := max(math.Cos(s.place.Lat*math.Pi/180), 0.01)
	lng := s.place.Lng + s.east*accuracy/(metresPerDegree*width)
	return protocol.Group{
		"lat":      round(clamp(lat, -90, 90), 6),
		"lng":      round(clamp(lng, -180, 180), 6),
		"accuracy": round(accuracy, 1),
	}
}
