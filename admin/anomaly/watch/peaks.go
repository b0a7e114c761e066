package watch

import "math"

// Peaks are how high a surprise was in each hour: the highest of the hour, as a histogram.
type Peaks struct {
	// Counts are hours by surprise: bin i begins at i/2, the last has no end; old hours fade.
	Counts [peakCount]float32
}

const (
	peakCount = 32
	peakBins  = 2    // to 1 of surprise
	peakDecay = 1000 // hours that are remembered
	weekHours = 7 * 24
	tailShare = 0.1 // of hours, above which the tail begins
	// What is assumed before there is a history has the weight of so many hours.
	assumedHours = 48
	// What is known of the fleet has that of at most so many.
	fleetHours = 72
)

// tail is the upper tail of hourly peaks: a share of the hours exceeds from, by scale on average. Beyond, it is taken for
// exponential.
//
// Source: Davison and Smith, Models for exceedances over high thresholds, 1990.
type tail struct{ from, scale, share float32 }

func (p *Peaks) hours() float32 {
	var sum float32
	for _, c := range p.Counts {
		sum += c
	}
	return sum
}

// merge adds another's peaks, of which at most so many hours count.
func (p *Peaks) merge(o *Peaks, most float32) {
	share := float32(1)
	if n := o.hours(); n > most {
		share = most / n
	}
	for i, c := range o.Counts {
		p.Counts[i] += c * share
	}
}

// add counts an hour's peak.
func (p *Peaks) add(x float32) {
	for i := range p.Counts {
		p.Counts[i] *= 1 - 1.0/peakDecay
	}
	p.Counts[min(int(max(x, 0)*peakBins), peakCount-1)]++
}

const (
	few    = 3 // hours of a fleet make something known
	beyond = 8 // of evidence: what is further out is not told apart
)

// rarity returns -log10 of the share of the fleet's hours that had such evidence, or nearly; most if they are few.
func (p *Peaks) rarity(evidence float32) float32 {
	var above, all float32
	from := int((min(evidence, beyond) - 0.5) * peakBins)
	for i, c := range p.Counts {
		all += c
		if i >= from {
			above += c
		}
	}
	if above < few {
		return most
	}
	return float32(math.Log10(float64(all / above)))
}

// tail returns the tail of the hours, among which some assumed ones are.
func (p *Peaks) tail(usual tail) tail {
	total := p.hours()
	above, i := float32(0), peakCount
	for i > 1 && above < tailShare*total {
		i--
		above += p.Counts[i]
	}
	from, excess := float32(i)/peakBins, float32(0)
	for n := i; n < peakCount; n++ {
		excess += p.Counts[n] * ((float32(n)+0.5)/peakBins - from)
	}
	const assumed = assumedHours * tailShare
	return tail{
		from:  (from*total + usual.from*assumedHours) / (total + assumedHours),
		scale: (excess + usual.scale*assumed) / (above + assumed),
		share: (above + assumed) / (total + assumedHours),
	}
}

// habit is how high the evidence of one metric by itself gets in ordinary hours: what is rare by the statistics of single
// values can still come every day, as when customers crowd or a tray is refilled.
type habit struct {
	peaks Peaks
	tail  tail
	high  float32 // of the present hour
}

// ordinary is what is assumed of a metric.
var ordinary = tail{from: 3.2, scale: 0.7, share: tailShare}

// judge returns -log10 of the share of hours that have such evidence; down to a tenth of the hours, in proportion below.
func (h *habit) judge(evidence float32) float32 {
	h.high = max(h.high, evidence)
	if h.tail.scale == 0 {
		h.tail = h.peaks.tail(ordinary)
	}
	if evidence <= h.tail.from {
		return evidence / h.tail.from
	}
	return 1 + (evidence-h.tail.from)/h.tail.scale*math.Log10E
}

// learn counts an hour. The highest peaks count no more than those twice as far out as what opens an anomaly: a fault does
// not make its sensor deaf.
func (h *habit) learn(limit float32) {
	out := 2 * max(limit-1, 1) * h.tail.scale / math.Log10E
	h.peaks.add(min(h.high, h.tail.from+out))
	h.tail = h.peaks.tail(ordinary)
	h.high = 0
}
