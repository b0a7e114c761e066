// Package detect notices what is unusual in one metric of one kiosk, while its values come in: O(1) for each, nothing is
// known of what follows, and nothing was set. Several detectors look at a value, each in its own way:
//
//   - how far it is from what is usual at this hour of the day, by itself and smoothed over minutes and hours;
//   - how far it is from where the last values led (Holt-Winters);
//   - how far it is beyond everything before;
//   - whether it does not move any more, or fell to nothing;
//   - optionally, whether the last values together are in a part of space that is rarely visited (half-space trees).
//
// The measure of each is calibrated to the probability of a value as large, from the metric's own past, so that they can
// be compared and added: evidence is -log10 of it. A value is scored before it is learnt.
package detect

import (
	"math"
	"time"

	"kioskfleet/admin/fleet"
)

// Metric is the state of one metric of one kiosk. It belongs to one goroutine at a time and has a fixed size, about
// 1.6 KB; trees add to it.
type Metric struct {
	cfg    *Config
	origin float64 // first value: all others are kept relative to it, so that 32 bits are enough
	last   int64   // time of the last value, in nanoseconds since 1970
	n      uint32  // values so far
	step   float32 // usual time between values, in seconds

	season season
	course course
	bounds bounds
	still  still
	gone   gone

	level, slow   Tail
	quick, change Sides

	held  [holds]float32
	rare  uint8  // rare values since one was learnt, counted for all calibrations together
	trees *trees // nil without Config.Trees
}

// What each detector said is held by its number, and what all said together behind that: a value that is unusual in
// another way is news although it was far off an hour ago.
const (
	holdAll = detectors
	holds   = detectors + 1
)

// Evidence is what one value says.
type Evidence struct {
	Surprise float64           // -log10 of how improbable it is by all detectors together; 0 when nothing is unusual
	Score    float64           // 0..1: Surprise/(Surprise+4) with a hold-off, so that only what is worse counts again
	Kind     fleet.AnomalyKind // the way in which it is most unusual
	Expected float64           // at that moment, in the metric's unit
	Low      float64           // 98 of 100 values are between Low and High at that hour; both 0 while that is unknown
	High     float64
	Known    bool // false while warming up

	parts [detectors]float64
}

// moment is when a value came, and how many came before.
type moment struct {
	hour, bucket int
	weekend      bool
	perHour      float64 // values
	n            float64 // values before
}

// New returns the state of a metric that starts with what is known of its siblings; prior may be nil. The Config must
// not change while it is in use.
func New(cfg *Config, prior *Prior) *Metric {
	m := new(Metric)
	m.Begin(cfg, prior)
	return m
}

// Begin makes m what New returns, for a Metric that is part of something larger.
func (m *Metric) Begin(cfg *Config, prior *Prior) {
	*m = Metric{cfg: cfg}
	m.bounds.rate, m.bounds.size = 1, float32(cfg.rangeSize)
	if cfg.Trees {
		m.trees = &trees{}
	}
	if prior != nil {
		prior.begin(m)
	}
}

const farthest = 1e18 // from the origin: squares of it still fit in 32 bits

// Step scores x, then learns it. Values come in order of time; at is in the kiosk's zone, since days have hours there. A
// time that is not after the one before is taken as the next all the same. x must be finite.
func (m *Metric) Step(at time.Time, x float64) Evidence {
	if m.n == 0 || m.n == 1 && Stray(m.origin, x) {
		m.origin, m.n = x, 0
	}
	now := at.UnixNano()
	m.pace(now)
	s := m.look(at, x)
	m.learn(&s)
	m.last = now
	return s.Evidence
}

// Stray reports whether a first value is so far from the next one that it must be a mistake of a sensor that wakes up:
// values that are kept relative to it in 32 bits would lose their digits.
func Stray(first, next float64) bool { return math.Abs(next-first) > stray*(math.Abs(next)+1) }

const stray = 1e5

