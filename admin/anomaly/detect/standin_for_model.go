// Package detect is a stand-in.
package detect

import "time"

// Config is a stand-in.
type Config struct{ Trees bool }

// Default is a stand-in.
func Default() Config { return Config{} }

// Prior is a stand-in.
type Prior struct{}

// Metric is a stand-in.
type Metric struct{ low, high float64 }

// Evidence is a stand-in.
type Evidence struct{ Score float64 }

// New is a stand-in.
func New(*Config, *Prior) *Metric { return &Metric{1e300, -1e300} }

// Step is a stand-in.
func (m *Metric) Step(_ time.Time, x float64) (e Evidence) {
	if x < m.low || x > m.high {
		e.Score = 1
	}
	m.low, m.high = min(m.low, x), max(m.high, x)
	return e
}
