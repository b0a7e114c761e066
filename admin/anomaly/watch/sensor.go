package watch

import (
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/fleet"
)

// part is what one sensor contributes to a kiosk's evidence.
type part struct {
	evidence         float32 // −log10 of how rarely that much is seen
	kind             uint8   // index in kinds
	value, low, high float64
}

// kinds gives kinds of anomalies their numbers.
var kinds = fleet.AnomalyKinds()

func kindNumber(kind fleet.AnomalyKind) uint8 {
	for i, k := range kinds {
		if k == kind {
			return uint8(i)
		}
	}
	return 0
}

// The movements of a metric that others are compared with.
const (
	now = iota
	soon
	later
	moves
)

// sensor is one metric of a kiosk.
type sensor struct {
	name    string
	metric  *detect.Metric
	present bool           // in this reading
	x       float64        // its value
	origin  float64        // the first value that is none of a sensor that wakes up; those below are counted from it
	last    int64          // when it was there, Unix milliseconds
	since   int64          // when it came, or came back after a pause
	ready   int64          // when it can be compared
	v       float32        // the value
	mean    float32        // over the last hours
	soon    float32        // over half a minute
	later   float32        // over two minutes
	move    [moves]float32 // against the mean
	awake   uint8          // readings since a gap, up to awakening
	leap    float32        // largest step between two values, fading over a day
	steps   float32        // learnt as to how it goes together with others
	grain   float32        // smallest step between two values, about half of it
	rel     relation
	habit   habit
	peer    peer
	alone   part // of detect
	with    part // of relation
	top     part // the larger of all
}

// A step of more than leaps times the largest of the last day, and levels times the usual size of a movement, is a new
// begin for all, as when a tray is refilled or a machine restarts: what was before does not go together with what comes.
// A step counts as the largest if it is at most leapGrowth times as large, so that what comes often is soon ordinary, and
// what comes every few days never.
const (
	leaps      = 3
	levels     = 8
	leapGrowth = 2
	leapTime   = 24 * 3600.0     // seconds
	catchUp    = 3 * 3600 * 1000 // milliseconds
)

// awakening is how many readings after a gap say nothing about change.
const awakening = 5

// limit bounds values, so that their squares stay finite in a float32.
const limit = 1e15

// match finds the sensors of the values, and makes those that are new.
func (k *Kiosk) match(values []fleet.Value) {
	for i := range k.sensors {
		k.sensors[i].present = false
	}
	k.skipped = 0
	i, before := 0, len(k.sensors)
	for _, v := range values {
		for i < len(k.sensors) && k.sensors[i].name < v.Metric {
			i++
		}
		if i == len(k.sensors) || k.sensors[i].name != v.Metric {
			if len(k.sensors) == MaxMetrics {
				k.skipped++
				continue
			}
			k.add(i, v)
		}
		k.sensors[i].present, k.sensors[i].x = true, v.Value
		i++
	}
	if len(k.sensors) > before && k.prior != nil {
		k.prior.Joint.give(k)
	}
}

// add makes a sensor at place i.
func (k *Kiosk) add(i int, v fleet.Value) {
	s := sensor{name: strings.Clone(v.Metric), origin: v.Value, last: k.clock.last, since: k.clock.last, ready: k.clock.last + int64(1000*restart)}
	var prior *detect.Prior
	if k.prior != nil {
		prior = k.prior.Metrics[v.Metric]
		if h := k.prior.Habits[v.Metric]; h != nil {
			s.habit.peaks.merge(h, fleetHours)
		}
	}
	s.metric = detect.New(&k.cfg.Detect, prior)
	k.sensors = slices.Insert(k.sensors, i, s)
	k.joint.insert(i, len(k.sensors))
	for j := range k.sensors {
		if j != i {
			k.sensors[j].rel.shift(i)
		}
	}
	if i < len(k.episode.parts) {
		k.episode.parts = slices.Insert(k.episode.parts, i, kept{})
	}
}

// step scores the value by itself and follows its movements. It reports whether the value leapt to another level.
func (s *sensor) step(at time.Time, c *clock, variance float32) (leapt bool) {
	e := s.metric.Step(at, s.x)
	s.alone = part{s.habit.judge(min(float32(e.Surprise), most)), kindNumber(e.Kind), s.x, e.Low, e.High}
	if s.awake < awakening && detect.Stray(s.origin, s.x) {
		s.origin, s.v = s.x, 0
		s.peer.sum, s.peer.count, s.peer.done = 0, 0, 0 // they are counted from it as well
		s.begin(c)
	}
	v := float32(min(max(s.x-s.origin, -limit), limit))
	step := abs(v - s.v)
	if half := step / 2; half > 0 && (half < s.grain || s.grain == 0) {
		s.grain = half
	} else {
		s.grain *= 1.0001
	}
	s.v = v
	dt := float64(c.last-s.last) / 1000
	usual := float64(c.interval)
	leapt = s.leap > 0 && step > leaps*s.leap && step*step > levels*levels*variance
	switch {
	case dt > max(pause, 2*gapIntervals*usual):
		// Its mean is not that of the others before some hours have passed, unless they were away as well.
		if s.begin(c); dt > c.dt+1 {
			s.ready += catchUp
		}
		leapt, s.awake = false, 0
	case dt > max(gapIntervals*usual, outage):
		// A machine that was away may have restarted.
		if leapt, s.awake = false, 0; dt > c.dt+1 {
			s.ready = max(s.ready, c.last+int64(1000*max(settle, 4*usual)))
		} else {
			s.begin(c)
		}
	default:
		s.leap -= s.leap * float32(min(dt/leapTime, 1))
		s.leap = max(s.leap, min(step, leapGrowth*s.leap), min(step, 1e-3*abs(v)))
	}
	if s.awake++; s.awake < awakening && s.alone.kind == changeKind {
		s.alone.evidence = 0
	} else {
		s.awake = min(s.awake, awakening)
	}
	s.last = c.last
	if age := float64(c.last-s.since) / 1000; age > 0 {
		s.mean += float32(share(dt, min(age, max(wander, 24*usual)))) * (v - s.mean)
		s.soon += float32(share(dt, quick)) * (v - s.soon)
		s.later += float32(share(dt, slow)) * (v - s.later)
	}
	s.move = [moves]float32{now: v - s.mean, soon: s.soon - s.mean, later: s.later - s.mean}
	s.peer.add(v)
	return leapt
}

// begin makes the present value the begin of a new life: nothing before it is compared any more.
func (s *sensor) begin(c *clock) {
	s.since, s.ready = c.last, c.last+int64(1000*max(restart, 4*float64(c.interval)))
	s.mean, s.soon, s.later = s.v, s.v, s.v
	s.move = [moves]float32{}
}
