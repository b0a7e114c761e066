package train

import (
	"fmt"
	"math"
	"slices"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/fleet"
)

// group is what is usual for one metric of kiosks that belong together, in the same days.
type group struct {
	texture model.Texture // medians over the kiosks
	mean    []float64     // of each day, median over the kiosks; NaN where too few were seen
	rough   []float64     // in the same way
	step    float64       // how much a kiosk's distance to the others changes from day to day, median over the kiosks
	way     float64       // how far it goes in all the time, in the same way
}

// groups are those of one metric, by model.Key.
type groups map[string]*group

// groups puts the kiosks that have a metric together by model and site, by model, and all.
func (e *examination) groups(metric string) groups {
	members := map[string][]*trace{}
	for _, t := range e.all {
		tr := t.metrics[metric]
		if tr == nil {
			continue
		}
		for _, key := range keysOf(&t.kiosk) {
			members[key] = append(members[key], tr)
		}
	}
	out := groups{}
	for key, traces := range members {
		if len(traces) >= siblings {
			out[key] = newGroup(traces, e.days)
		}
	}
	return out
}

// keysOf returns the keys of the priors that a kiosk counts for, the closest first, each once.
func keysOf(k *fleet.Kiosk) []string {
	return slices.Compact([]string{model.Key(k.Model, k.Site), model.Key(k.Model, ""), model.Key("", "")})
}

// of returns the closest group of a kiosk with at least n kiosks; nil when none is large enough.
func (g groups) of(k *fleet.Kiosk, n int) *group {
	for _, key := range keysOf(k) {
		if found := g[key]; found != nil && found.texture.Kiosks >= n {
			return found
		}
	}
	return nil
}

func newGroup(members []*trace, days int) *group {
	g := &group{texture: merged(members), mean: make([]float64, days), rough: make([]float64, days)}
	for day := range days {
		g.mean[day] = overKiosks(members, day, (*daily).mean)
		g.rough[day] = overKiosks(members, day, (*daily).roughness)
	}
	var steps, ways []float64
	for _, t := range members {
		distance := g.apart(t)
		if len(distance) < 2*badDays {
			continue
		}
		steps, ways = append(steps, stepOf(distance)), append(ways, wayOf(distance))
	}
	g.step, g.way = median(steps), median(ways)
	return g
}

// merged returns the medians of the kiosks' textures.
func merged(members []*trace) model.Texture {
	parts := make([]model.Texture, len(members))
	for i, t := range members {
		parts[i] = t.texture()
	}
	of := func(f func(model.Texture) float64) float64 {
		var x []float64
		for _, p := range parts {
			if v := f(p); !math.IsNaN(v) {
				x = append(x, v)
			}
		}
		if len(x) == 0 {
			return 0
		}
		return median(x)
	}
	return model.Texture{
		Kiosks: len(members),
		Still:  of(func(t model.Texture) float64 { return t.Still }), Moving: of(func(t model.Texture) float64 { return t.Moving }),
		Rough: of(func(t model.Texture) float64 { return t.Rough }), Spread: of(func(t model.Texture) float64 { return t.Spread }),
		AtLimit: of(func(t model.Texture) float64 { return t.AtLimit }),
	}
}

// overKiosks returns the median of a day over the kiosks; NaN where too few were seen.
func overKiosks(members []*trace, day int, f func(*daily) float64) float64 {
	var x []float64
	for _, t := range members {
		if d := &t.days[day]; d.seen() {
			x = append(x, f(d))
		}
	}
	if len(x) < siblings {
		return math.NaN()
	}
	return median(x)
}

// apart returns how far a kiosk's daily means are from those of its siblings, day by day; days without either are left out.
func (g *group) apart(t *trace) []float64 {
	var out []float64
	for day := range t.days {
		if d := &t.days[day]; d.seen() && !math.IsNaN(g.mean[day]) {
			out = append(out, d.mean()-g.mean[day])
		}
	}
	return out
}

