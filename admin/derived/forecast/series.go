package forecast

import (
	"math"
	"time"
)

// series is what is learnt of one metric of one kiosk: its size never grows. It is plain data, which JSON keeps
// whole. Changes count in the direction of the limit: they are positive when paper goes, and when cash comes.
type series struct {
	At    int64      `json:"at"`    // Unix ms of the latest reading
	Level float64    `json:"level"` // %, the middle one of the latest three readings
	Seen  [2]float64 `json:"seen"`  // the two readings before the latest, newest first

	Sum    float64 `json:"sum"`    // change in the hour that runs
	Cover  float64 `json:"cover"`  // share of that hour that readings cover
	Recent float64 `json:"recent"` // change beyond the expected, of the latest hour or so
	Asked  int64   `json:"asked"`  // number of the hour that Usual is of; it does not change while the hour runs
	Usual  float64 `json:"usual"`  // expected change of that hour

	Hours [24]bin `json:"hours"` // by hour of the day in UTC
	Days  [7]bin  `json:"days"`  // by day of the week; only where customers cause the changes

	// Of whole hours and whole days, against what was expected before: sums of squared errors, and of what they
	// are measured by (see exposure).
	HourError, HourWeight float64
	DayError, DayWeight   float64
	// Of the day that runs: change, expected change, hours.
	Day  [2]float64 `json:"day"`
	Done int        `json:"done"`

	Learnt int     `json:"learnt"` // hours that were learnt from
	Total  float64 `json:"total"`  // exposure that the hours remember

	Made      int64      `json:"made"`       // Unix ms of the forecast; 0: none
	MadeLevel float64    `json:"made_level"` // level that it starts from
	Hour      [3]float64 `json:"hour"`       // earliest, median, latest, in hours from then; never: -1
	PerHour   float64    `json:"per_hour"`
}

// bin is a mean that forgets: the sum of what was seen over the sum of what it was seen of.
type bin struct{ Sum, Of float64 }

func (b *bin) add(sum, of, keep float64) {
	b.Sum, b.Of = b.Sum*keep+sum, b.Of*keep+of
}

const (
	hour = 3_600_000 // ms
	day  = 24 * hour
	// longestGap is how long readings may be missing until nobody knows at what time the level changed.
	longestGap = 2 * hour
	// enough is the share of an hour that must be covered to learn from it.
	enough = 0.75
)

// take takes a level. It reports whether an hour was completed, so that what was learnt should be kept.
func (s *series) take(k *kind, at time.Time, level float64) (completed bool) {
	ms := at.UnixMilli()
	if s.At == 0 {
		s.At, s.Level, s.Seen = ms, level, [2]float64{level, level}
		return false
	}
	if ms <= s.At {
		return false
	}
	// One wrong value has no effect: it is never in the middle.
	middle := median(level, s.Seen[0], s.Seen[1])
	s.Seen = [2]float64{level, s.Seen[0]}
	from, change := s.At, (middle-s.Level)*k.sign
	s.At, s.Level = ms, middle
	if change < -k.refill || change > k.surge && ms-from < hour {
		change = 0 // somebody filled it up, emptied it, or broke it: not what customers use
	}
	if ms-from > longestGap {
		s.Sum, s.Cover, s.Recent = 0, 0, 0
		s.startHour(k, ms/hour*hour)
		return true
	}
	// The change is spread evenly over the hours that it may have happened in.
	passed := float64(ms - from)
	for from < ms {
		end := min((from/hour+1)*hour, ms)
		share := float64(end-from) / passed
		s.Sum += share * change
		s.Cover += float64(end-from) / hour
		s.Recent *= math.Exp(-float64(end-from) / hour)
		if s.Asked != from/hour {
			s.Asked, s.Usual = from/hour, s.expected(k, from/hour)
		}
		s.Recent += share*change - s.Usual*float64(end-from)/hour
		if from = end; from%hour == 0 {
			s.endHour(k, from/hour-1)
			s.startHour(k, from)
			completed = true
		}
	}
	return completed
}

func median(a, b, c float64) float64 { return max(min(a, b), min(max(a, b), c)) }

// startHour begins an hour, and a day with it.
func (s *series) startHour(k *kind, at int64) {
	s.Sum, s.Cover = 0, 0
	if at%day != 0 {
		return
	}
	if s.Done >= 22 && s.Learnt > 48 {
		x := s.Day[0] - s.Day[1]
		weight := k.exposure(s.Day[1]/float64(s.Done)) * float64(s.Done)
		s.DayError = s.DayError*k.keep + x*x
		s.DayWeight = s.DayWeight*k.keep + weight
	}
	s.Day, s.Done = [2]float64{}, 0
}

// endHour learns from the hour of that number since 1970.
func (s *series) endHour(k *kind, number int64) {
	if s.Cover < enough {
		return
	}
	change := s.Sum / s.Cover
	expected := s.expected(k, number)
	h, d := &s.Hours[number%24], &s.Days[weekday(number)]
	if h.Of > 0 {
		x := change - expected
		s.HourError = s.HourError*k.hourKeep + x*x
		s.HourWeight = s.HourWeight*k.hourKeep + k.exposure(expected)
		s.Day[0] += change
		s.Day[1] += expected
		s.Done++
	}
	factor := s.factor(k, weekday(number))
	if k.weekly && h.Of > 0 {
		d.add(max(change, 0), s.rate(number%24), k.dayKeep)
	}
	h.add(change, factor, k.keep)
	s.Learnt++
	s.Total = s.Total*k.hourKeep + k.exposure(change)
}

// weekday returns the day of the week, from 0, of an hour; the first of 1970 was a Thursday.
func weekday(number int64) int { return int((number/24 + 4) % 7) }

// rate returns the usual change of an hour of the day.
func (s *series) rate(clock int64) float64 {
	if h := &s.Hours[clock]; h.Of > 0 {
		return h.Sum / h.Of
	}
	return 0
}

// factor returns how much busier a day of the week is than the average. As long as little is known of it, it is
// drawn towards 1, as if days differed by a standard deviation of weekdays.
func (s *series) factor(k *kind, day int) float64 {
	if !k.weekly {
		return 1
	}
	prior := s.dispersion(k) / (weekdays * weekdays)
	d := &s.Days[day]
	if d.Of+prior <= 0 {
		return 1
	}
	return (d.Sum + prior) / (d.Of + prior)
}

// weekdays is by how much days of the week are thought to differ before they are known, as a share.
const weekdays = 0.2

// expected returns the change that is expected in an hour.
func (s *series) expected(k *kind, number int64) float64 {
	return s.rate(number%24) * s.factor(k, weekday(number))
}

// dispersion returns the variance of the change for each unit of exposure: hours say it from the first day on,
// days, once there are some, contain what hours have in common.
func (s *series) dispersion(k *kind) float64 {
	if s.HourWeight <= 0 {
		return 0
	}
	const days = 4
	perHour := s.HourError / s.HourWeight
	prior := days * s.HourWeight / max(hoursKept(k, s.Learnt), 1) * 24
	return (perHour*prior + s.DayError) / (prior + s.DayWeight)
}

// hoursKept returns how many hours a sum that forgets amounts to.
func hoursKept(k *kind, n int) float64 {
	return (1 - math.Pow(k.hourKeep, float64(n))) / (1 - k.hourKeep)
}
