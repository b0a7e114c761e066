package device

import (
	"math"

	"kioskfleet/internal/hashed"
)

const (
	// The CPU is warmer than the room by warmth at rest and heating for each % of usage, a third of which
	// the chip itself shows within seconds.
	cpuWarmth  = 14.5 // K
	heating    = 0.38 // K per %
	chipsShare = 0.35

	drying     = 2.2  // % of relative humidity that a kelvin more takes away
	breath     = 12.0 // AQI of an average crowd
	mostCrowd  = 4.0  // crowds of which more are not noticed
	mostLeaked = 36.0 // % that leaks at most: caches make room then
	sessionRAM = 0.06 // % of memory for each % of load
	insulation = 0.35 // the room's part of what the air outside is warmer
	roomTau    = 3 * hour
	worstDelay = 294.0 // ms
)

// healthy returns the measurements without any planned fault.
func (s *Simulated) healthy(t instant) readings {
	var r readings
	chip, sink := s.load.at(t)
	crowd := min(s.crowd(t), mostCrowd)
	room := s.room(t, crowd)
	warmer := s.warmer(t)
	r[temperature] = room + warmer
	// Warmer air holds more water.
	r[humidity] = normally(humidity, s.site.humidity-drying*(r[temperature]-s.site.temperature)+1.7*s.noise(humidityNoise, t))
	r[airQuality] = normally(airQuality, s.site.airQuality+breath*crowd+
		2.5*s.noise(siteAirNoise, t)+2*s.noise(airNoise, t)+0.5*white(s.seed, airNoise, t))

	usage := cpuIdle + 0.8*s.noise(cpuNoise, t) + 0.5*white(s.seed, cpuNoise, t)
	r[cpuUsage] = normally(cpuUsage, usage+s.load.level)
	if s.forced.busy {
		r[cpuUsage] = clamp(cpuBusy+1.6*s.noise(busyNoise, t), cpuBusy-5, cpuBusy+5)
	}
	rise := cpuWarmth + heating*(cpuIdle+0.8*s.noise(cpuNoise, t)+chipsShare*chip+(1-chipsShare)*sink)
	r[cpuTemp] = normally(cpuTemp, room+rise+0.15*white(s.seed, roomNoise, t)) + warmer
	leaked := mostLeaked * (1 - math.Exp(-s.traits.leak*float64(s.guests)/mostLeaked))
	r[ramUsage] = normally(ramUsage, s.traits.ramAfterBoot+leaked+sessionRAM*chip)
	r[diskUsage] = normally(diskUsage, s.disk(t))

	s.locate(&r, t)
	s.network(&r, t)

	r[paperLevel] = share(s.supplies.paper, s.traits.paper)
	r[inkLevel] = share(s.supplies.ink, s.traits.ink)
	r[cashLevel] = share(s.supplies.cash, s.traits.cash)
	return r
}

// share returns a part in %.
func share(part, whole int) float64 { return 100 * float64(part) / float64(whole) }

// room returns the temperature of the room: warmest in the afternoon, in summer and when it is full.
func (s *Simulated) room(t instant, crowd float64) float64 {
	_, clock := dayOf(s.calendar.local(t))
	daily := s.site.daily * math.Sin((clock.hoursSince(0)-9.5)/24*2*math.Pi)
	// 365.25 days; the 21st of July is the warmest day north of the equator.
	yearly := s.site.yearly * math.Cos((float64(t)/float64(day)/365.25-0.55)*2*math.Pi)
	if s.sim.Position.Lat < 0 {
		yearly = -yearly
	}
	return normally(temperature, s.site.temperature+s.traits.warmth+daily+yearly+0.15*crowd+0.3*s.noise(roomNoise, t))
}

// warmer returns the room's part of unusual weather, in K.
func (s *Simulated) warmer(t instant) float64 {
	sum := 0.0
	for i := range s.conditions {
		if c := &s.conditions[i]; c.warmer != 0 {
			sum += insulation * c.warmer * swing(c.from, c.to, roomTau, t)
		}
	}
	return sum
}

// Logs are rotated at three in the morning, which takes a while.
const (
	rotation     = 3 * hour
	rotationTime = 20 * minute
)

// disk returns the disk's usage: a saw-tooth of logs on what only a tidy-up frees.
func (s *Simulated) disk(t instant) float64 {
	_, clock := dayOf(s.calendar.local(t))
	age := clock - rotation
	if age < 0 {
		age += day
	}
	full := float64(day - rotationTime)
	logs := float64(age-rotationTime) / full
	if age < rotationTime {
		logs = 1 - float64(age)/float64(rotationTime)
	}
	return s.traits.disk + s.traits.logs*logs + s.traits.growth*t.hoursSince(s.serviced)
}

// locate fills in what the GPS receiver shows.
func (s *Simulated) locate(r *readings, t instant) {
	r[accuracy] = normally(accuracy, s.traits.accuracy+0.5*s.noise(accuracyNoise, t))
	reach := 0.4 * r[accuracy]
	at := s.sim.Position.move(reach*s.noise(northNoise, t), reach*s.noise(eastNoise, t))
	r[latitude], r[longitude] = at.Lat, at.Lng
}

// network fills in what the network shows.
func (s *Simulated) network(r *readings, t instant) {
	brown := s.brownout(t)
	// Latencies are skewed: never much below their usual value, now and then far above it.
	raw := s.site.latency * (1 + 1.6*brown) *
		math.Exp(0.24*s.noise(siteLatencyNoise, t)+0.15*s.noise(latencyNoise, t)+0.05*white(s.seed, latencyNoise, t))
	r[latency] = normally(latency, 5+worstDelay*(1-math.Exp(-raw/worstDelay)))
	r[signal] = normally(signal, s.site.signal+s.traits.signal-4*brown+
		1.2*s.noise(siteSignalNoise, t)+1.5*s.noise(signalNoise, t))
}

// brownouts are minutes in which a site's network is slow, with a chance in each stretch of time.
const (
	brownouts      = 8 * hour
	brownoutChance = 0.35
)

// brownout returns how slow the site's network is at t, from 0 (not at all) to 1.
func (s *Simulated) brownout(t instant) float64 {
	n := uint64(t / brownouts)
	h := func(i uint64) uint64 { return hashed.Of(s.siteSeed, n, 300+i) }
	if hashed.Uniform(h(0)) >= brownoutChance {
		return 0
	}
	length := instant(hashed.Between(h(1), 3, 14) * float64(minute))
	begin := instant(n)*brownouts + instant(hashed.Uniform(h(2))*float64(brownouts-length))
	if t < begin || t >= begin+length {
		return 0
	}
	const edge = float64(40 * second)
	return hashed.Between(h(3), 0.5, 1) * min(1, float64(t-begin)/edge, float64(begin+length-t)/edge)
}
