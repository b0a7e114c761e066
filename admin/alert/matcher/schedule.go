package matcher

import (
	"fmt"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/timezone"
)

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // as time.Weekday counts

// clock is a time of day in minutes; false when the text is no 15:04.
func clock(text string) (minutes int, ok bool) {
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == len("15:04")
}

// CheckSchedule adds the faults of a schedule to v, under field.
func CheckSchedule(v *fleet.Violations, field string, s *fleet.Schedule) {
	for i, day := range s.Days {
		if !slices.Contains(weekdays, day) {
			v.Add(fmt.Sprintf("%s.days[%d]", field, i), "%q is not one of mon, tue, wed, thu, fri, sat, sun", day)
		}
	}
	for _, end := range []struct{ name, text string }{{"from", s.From}, {"to", s.To}} {
		if _, ok := clock(end.text); end.text != "" && !ok {
			v.Add(field+"."+end.name, "%q is no time of day such as 08:30", end.text)
		}
	}
	if s.From != "" && s.From == s.To {
		v.Add(field+".to", "is the same as from: leave both out for the whole day")
	}
}

// Scheduled reports whether the schedule, which CheckSchedule found good, holds at that time on a clock of that
// zone, and until when this answer is good at least. A time that goes over midnight belongs to the day on which
// it begins. A nil schedule always holds, with the zero time for until.
func Scheduled(s *fleet.Schedule, at time.Time, zone *time.Location) (holds bool, until time.Time) {
	if s == nil {
		return true, time.Time{}
	}
	if zone == nil {
		zone = time.UTC
	}
	local := at.In(zone)
	day := func(days, minutes int) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+days, 0, minutes, 0, 0, zone)
	}
	from, _ := clock(s.From)
	to, bounded := clock(s.To)
	if !bounded {
		to = 24 * 60
	}
	over := 0 // days from the beginning to the end
	if to <= from {
		over = 1
	}
	until = day(1, 0)
	for d := -1; d <= 1; d++ {
		begins, ends := day(d, from), day(d+over, to)
		if named := weekdays[day(d, 12*60).Weekday()]; len(s.Days) > 0 && !slices.Contains(s.Days, named) {
			continue
		}
		if !at.Before(begins) && at.Before(ends) {
			holds = true
		}
		for _, edge := range []time.Time{begins, ends} {
			if edge.After(at) && edge.Before(until) {
				until = edge
			}
		}
	}
	return holds, until.UTC()
}

// Zone returns the kiosk's time zone, UTC when it has none or one that is not known here.
func Zone(k *fleet.Kiosk) *time.Location {
	if k == nil || k.Timezone == "" {
		return time.UTC
	}
	return timezone.OrUTC(k.Timezone)
}
