package detect

import (
	"math"

	"kioskfleet/admin/fleet"
)

// Band returns what is expected over a working day, by hour, in the metric's unit: 98 of 100 values are between Low and
// High. Hours of which nothing is known are left out; nil while warming up.
func (m *Metric) Band() []fleet.AnomalyBand {
	if m.level.from == 0 {
		return nil
	}
	band := make([]fleet.AnomalyBand, 0, hours)
	for h := range hours {
		if m.season.count[h] == 0 {
			continue
		}
		expected, unit := m.season.usual(m.cfg, h)
		width := unit * edges[m.level.from]
		band = append(band, fleet.AnomalyBand{Hour: h, Low: m.origin + expected - width, High: m.origin + expected + width})
	}
	return band
}

// usual returns what is expected at an hour of a working day, relative to the origin, and the unit of distances from it.
func (s *season) usual(c *Config, hour int) (expected, unit float64) {
	n := float64(s.count[hour])
	own := n / (n + c.shrink)
	all := float64(s.all)
	expected = own*float64(s.mean[hour]) + (1-own)*float64(s.allMean)
	return expected, (math.Sqrt(all) + 0.5*math.Sqrt(own*float64(s.spread[hour])+(1-own)*all)) / 1.5
}