// pace learns the time between values from the last one, which a gap changes little.
func (m *Metric) pace(now int64) {
	step := float32(now-m.last) / 1e9
	if m.n == 0 || step <= 0 {
		return
	}
	if m.step == 0 {
		m.step = step
		return
	}
	m.step += min(max(step-m.step, -m.step/20), m.step/20)
}

// moment returns hour and day in the zone of at, which is looked up once.
func (m *Metric) moment(at time.Time) moment {
	_, offset := at.Zone()
	local := at.Unix() + int64(offset)
	days := local / daySeconds
	second := local - days*daySeconds
	if second < 0 {
		days, second = days-1, second+daySeconds
	}
	weekday := (days + int64(time.Thursday)) % 7 // 1 January 1970 was a Thursday
	return moment{
		hour: int(second / 3600), bucket: int(second / 1800), weekend: weekday == int64(time.Saturday) || weekday == int64(time.Sunday),
		perHour: 3600 / max(float64(m.step), 1), n: float64(m.n),
	}
}

const daySeconds = 24 * 3600

// sample is a value and what all detectors say of it.
type sample struct {
	Evidence
	moment     moment
	v          float64 // value, relative
	zero       bool
	moved      bool
	jump       bool // too long after the last value to follow from it
	beyond     float64
	deviation  deviation
	innovation innovation
	place      place
	held       [holds]float32
	rare       uint8 // detectors to which the value is rare, a bit each
}

// Peek scores x as the value at that time without learning it.
func (m *Metric) Peek(at time.Time, x float64) Evidence {
	if m.n == 0 {
		return Evidence{}
	}
	return m.look(at, x).Evidence
}

// away reports whether there was no value for so long, or none yet, that one at that time says nothing of a change.
func (m *Metric) away(at time.Time) bool {
	gap := at.UnixNano() - m.last
	return m.last == 0 || gap > int64(time.Hour) && float64(gap) > gapSteps*float64(m.step)*1e9
}

const gapSteps = 20

func (m *Metric) look(at time.Time, x float64) sample {
	c := m.cfg
	s := sample{zero: x == 0, v: clamp(x-m.origin, farthest)}
	s.moment = m.moment(at)
	n := s.moment.n
	if m.n == 0 {
		s.moved = true
		return s
	}
	s.deviation = m.season.look(c, s.moment, s.v)
	if s.jump = m.away(at); !s.jump {
		s.innovation = m.course.look(s.moment, s.v)
	}

	p := &s.parts
	p[byLevel] = m.level.Evidence(math.Abs(s.deviation.z))
	p[bySlow] = m.slow.Evidence(math.Abs(s.deviation.slow) * slowUnit)
	p[byQuick] = m.quick.Evidence(s.deviation.quick * quickUnit)
	if !s.jump {
		p[byCourse] = m.change.Evidence(s.innovation.z)
	}
	p[byRange], s.beyond = m.bounds.look(c, s.v)
	p[byStill], s.moved = m.still.look(c, s.v, float64(m.course.all))
	p[byGone] = m.gone.look(n, s.zero)
	if m.trees != nil {
		m.trees.look(m, &s)
	}
	m.combine(&s)

	s.Expected = s.deviation.expected + m.origin
	s.Known = n >= c.warm
	if m.level.from > 0 {
		width := edges[m.level.from] * s.deviation.unit
		s.Low, s.High = s.Expected-width, s.Expected+width
	}
	return s
}

// Smoothed distances are small: these bring them to the bins of a Tail.
const (
	slowUnit  = 4
	quickUnit = 2
)

// kinds are what the detectors find, in their order.
var kinds = [detectors]fleet.AnomalyKind{
	byLevel: fleet.AnomalyLevel, bySlow: fleet.AnomalyLevel, byQuick: fleet.AnomalyLevel, byCourse: fleet.AnomalyChange,
	byRange: fleet.AnomalyRange, byStill: fleet.AnomalyStuck, byGone: fleet.AnomalyDropout, byTrees: fleet.AnomalyChange,
}

const stillMost = 8 // evidence of a value that does not move

