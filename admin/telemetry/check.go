package telemetry

import (
	"fmt"
	"math"
	"time"
	"unicode"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// maxTime is the last instant a store takes: InfluxDB keeps times as int64 nanoseconds.
var maxTime = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// maxAhead is how far a reading's time may be ahead of its receipt. Ingest allows minutes; this is the
// last line of defence, for one point in the far future makes the embedded store take everybody
// else's for too old.
const maxAhead = time.Hour

// RefusalOf returns why no store would take the reading, or "" when it is fit to be stored. Ingest has
// checked all of this before; the adapters ask again because serials, sites and metrics end up in
// labels, line protocol and query texts.
func RefusalOf(r *fleet.Reading) string {
	if err := protocol.CheckSerial(r.Serial); err != nil {
		return err.Error()
	}
	if !printable(r.Site) {
		return fmt.Sprintf("site %q holds control characters or is not UTF-8", r.Site)
	}
	if r.Time.UnixMilli() < 0 || !r.Time.Before(maxTime) {
		return fmt.Sprintf("time %s is not between 1970 and 2262", r.Time.Format(time.RFC3339))
	}
	if ahead := r.Time.Sub(r.ReceivedAt); ahead > maxAhead && !r.ReceivedAt.IsZero() {
		return fmt.Sprintf("time %s is %v ahead of its receipt", r.Time.Format(time.RFC3339), ahead)
	}
	for i := range r.Values {
		v := &r.Values[i]
		if !protocol.ValidMetricName(v.Metric) {
			return fmt.Sprintf("metric %q is not a name such as hardware.cpu_temp", v.Metric)
		}
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
			return fmt.Sprintf("metric %s is %v, not a finite number", v.Metric, v.Value)
		}
	}
	for i := range r.Texts {
		if t := &r.Texts[i]; !protocol.ValidMetricName(t.Metric) {
			return fmt.Sprintf("metric %q is not a name such as peripherals.card_reader", t.Metric)
		}
	}
	return ""
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// Known returns the serials of the query that a store may hold points of: valid ones, each once, in
// the query's order. It is empty when the metric's name is not valid, since nothing of that name was
// ever stored; so what no reading can carry never reaches a query language either.
func (q Query) Known() []string {
	if !protocol.ValidMetricName(q.Metric) {
		return nil
	}
	seen := make(map[string]struct{}, len(q.Serials))
	known := make([]string, 0, len(q.Serials))
	for _, s := range q.Serials {
		if _, dup := seen[s]; dup || protocol.CheckSerial(s) != nil {
			continue
		}
		seen[s] = struct{}{}
		known = append(known, s)
	}
	return known
}

// Bounds returns the query's range in Unix milliseconds: a point belongs to it when
// from <= point < to. A bound between two milliseconds is rounded up, as points sit on whole ones.
func (q Query) Bounds() (from, to int64) {
	return ceilMilli(q.From), ceilMilli(q.To)
}

func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli() // rounds down, also before 1970
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return ms
}

// adviceSteps are the steps that TooLarge proposes.
var adviceSteps = []time.Duration{
	time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// TooLarge returns an ErrTooLarge with advice how to ask instead.
func (q Query) TooLarge() error {
	hours, least := q.To.Sub(q.From).Hours(), time.Duration(0)
	for _, step := range adviceSteps {
		if step > q.Step && hours/step.Hours()*float64(q.series()) <= MaxPoints {
			least = step
			break
		}
	}
	if least == 0 {
		return fmt.Errorf("%w: at most %d are allowed; ask for a shorter range or fewer kiosks", ErrTooLarge, MaxPoints)
	}
	return fmt.Errorf("%w: at most %d are allowed; ask for a shorter range, fewer kiosks, or a step of %s or more",
		ErrTooLarge, MaxPoints, shortDuration(least))
}

// shortDuration writes 5m, where Duration.String writes 5m0s.
func shortDuration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