// stepOf returns the median change from one to the next.
func stepOf(x []float64) float64 {
	steps := make([]float64, len(x)-1)
	for i := range steps {
		steps[i] = math.Abs(x[i+1] - x[i])
	}
	return median(steps)
}

// wayOf returns how far apart the highest and the lowest are, each of them taken over some days.
func wayOf(x []float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for i := badDays; i <= len(x); i++ {
		m := 0.0
		for _, v := range x[i-badDays : i] {
			m += v / badDays
		}
		low, high = min(low, m), max(high, m)
	}
	return high - low
}

// noisy looks for days with much more movement than the kiosk's other days: each measured by what siblings do on it,
// and each by itself, for noise on all of them.
func (s *subject) noisy() (string, bool) {
	own := s.trace.texture()
	if own.Moving < movesMostly {
		return "", false
	}
	alone := s.trace.of((*daily).roughness, nil)
	slices.Sort(alone)
	if len(alone) < 2*badDays {
		return "", false
	}
	if s.group != nil {
		var beside []float64
		for day := range s.trace.days {
			if d := &s.trace.days[day]; d.seen() && s.group.rough[day] > 0 {
				beside = append(beside, d.roughness()/s.group.rough[day])
			}
		}
		slices.Sort(beside)
		if bad, usual := far(beside, len(beside)/4); len(bad) >= badDays {
			return noisyText(s.group.texture.Rough*median(bad), len(bad), s.group.texture.Rough*usual), true
		}
	}
	if bad, usual := far(alone, (len(alone)-1)/2); len(bad) >= badDays {
		return noisyText(median(bad), len(bad), usual), true
	}
	// More of everything is another place; more from reading to reading than over the day is noise.
	if w := s.worked; w != nil && w.Rough > 0 && own.Rough*w.Spread > noisyShape*w.Rough*own.Spread {
		all := s.close && s.group != nil && s.group.texture.Rough > noisyTimes*w.Rough
		if own.Rough > noisyTimes*noisyTimes*w.Rough || all && own.Rough > noisyTimes*w.Rough {
			return noisyText(own.Rough, len(alone), w.Rough), true
		}
	}
	return "", false
}

// far returns those of sorted days that are far beyond the one at a place, and that one.
func far(days []float64, at int) (bad []float64, usual float64) {
	if len(days) == 0 || days[at] <= 0 {
		return nil, 0
	}
	first := len(days)
	for first > 0 && days[first-1] > noisyTimes*days[at] {
		first--
	}
	return days[first:], days[at]
}

func noisyText(rough float64, days int, usual float64) string {
	return fmt.Sprintf("%.2g from reading to reading on %d days, %.2g is usual", rough, days, usual)
}

// apart looks for a kiosk whose distance to its siblings changes, for days, far more than theirs to each other. A
// distance that stays, such as of a kiosk in the sun, is none. What mostly stands still, such as a level that somebody
// fills up, is left to customers.
func (s *subject) apart() (string, bool) {
	if s.many == nil || math.IsNaN(s.many.way) || s.many.texture.Moving < movesMostly {
		return "", false
	}
	distance := s.many.apart(s.trace)
	if len(distance) < 2*badDays {
		return "", false
	}
	moved := wayOf(distance)
	spread := max(median(s.trace.of((*daily).spread, nil)), s.many.texture.Spread)
	if moved > apartTimes*s.many.step && moved > apartWays*s.many.way && moved > apartSpreads*spread {
		return fmt.Sprintf("by %.3g, %.2g is usual", moved, s.many.way), true
	}
	return "", false
}

// inWords returns a time as people say it.
func inWords(hours float64) string {
	switch {
	case hours >= 48:
		return fmt.Sprintf("%.0f days", hours/24)
	case hours >= 1:
		return fmt.Sprintf("%.0f h", hours)
	}
	return fmt.Sprintf("%.0f min", 60*hours)
}

func percent(share float64) int {
	if math.IsInf(share, 0) || math.IsNaN(share) {
		return 0
	}
	return int(math.Round(100 * share))
}