// combine adds up the evidence of all detectors, between the largest and the sum, since they are not independent.
func (m *Metric) combine(s *sample) {
	c := m.cfg
	p := &s.parts
	most, sum, leads := 0.0, 0.0, byLevel
	for i := range p {
		if p[i] > c.rare {
			s.rare |= 1 << i
		}
		p[i] *= c.weights[i]
		if i == byStill {
			p[i] = min(p[i], stillMost)
		}
		sum += p[i]
		if p[i] > most {
			most, leads = p[i], i
			s.Kind = kinds[i]
		}
	}
	warm := min(1, s.moment.n/c.warm)
	s.Surprise = max((1-c.sum)*most+c.sum*sum-c.perDay*log10(s.moment.perHour/12)-c.young*max(0, 1-s.moment.n/c.youngPoints), 0) * warm
	m.hold(s, leads, warm)
}

// hold makes the score: evidence counts in full if it is stronger than what was said lately, or if the detector that
// leads is surer than it was lately. A value that is stuck is surer with every one that follows, so that what is held of
// that only rises when it counts.
func (m *Metric) hold(s *sample, leads int, warm float64) {
	c := m.cfg
	fade := float32(1 - 1/max(c.holdHours*s.moment.perHour, c.holdPoints, c.holdShare*s.moment.n))
	surer := func(by int, e float64) bool { return e > float64(m.held[by])*c.escalate }
	out := s.Surprise
	if !surer(holdAll, out) && !surer(leads, s.parts[leads]*warm) {
		out *= c.held
	}
	for i, p := range s.parts {
		s.held[i] = max(m.held[i]*fade, float32(p*warm))
	}
	s.held[holdAll] = max(m.held[holdAll]*fade, float32(s.Surprise))
	if e := s.parts[byStill] * warm; surer(byStill, e) {
		out = max(out, e)
	} else {
		s.held[byStill] = m.held[byStill] * fade
	}
	s.Score = out / (out + 4)
}

func (m *Metric) learn(s *sample) {
	c := m.cfg
	n := s.moment.n
	if m.n == 0 {
		m.n = 1
		return
	}
	if n > c.learnFrom {
		limit := uint32(clamp(c.tailDays*24*s.moment.perHour, tailMost))
		limit = max(limit, uint32(c.tailPoints))
		if m.teaches(s, byLevel) {
			m.level.Learn(math.Abs(s.deviation.z), limit)
		}
		if m.teaches(s, bySlow) {
			m.slow.Learn(math.Abs(s.deviation.slow)*slowUnit, limit)
		}
		if m.teaches(s, byQuick) {
			m.quick.Learn(s.deviation.quick*quickUnit, limit)
		}
		if !s.jump && m.teaches(s, byCourse) {
			m.change.Learn(s.innovation.z, limit)
		}
		if m.trees != nil {
			m.trees.learn(s, limit)
		}
	}
	m.still.learn(c, n, s.v, s.moved)
	m.bounds.learn(c, n, s.v, s.beyond)
	m.gone.learn(n, s.zero)
	if s.jump {
		m.course.level = float32(s.v) - m.course.season[s.moment.bucket]
	} else {
		m.course.learn(c, s.moment, s.innovation, float64(m.season.count[s.moment.hour]))
	}
	m.season.learn(c, s.moment, s.v, s.deviation)
	m.held = s.held
	m.n = min(m.n+1, math.MaxUint32-1)
}

// teaches reports whether a detector's calibration learns the value. Of values that are rare to one of them one in rareEach
// is, so that a fault of hours does not make the next one usual, and what goes on is learnt in the end.
//
// The four calibrations share the count. Of what is rare to several at once, one in rareEach holds only for all of them
// together: with two, one learns every second value and the other none; with four, the last learns every one. The constants
// were chosen with that; a count for each scores less in the benchmark (see docs/adr/0014).
func (m *Metric) teaches(s *sample, by int) bool {
	if s.rare>>by&1 == 0 {
		return true
	}
	m.rare = (m.rare + 1) % rareEach
	return m.rare == 0
}

const rareEach = 4
