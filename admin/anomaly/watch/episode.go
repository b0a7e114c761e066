package watch

import (
	"math"
	"slices"
)

const (
	high    = 0.99           // the score that opens an anomaly
	low     = 0.9            // below which it fades
	fading  = 30 * 60 * 1000 // milliseconds of a low score that end it
	worse   = 1.5            // times the surprise at the last firing, which fires again
	holdOff = 60 * 60 * 1000 // milliseconds at least between two firings
	// Without anything known of the fleet, nothing is unusual in the first hours: a day has to be seen.
	learning  = 24
	warmScore = 0.5
)

// episode is the anomaly that is open, if one is.
type episode struct {
	open   bool
	armed  bool    // the score was low since the kiosk is known: what was there before does not open
	score  float32 // of the last reading
	hour   int64   // the present one, since 1970
	hours  float32 // that were seen, or that the fleet has seen
	fired  int64   // Unix milliseconds
	level  float32 // surprise when it fired, relative to its limit
	peak   float32 // the highest since it opened
	active int64   // when the score was high last
	parts  []kept  // at the peak, by sensor
}

// combine returns the surprise in each channel: a norm of the evidence of the metrics that is little more than the
// largest.
func (k *Kiosk) combine(tuning Tuning, said *verdicts) [channels]float64 {
	var sums [channels]float64
	var limits, factors [channels]float32
	for c := range channels {
		limits[c] = 1 / k.budgets[c].limit()
	}
	for i := range k.sensors {
		s := &k.sensors[i]
		parts := said[i]
		if p := s.peer.part(k.clock.last); p.evidence > parts[compared].evidence {
			parts[compared] = p
		}
		if tuning != nil {
			// A budget f times as large is reached by a surprise that is as much lower as the tail falls by f.
			f := tuning(s.name)
			for c := range channels {
				factors[c] = 0
				if f > 0 && f != 1 {
					factors[c] = k.budgets[c].tail.scale * float32(math.Log(f))
				}
			}
		}
		s.top = part{}
		for c := range channels {
			p := &parts[c]
			if p.evidence <= 0 {
				continue
			}
			p.evidence = max(p.evidence+factors[c], 0)
			e := float64(p.evidence)
			sums[c] += e * e * e * e
			// What a sensor has to do with an anomaly is measured by the limits.
			if p.evidence *= limits[c]; p.evidence > s.top.evidence {
				s.top = *p
			}
		}
	}
	for c, sum := range sums {
		sums[c] = math.Sqrt(math.Sqrt(sum))
	}
	return sums
}

// judge turns the surprise of the channels into a score and opens and ends anomalies.
func (k *Kiosk) judge(surprise [channels]float64) Finding {
	e, t := &k.episode, k.clock.last
	if hour := floorDiv(t, hourMillis); hour != e.hour {
		if e.hour != 0 {
			k.endHour()
		}
		e.hour = hour
	}
	score, worst, by := 0.0, float32(0), alone
	for c, x := range surprise {
		b := &k.budgets[c]
		if b.tail.scale == 0 {
			b.fit(c, k.allowed())
		}
		if at := b.score(x); at > score {
			score, by = at, c
		}
		worst = max(worst, float32(x)/b.limit())
		if !e.open {
			b.high = max(b.high, min(float32(x), b.limit()))
		}
	}
	if e.hours < learning {
		score *= warmScore
	} else if score < low {
		e.armed = true
	}
	e.score = float32(score)
	out := Finding{Score: score}
	switch {
	case score < high || !e.armed:
	case !e.open:
		e.open, e.fired, e.level, e.peak = true, t, worst, 0
		k.budgets[by].correct(1, 0, k.allowed())
		out.Fired = true
	case worst > e.level*worse && t-e.fired >= holdOff:
		e.fired, e.level = t, worst
		out.Fired = true
	}
	if !e.open {
		return out
	}
	if worst > e.peak {
		e.peak = worst
		k.keep()
	}
	if score >= low {
		e.active = t
	} else if t-e.active >= fading {
		e.open = false
		out.Ended = true
	}
	return out
}

// allowed returns a channel's budget, which is never nothing.
func (k *Kiosk) allowed() float64 { return max(k.cfg.Budget/channels, 1e-4) }

// endHour counts the past hour; those within an anomaly, after the one it opened in, are part of it.
func (k *Kiosk) endHour() {
	e := &k.episode
	for i := range k.sensors {
		k.sensors[i].peer.end(e.hour)
	}
	if e.hours++; e.hours > learning/2 && !e.open {
		for i := range k.sensors {
			k.sensors[i].habit.learn(k.budgets[alone].limit())
		}
	}
	for c := range k.budgets {
		b := &k.budgets[c]
		if e.hours > learning && b.high > 0 {
			b.peaks.add(b.high)
			b.fit(c, k.allowed())
		}
		b.high = 0
		b.correct(0, 1, k.allowed())
	}
}

// kept is what a sensor contributed when an anomaly was strongest.
type kept struct {
	part
	partners [named]uint8 // sensors it goes with, the closest first, plus 1; 0: none
	among    uint16       // siblings, for a comparison with them
}

// shift makes room for a new sensor i in what is kept of the peak.
func (e *episode) shift(i int) {
	if i >= len(e.parts) {
		return
	}
	e.parts = slices.Insert(e.parts, i, kept{})
	for p := range e.parts {
		for o, partner := range e.parts[p].partners {
			if int(partner) > i {
				e.parts[p].partners[o]++
			}
		}
	}
}

// keep remembers what the sensors contribute now.
func (k *Kiosk) keep() {
	e := &k.episode
	if len(e.parts) != len(k.sensors) {
		e.parts = make([]kept, len(k.sensors))
	}
	for i := range e.parts {
		e.parts[i] = k.present(i)
	}
}

// present returns what a sensor contributes now.
func (k *Kiosk) present(i int) kept {
	s := &k.sensors[i]
	p := kept{part: s.top, among: s.peer.among}
	if s.top.kind == relationKind {
		p.partners = k.closest(i)
	}
	return p
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
