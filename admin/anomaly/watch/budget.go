package watch

import "math"

// Peaks are how high a kiosk's surprise was in each hour: the highest of the hour, as a histogram.
type Peaks struct {
	// Counts are hours by surprise: bin i is from i/peakBins, old hours fade.
	Counts [peakCount]float32
}

const (
	peakCount = 64
	peakBins  = 4    // to 1 of surprise
	peakDecay = 1000 // hours that are remembered
	weekHours = 7 * 24
	tailShare = 0.1 // of hours, above which the tail of the peaks begins
	// What is assumed before there is a history, with the weight of so many hours: peaks beyond a tenth of the hours
	// are usualScale higher, on average.
	usualStart = 3.2
	usualScale = 0.8
	usualHours = 24
)

// budget turns surprise into a score, so that 0.99 is reached as often as the budget allows.
//
// The hourly peaks give the rate at which a surprise is exceeded; beyond the tenth of hours with the highest it is
// extrapolated by an exponential tail. Peaks of an hour make one event of what hangs together. What that gets wrong is
// corrected by the anomalies that fired: each makes the next one harder, and each hour without one makes it easier, by
// as much as balances at the budget.
//
// Source: Davison and Smith, Models for exceedances over high thresholds, 1990; Gibbs and Candès, Adaptive conformal
// inference under distribution shift, 2021, for the correction.
type budget struct {
	peaks Peaks
	hour  int64   // the present one, since 1970
	hours float32 // that were seen, or that the fleet has seen
	high  float32 // its highest surprise
	shift float32 // of surprise, the correction
	from  float32 // surprise at which the tail begins
	rate  float32 // of exceeding it, a week
	scale float32 // mean excess
	level float32 // where the budget is reached
}

// start sets the history to that of the fleet, with little weight, or to what is usual.
func (b *budget) start(prior *Peaks) {
	const weight = 72
	*b = budget{}
	if prior != nil {
		if total := prior.hours(); total > 0 {
			b.hours = learning
			for i, c := range prior.Counts {
				b.peaks.Counts[i] = c * min(1, weight/total)
			}
		}
	}
}

func (p *Peaks) hours() float32 {
	var sum float32
	for _, c := range p.Counts {
		sum += c
	}
	return sum
}

// Add adds another kiosk's peaks.
func (p *Peaks) Add(o *Peaks) {
	for i, c := range o.Counts {
		p.Counts[i] += c
	}
}

// add counts an hour's peak.
func (p *Peaks) add(x float32) {
	for i := range p.Counts {
		p.Counts[i] *= 1 - 1.0/peakDecay
	}
	p.Counts[min(int(max(x, 0)*peakBins), peakCount-1)]++
}

// fit finds where the tail begins, and its scale.
func (b *budget) fit(allowed float64) {
	total := float64(b.peaks.hours())
	want := tailShare * total
	above, i := 0.0, peakCount
	for i > 1 && above < want {
		i--
		above += float64(b.peaks.Counts[i])
	}
	start := float64(i) / peakBins
	excess := 0.0
	for n := i; n < peakCount; n++ {
		excess += float64(b.peaks.Counts[n]) * ((float64(n)+0.5)/peakBins - start)
	}
	// The assumed hours join in.
	const assumed = usualHours * tailShare
	start = (start*total + usualStart*usualHours) / (total + usualHours)
	scale := (excess + usualScale*assumed) / (above + assumed)
	rate := weekHours * (above + assumed) / (total + usualHours)
	b.from, b.scale, b.rate = float32(start), float32(scale), float32(rate)
	b.level = float32(start + scale*math.Log(max(rate/allowed, 1)))
}

// The score at a rate of r times the budget is exp(-strict · r^bend): 0.99 at the budget.
var strict = -math.Log(0.99)

const bend = 0.75

// score returns the score of a surprise.
func (b *budget) score(surprise, allowed float64) float64 {
	x := surprise - float64(b.shift)
	at := math.Max(x, float64(b.from))
	rate := float64(b.rate) / allowed * math.Exp(-(at-float64(b.from))/float64(b.scale))
	out := math.Exp(-strict * math.Pow(rate, bend))
	if x < at {
		out *= max(x, 0) / at
	}
	return out
}

const (
	// Without anything known of the fleet, nothing is unusual in the first hours: a day has to be seen.
	learning  = 24
	warmScore = 0.5
	// Each anomaly raises the level by firing times the scale of the tail.
	firing    = 0.7
	lowShift  = -1.5
	highShift = 5
)

// correct moves the level for an hour in which so many anomalies opened.
func (b *budget) correct(opened, hours, allowed float64) {
	s := float64(b.scale)
	b.shift = float32(min(max(float64(b.shift)+firing*s*(opened-hours*allowed/weekHours), lowShift*s), highShift*s))
}
