package watch

import (
	"math"
	"slices"

	"kioskfleet/admin/anomaly/detect"
)

// Prior is what is known of many kiosks of one kind, so that a new one is guarded from its first hour. It can be
// written as JSON.
type Prior struct {
	Kiosks  int
	Metrics map[string]*detect.Prior
	Joint   Joint
	Habits  map[string]*Peaks // of each metric by itself
	Peaks   [channels]Peaks   // each metric by itself, and compared with others
}

// Add folds in what a kiosk has learnt. Kiosks that have seen less than a day tell nothing.
func (p *Prior) Add(k *Kiosk) {
	if k.Learning() {
		return
	}
	p.Kiosks++
	if p.Metrics == nil {
		p.Metrics, p.Habits = map[string]*detect.Prior{}, map[string]*Peaks{}
	}
	for i := range k.sensors {
		s := &k.sensors[i]
		m := p.Metrics[s.name]
		if m == nil {
			if len(p.Metrics) == maxJoint {
				continue
			}
			m = new(detect.Prior)
			p.Metrics[s.name], p.Habits[s.name] = m, new(Peaks)
		}
		m.Add(&s.metric)
		p.Habits[s.name].merge(&s.habit.peaks, math.MaxFloat32)
	}
	p.Joint.add(k)
	for c := range k.budgets {
		p.Peaks[c].merge(&k.budgets[c].peaks, math.MaxFloat32)
	}
}

// Joint is how the metrics of many kiosks go together.
type Joint struct {
	Metrics []string // sorted, at most maxJoint
	// Moments are the mean second moments of the movements of all metrics: now, soon and later for each, a lower
	// triangle. Weights are the kiosks behind each pair of metrics, a lower triangle as well.
	Moments []float32
	Weights []float32
	Rests   []Rest // by metric
}

// Rest is what other metrics usually leave unexplained of one.
type Rest struct {
	Weight float32   // kiosks
	Left   float32   // variance of the rest, mean
	Size   float32   // mean of the rest
	Own    float32   // mean of the movement
	Drift  float32   // mean of the smoothed rest
	Swing  float32   // mean change of its size
	Point  []float64 // shares of values by bin, mean; see detect.Tail
	Lasts  []float64
}

const (
	maxJoint = 64
	// credit is how many steps what the fleet knows is worth in a new kiosk.
	credit = 2000
	// tailCredit is how many readings its tails are worth.
	tailCredit = 4000
)

// place returns the place of a metric, made if there is room; -1 if there is none.
func (j *Joint) place(name string) int {
	i, ok := slices.BinarySearch(j.Metrics, name)
	if ok {
		return i
	}
	if len(j.Metrics) >= maxJoint {
		return -1
	}
	n := len(j.Metrics)
	j.Metrics = slices.Insert(j.Metrics, i, name)
	j.Rests = slices.Insert(j.Rests, i, Rest{})
	moments := joint{cov: j.Moments}
	moments.insert(1<<i, n+1)
	j.Moments = moments.cov
	weights := make([]float32, row(n+1))
	for a := range n {
		for b := range a + 1 {
			weights[row(past(a, i))+past(b, i)] = j.Weights[row(a)+b]
		}
	}
	j.Weights = weights
	return i
}

// past returns where place a is after an insertion at i.
func past(a, i int) int {
	if a >= i {
		return a + 1
	}
	return a
}

// add folds in a kiosk.
func (j *Joint) add(k *Kiosk) {
	for i := range k.sensors {
		j.place(k.sensors[i].name)
	}
	at := j.places(k)
	for i, a := range at {
		s := &k.sensors[i]
		if a < 0 || s.steps < trust {
			continue
		}
		j.Rests[a].add(&s.rel)
		for l, b := range at[:i+1] {
			if b < 0 || k.sensors[l].steps < trust {
				continue
			}
			w := &j.Weights[row(a)+b]
			*w++
			for m := range moves {
				for o := range moves {
					if l == i && o > m {
						continue
					}
					x := &j.Moments[row(moves*a+m)+moves*b+o]
					*x += (k.joint.cov[row(moves*i+m)+moves*l+o] - *x) / *w
				}
			}
		}
	}
}

// places returns where the kiosk's sensors are; both are sorted by name, so that their order is the same.
func (j *Joint) places(k *Kiosk) []int {
	at := make([]int, len(k.sensors))
	for i := range k.sensors {
		a, ok := slices.BinarySearch(j.Metrics, k.sensors[i].name)
		if !ok {
			a = -1
		}
		at[i] = a
	}
	return at
}

// add folds in a relation, if it has been judged for long enough.
func (r *Rest) add(o *relation) {
	if o.count == 0 || o.n < young {
		return
	}
	r.Weight++
	g := 1 / r.Weight
	r.Left += g * (o.left - r.Left)
	r.Size += g * (o.size - r.Size)
	r.Own += g * (o.own - r.Own)
	r.Drift += g * (o.drifts - r.Drift)
	r.Swing += g * (o.swing - r.Swing)
	r.Point = mix(r.Point, o.point.Shares(), r.Weight)
	r.Lasts = mix(r.Lasts, o.lasts.Shares(), r.Weight)
}

// mix folds the n-th shares into the mean of those before.
func mix(mean, shares []float64, n float32) []float64 {
	if mean == nil {
		mean = make([]float64, len(shares))
	}
	for i := range min(len(mean), len(shares)) {
		mean[i] += (shares[i] - mean[i]) / float64(n)
	}
	return mean
}

// give tells a kiosk how its sensors that are new go together with the others.
func (j *Joint) give(k *Kiosk) {
	at := j.places(k)
	for i, a := range at {
		s := &k.sensors[i]
		if a < 0 || s.steps > 0 {
			continue
		}
		for l, b := range at {
			if b < 0 || k.sensors[l].steps > 0 && l > i {
				continue
			}
			j.copyPair(k, i, l, a, b)
		}
		if j.Weights[row(a)+a] > 0 {
			s.steps = credit
		}
	}
	for i, a := range at {
		s := &k.sensors[i]
		k.joint.choose(k.sensors, i, k.clock.last)
		if a >= 0 && s.rel.n == 0 {
			j.Rests[a].give(&s.rel)
		}
	}
}

// give tells a new relation what is usual. Where the kiosks disagree, as trays of other sizes make them, what they have in
// common leaves more than each by itself, and so much more is usual until the kiosk knows better.
func (r *Rest) give(o *relation) {
	if r.Weight == 0 {
		return
	}
	more := float32(1)
	if r.Left > 0 && o.left > r.Left {
		more = float32(math.Sqrt(float64(o.left / r.Left)))
	}
	o.n, o.own = tailCredit, r.Own
	o.size, o.drifts, o.swing = more*r.Size, more*r.Drift, more*r.Swing
	o.point.Expect(r.Point, tailCredit)
	o.lasts.Expect(r.Lasts, tailCredit)
}

// copyPair copies the moments of two metrics, at a and b here, to the kiosk's sensors i and l.
func (j *Joint) copyPair(k *Kiosk, i, l, a, b int) {
	from := joint{cov: j.Moments}
	for m := range moves {
		for o := range moves {
			f, g := moves*i+m, moves*l+o
			if f >= g {
				k.joint.cov[row(f)+g] = from.at(moves*a+m, moves*b+o)
			} else {
				k.joint.cov[row(g)+f] = from.at(moves*a+m, moves*b+o)
			}
		}
	}
}
