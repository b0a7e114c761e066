package history

import (
	"fmt"
	"time"
)

// Shift says how far a history's times are moved when it is loaded.
type Shift struct {
	Auto bool // by whole days, so that the history ends within the last day
	By   time.Duration
}

// Names of shifts.
const (
	shiftAuto = "auto"
	shiftNone = "none"
)

// ParseShift reads auto, none, or a duration such as 48h.
func ParseShift(text string) (Shift, error) {
	switch text {
	case shiftAuto:
		return Shift{Auto: true}, nil
	case shiftNone:
		return Shift{}, nil
	}
	by, err := time.ParseDuration(text)
	if err != nil {
		return Shift{}, fmt.Errorf("--shift: %q is neither %s, %s nor a duration such as 48h", text, shiftAuto, shiftNone)
	}
	return Shift{By: by}, nil
}

// of returns the shift of a history whose newest reading is of last.
func (s Shift) of(last, now time.Time) time.Duration {
	if !s.Auto {
		return s.By
	}
	days := now.Sub(last) / day
	if now.Before(last.Add(days * day)) {
		days--
	}
	return days * day
}

// What the platform makes of times that are not of its present.
const (
	maxFuture = 5 * time.Minute
	// slack is kept free of the window: what is oldest grows older until it arrives.
	slack = 10 * time.Minute
	// usualRetention is how long admin keeps readings by default; its window cannot be longer.
	usualRetention = 30 * day
)

// checkTimes refuses a history that the platform would not take, because it is too old or in the future.
func checkTimes(m *Manifest, done *loaded, shift time.Duration, now time.Time, window time.Duration) error {
	var oldest, newest time.Time
	for _, k := range m.Kiosks {
		if done.acknowledged(k.Kiosk.Serial) >= k.Readings {
			continue
		}
		if oldest.IsZero() || k.First.Before(oldest) {
			oldest = k.First
		}
		if k.Last.After(newest) {
			newest = k.Last
		}
	}
	if oldest.IsZero() {
		return nil // nothing is left to load
	}
	oldest, newest = oldest.Add(shift), newest.Add(shift)
	if newest.After(now.Add(maxFuture)) {
		return fmt.Errorf("the history goes until %s, which is in the future: the platform would refuse those readings; "+
			"move it with --shift %s (or --force: they become dead letters)", newest.Format(time.RFC3339), shiftAuto)
	}
	age := now.Sub(oldest)
	if age+slack <= window {
		return nil
	}
	need := (age + slack).Truncate(time.Hour) + time.Hour
	advice := ""
	if now.Sub(newest) >= day {
		advice = fmt.Sprintf("move it with --shift %s, or ", shiftAuto)
	}
	advice += fmt.Sprintf("set telemetry.window of admin (KIOSKFLEET_TELEMETRY_WINDOW) to %s", need)
	if need > usualRetention {
		advice += " and telemetry.retention to no less"
	}
	return fmt.Errorf("the history begins at %s, and the platform refuses readings that are more than %s old: %s and tell it with --window %s (or --force: they become dead letters)",
		oldest.Format(time.RFC3339), window, advice, need)
}
