package synth

import (
	"math"
	"slices"
	"time"
)

// signal is one metric over time with what faults have to know of it.
type signal struct {
	times     []time.Time
	values    []float64
	taken     []bool  // points that are in or near a fault or an anomaly of the background's own, or to learn from
	first     int     // points that are to learn from
	low, high float64 // what is possible
	step      float64 // of the sensor; 0 if it has none

	// What measure found for each day, as long as that takes: nil if it found nothing to measure with.
	scales map[int64]*scale
}

// scale is what a signal does by itself around some place: the unit in which faults are measured, so that they
// are hard to see and yet can be seen by a person who has the days before in front of him.
type scale struct {
	quick    float64 // noise from point to point: around the median of the two hours (25 points) around
	usual    float64 // noise around what is usual at this hour of the day
	span     float64 // of the values, from the 1st to the 99th percentile
	low, top float64 // those percentiles
	still    int     // longest run of equal points
	seasonal float64 // share of the variance that the hour of the day explains
}

const (
	quickShare = 0.015 // of the span that quick noise is taken to be at least
	usualShare = 0.03  // of the span that noise around the usual is taken to be at least
	daysAround = 3 * 24 * time.Hour
	medianOver = 25
)

// scaleAt returns the scale around point i, which is that of its day. False if the signal shows nothing to
// measure with: it is constant, or has too few points.
func (s *signal) scaleAt(i int) (scale, bool) {
	day := s.times[i].Unix() / (24 * 3600)
	m, ok := s.scales[day]
	if !ok {
		if found, ok := s.measure(i); ok {
			m = &found
		}
		if s.scales == nil {
			s.scales = map[int64]*scale{}
		}
		s.scales[day] = m
	}
	if m == nil {
		return scale{}, false
	}
	return *m, true
}

// measure returns the scale around point i, from the free points of three days before and after.
func (s *signal) measure(i int) (scale, bool) {
	from, to := i, i
	for from > 0 && s.times[i].Sub(s.times[from-1]) <= daysAround {
		from--
	}
	for to < len(s.times) && s.times[to].Sub(s.times[i]) <= daysAround {
		to++
	}
	var free []float64
	var hours [24][]float64
	for j := from; j < to; j++ {
		if !s.taken[j] {
			free = append(free, s.values[j])
			h := s.times[j].Hour()
			hours[h] = append(hours[h], s.values[j])
		}
	}
	if len(free) < 4*medianOver {
		return scale{}, false
	}
	sorted := slices.Sorted(slices.Values(free))
	m := scale{low: quantile(sorted, 0.01), top: quantile(sorted, 0.99)}
	m.span = m.top - m.low
	if m.span == 0 {
		return scale{}, false
	}
	var medians [24]float64
	for h := range hours {
		slices.Sort(hours[h])
		medians[h] = quantile(hours[h], 0.5)
	}
	var usual, quick []float64
	still := 1
	for j := from; j < to; j++ {
		if s.taken[j] {
			still = 0
			continue
		}
		usual = append(usual, math.Abs(s.values[j]-medians[s.times[j].Hour()]))
		if j > from && s.values[j] == s.values[j-1] {
			still++
		} else {
			still = 1
		}
		m.still = max(m.still, still)
	}
	window := make([]float64, 0, medianOver)
	for j := 0; j+medianOver <= len(free); j += 3 {
		window = append(window[:0], free[j:j+medianOver]...)
		slices.Sort(window)
		quick = append(quick, math.Abs(free[j+medianOver/2]-window[medianOver/2]))
	}
	m.usual = max(spread(usual), usualShare*m.span, s.step)
	m.quick = max(spread(quick), quickShare*m.span, s.step)
	m.seasonal = 1 - square(usual)/variance(free)
	return m, true
}

// spread is a standard deviation that minds long tails and not single points: half of the 95th percentile of the
// distances, or 1.48 times their median if that is more. Both are the standard deviation for normal noise.
func spread(distances []float64) float64 {
	slices.Sort(distances)
	return max(quantile(distances, 0.95)/1.96, quantile(distances, 0.5)/0.6745)
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

func square(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x * x
	}
	return sum / float64(len(xs))
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

func variance(xs []float64) float64 {
	middle, squares := mean(xs), 0.0
	for _, x := range xs {
		squares += (x - middle) * (x - middle)
	}
	return squares / float64(len(xs))
}

// stepOf returns the step of the sensor that the values are of: the largest of 1, 0.1 and 0.01 that all of them
// are multiples of, or 0.
func stepOf(values []float64) float64 {
	for _, step := range []float64{1, 0.1, 0.01} {
		if !slices.ContainsFunc(values, func(x float64) bool { return math.Abs(rounded(x, step)-x) > 1e-9*math.Max(1, math.Abs(x)) }) {
			return step
		}
	}
	return 0
}
