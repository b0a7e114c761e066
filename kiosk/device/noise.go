package device

import (
	"hash/fnv"
	"math"

	"kioskfleet/internal/protocol"
)

// drift moves x, a value around 0, by dt seconds of an Ornstein–Uhlenbeck process: noise of standard
// deviation sigma that forgets itself within about tau seconds. The update is exact, so the length
// of the steps does not change the character of the values.
//
// Source: D. Gillespie, Exact numerical simulation of the Ornstein-Uhlenbeck process, 1996.
func (s *Simulated) drift(x, sigma, tau, dt float64) float64 {
	keep := math.Exp(-dt / tau)
	return x*keep + sigma*math.Sqrt(1-keep*keep)*s.normal()
}

// normal is a standard normal value without the tails beyond three sigma, which no sensor shows in
// ordinary operation.
func (s *Simulated) normal() float64 { return clamp(s.random.NormFloat64(), -3, 3) }

// happens decides whether an event of the given rate (per hour) falls into dt seconds.
func (s *Simulated) happens(perHour, dt float64) bool {
	return s.random.Float64() < -math.Expm1(-perHour*dt/3600)
}

// between draws a value from [low, high).
func (s *Simulated) between(low, high float64) float64 {
	return low + (high-low)*s.random.Float64()
}

// approach moves x towards target with time constant tau; dt and tau in seconds.
func approach(x, target, tau, dt float64) float64 {
	return target + (x-target)*math.Exp(-dt/tau)
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }

// bounds holds the catalogue's ranges of normal operation.
var bounds = func() map[string]protocol.Metric {
	m := map[string]protocol.Metric{}
	for _, metric := range protocol.Metrics() {
		m[metric.Name] = metric
	}
	return m
}()

// normally keeps x in the metric's range of normal operation.
func normally(metric string, x float64) float64 {
	b := bounds[metric]
	return clamp(x, b.Min, b.Max)
}

// round rounds to the given number of decimals: sensors have no more, and shorter numbers travel.
func round(x float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(x*scale) / scale
}

// seedOf derives a seed from a name.
func seedOf(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return h.Sum64()
}
