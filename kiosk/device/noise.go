package device

import (
	"math"

	"kioskfleet/internal/hashed"
)

// channel is one of a kiosk's noises.
type channel uint8

const (
	roomNoise channel = iota
	humidityNoise
	airNoise
	cpuNoise
	busyNoise
	fanNoise
	latencyNoise
	signalNoise
	accuracyNoise
	northNoise
	eastNoise
	siteAirNoise     // from here on: shared by the kiosks of a site
	siteLatencyNoise //
	siteSignalNoise  //
	channels
)

// rhythm is how long each noise remembers itself.
var rhythm = [channels]instant{
	roomNoise:        50 * minute,
	humidityNoise:    45 * minute,
	airNoise:         15 * minute,
	cpuNoise:         20 * second,
	busyNoise:        20 * second,
	fanNoise:         6 * minute,
	latencyNoise:     25 * second,
	signalNoise:      5 * minute,
	accuracyNoise:    5 * minute,
	northNoise:       2 * minute,
	eastNoise:        2 * minute,
	siteAirNoise:     40 * minute,
	siteLatencyNoise: 90 * second,
	siteSignalNoise:  10 * minute,
}

// lattice remembers the two values between which a noise was last.
type lattice struct {
	cell int64 // number of the stretch of time between the two, from 1; 0: none yet
	a, b float32
}

// at returns smooth noise of mean 0 and variance 1: independent normal values, one in each tau, with a
// smooth way from each to the next. It is a function of seed, tau and t alone, unlike a random walk, which
// depends on where it has been. Each seed has its own moments for the values, at which the noise stands
// still: otherwise all would do so together, at midnight say.
//
// Source: K. Perlin, An Image Synthesizer, 1985 (value noise), here with the variance kept constant.
func (l *lattice) at(seed uint64, tau, t instant) float64 {
	t += instant(seed % uint64(tau))
	cell := int64(t/tau) + 1
	if l.cell != cell {
		if l.cell == cell-1 && l.cell > 0 {
			l.a = l.b
		} else {
			l.a = float32(hashed.Normal(hashed.Of(seed, uint64(cell))))
		}
		l.b = float32(hashed.Normal(hashed.Of(seed, uint64(cell+1))))
		l.cell = cell
	}
	x := float64(t%tau) / float64(tau)
	x = x * x * (3 - 2*x)
	return (float64(l.a)*(1-x) + float64(l.b)*x) / math.Sqrt((1-x)*(1-x)+x*x)
}

// octaves are a slow noise and a quick one on top.
type octaves struct{ slow, quick lattice }

// noise returns the value of a channel at t: mean 0, standard deviation 1, at most 3, which is as far as
// sensors go in ordinary operation.
func (s *Simulated) noise(c channel, t instant) float64 {
	seed := s.seed
	if c >= siteAirNoise {
		seed = s.siteSeed
	}
	seed += uint64(c) << 32
	n := &s.noises[c]
	return clamp(0.8*n.slow.at(seed, rhythm[c], t)+0.6*n.quick.at(seed+1, rhythm[c]/4, t), -3, 3)
}

// white returns the noise of a sensor itself, which forgets itself within a millisecond: mean 0,
// standard deviation 1, at most 3.
func white(seed uint64, c channel, t instant) float64 {
	return clamp(hashed.Normal(hashed.Of(seed, uint64(c), uint64(t/1e6))), -3, 3)
}

// decay returns exp(-dt/tau).
func decay(dt, tau instant) float64 { return math.Exp(-float64(dt) / float64(tau)) }

// swing returns how much of an influence that is there in [begin, end) has arrived at t, 0..1, if it
// comes and goes with time constant tau.
func swing(begin, end, tau, t instant) float64 {
	if t <= begin {
		return 0
	}
	x := 1 - decay(min(t, end)-begin, tau)
	if t > end {
		x *= decay(t-end, tau)
	}
	return x
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }
