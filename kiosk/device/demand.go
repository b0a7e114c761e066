package device

import (
	"math"
	"time"

	"kioskfleet/internal/hashed"
)

// slot is the stretch of time for which arrivals are drawn together; their rate is the same in all of it.
const slot = 10 * minute

const slotsPerDay = int(day / slot)

// dayRhythm is how a day's customers spread over its slots, as shares of an ordinary weekday's.
type dayRhythm [slotsPerDay]float64

// Kinds of days, the index of rhythms.
const (
	weekday = iota
	saturday
	sunday
)

func kindOf(localDay int64) int {
	switch weekdayOf(localDay) {
	case time.Saturday:
		return saturday
	case time.Sunday:
		return sunday
	}
	return weekday
}

// A station is full of commuters on weekdays; an airport has its waves of departures, later nights and
// busy Sundays.
var (
	stationRhythm = [3]dayRhythm{
		weekday:  rhythmOf(1, 0.04, peak{8.2, 1.3, 1}, peak{13, 2.5, 0.45}, peak{18, 2, 1.1}),
		saturday: rhythmOf(0.85, 0.05, peak{11.5, 2.6, 1}, peak{18, 2.6, 0.8}),
		sunday:   rhythmOf(0.68, 0.04, peak{12.5, 3, 0.7}, peak{19, 2.2, 1}),
	}
	airportRhythm = [3]dayRhythm{
		weekday:  rhythmOf(1, 0.1, peak{6.3, 1.4, 1}, peak{11.5, 2, 0.55}, peak{17, 2.4, 0.95}),
		saturday: rhythmOf(0.8, 0.1, peak{6.8, 1.8, 1}, peak{12, 2.5, 0.7}),
		sunday:   rhythmOf(1.1, 0.1, peak{8, 2, 0.6}, peak{16.5, 3, 1}, peak{20, 1.5, 0.6}),
	}
)

// peak is a rush: when, how wide (hours) and how high.
type peak struct{ at, width, height float64 }

// rhythmOf returns a day that has the given share of a weekday's customers.
func rhythmOf(share, floor float64, peaks ...peak) dayRhythm {
	var r dayRhythm
	sum := 0.0
	for i := range r {
		at := (float64(i) + 0.5) * slot.hoursSince(0)
		r[i] = floor
		for _, p := range peaks {
			away := math.Abs(at - p.at)
			away = min(away, 24-away)
			r[i] += p.height * math.Exp(-away*away/(2*p.width*p.width))
		}
		sum += r[i]
	}
	for i := range r {
		r[i] *= share / sum
	}
	return r
}

// closing is how long before the weekly service the kiosk is closed, so that nobody is inside or waits
// when it begins: longer than the longest wait and session.
const closing = 30 * minute

// expected returns the mean number of customers who arrive in the slot that begins at t.
func (s *Simulated) expected(t instant) float64 {
	if service := s.due[dueService]; t < service && t >= service-closing-slot {
		return 0
	}
	middle := t + slot/2
	localDay, clock := dayOf(s.calendar.local(middle))
	share := s.site.rhythm[kindOf(localDay)][clock/slot]
	for i := range s.conditions {
		if c := &s.conditions[i]; middle >= c.from && middle < c.to {
			share *= c.demand
		}
	}
	return s.traits.customers * share
}

// crowd returns how full the site is: 1 at the average of a weekday, 3 or so at the rush.
func (s *Simulated) crowd(t instant) float64 {
	at := func(t instant) float64 {
		localDay, clock := dayOf(s.calendar.local(t))
		return s.site.rhythm[kindOf(localDay)][clock/slot]
	}
	begin := t - slot/2
	begin -= begin % slot
	x := float64(t-slot/2-begin) / float64(slot)
	crowd := float64(slotsPerDay) * s.site.demand * (at(begin)*(1-x) + at(begin+slot)*x)
	for i := range s.conditions {
		c := &s.conditions[i]
		crowd *= 1 + (c.demand-1)*swing(c.from, c.to, 20*minute, t)
	}
	return crowd
}

// arrivals draws the customers of one slot after the other.
type arrivals struct {
	slot  int64   // number of the slot
	left  int     // who still come in it
	drawn int     // who have come in it
	at    float64 // when the last of them came, as a share of the slot
}

// nextArrival draws when the next customer of the slot comes, or its end if nobody does.
func (s *Simulated) nextArrival() instant {
	a := &s.arrivals
	begin := instant(a.slot) * slot
	if a.left == 0 {
		return begin + slot
	}
	// The least of as many uniform times as are left, in what is left of the slot.
	u := hashed.Uniform(hashed.Of(s.seed, uint64(a.slot), uint64(a.drawn), 1))
	rest := 1 - u
	if a.left > 1 {
		rest = math.Pow(rest, 1/float64(a.left))
	}
	a.at += (1 - a.at) * (1 - rest)
	return min(begin+instant(a.at*float64(slot)), begin+slot-1)
}

// enter begins a slot.
func (s *Simulated) enter(number int64) {
	mean := s.expected(instant(number) * slot)
	s.arrivals = arrivals{slot: number, left: hashed.Poisson(hashed.Of(s.seed, uint64(number), 2), mean)}
	s.due[dueArrival] = s.nextArrival()
}

// arrive lets the next customer come, or the next slot begin.
func (s *Simulated) arrive(t instant) {
	a := &s.arrivals
	if a.left == 0 {
		s.enter(a.slot + 1)
		return
	}
	who := hashed.Of(s.seed, uint64(a.slot), uint64(a.drawn), 3)
	a.left--
	a.drawn++
	s.due[dueArrival] = s.nextArrival()
	s.come(t, who)
}
