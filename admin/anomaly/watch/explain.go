package watch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// named is how many partners of a relation are named, at most.
	named = 3
	// heard is the share of the closest partner's part that others need to be named.
	heard = 0.2
	// counts is the share of the evidence that a sensor needs to be named.
	counts = 0.05
)

// Explain returns the sensors of the open anomaly when it was strongest, the largest share first; without an open
// anomaly those of the last reading. The shares add up to 1. There are none where nothing is unusual at all.
func (k *Kiosk) Explain() []fleet.AnomalySensor {
	if k.episode.open {
		return k.explain(k.episode.parts)
	}
	return k.Now()
}

// Now returns what the sensors contribute to the score of the last reading, like Explain.
func (k *Kiosk) Now() []fleet.AnomalySensor {
	parts := make([]kept, len(k.sensors))
	for i := range parts {
		parts[i] = k.present(i)
	}
	return k.explain(parts)
}

// Bands returns what is expected of each metric by hour, as far as it is known.
func (k *Kiosk) Bands() []fleet.AnomalyMetricBand {
	out := make([]fleet.AnomalyMetricBand, 0, len(k.sensors))
	for i := range k.sensors {
		s := &k.sensors[i]
		if band := possibleBand(s.name, s.metric.Band()); len(band) > 0 {
			out = append(out, fleet.AnomalyMetricBand{Metric: s.name, Band: band})
		}
	}
	return out
}

// closest returns the sensors whose movements tell most of sensor i's.
func (k *Kiosk) closest(i int) [named]uint8 {
	var tells [MaxMetrics]float32
	r := &k.sensors[i].rel
	for p := range r.count {
		f := int(r.from[p])
		tells[f/moves] += abs(r.by[p]) * float32(math.Sqrt(float64(k.joint.at(f, f))))
	}
	var out [named]uint8
	first := float32(0)
	for n := range out {
		best := 0
		for s, v := range tells {
			if v > tells[best] {
				best = s
			}
		}
		if first = max(first, tells[best]); tells[best] <= 0 || tells[best] < heard*first {
			break
		}
		out[n], tells[best] = uint8(best+1), 0
	}
	return out
}

func (k *Kiosk) explain(parts []kept) []fleet.AnomalySensor {
	top := float32(0)
	for _, p := range parts {
		top = max(top, p.evidence)
	}
	if top <= 0 {
		return nil
	}
	var out []fleet.AnomalySensor
	sum := 0.0
	for i, p := range parts {
		// What the others make of half of the strongest is the ordinary noise of many sensors.
		share := max(float64(p.evidence/top)-0.5, 0)
		if share *= share; share < counts*0.25 {
			continue
		}
		s := &k.sensors[i]
		a := fleet.AnomalySensor{Metric: s.name, Kind: kinds[p.kind], Share: share, Value: p.value, Band: possibleBand(s.name, s.metric.Band())}
		a.Low, a.High = possible(s.name, p.low, p.high)
		for _, o := range p.partners {
			if o > 0 {
				a.With = append(a.With, k.sensors[o-1].name)
			}
		}
		a.Text = text(&a, int(p.among))
		sum += share
		out = append(out, a)
	}
	for i := range out {
		out[i].Share /= sum
	}
	slices.SortStableFunc(out, func(a, b fleet.AnomalySensor) int { return cmp.Compare(b.Share, a.Share) })
	return out
}

// possible keeps what is expected of a metric within what its values can be: nobody expects -17 % of anything.
func possible(metric string, low, high float64) (float64, float64) {
	m, _ := protocol.LookupMetric(metric)
	from, to := m.Possible()
	return min(max(low, from), to), min(max(high, from), to)
}

func possibleBand(metric string, band []fleet.AnomalyBand) []fleet.AnomalyBand {
	for i := range band {
		b := &band[i]
		b.Low, b.High = possible(metric, b.Low, b.High)
	}
	return band
}

// text says in words what is unusual.
func text(a *fleet.AnomalySensor, among int) string {
	m, _ := protocol.LookupMetric(a.Metric)
	name := called(a.Metric)
	digits := decimals(a)
	value := number(a.Value, digits) + unit(m.Unit)
	band := ""
	if a.Low != 0 || a.High != 0 {
		band = number(a.Low, digits) + " to " + number(a.High, digits) + unit(m.Unit)
	}
	switch a.Kind {
	case fleet.AnomalyStuck:
		return fmt.Sprintf("%s has stayed at %s for longer than ever", name, value)
	case fleet.AnomalyDropout:
		return sentence(fmt.Sprintf("%s fell to %s", name, value), band, "", "was expected")
	case fleet.AnomalyRange:
		return sentence(fmt.Sprintf("%s is %s, beyond everything seen before", name, value), band, "", "is usual at this hour")
	case fleet.AnomalyChange:
		is := fmt.Sprintf("%s is %s and does not change as it usually does", name, value)
		if band != "" && a.Value >= a.Low && a.Value <= a.High {
			return is + ", although " + band + " is usual at this hour"
		}
		return sentence(is, band, "", "was expected")
	case fleet.AnomalyRelation:
		return sentence(fmt.Sprintf("%s is %s", name, value), band, "with this "+partnersText(a.With)+" ", "is usual")
	case fleet.AnomalyPeers:
		return sentence(fmt.Sprintf("%s was %s in the last hour", name, value), band, "", fmt.Sprintf("is what %d kiosks like it make likely", among))
	}
	return sentence(fmt.Sprintf("%s is %s", name, value), band, "", "is usual at this hour")
}

// sentence joins what is and what is usual.
func sentence(is, band, when, usual string) string {
	if band == "" {
		return is
	}
	return is + "; " + when + band + " " + usual
}

// partnersText lists metrics in words.
func partnersText(metrics []string) string {
	words := make([]string, 0, len(metrics))
	for _, name := range metrics {
		words = append(words, lower(called(name)))
	}
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// called returns what a metric is called in a sentence; unknown ones have only their name.
func called(metric string) string {
	m, known := protocol.LookupMetric(metric)
	if !known {
		return metric
	}
	text, _, _ := strings.Cut(m.Text, ",")
	return text
}

// lower begins a text with a small letter, unless it begins with an abbreviation.
func lower(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if second, _ := utf8.DecodeRuneInString(text[size:]); unicode.IsUpper(second) {
		return text
	}
	return string(unicode.ToLower(first)) + text[size:]
}

// unit returns a unit as it follows a number.
func unit(u string) string {
	if u == "" || u == "°" {
		return u
	}
	return " " + u
}

// finest is how many decimals a text has at most.
const finest = 3

// decimals returns how many decimals tell value and band apart.
func decimals(a *fleet.AnomalySensor) int {
	size := math.Abs(a.Value)
	width := a.High - a.Low
	if width > 0 {
		size = 10 * width
	}
	digits := finest
	switch {
	case size >= 100:
		digits = 0
	case size >= 10:
		digits = 1
	case size >= 1:
		digits = 2
	}
	// A value beside an end of the band must not read like it.
	like := func(end float64) bool { return a.Value != end && number(a.Value, digits) == number(end, digits) }
	for width > 0 && digits < finest && (like(a.Low) || like(a.High)) {
		digits++
	}
	return digits
}

// number writes x without zeros at its end.
func number(x float64, digits int) string {
	if math.Abs(x) >= 1e7 {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	text := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		return "0"
	}
	return text
}
