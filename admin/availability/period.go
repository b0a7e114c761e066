package availability

import (
	"time"

	"kioskfleet/admin/fleet"
)

// span is [from, to) in Unix milliseconds.
type span struct{ from, to int64 }

const (
	maxSpan = 5 * 366 * 24 * time.Hour
	// maxRows bounds an answer: about three years of days of 20 sites, or a month of days of 700 kiosks.
	maxRows = 25_000
)

// spans returns the periods of a query, cut to its range and to what has begun by now.
func spans(q *fleet.AvailabilityQuery, now time.Time) ([]span, error) {
	var v fleet.Violations
	switch q.Scope {
	case "kiosk", "site":
	case "fleet":
		if q.Name != "" {
			v.Add("name", "must be empty for the fleet")
		}
	default:
		v.Add("scope", "%q is unknown, use one of kiosk, site, fleet", q.Scope)
	}
	if !q.From.Before(q.To) {
		v.Add("from", "must be before to")
	}
	if q.To.Sub(q.From) > maxSpan {
		v.Add("from", "is more than five years before to: ask for less")
	}
	if q.From.UnixMilli()%quarter != 0 {
		v.Add("from", "must be on a quarter of an hour, such as %s", q.From.Truncate(quarter*time.Millisecond).Format(time.RFC3339))
	}
	if q.To.UnixMilli()%quarter != 0 && q.To.Before(now) {
		v.Add("to", "must be on a quarter of an hour, such as %s, or not in the past", q.To.Truncate(quarter*time.Millisecond).Format(time.RFC3339))
	}
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	year, month, day := q.From.In(zone).Date()
	var next func()
	switch q.Period {
	case "":
	case "day":
		next = func() { day++ }
	case "week": // as in ISO 8601, from Monday on
		day -= (int(q.From.In(zone).Weekday()) + 6) % 7
		next = func() { day += 7 }
	case "month":
		day = 1
		next = func() { month++ }
	default:
		v.Add("period", "%q is unknown, use one of day, week, month, or none", q.Period)
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	if next == nil {
		return []span{{q.From.UnixMilli(), q.To.UnixMilli()}}, nil
	}
	var out []span
	for at := dayStart(year, month, day, zone); at.Before(q.To) && at.Before(now); {
		next()
		end := dayStart(year, month, day, zone)
		from, to := max(at.UnixMilli(), q.From.UnixMilli()), min(end.UnixMilli(), q.To.UnixMilli())
		if from%quarter != 0 {
			return nil, fleet.Invalid("zone", "%s had no offset of whole quarters of an hour in %d: ask for another zone or a later time", zone, at.Year())
		}
		if from < to {
			out = append(out, span{from, to})
		}
		at = end
	}
	return out, nil
}

// dayStart returns the first instant of a local day, which is not always midnight: clocks may go forward then, or
// show it twice. A day that a zone left out is empty.
func dayStart(year int, month time.Month, day int, zone *time.Location) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	t := time.Date(year, month, day, 12, 0, 0, 0, zone)
	for {
		_, offset := t.Zone()
		start, _ := t.ZoneBounds()
		at := midnight.Add(-time.Duration(offset) * time.Second)
		if start.IsZero() || at.After(start) {
			return at
		}
		before := start.Add(-time.Nanosecond)
		if y, m, d := before.Date(); time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(midnight) {
			return start.UTC()
		}
		t = before
	}
}
