// Package synth makes labelled data for detectors of anomalies: series and fleets of kiosks in which nothing is
// wrong, and faults that it injects into them or into real ones. Everything is drawn from seeds: the same seed
// gives the same data. docs/anomaly-evaluation.md describes the faults.
package synth

import (
	"math"
	"math/rand/v2"
	"slices"

	"kioskfleet/internal/hashed"
)

// Kind is a kind of fault.
type Kind string

// Kinds of faults. Their sizes are in units of what a series does by itself; see scale.
const (
	// Spike is one to three points far off.
	Spike Kind = "spike"
	// LevelShift moves everything for hours by the same amount.
	LevelShift Kind = "level_shift"
	// Drift moves away slowly, further and further.
	Drift Kind = "drift"
	// Stuck goes on with the last value.
	Stuck Kind = "stuck"
	// Dropout falls to nothing.
	Dropout Kind = "dropout"
	// NoiseBurst adds noise.
	NoiseBurst Kind = "noise_burst"
	// CorrelationBreak shows values of another time: each is plausible, but not now.
	CorrelationBreak Kind = "correlation_break"
	// Oscillation adds a wave of a few points' period.
	Oscillation Kind = "oscillation"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Spike, LevelShift, Drift, Stuck, Dropout, NoiseBurst, CorrelationBreak, Oscillation}
}

// KindOf finds a kind by its name.
func KindOf(name string) (Kind, bool) {
	k := Kind(name)
	return k, slices.Contains(Kinds(), k)
}

// source draws random numbers.
type source struct{ *rand.Rand }

// draws returns the source of a seed and of what it is for.
func draws(parts ...uint64) source {
	return source{rand.New(rand.NewPCG(hashed.Of(parts...), hashed.Of(append(parts, 1)...)))}
}

// between returns a number of [low, high).
func (r source) between(low, high float64) float64 { return low + (high-low)*r.Float64() }

// count returns a whole number of [low, high].
func (r source) count(low, high int) int { return low + r.IntN(high-low+1) }

// sign returns -1 or 1.
func (r source) sign() float64 { return float64(2*r.IntN(2) - 1) }

// heavy returns noise of standard deviation 1 with long tails: Student's t with 4 degrees of freedom.
func (r source) heavy() float64 {
	sum := 0.0
	for range 4 {
		n := r.NormFloat64()
		sum += n * n
	}
	return r.NormFloat64() / math.Sqrt(sum/4) / math.Sqrt2
}

// wander is noise that remembers itself: mean 0, standard deviation 1, correlation 1/e after tau steps.
type wander struct{ x, keep, add float64 }

func (r source) wander(tau float64) *wander {
	keep := math.Exp(-1 / tau)
	return &wander{x: r.NormFloat64(), keep: keep, add: math.Sqrt(1 - keep*keep)}
}

func (w *wander) next(r source) float64 {
	w.x = w.keep*w.x + w.add*r.NormFloat64()
	return w.x
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }

// rounded returns x as a sensor shows it that has steps of the given size; any x if that is 0.
func rounded(x, step float64) float64 {
	if step == 0 {
		return x
	}
	// Dividing by the whole number of steps in 1 gives the decimals that people write.
	if perOne := math.Round(1 / step); step < 1 && math.Abs(perOne*step-1) < 1e-9 {
		return math.Round(x*perOne) / perOne
	}
	return math.Round(x/step) * step
}
