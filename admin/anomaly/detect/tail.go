package detect

import "math"

// Bins of a Tail: four to the octave, from 1/16 to 128. What is smaller is in the first, what is larger in the last.
const (
	tailBins = 44
	lowest   = -4 // the first bin ends at 2^lowest
	octave   = 4  // bins to an octave
	largest  = 127

	tailShare = 0.02 // of the values that are in the tail
	tailLeast = 12   // values in the tail, at least
	tailFirst = 32   // values before a tail is fitted
	tailMost  = 60000
)

// edges are the lower edges of the bins, and the upper edge of the last.
var edges = func() (e [tailBins + 1]float64) {
	for k := range e {
		e[k] = math.Ldexp(1+float64(k%octave)/octave, lowest+k/octave)
	}
	e[0] = 0
	return e
}()

// Tail learns how large a non-negative statistic usually is and says how rarely one as large occurs: a histogram over
// the logarithm for the body, and beyond its 98% quantile a generalised Pareto distribution, fitted by the first two
// moments of the histogram. The statistic should be about 1 when nothing is unusual; it counts as largest beyond 127.
// The zero Tail has learnt nothing and is ready.
//
// Source: J. R. M. Hosking and J. R. Wallis, Parameter and quantile estimation for the generalised Pareto
// distribution, Technometrics 29 (1987).
type Tail struct {
	n     uint32           // values in bins
	next  uint32           // n at which the tail is fitted again
	above uint32           // values in the tail
	from  uint32           // first bin of the tail; 0 before it was fitted
	scale float32          // of the generalised Pareto distribution: sigma
	shape float32          // xi, 0..0.5
	bins  [tailBins]uint16 // how many values
}

// bin returns the bin of v >= 0.
func bin(v float64) int {
	const first = (lowest + 1023) * octave
	return min(max(int(math.Float64bits(v)>>50)-first, 0), tailBins-1)
}

// Evidence returns -log10 of the probability of a value of at least v, which must not be negative; 0 before anything
// was learnt.
func (t *Tail) Evidence(v float64) float64 {
	b := bin(v)
	if t.from == 0 || b < int(t.from) {
		return t.body(b, v)
	}
	e := -log10((float64(t.above) + 1) / (float64(t.n) + 2))
	x := (min(v, largest) - edges[t.from]) / float64(t.scale)
	if t.shape > 1e-3 {
		return e + log10(1+float64(t.shape)*x)/float64(t.shape)
	}
	return e + x*math.Log10E
}

// At returns the value in the tail that has so much evidence; +Inf before a tail was fitted.
func (t *Tail) At(evidence float64) float64 {
	if t.from == 0 {
		return math.Inf(1)
	}
	beyond := (evidence + log10((float64(t.above)+1)/(float64(t.n)+2))) / math.Log10E
	if beyond <= 0 {
		return edges[t.from]
	}
	x := beyond
	if shape := float64(t.shape); shape > 1e-3 {
		x = math.Expm1(shape*beyond) / shape
	}
	return edges[t.from] + x*float64(t.scale)
}

// body counts the values of the bins above and, in proportion, of bin b.
func (t *Tail) body(b int, v float64) float64 {
	end := tailBins
	count := 0.5
	if t.from > 0 {
		end = int(t.from)
		count += float64(t.above)
	}
	sum := 0
	for _, c := range t.bins[b+1 : max(end, b+1)] {
		sum += int(c)
	}
	part := min(max((edges[b+1]-v)/(edges[b+1]-edges[b]), 0), 1)
	p := (count + float64(sum) + part*float64(t.bins[b])) / (float64(t.n) + 1)
	if p >= 1 {
		return 0
	}
	return -log10(p)
}

// Learn adds a value. When there are limit of them, all are halved: so the old ones fade.
func (t *Tail) Learn(v float64, limit uint32) {
	b := bin(v)
	t.bins[b]++
	t.n++
	inTail := t.from > 0 && b >= int(t.from)
	if inTail {
		t.above++
	}
	if t.n >= min(limit, tailMost) {
		t.n = 0
		for i, c := range t.bins {
			// A value of its own survives in the tail, where it says how far things can go.
			if t.bins[i] = (c + 1) / 2; c == 1 && i < int(t.from) {
				t.bins[i] = 0
			}
			t.n += uint32(t.bins[i])
		}
		t.next = t.n
	}
	if inTail || t.n >= t.next && t.n >= tailFirst {
		t.fit()
	}
}

// fit finds where the tail begins, and its scale and shape.
func (t *Tail) fit() {
	want := max(uint32(float64(t.n)*tailShare), tailLeast)
	k, count := tailBins-1, uint32(t.bins[tailBins-1])
	for k > 1 && count < want && (count == 0 || count+uint32(t.bins[k-1]) <= want) {
		k--
		count += uint32(t.bins[k])
	}
	begin := edges[k]
	var sum, squares float64
	for i := k; i < tailBins; i++ {
		if c := float64(t.bins[i]); c > 0 {
			x := (edges[i]+edges[i+1])/2 - begin
			sum += c * x
			squares += c * x * x
		}
	}
	// Some imagined values keep a short history from being sure of itself.
	const imagined = 8
	guess := 0.25*begin + 0.05
	c := float64(count) + imagined
	mean := (sum + imagined*guess) / c
	variance := max((squares+imagined*3*guess*guess)/c-mean*mean, 1e-9)
	shape := min(max(0.5*(1-mean*mean/variance), 0), 0.5)
	t.from, t.above = uint32(k), count
	t.shape, t.scale = float32(shape), float32(mean*(1-shape))
	t.next = t.n + t.n/16 + 1
}

// Sides are two Tails, for a statistic that goes up and down: what is rare below may be usual above.
type Sides struct{ up, down Tail }

// Evidence returns -log10 of the probability of a value as far on the side of v, for one side of two.
func (s *Sides) Evidence(v float64) float64 {
	side, other := &s.up, &s.down
	if v < 0 {
		side, other, v = other, side, -v
	}
	if side.n+other.n == 0 {
		return 0
	}
	e := side.Evidence(v)
	if e > 0 || side.n == 0 {
		e -= log10(2 * (float64(side.n) + 2) / (float64(side.n) + float64(other.n) + 4))
	}
	return max(e, 0)
}

// Learn adds a value to its side.
func (s *Sides) Learn(v float64, limit uint32) {
	if v >= 0 {
		s.up.Learn(v, limit)
	} else {
		s.down.Learn(-v, limit)
	}
}
