package train

import (
	"fmt"
	"math"
	"time"

	"kioskfleet/admin/fleet"
)

// Bounds of the schedule and of the watch over a model that was just put to work.
const (
	// settle is how long after the start the first training waits: the start has enough to do.
	settle = 15 * time.Minute
	// again is when a training that found too little, or failed, is tried again at the latest.
	again = 24 * time.Hour

	// probation is how long after its promotion a model is rolled back by itself.
	probation = 7 * 24 * time.Hour
	// measured is the time whose alarms are counted, leastMeasured the shortest that says something.
	measured      = 24 * time.Hour
	leastMeasured = 6 * time.Hour
	// looks is how often in a row, an hour apart, the rate must be too high.
	looks = 3
	// overBudget and overBefore are how many times the budget, and the rate of the day before the promotion, are too
	// much: alarms that were as many before are not the model's.
	overBudget = 3.0
	overBefore = 2.0
	// leastAlarms are as many as no accident is, whatever the rate.
	leastAlarms = 5
)

// Due returns when the next training is due. Latest is the newest model that was trained here, nil when there is none;
// failed is when a training last came to nothing, zero when none did since the start. With every 0 it is never due.
func Due(started time.Time, latest *fleet.Model, failed time.Time, every time.Duration) (at time.Time, ever bool) {
	if every <= 0 {
		return time.Time{}, false
	}
	at = started.Add(settle)
	if latest != nil && latest.CreatedAt.Add(every).After(at) {
		at = latest.CreatedAt.Add(every)
	}
	if retry := failed.Add(min(again, every)); !failed.IsZero() && retry.After(at) {
		at = retry
	}
	return at, true
}

// newest returns the newest model that was trained here, nil when there is none.
func newest(models []fleet.Model) (latest *fleet.Model) {
	for i, m := range models {
		if (m.Origin == fleet.ModelManual || m.Origin == fleet.ModelScheduled) && (latest == nil || m.CreatedAt.After(latest.CreatedAt)) {
			latest = &models[i]
		}
	}
	return latest
}

// Alarms are the anomalies that opened in the live fleet in some time.
type Alarms struct {
	Opened int
	Kiosks int // that reported
	Time   time.Duration
}

// perWeek returns the rate for each kiosk and week.
func (a Alarms) perWeek() float64 {
	if a.Kiosks == 0 || a.Time <= 0 {
		return 0
	}
	return float64(a.Opened) / float64(a.Kiosks) / (a.Time.Hours() / 24 / 7)
}

// TooMany reports whether the alarms under a model are so many more than its budget, alarms for each kiosk and week,
// and than before it came, that it is the model; and why.
func TooMany(now, before Alarms, budget float64) (why string, tooMany bool) {
	if now.Opened < leastAlarms || now.Time < leastMeasured || now.perWeek() <= overBudget*budget {
		return "", false
	}
	// With few kiosks the rate is coarse: what a budget of this size does once in a thousand times is chance.
	expected := budget * float64(now.Kiosks) * now.Time.Hours() / 24 / 7
	if poissonTail(now.Opened, expected) > 0.001 || now.perWeek() <= overBefore*before.perWeek() {
		return "", false
	}
	return fmt.Sprintf("%d anomalies of %d kiosks in %.0f h are %.2g for each kiosk and week, %.2g is the budget and %.2g was before",
		now.Opened, now.Kiosks, now.Time.Hours(), now.perWeek(), budget, before.perWeek()), true
}

// poissonTail returns the probability of at least k events when mean are expected.
func poissonTail(k int, mean float64) float64 {
	sum, p := 0.0, math.Exp(-mean)
	for i := range k {
		sum += p
		p *= mean / float64(i+1)
	}
	return max(0, 1-sum)
}

// watchful counts how often in a row a model had too many alarms.
type watchful struct {
	version string
	times   int
}

// look takes the next look at a model and reports whether it is to be rolled back. Promoted is when it was put to work.
func (w *watchful) look(at time.Time, current *fleet.Model, now, before Alarms, budget float64) (why string, back bool) {
	if w.version != current.Version {
		*w = watchful{version: current.Version}
	}
	if current.Origin == fleet.ModelBuiltIn || current.ChangedAt.IsZero() || at.Sub(current.ChangedAt) > probation {
		w.times = 0
		return "", false
	}
	why, bad := TooMany(now, before, budget)
	if !bad {
		w.times = 0
		return "", false
	}
	if w.times++; w.times < looks {
		return why, false
	}
	return why, true
}
