package synth

import (
	"math"
	"slices"
	"time"

	"kioskfleet/admin/anomaly/score"
	"kioskfleet/internal/hashed"
)

// Faults are counted and placed by these.
const (
	clearance = 36 // points that are left alone before and after a fault
	tries     = 60 // places that are looked at for a fault before it is given up
	five      = 5 * time.Minute
)

// Inject returns the series with up to n faults of the given kinds (all kinds if none is given) in turn, each
// labelled. The series' own windows are left alone and stay labelled, as is the first part that detectors learn
// from (score.Probation). A fault that would not be visible in a series is not injected: a dropout where nothing
// is usual, a stuck value where values stand still by themselves. So there may be fewer than n.
func Inject(background score.Series, seed uint64, n int, kinds ...Kind) score.Series {
	var s signal
	for _, p := range background.Points {
		s.times = append(s.times, p.At)
		s.values = append(s.values, p.Value)
	}
	s.unbounded()
	s.occupy(background.Windows, score.Probation(len(s.times)))
	random := draws(seed, hashed.Text(background.Name))
	windows := slices.Clone(background.Windows)
	for _, kind := range random.turns(n, kinds) {
		if w, ok := s.place(random, kind, nil); ok {
			windows = append(windows, w)
		}
	}
	// The file's own text no longer fits: the values are new.
	made := score.Series{Name: background.Name, Windows: windows, Points: make([]score.Point, len(s.values))}
	slices.SortFunc(made.Windows, func(a, b score.Window) int { return a.From.Compare(b.From) })
	for i := range made.Points {
		made.Points[i] = score.Point{At: s.times[i], Value: s.values[i]}
	}
	return made
}

// unbounded sets what a metric of which nothing is known can show: anything, but not below 0 if it never was.
func (s *signal) unbounded() {
	s.step, s.low, s.high = stepOf(s.values), math.Inf(-1), math.Inf(1)
	if !slices.ContainsFunc(s.values, func(x float64) bool { return x < 0 }) {
		s.low = 0
	}
}

// turns returns n kinds, each as often as any other or once more, in an order that is drawn.
func (r source) turns(n int, kinds []Kind) []Kind {
	if len(kinds) == 0 {
		kinds = Kinds()
	}
	all := make([]Kind, 0, n)
	for len(all) < n {
		for _, i := range r.Perm(len(kinds)) {
			if len(all) < n {
				all = append(all, kinds[i])
			}
		}
	}
	return all
}

// occupy marks the windows, what is near them and the first points as taken.
func (s *signal) occupy(windows []score.Window, first int) {
	s.taken, s.first = make([]bool, len(s.times)), first
	for i := range min(max(first, clearance), len(s.taken)) {
		s.taken[i] = true
	}
	for _, w := range windows {
		for i, t := range s.times {
			if !t.Before(w.From) && !t.After(w.To) {
				s.take(i, i+1)
			}
		}
	}
}

func (s *signal) take(from, to int) {
	for i := max(from-clearance, 0); i < min(to+clearance, len(s.taken)); i++ {
		s.taken[i] = true
	}
}

func (s *signal) free(from, to int) bool {
	return from >= 0 && to <= len(s.taken) && !slices.Contains(s.taken[from:to], true)
}

// lengths of faults in points; at steps of less than five minutes they are as long in time as at five, except
// those that are a matter of points.
var lengths = map[Kind][2]int{
	Spike: {1, 3}, LevelShift: {48, 144}, Drift: {72, 216}, Stuck: {36, 144}, Dropout: {2, 12},
	NoiseBurst: {24, 72}, CorrelationBreak: {48, 144}, Oscillation: {36, 96},
}

func (s *signal) length(r source, kind Kind) int {
	n := r.count(lengths[kind][0], lengths[kind][1])
	if kind == Spike || kind == Dropout {
		return n
	}
	step := s.times[len(s.times)-1].Sub(s.times[0]) / time.Duration(len(s.times)-1)
	if step > 0 && step < five {
		return int(float64(n) * float64(five) / float64(step))
	}
	return n
}

// place puts a fault of a kind somewhere and returns its window; false if no place was found where it shows.
// Partner is the metric that this one goes with, or nil.
func (s *signal) place(r source, kind Kind, partner *signal) (score.Window, bool) {
	if len(s.values) < 10*clearance {
		return score.Window{}, false
	}
	for range tries {
		n := s.length(r, kind)
		if n+2*clearance >= len(s.values) {
			return score.Window{}, false
		}
		from := r.IntN(len(s.values) - n)
		to := from + n
		if !s.free(from, to) {
			continue
		}
		m, ok := s.scaleAt(from)
		if !ok {
			continue
		}
		changed := slices.Clone(s.values[from:to])
		if !s.fault(r, kind, m, from, changed, partner) {
			continue
		}
		copy(s.values[from:to], changed)
		s.take(from, to)
		return score.Window{From: s.times[from], To: s.times[to-1], Kind: string(kind)}, true
	}
	return score.Window{}, false
}

