// Package watch is a stand-in.
package watch

import (
	"time"

	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/fleet"
)

// Prior is a stand-in.
type Prior struct {
	Metrics map[string]*detect.Prior
}

// Add is a stand-in.
func (p *Prior) Add(*Kiosk) {}

// Config is a stand-in.
type Config struct {
	Detect detect.Config
	Budget float64
}

// Default is a stand-in.
func Default() Config { return Config{Budget: 0.5} }

// Kiosk is a stand-in.
type Kiosk struct{}

// Tuning is a stand-in.
type Tuning func(metric string) float64

// Finding is a stand-in.
type Finding struct {
	Score        float64
	Fired, Ended bool
}

// New is a stand-in.
func New(*Config, *Prior) *Kiosk { return &Kiosk{} }

// Step is a stand-in.
func (k *Kiosk) Step(time.Time, []fleet.Value, Tuning) Finding { return Finding{} }
