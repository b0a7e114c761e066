package watch

import "math"

// The channels of evidence, which have a budget each: what is noisy in one does not dull the other.
const (
	alone    = iota // each metric by itself
	compared        // with the others, and with its siblings
	channels
)

// usual is what is assumed: where the tenth of hours with the highest surprise begins, and the mean excess over that.
var usual = [channels]tail{alone: {1.9, 0.6, tailShare}, compared: {3.2, 0.6, tailShare}}

// budget turns a channel's surprise into a score, so that 0.99 is reached as often as the budget allows.
//
// The hourly peaks give the rate at which a surprise is exceeded; beyond the tenth of hours with the highest it is
// extrapolated by an exponential tail. Peaks of an hour make one event of what hangs together. What that gets wrong is
// corrected by the anomalies that fired: each makes the next one harder, and each hour without one makes it easier, by
// as much as balances at the budget, whatever the noise is.
//
// Source: Davison and Smith, Models for exceedances over high thresholds, 1990; Gibbs and Candès, Adaptive conformal
// inference under distribution shift, 2021, for the correction.
type budget struct {
	peaks Peaks
	high  float32 // highest surprise of the present hour
	shift float32 // of surprise, the correction
	tail  tail
	rate  float32 // of exceeding the begin of the tail, in units of the budget
	edge  float32 // score there
	level float32 // surprise at which the budget is reached, without the correction
}

// fit finds the level that is exceeded as often as allowed in a week.
func (b *budget) fit(channel int, allowed float64) {
	b.tail = b.peaks.tail(usual[channel])
	b.rate = float32(weekHours * float64(b.tail.share) / allowed)
	b.edge = float32(scoreOf(float64(b.rate)))
	b.level = b.tail.from + b.tail.scale*float32(math.Log(max(float64(b.rate), 1)))
}

// scoreOf returns the score of what happens so many times as often as the budget allows: 0.99 at 1.
func scoreOf(rate float64) float64 {
	const strict, bend = 0.01005, 0.75 // exp(-strict) is 0.99
	return math.Exp(-strict * math.Pow(rate, bend))
}

// score returns the score of a surprise. Below the tail it falls in proportion to 0.
func (b *budget) score(surprise float64) float64 {
	x := surprise - float64(b.shift)
	if from := float64(b.tail.from); x < from {
		return float64(b.edge) * max(x, 0) / from
	}
	return scoreOf(float64(b.rate) * math.Exp(-(x-float64(b.tail.from))/float64(b.tail.scale)))
}

// limit returns the surprise at which the budget is reached.
func (b *budget) limit() float32 { return max(b.level+b.shift, 1) }

const (
	// Each anomaly raises the limit by firing times the scale of the tail.
	firing    = 0.5
	lowShift  = -1.5
	highShift = 4
)

// correct moves the limit for hours in which so many anomalies opened.
func (b *budget) correct(opened, hours, allowed float64) {
	s := float64(b.tail.scale)
	b.shift = float32(min(max(float64(b.shift)+firing*s*(opened-hours*allowed/weekHours), lowShift*s), highShift*s))
}
