package watch

import "math"

const (
	high     = 0.99 // the score that opens an anomaly
	low      = 0.9  // below which it fades
	fading   = 10 * 60 * 1000
	worse    = 1.5            // times the surprise at the last firing fires again
	holdOff  = 30 * 60 * 1000 // milliseconds at least between two firings
	combined = 4              // exponent of the norm over the metrics
)

// episode is the anomaly that is open, if one is.
type episode struct {
	open   bool
	score  float32
	fired  int64   // Unix milliseconds
	level  float32 // surprise when it fired
	peak   float32 // highest surprise
	active int64   // when the score was high last
	parts  []kept  // at the peak, by sensor
}

// combine returns the kiosk's surprise: a norm of the evidence of its metrics that is little more than the largest.
func (k *Kiosk) combine(tuning Tuning) float64 {
	sum := 0.0
	for i := range k.sensors {
		s := &k.sensors[i]
		s.top = part{}
		if s.present {
			s.top = s.alone
			if s.with.evidence > s.top.evidence {
				s.top = s.with
			}
		}
		if p := s.peer.part(k.clock.last); p.evidence > s.top.evidence {
			s.top = p
		}
		if tuning != nil && s.top.evidence > 0 {
			// A budget f times as large is reached by a surprise that is as much lower as the tail falls by f.
			if f := tuning(s.name); f > 0 && f != 1 {
				s.top.evidence = max(s.top.evidence+k.budget.scale*float32(math.Log(f)), 0)
			}
		}
		e := float64(s.top.evidence)
		sum += e * e * e * e
	}
	return math.Sqrt(math.Sqrt(sum))
}

// judge turns surprise into a score and opens and ends anomalies.
func (k *Kiosk) judge(surprise float64) Finding {
	b, e, t := &k.budget, &k.episode, k.clock.last
	if b.scale == 0 {
		b.fit(k.allowed())
	}
	if hour := floorDiv(t, hourMillis); hour != b.hour {
		if b.hour != 0 {
			k.endHour()
		}
		b.hour, b.high = hour, 0
	}
	score := b.score(surprise, k.allowed())
	if b.hours < learning {
		score *= warmScore
	}
	e.score = float32(score)
	out := Finding{Score: score}
	if !e.open {
		b.high = max(b.high, float32(min(surprise, float64(b.level+b.shift))))
	}
	switch {
	case score >= high && !e.open:
		*e = episode{open: true, score: e.score, fired: t, level: float32(surprise), peak: float32(surprise), active: t, parts: e.parts}
		k.keep()
		b.correct(1, 0, k.allowed())
		out.Fired = true
	case score >= high && float32(surprise) > e.level*worse && t-e.fired >= holdOff:
		e.fired, e.level = t, float32(surprise)
		out.Fired = true
	}
	if e.open {
		if float32(surprise) > e.peak {
			e.peak = float32(surprise)
			k.keep()
		}
		if score >= low {
			e.active = t
		} else if t-e.active >= fading {
			e.open = false
			out.Ended = true
		}
	}
	return out
}

// allowed returns the budget, which is never nothing.
func (k *Kiosk) allowed() float64 { return max(k.cfg.Budget, 1e-3) }

// endHour counts the past hour; those within an anomaly, after the one it opened in, are part of it.
func (k *Kiosk) endHour() {
	b := &k.budget
	for i := range k.sensors {
		k.sensors[i].peer.end(b.hour)
	}
	if b.hours++; b.hours > learning && (b.high > 0 || !k.episode.open) {
		b.peaks.add(b.high)
		b.fit(k.allowed())
	}
	b.correct(0, 1, k.allowed())
}

// kept is what a sensor contributed when an anomaly was strongest.
type kept struct {
	part
	partners [named]uint8 // sensors it goes with, the closest first, plus 1; 0: none
	among    uint16       // siblings, for a comparison with them
}

// keep remembers what the sensors contribute now.
func (k *Kiosk) keep() {
	e := &k.episode
	if len(e.parts) != len(k.sensors) {
		e.parts = make([]kept, len(k.sensors))
	}
	for i := range k.sensors {
		s := &k.sensors[i]
		e.parts[i] = kept{part: s.top, among: s.peer.among}
		if s.top.kind == relationKind {
			e.parts[i].partners = k.closest(i)
		}
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
