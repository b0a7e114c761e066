package detect

import "math"

const (
	hours   = 24
	buckets = 2 * hours // of the Holt-Winters season
)

// season is what is usual at each hour of the day: exponentially weighted means and spreads, with means of their own
// for the hours of weekends once there was one.
type season struct {
	mean    [hours]float32
	weekend [hours]float32 // mean of Saturdays and Sundays
	spread  [hours]float32 // mean square distance from what was expected
	count   [hours]uint16  // points so far
	ends    [hours]uint16  // points of weekends
	allMean float32
	all     float32 // mean square distance of all hours
	slow    float32 // smoothed signed distance in spreads
	quick   float32 // the same over a shorter time
}

// deviation is how far a value is from the usual.
type deviation struct {
	expected float64 // value
	unit     float64 // spread: (sigma of all + half of sigma of the hour) / 1.5
	z        float64 // distance in spreads
	slow     float64 // smoothed z
	quick    float64
}

// look says how far v is from what is usual at that moment.
func (s *season) look(c *Config, m moment, v float64) deviation {
	expected, unit := s.usual(c, m.hour)
	if m.weekend {
		ends := float64(s.ends[m.hour])
		w := ends / (ends + c.weekend*max(m.perHour, 1))
		expected = w*float64(s.weekend[m.hour]) + (1-w)*expected
	}
	d := deviation{expected: expected, unit: unit, z: ratio(v-expected, unit)}
	winsorised := clamp(d.z, c.clip)
	d.slow = float64(s.slow) + (winsorised-float64(s.slow))/max(c.slowHours*m.perHour, c.slowPoints)
	d.quick = float64(s.quick) + (winsorised-float64(s.quick))/max(c.quickHours*m.perHour, c.quickPoints)
	return d
}

// learn adds v; a value far off teaches no more than one that is clip spreads off.
func (s *season) learn(c *Config, m moment, v float64, d deviation) {
	if m.n > few && d.unit > 0 {
		v = d.expected + clamp(v-d.expected, 1.5*c.clip*d.unit)
	}
	off := v - d.expected
	h := m.hour
	share := 1 / min(float64(s.count[h])+1, max(c.hourDays*m.perHour, 12))
	// The first weekend stands for the days that are not known yet.
	if !m.weekend || float64(s.ends[h]) < m.perHour {
		s.mean[h] += float32(share * (v - float64(s.mean[h])))
	}
	s.spread[h] += float32(share * (off*off - float64(s.spread[h])))
	s.count[h] = min(s.count[h]+1, math.MaxUint16-1)
	if m.weekend {
		s.weekend[h] += float32((v - float64(s.weekend[h])) / min(float64(s.ends[h])+1, max(3*m.perHour, 6)))
		s.ends[h] = min(s.ends[h]+1, math.MaxUint16-1)
	}
	share = 1 / min(m.n+1, max(c.allDays*24*m.perHour, 100))
	s.allMean += float32(share * (v - float64(s.allMean)))
	s.all += float32(share * (off*off - float64(s.all)))
	s.slow, s.quick = float32(d.slow), float32(d.quick)
}

// course expects the next value from the last ones: additive Holt-Winters without a trend, with a season of half-hours,
// and the usual size of its innovations by hour.
//
// Source: P. R. Winters, Forecasting sales by exponentially weighted moving averages, Management Science 6 (1960).
type course struct {
	level  float32
	season [buckets]float32
	scale  [hours]float32 // mean size of innovations
	all    float32        // of all hours
}

// innovation is how far a value is from the one that the last ones led to.
type innovation struct {
	off  float64 // value
	unit float64
	z    float64 // off in units
}

func (k *course) look(m moment, v float64) innovation {
	off := v - float64(k.level) - float64(k.season[m.bucket])
	unit := (0.5*float64(k.scale[m.hour]) + float64(k.all)) / 1.5
	return innovation{off: off, unit: unit, z: ratio(off, unit)}
}

// learn moves level and season. Count is how many points the hour had before.
func (k *course) learn(c *Config, m moment, i innovation, count float64) {
	off := i.off
	if m.n > few && i.unit > 0 {
		off = clamp(off, c.clip*i.unit)
	}
	k.level += float32(c.alpha * off)
	k.season[m.bucket] += float32(c.gamma * min(1, 2*c.gammaPoints/max(m.perHour, 1)) * off)
	size := math.Abs(off)
	k.scale[m.hour] += float32((size - float64(k.scale[m.hour])) / min(count+1, max(c.hourDays*m.perHour, 12)))
	k.all += float32((size - float64(k.all)) / min(m.n+1, max(c.allDays*24*m.perHour, 100)))
}

// few is the number of points up to which every value teaches in full.
const few = 20

// ratio returns off in units, at most largest either way; largest if there is no unit yet.
func ratio(off, unit float64) float64 {
	switch {
	case off == 0:
		return 0
	case unit > 0:
		return clamp(off/unit, largest)
	}
	return math.Copysign(largest, off)
}

func clamp(v, limit float64) float64 { return min(max(v, -limit), limit) }
