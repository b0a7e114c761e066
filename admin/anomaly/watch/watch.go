// Package watch judges one kiosk as a whole: its metrics one by one (package detect), how they go together, and how
// the kiosk compares with its siblings. It turns that into one score, and into anomalies that are as many as a budget
// allows.
//
// A Kiosk does no I/O and reads no clock: it is a function of the readings that it was given, so that a backtest and
// the live fleet see the same. It keeps no readings; what it keeps is of fixed size for its number of metrics: of twelve,
// 30 KB in memory and 24 KB as written. docs/anomaly-kiosk.md has the mathematics.
package watch

import (
	"time"

	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/fleet"
)

// Config is the one configuration of all kiosks.
type Config struct {
	Detect detect.Config
	// Budget is how many anomalies a kiosk may open in a week of ordinary life.
	Budget float64
}

// Default returns the frozen configuration.
func Default() Config { return Config{Detect: detect.Default(), Budget: 0.5} }

// MaxMetrics is how many metrics of a kiosk are watched: of more, the first by name. Those that come when there are as many
// are left out as well.
const MaxMetrics = 32

// Tuning returns the factor on the budget that feedback has given a metric; see fleet.AnomalyTuning.
type Tuning func(metric string) float64

// Finding is what one reading says.
type Finding struct {
	// Score is how unusual the kiosk is, 0 to 1: 0.99 is what is reached as often as the budget allows.
	Score float64
	// Fired says that an anomaly opened, or that the open one became much worse.
	Fired bool
	// Ended says that the open anomaly is over.
	Ended bool
}

// Kiosk watches one kiosk. It is for one goroutine at a time.
type Kiosk struct {
	cfg     *Config
	prior   *Prior
	sensors []sensor // by name
	skipped int      // metrics of the last reading that are not watched
	settled uint32   // those that can be compared now, a bit each
	clock   clock
	joint   joint
	budgets [channels]budget
	episode episode
}

// New returns a kiosk of which no reading is known. Prior is what the fleet knows of kiosks like it; nil: nothing.
func New(cfg *Config, prior *Prior) *Kiosk {
	k := &Kiosk{cfg: cfg, prior: prior}
	if prior != nil {
		k.episode.hours = min(prior.Peaks[alone].hours(), learning)
		k.episode.armed = !k.Learning()
		for c := range k.budgets {
			k.budgets[c].peaks.merge(&prior.Peaks[c], fleetHours)
		}
	}
	return k
}

// UsePrior replaces what the fleet knows of kiosks like it; nil: nothing. What the kiosk has learnt itself, and what it
// was given at its begin, stays: the new prior tells of metrics that come from now on, and of how rare a sudden change is.
func (k *Kiosk) UsePrior(prior *Prior) { k.prior = prior }

// Step scores a reading, then learns it. Values are gauges, sorted by metric, and finite; at is in the kiosk's zone,
// and later than that of the reading before: an earlier one is not looked at. A nil tuning is 1 for all.
func (k *Kiosk) Step(at time.Time, values []fleet.Value, tuning Tuning) Finding {
	ms := at.UnixMilli()
	if k.clock.last != 0 && ms <= k.clock.last {
		return Finding{Score: float64(k.episode.score)}
	}
	k.clock.tick(ms)
	k.match(values)
	var said verdicts
	leapt := false
	for i := range k.sensors {
		if s := &k.sensors[i]; s.present {
			leapt = s.step(at, &k.clock, k.joint.at(moves*i+now, moves*i+now), k.prior, &said[i][alone]) || leapt
		}
	}
	if leapt {
		for i := range k.sensors {
			k.sensors[i].begin(&k.clock)
		}
	}
	k.relate(&said)
	surprise := k.combine(tuning, &said)
	found := k.judge(surprise)
	k.learn(&said)
	return found
}

// Score returns the score of the last reading.
func (k *Kiosk) Score() float64 { return float64(k.episode.score) }

// Open reports whether an anomaly is open.
func (k *Kiosk) Open() bool { return k.episode.open }

// End ends the open anomaly, if there is one, for a reason that no reading tells. If the kiosk is still unusual, its next
// reading opens another one.
func (k *Kiosk) End() { k.episode.open = false }

// Learning reports whether too little is known of the kiosk for anything to be unusual: nothing of its like, and less
// than a day of its own.
func (k *Kiosk) Learning() bool { return k.episode.hours < learning }

// Skipped returns how many metrics of the last reading are not watched, because there are more than MaxMetrics.
func (k *Kiosk) Skipped() int { return k.skipped }
