package detect

import "math"

// Prior is what many kiosks' metrics of one name have in common: what a new one starts with. It is plain data, to be
// written as JSON. The zero Prior is empty.
type Prior struct {
	Kiosks  int         `json:"kiosks"`   // that are in it
	Step    float64     `json:"step"`     // mean of their usual times between values, in seconds
	Mean    []float64   `json:"mean"`     // by hour: mean of the kiosks' means, in the metric's unit
	Weekend []float64   `json:"weekend"`  // the same of weekends
	Spread  []float64   `json:"spread"`   // by hour: mean of the kiosks' mean square distances
	Between []float64   `json:"between"`  // by hour: mean square distance of the kiosks' means from Mean
	All     float64     `json:"all"`      // mean square distance of all hours, mean of the kiosks
	Season  []float64   `json:"season"`   // Holt-Winters: by half-hour, mean
	Scale   []float64   `json:"scale"`    // Holt-Winters: by hour, mean size of innovations
	AllSize float64     `json:"all_size"` // of all hours
	Low     float64     `json:"low"`      // lowest of all
	High    float64     `json:"high"`     // highest of all
	Rate    float64     `json:"rate"`     // mean share of new extremes
	Size    float64     `json:"size"`     // mean distance beyond, in ranges
	Longest float64     `json:"longest"`  // run of a value that did not move, mean
	Zero    float64     `json:"zero"`     // mean share of zeros
	Tails   [][]float64 `json:"tails"`    // the calibrations: shares of values by bin, mean
}

const (
	priorTails = 7
	// What a Prior counts for: as much as some hundred values, so that a kiosk is itself after some hours.
	priorValues = 400 // in a calibration
	priorPoints = 6   // in an hour's mean
)

// Add folds in the state of one kiosk's metric. One that still warms up has nothing to say.
func (p *Prior) Add(m *Metric) {
	if float64(m.n) < m.cfg.warm {
		return
	}
	if p.Kiosks == 0 {
		*p = Prior{
			Mean: make([]float64, hours), Weekend: make([]float64, hours), Spread: make([]float64, hours), Between: make([]float64, hours),
			Season: make([]float64, buckets), Scale: make([]float64, hours),
			Low: m.origin + m.bounds.low, High: m.origin + m.bounds.high, Tails: make([][]float64, priorTails),
		}
		for i := range p.Tails {
			p.Tails[i] = make([]float64, tailBins)
		}
	}
	p.Kiosks++
	share := 1 / float64(p.Kiosks)
	mix := func(mean *float64, v float64) { *mean += (v - *mean) * share }
	for h := range hours {
		expected, _ := m.season.usual(m.cfg, h)
		expected += m.origin
		before := p.Mean[h]
		mix(&p.Mean[h], expected)
		mix(&p.Between[h], (expected-before)*(expected-p.Mean[h]))
		ends := expected
		if m.season.ends[h] > 0 {
			ends = m.origin + float64(m.season.weekend[h])
		}
		mix(&p.Weekend[h], ends)
		mix(&p.Spread[h], float64(m.season.spread[h]))
		mix(&p.Scale[h], float64(m.course.scale[h]))
	}
	for b := range buckets {
		mix(&p.Season[b], float64(m.course.season[b]))
	}
	mix(&p.Step, float64(m.step))
	mix(&p.All, float64(m.season.all))
	mix(&p.AllSize, float64(m.course.all))
	mix(&p.Rate, float64(m.bounds.rate))
	mix(&p.Size, float64(m.bounds.size))
	mix(&p.Longest, float64(m.still.longest))
	mix(&p.Zero, float64(m.gone.share))
	p.Low, p.High = min(p.Low, m.origin+m.bounds.low), max(p.High, m.origin+m.bounds.high)
	for i, t := range p.calibrations(m) {
		for b, c := range t.bins {
			mix(&p.Tails[i][b], float64(c)/max(float64(t.n), 1))
		}
	}
}

func (p *Prior) calibrations(m *Metric) [priorTails]*Tail {
	t := m.tails()
	return [priorTails]*Tail{t[0], t[1], t[2], t[3], t[4], t[5], &m.still.runs}
}

// whole reports whether the prior was made by Add, as one from a file need not be.
func (p *Prior) whole() bool {
	if p.Kiosks < 1 || len(p.Season) != buckets || len(p.Tails) != priorTails {
		return false
	}
	for _, l := range [][]float64{p.Mean, p.Weekend, p.Spread, p.Between, p.Scale} {
		if len(l) != hours {
			return false
		}
	}
	for _, t := range p.Tails {
		if len(t) != tailBins {
			return false
		}
	}
	return true
}

// begin gives a metric what the prior knows. The kiosk's own level is not known: until it is, what lies between the
// kiosks counts as spread.
func (p *Prior) begin(m *Metric) {
	if !p.whole() {
		return
	}
	m.origin = p.Mean[0]
	m.n = uint32(m.cfg.warm)
	m.step = float32(p.Step)
	between := 0.0
	for h := range hours {
		between += p.Between[h] / hours
	}
	s := &m.season
	for h := range hours {
		s.mean[h] = float32(p.Mean[h] - m.origin)
		s.weekend[h] = float32(p.Weekend[h] - m.origin)
		s.spread[h] = float32(p.Spread[h] + p.Between[h])
		s.count[h] = priorPoints
		s.ends[h] = priorPoints
		s.allMean += s.mean[h] / hours
		m.course.scale[h] = float32(p.Scale[h])
	}
	s.all = float32(p.All + between)
	for b := range buckets {
		m.course.season[b] = float32(p.Season[b])
	}
	m.course.all = float32(p.AllSize)
	m.bounds = bounds{low: p.Low - m.origin, high: p.High - m.origin, rate: float32(max(p.Rate, 1e-6)), size: float32(max(p.Size, 1e-3))}
	m.still.longest = uint32(math.Round(p.Longest))
	m.gone.share = float32(p.Zero)
	for i, t := range p.calibrations(m) {
		for b, share := range p.Tails[i] {
			t.bins[b] = uint16(math.Round(share * priorValues))
		}
		t.count()
		if t.n >= tailFirst {
			t.fit()
		}
	}
}
