package watch

import (
	"time"
	"unique"

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
	metric  detect.Metric
	x       float64        // its value
	origin  float64        // the first value that is none of a sensor that wakes up; those below are counted from it
	last    int64          // when it was there, Unix milliseconds
	since   int64          // when it came, or came back after a pause
	ready   int64          // when it can be compared
	present bool           // in this reading
	awake   uint8          // readings since a gap, up to awakening
	v       float32        // the value
	mean    float32        // over the last hours
	soon    float32        // over half a minute
	later   float32        // over two minutes
	move    [moves]float32 // against the mean
	leap    float32        // largest step between two values, fading over a day
	steps   float32        // learnt as to how it goes together with others
	grain   float32        // smallest step between two values, about half of it
	rel     relation
	habit   habit
	peer    peer
	top     part // of the last reading, the largest of all channels
}

// verdicts are what is said of each sensor by one reading, in each channel.
type verdicts [MaxMetrics][channels]part

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
	i, unknown := 0, 0
	for _, v := range values {
		for i < len(k.sensors) && k.sensors[i].name < v.Metric {
			i++
		}
		if i == len(k.sensors) || k.sensors[i].name != v.Metric {
			unknown++
			continue
		}
		k.sensors[i].present, k.sensors[i].x = true, v.Value
		i++
	}
	fresh := min(unknown, MaxMetrics-len(k.sensors))
	k.skipped = unknown - fresh
	if fresh == 0 {
		return
	}
	k.add(values, fresh)
	if k.prior != nil {
		k.prior.Joint.give(k)
	}
}

// add makes sensors of the first n values that have none. It makes exactly as much room as they need: a kiosk's first
// reading names nearly all of its metrics, and a sensor is large.
func (k *Kiosk) add(values []fleet.Value, n int) {
	all := make([]sensor, 0, len(k.sensors)+n)
	known, fresh := k.sensors, uint64(0)
	for _, v := range values {
		for len(known) > 0 && known[0].name < v.Metric {
			all, known = append(all, known[0]), known[1:]
		}
		switch {
		case len(known) > 0 && known[0].name == v.Metric:
			all, known = append(all, known[0]), known[1:]
		case n > 0:
			n--
			fresh |= 1 << len(all)
			all = append(all, sensor{})
			k.first(&all[len(all)-1], v)
		}
	}
	all = append(all, known...)
	k.sensors = all
	k.joint.insert(fresh, len(k.sensors))
	for i := range k.sensors {
		if fresh&(1<<i) == 0 {
			continue
		}
		for j := range k.sensors {
			k.sensors[j].rel.shift(i)
		}
		k.episode.shift(i)
	}
}

// first makes s the sensor of its first value.
func (k *Kiosk) first(s *sensor, v fleet.Value) {
	last := k.clock.last
	*s = sensor{
		// Kiosks have the same metrics: those that come together share a copy of each name.
		name: unique.Make(v.Metric).Value(), present: true, x: v.Value, origin: v.Value,
		last: last, since: last, ready: last + int64(1000*restart),
	}
	var prior *detect.Prior
	if k.prior != nil {
		prior = k.prior.Metrics[v.Metric]
		if h := k.prior.Habits[v.Metric]; h != nil {
			s.habit.peaks.merge(h, fleetHours)
		}
	}
	s.metric.Begin(&k.cfg.Detect, prior)
}

// step scores the value by itself, which is said, and follows its movements. It reports whether the value leapt to another
// level.
func (s *sensor) step(at time.Time, c *clock, variance float32, prior *Prior, said *part) (leapt bool) {
	e := s.metric.Step(at, s.x)
	surprise := min(float32(e.Surprise), most)
	*said = part{s.habit.judge(surprise), kindNumber(e.Kind), s.x, e.Low, e.High}
	if said.kind == changeKind && prior != nil && said.evidence > 1 {
		// What comes to each kiosk once a week, as when its memory is freed, is nothing new when it comes to a new one. What
		// creeps is another matter, however large it is.
		if fleet := prior.Habits[s.name]; fleet != nil {
			said.evidence = min(said.evidence, fleet.rarity(surprise))
		}
	}
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
	if s.awake++; s.awake < awakening && said.kind == changeKind {
		said.evidence = 0
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
