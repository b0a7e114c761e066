package device

import (
	"math"
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/kiosk/fault"
)

const (
	overheatTau = 100 * second // of a case that gets hot
	fanTau      = 60 * second
	fanSwing    = 3.5  // K, standard deviation of the temperature without a fan
	fanTop      = 74.3 // °C, which no CPU without a fan exceeds: it throttles
	weakSignal  = 7.0  // dB that a troubled network takes away
	badLeak     = 40.0 // % of memory an hour that bad firmware leaks
	haulage     = 10.0 // m/s at which a kiosk is moved elsewhere and back
	fullDisk    = 99.6 // %
)

// suffer changes measurements as planned faults do: first what really is different, then what sensors
// make of it, each in the order in which the faults began.
func (s *Simulated) suffer(r *readings, t instant) {
	for i := range s.planned {
		if f := &s.planned[i]; f.begun && t >= f.begin {
			s.change(r, f, t)
		}
	}
	for i := range s.planned {
		if f := &s.planned[i]; f.begun && !f.ended && t >= f.begin {
			s.mislead(r, f, t)
		}
	}
}

// change is what a fault changes in the kiosk. The heat of some goes on after their end, and the way back begins there.
func (s *Simulated) change(r *readings, f *planned, t instant) {
	switch f.Kind {
	case fault.Overheating:
		r[cpuTemp] += f.Params.Number("by") * swing(f.begin, f.end, overheatTau, t)
		return
	case fault.FanFailure:
		x := swing(f.begin, f.end, fanTau, t) * grown(f, t)
		r[cpuTemp] = (1-x)*r[cpuTemp] + x*s.fanless(r[temperature], f, t)
		return
	case fault.Relocation:
		at := Position{Lat: r[latitude], Lng: r[longitude]}.travel(f.Params.Number("metres")*hauled(f, t), f.Params.Number("bearing"))
		r[latitude], r[longitude] = at.Lat, at.Lng
		return
	}
	if f.ended {
		return
	}
	switch f.Kind {
	case fault.MemoryLeak:
		r[ramUsage] += f.Params.Number("per_hour") * t.hoursSince(min(max(f.begin, s.booted), t))
	case fault.BadFirmware:
		if s.struck(f) && f.Params.Text("effect") == fault.EffectLeak {
			r[ramUsage] += badLeak * t.hoursSince(min(max(f.begin, s.updated, s.booted), t))
		}
	case fault.DiskFilling:
		r[diskUsage] = max(r[diskUsage], min(r[diskUsage]+f.Params.Number("per_hour")*t.hoursSince(f.begin), fullDisk))
	case fault.GPSJitter:
		metres := f.Params.Number("metres")
		at := Position{Lat: r[latitude], Lng: r[longitude]}.move(metres*white(f.seed, northNoise, t), metres*white(f.seed, eastNoise, t))
		r[latitude], r[longitude] = at.Lat, at.Lng
	case fault.SlowNetwork:
		r[latency] += 2 * float64(f.Params.Duration("delay")) / float64(time.Millisecond)
	case fault.SiteOutage, fault.Flapping:
		r[signal] -= weakSignal
	}
}

// grown returns how far a fault has come that grows over a time, 0 to 1.
func grown(f *planned, t instant) float64 {
	over := instant(f.Params.Duration("over"))
	if since := min(t, f.end) - f.begin; since < over {
		return float64(since) / float64(over)
	}
	return 1
}

// hauled returns which share of its way a relocated kiosk has gone. However long that is, it is there before a fault
// would be forgotten: whoever takes it farther flies.
func hauled(f *planned, t instant) float64 {
	takes := min(f.Params.Number("metres")/haulage*float64(second), float64(fading))
	out := min(float64(min(t, f.end)-f.begin)/takes, 1)
	if t > f.end {
		out = max(out-float64(t-f.end)/takes, 0)
	}
	return out
}

// fanless returns the CPU's temperature without a fan: what it is on average at this hour and more, with
// a slow swing that has nothing to do with the load.
func (s *Simulated) fanless(room float64, f *planned, t instant) float64 {
	usual := room + cpuWarmth + heating*(cpuIdle+s.usualLoad(t))
	x := usual + f.Params.Number("by") + fanSwing*s.noise(fanNoise, t)
	// The nearer to the top, the less goes further.
	const soft = 4.0
	if x > fanTop-soft {
		x = fanTop - soft*math.Exp(-(x-fanTop+soft)/soft)
	}
	return x
}

// sessionLoad is a customer's part of the CPU's day: a session's mean load times its mean length.
const sessionLoad = 39.4 * 0.94 * 92

// usualLoad returns the mean load at an hour like t, in % beyond idling.
func (s *Simulated) usualLoad(t instant) float64 {
	perSecond := s.traits.customers / s.site.demand * s.crowd(t) / (24 * 3600)
	return min(perSecond*sessionLoad, browseTop)
}

// mislead is what a fault changes in what a sensor shows.
func (s *Simulated) mislead(r *readings, f *planned, t instant) {
	switch f.Kind {
	case fault.StuckSensor:
		r[f.gauge] = f.held
	case fault.Drift:
		r[f.gauge] += f.Params.Number("per_hour") / 100 * span(f.gauge) * t.hoursSince(f.begin)
	case fault.NoiseBurst:
		r[f.gauge] += f.Params.Number("sigma") / 100 * span(f.gauge) * white(f.seed, channel(f.gauge), t)
	case fault.CorrelationBreak:
		r[f.gauge] = s.ghostOf(f, t)
	}
}

// elsewhen is how long ago the ghost lives: its hours are not the kiosk's.
const elsewhen = 3*day + 7*hour

// ghostOf returns what a kiosk shows that is like this one and lives at another time with other
// customers: values that are plausible in themselves.
func (s *Simulated) ghostOf(f *planned, t instant) float64 {
	t -= elsewhen
	if f.ghost == nil {
		sim := s.sim
		sim.Faults, sim.Observe = nil, nil
		f.ghost = NewSimulated(sim)
		f.ghost.seed = hashed.Of(f.seed, 1)
		f.ghost.siteSeed = hashed.Of(f.seed, 2)
	}
	f.ghost.reach(t.time())
	return f.ghost.gauges(t)[f.gauge]
}
