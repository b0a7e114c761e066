package watch

import (
	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/fleet"
)

// relation is what other metrics say about one: its movement is expected to be a sum of theirs. What remains is judged at
// once, and smoothed over minutes, so that a small difference that lasts is found.
type relation struct {
	count     uint8
	from      [partners]uint8 // movements of other sensors: sensor × moves + move
	by        [partners]float32
	left      float32 // variance that they leave
	sensors   uint32  // the sensors among them, a bit each
	allowance float32 // strange readings that may be learnt
	n         float32 // readings learnt
	size      float32 // mean of |rest|, what remains unexplained
	own       float32 // mean of |movement| then
	drift     float32 // rest, smoothed
	noise     float32 // |rest|, smoothed
	drifts    float32 // mean of |drift|
	swing     float32 // mean difference between noise and size
	point     detect.Tail
	lasts     detect.Tail
}

// shift makes room for a sensor at place i.
func (r *relation) shift(i int) {
	r.sensors = 0
	for p := range r.count {
		if int(r.from[p])/moves >= i {
			r.from[p] += moves
		}
		r.sensors |= 1 << (r.from[p] / moves)
	}
}

// relate judges each metric by the others.
func (k *Kiosk) relate(said *verdicts) {
	k.settled = 0
	for i := range k.sensors {
		if s := &k.sensors[i]; s.present && k.clock.last >= s.ready {
			k.settled |= 1 << i
		}
	}
	smooth := float32(share(k.clock.dt, max(lasting, 6*float64(k.clock.interval))))
	for i := range k.sensors {
		s := &k.sensors[i]
		if !k.related(i) {
			continue
		}
		expected := k.expected(&s.rel)
		with := &said[i][compared]
		*with = s.rel.judge(s.move[now], expected, s.grain, smooth)
		if with.evidence > 0 {
			base, usual := s.origin+float64(s.mean)+float64(expected), band*float64(s.rel.size)
			with.value, with.low, with.high = s.x, base-usual, base+usual
		}
	}
}

// related reports whether sensor i has partners and can be compared with them now.
func (k *Kiosk) related(i int) bool {
	r := &k.sensors[i].rel
	return r.count > 0 && (r.sensors|1<<i)&^k.settled == 0
}

// band is how many mean deviations around what is expected are usual.
const band = 3

// judge compares a movement with what the partners tell.
func (r *relation) judge(movement, expected, grain, smooth float32) part {
	rest := r.scaled(movement, expected)
	size := abs(rest)
	r.drift += smooth * (rest - r.drift)
	r.noise += smooth * (size - r.noise)
	if r.n < warm || r.size <= 0 || r.size > holds*r.own {
		return part{}
	}
	e := 0.0
	if p := size / (r.size + grain); p > audible {
		e = r.point.Evidence(float64(p))
	}
	if l := r.lastingSize(grain); l > audible {
		e = max(e, r.lasts.Evidence(float64(l)))
	}
	return part{evidence: float32(min(e, most)), kind: relationKind}
}

const (
	warm = 400 // readings learnt until a relation is judged
	most = 12  // evidence; what is rarer is not known
	// What is less than audible times its usual size is not worth a look at its tail.
	audible = 2
	// What is stranger than one in a thousand is learnt if it is brief or rare: so many in a row, and that share of all.
	// A fault that lasts teaches no more than that.
	strange = 3
	bursts  = 9
	allows  = 0.01
	young   = 4000 // readings of which all are learnt
	// What is rarer teaches as much as what has this evidence. Otherwise the first readings of a fault, which are learnt, make
	// a heavy tail of what was none, and the rest of the fault is ordinary.
	edge  = 4
	holds = 0.7 // of the movement may remain unexplained, in a relation
)

var relationKind, changeKind = kindNumber(fleet.AnomalyRelation), kindNumber(fleet.AnomalyChange)

// lastingSize returns how large the smoothed rest is for this relation.
func (r *relation) lastingSize(grain float32) float32 {
	return max(abs(r.drift)/(r.drifts+grain/4), (r.noise-r.size)/(r.swing+grain/4), 0)
}

// scaled returns what the partners leave unexplained: less of it where much is expected.
func (r *relation) scaled(movement, expected float32) float32 {
	rest := movement - expected
	if r.own > 0 {
		rest /= 1 + 0.5*abs(expected)/r.own
	}
	return rest
}

// learn adds the present rest to what is usual.
func (r *relation) learn(movement, expected, grain float32) {
	size := abs(r.scaled(movement, expected))
	r.n++
	gain := 1 / min(r.n, memory/4)
	if r.n > warm {
		// What is far out teaches no more than what is at the edge.
		r.point.Learn(min(float64(size/(r.size+grain)), r.point.At(edge)), 60_000)
		r.lasts.Learn(min(float64(r.lastingSize(grain)), r.lasts.At(edge)), 60_000)
		size = min(size, 8*r.size)
	}
	r.size += gain * (size - r.size)
	r.own += gain * (abs(movement) - r.own)
	r.drifts += gain * (min(abs(r.drift), 4*r.drifts+r.size) - r.drifts)
	r.swing += gain * (min(abs(r.noise-r.size), 4*r.swing+r.size) - r.swing)
}

func abs(x float32) float32 { return max(x, -x) }

// learn learns how the metrics go together.
func (k *Kiosk) learn(said *verdicts) {
	j := &k.joint
	if len(k.sensors) < 2 || float64(k.clock.last-j.last) < learnEvery*1000-1 && j.last != 0 {
		return
	}
	j.last = k.clock.last
	if k.episode.open {
		if j.skip++; j.skip < troubled {
			return
		}
	}
	j.skip = 0
	for i := range k.sensors {
		s := &k.sensors[i]
		if k.related(i) {
			if s.rel.n > young && said[i][compared].evidence > strange {
				if s.rel.allowance < 1 {
					continue
				}
				s.rel.allowance--
			}
			s.rel.allowance = min(s.rel.allowance+allows, bursts)
			s.rel.learn(s.move[now], k.expected(&s.rel), s.grain)
		}
	}
	j.learn(k.sensors, k.settled)
	if int(j.next) >= len(k.sensors) {
		j.next = 0
	}
	j.choose(k.sensors, int(j.next), k.clock.last)
	j.next++
}

// expected returns the movement that the partners tell.
func (k *Kiosk) expected(r *relation) float32 {
	var sum float32
	for p := range r.count {
		f := int(r.from[p])
		sum += r.by[p] * k.sensors[f/moves].move[f%moves]
	}
	return sum
}
