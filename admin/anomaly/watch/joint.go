package watch

import (
	"math"
	"math/bits"
)

// joint is how the movements of all metrics go together: their second moments, with slow forgetting. There is no mean
// to take off: movements are against the metric's own mean of the last hours.
type joint struct {
	last int64     // when it learnt, Unix milliseconds
	next uint8     // the sensor whose partners are chosen next
	skip uint8     // of readings in trouble, until one is learnt
	cov  []float32 // lower triangle, rows of moves × sensors
}

const (
	// memory is how many steps the moments remember: about seven days of a kiosk that reports every few seconds.
	memory = 30_000
	// trust is how many steps of a sensor it takes until it has partners, or is one.
	trust = 180
	// Of readings in trouble one in so many is learnt, so that a fault teaches little and a new normal is learnt in the end.
	troubled = 12
)

// row returns where row i of the lower triangle begins.
func row(i int) int { return i * (i + 1) / 2 }

// insert makes room for new sensors, a bit for the place of each; n is how many there are then.
func (j *joint) insert(fresh uint64, n int) {
	was := j.cov
	j.cov = make([]float32, row(moves*n))
	old := func(f int) int { return f - moves*bits.OnesCount64(fresh&(1<<(f/moves)-1)) }
	for a := range moves * n {
		for b := range a + 1 {
			if (fresh>>(a/moves)|fresh>>(b/moves))&1 == 0 {
				j.cov[row(a)+b] = was[row(old(a))+old(b)]
			}
		}
	}
}

// at returns the moment of two movements.
func (j *joint) at(a, b int) float32 {
	if a < b {
		a, b = b, a
	}
	return j.cov[row(a)+b]
}

// learn adds the present movements of the settled sensors. What is new counts more at first: the mean of all steps
// becomes a fading one.
func (j *joint) learn(sensors []sensor, settled uint32) {
	for i := range sensors {
		a := &sensors[i]
		if settled&(1<<i) == 0 {
			continue
		}
		a.steps++
		gain := 1 / min(a.steps, memory)
		for l := range i + 1 {
			b := &sensors[l]
			if settled&(1<<l) == 0 {
				continue
			}
			g := max(gain, 1/min(b.steps, memory))
			for m, x := range a.move {
				f := row(moves*i+m) + moves*l
				r := j.cov[f : f+moves]
				if l == i {
					r = r[:m+1]
				}
				for o := range r {
					r[o] += g * (x*b.move[o] - r[o])
				}
			}
		}
	}
}

const (
	// partners is how many movements of other metrics explain one, at most.
	partners = 6
	// A movement joins the partners if it explains that share of the target's variance; a target has a relation if
	// they explain enough together.
	joins   = 0.01
	explain = 0.4
	// Movements that others among the partners tell already, but for that share, are no partners.
	told = 0.03
)

// tiny reports whether a variance is that of a constant.
func (s *sensor) tiny(variance float32) bool {
	q := 1e-4*abs(s.mean) + 1e-7
	return variance <= q*q
}

// choose finds the partners of sensor t by orthogonal matching pursuit: the movement that explains most of what is
// left, one by one, with a partial Cholesky factorisation of the moments.
//
// Source: Pati, Rezaiifar, Krishnaprasad, Orthogonal matching pursuit, 1993.
func (j *joint) choose(sensors []sensor, t int, last int64) {
	const most = moves * MaxMetrics
	var (
		left   [most]float32           // variance of a movement that the partners do not tell; 0: not a candidate
		shared [most]float32           // its moment with the target's rest
		l      [partners][most]float32 // the factor
		along  [partners]float32       // the target in its terms
		n      = moves * len(sensors)
		s      = &sensors[t]
		rel    = &s.rel
		target = moves*t + now
		total  = j.at(target, target)
	)
	rel.count, rel.sensors = 0, 0
	if s.steps < trust || s.tiny(total) {
		return
	}
	for f := range n {
		o := &sensors[f/moves]
		if f/moves == t || o.steps < trust || last-o.last > 1000*pause {
			continue
		}
		if v := j.at(f, f); !o.tiny(v) {
			// A little noise of its own keeps the solution tame.
			left[f], shared[f] = v*1.001, j.at(f, target)
		}
	}
	rest := total
	for k := range partners {
		best, gain := -1, joins*total
		for f := range n {
			if left[f] > 0 {
				if g := shared[f] * shared[f] / left[f]; g > gain {
					best, gain = f, g
				}
			}
		}
		if best < 0 {
			break
		}
		root := float32(math.Sqrt(float64(left[best])))
		along[k] = shared[best] / root
		l[k][best], left[best] = root, 0
		for f := range n {
			if left[f] <= 0 {
				continue
			}
			v := j.at(f, best)
			for m := range k {
				v -= l[m][f] * l[m][best]
			}
			v /= root
			l[k][f] = v
			shared[f] -= v * along[k]
			if left[f] -= v * v; left[f] < told*j.at(f, f) {
				left[f] = 0
			}
		}
		rel.from[k] = uint8(best)
		rel.count++
		rel.sensors |= 1 << (best / moves)
		rest -= gain
	}
	if rel.left = rest; rest > (1-explain)*total {
		rel.count, rel.sensors = 0, 0
		return
	}
	for k := int(rel.count) - 1; k >= 0; k-- {
		v := along[k]
		for m := k + 1; m < int(rel.count); m++ {
			v -= l[k][rel.from[m]] * rel.by[m]
		}
		rel.by[k] = v / l[k][rel.from[k]]
	}
}
