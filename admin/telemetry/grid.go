package telemetry

import "time"

const dayMilli = int64(24 * time.Hour / time.Millisecond)

// Grid says where windows begin and end. Without a zone, or when the step is not a number of whole days,
// they are aligned to the Unix epoch; with one they go from local midnight to local midnight, and a day
// on which the clocks change has 23 or 25 hours. Windows of n days count their days from 1970-01-01.
type Grid struct {
	step int64 // ms
	zone *time.Location
}

// NewGrid returns the grid of a step, which is a positive number of whole milliseconds. The zone may be nil.
func NewGrid(step time.Duration, zone *time.Location) Grid {
	g := Grid{step: step.Milliseconds(), zone: zone}
	if g.step%dayMilli != 0 || zone == time.UTC {
		g.zone = nil
	}
	return g
}

// Grid returns the windows of the query; it must have a step.
func (q Query) Grid() Grid { return NewGrid(q.Step, q.Zone) }

// Step returns the length of the windows in milliseconds; false when they differ, as local days do.
func (g Grid) Step() (milli int64, same bool) { return g.step, g.zone == nil }

// Window returns the start and the end of the window that holds the instant, all in Unix milliseconds.
func (g Grid) Window(ms int64) (start, end int64) {
	if g.zone == nil {
		start = WindowStart(ms, g.step)
		return start, start + g.step
	}
	days := g.step / dayMilli
	y, m, d := time.UnixMilli(ms).In(g.zone).Date()
	first := WindowStart(civilDay(y, m, d), days)
	start, end = g.midnight(first), g.midnight(first+days)
	if ms >= end { // the clock was set back over midnight: the rest of the day that it showed before
		return end, g.midnight(first + 2*days)
	}
	return start, end
}

// Divides reports whether each window is made of whole windows of the finer step, so that those can be
// put together.
func (g Grid) Divides(finer time.Duration, from, to int64) bool {
	fine := finer.Milliseconds()
	if g.step%fine != 0 {
		return false
	}
	if g.zone == nil {
		return true
	}
	for ms := from; ms < to; {
		start, end := g.Window(ms)
		if start%fine != 0 || end%fine != 0 {
			return false
		}
		ms = end
	}
	return true
}

// civilDay numbers the days of the calendar; 1970-01-01 is 0.
func civilDay(y int, m time.Month, d int) int64 {
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).UnixMilli() / dayMilli
}

// midnight returns the first instant of a local day, by its number. That is not always 00:00, which a
// change of the clocks may skip or show twice.
func (g Grid) midnight(day int64) int64 {
	y, m, d := time.UnixMilli(day * dayMilli).UTC().Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, g.zone)
	zoneStart, zoneEnd := t.ZoneBounds()
	if ty, tm, td := t.Date(); civilDay(ty, tm, td) < day { // skipped, and t is before the change
		return zoneEnd.UnixMilli()
	}
	if zoneStart.IsZero() {
		return t.UnixMilli()
	}
	if h, min, s := t.Clock(); h != 0 || min != 0 || s != 0 { // skipped, and t is after the change
		return zoneStart.UnixMilli()
	}
	_, before := zoneStart.Add(-time.Second).Zone()
	earlier := day*dayMilli - int64(before)*1000
	if earlier < zoneStart.UnixMilli() && earlier < t.UnixMilli() { // shown twice, and t is the second time
		return earlier
	}
	return t.UnixMilli()
}