// fault changes the values that begin at point from, and reports whether that is to be seen.
func (s *signal) fault(r source, kind Kind, m scale, from int, x []float64, partner *signal) bool {
	before := slices.Clone(x)
	switch kind {
	case Spike:
		s.add(r, x, r.between(6, 12)*m.quick, func(int) float64 { return 1 })
		return s.off(before, x) >= 5*m.quick
	case LevelShift:
		s.add(r, x, r.between(3, 6)*m.usual, func(int) float64 { return 1 })
		return s.off(before, x) >= 2.5*m.usual
	case Drift:
		s.add(r, x, r.between(4, 8)*m.usual, func(i int) float64 { return float64(i+1) / float64(len(x)) })
		return s.off(before[len(x)*3/4:], x[len(x)*3/4:]) >= 2.5*m.usual
	case NoiseBurst:
		s.add(r, x, r.between(3, 6)*m.quick, func(int) float64 { return r.NormFloat64() })
		return s.off(before, x) >= 2*m.quick
	case Oscillation:
		period, phase := r.between(6, 20), r.Float64()
		s.add(r, x, r.between(3, 6)*m.quick, func(i int) float64 { return math.Sin(2 * math.Pi * (float64(i)/period + phase)) })
		return s.off(before, x) >= 1.5*m.quick
	case Stuck:
		return s.stick(m, from, x)
	case Dropout:
		return s.drop(m, x)
	case CorrelationBreak:
		return s.mislay(r, m, from, x, partner)
	}
	return false
}

// add adds size times form to x, to the side that has room for it.
func (s *signal) add(r source, x []float64, size float64, form func(i int) float64) {
	sign := r.sign()
	room := func(sign float64) bool {
		return !slices.ContainsFunc(x, func(v float64) bool { return v+sign*size < s.low || v+sign*size > s.high })
	}
	if !room(sign) && room(-sign) {
		sign = -sign
	}
	for i := range x {
		x[i] = clamp(rounded(x[i]+sign*size*form(i), s.step), s.low, s.high)
	}
}

// off returns how far two courses are apart, root mean square.
func (s *signal) off(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum / float64(len(a)))
}

// moves is how many equal points a signal has at most by itself for a stuck value to be one.
const moves = 4

// stick goes on with the value before, which shows if the signal moves by itself all the time.
func (s *signal) stick(m scale, from int, x []float64) bool {
	if m.still > moves || from == 0 {
		return false
	}
	for i := range x {
		x[i] = s.values[from-1]
	}
	return true
}

// drop falls to 0, which shows if that is far from what is usual.
func (s *signal) drop(m scale, x []float64) bool {
	margin := max(4*m.quick, 0.1*m.span)
	nothing := 0.0
	switch {
	case nothing < m.low-margin && nothing >= s.low:
	case nothing > m.top+margin && nothing <= s.high:
	default:
		return false
	}
	for i := range x {
		x[i] = nothing
	}
	return true
}

// mislay shows the values of another time. Alone, a metric shows those of another hour of the day, which is to be
// seen if its days are alike. With a partner it shows those of the same hour on another day, when the partner was
// not as it is now.
func (s *signal) mislay(r source, m scale, from int, x []float64, partner *signal) bool {
	day := s.perDay()
	if partner == nil {
		if m.seasonal < 0.6 {
			return false
		}
		return s.copyFrom(from-int(float64(day)*r.between(0.35, 0.65)), from, x) && s.off(s.values[from:from+len(x)], x) >= 3*m.usual
	}
	back := day*r.count(1, 5) + r.count(-day/16, day/16)
	if from-back < day || !s.copyFrom(from-back, from, x) {
		return false
	}
	// What moves slowly may be elsewhere today: the level stays, only the course is another day's.
	moved := mean(s.values[from-day:from]) - mean(s.values[from-back-day:from-back])
	for i := range x {
		x[i] = clamp(rounded(x[i]+moved, s.step), s.low, s.high)
	}
	// Where nothing went on at either time, there is no relation to break.
	lively := deviation(partner.values[from:from+len(x)]) >= 0.5*deviation(partner.values)
	return lively && s.off(s.values[from:from+len(x)], x) >= 0.7*deviation(s.values[from-day:from])
}

func (s *signal) copyFrom(other, from int, x []float64) bool {
	if other < 0 || other+len(x) > from {
		return false
	}
	if from := max(other, s.first); slices.Contains(s.taken[from:max(other+len(x), from)], true) {
		return false // no values of a fault
	}
	copy(x, s.values[other:other+len(x)])
	return true
}

func deviation(xs []float64) float64 { return math.Sqrt(variance(xs)) }

// perDay returns how many points a day has.
func (s *signal) perDay() int {
	days := s.times[len(s.times)-1].Sub(s.times[0]).Hours() / 24
	return max(int(math.Round(float64(len(s.times))/max(days, 1))), 1)
}
