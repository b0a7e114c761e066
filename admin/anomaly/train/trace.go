package train

import (
	"math"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/fleet"
)

// gap is the longest time between two readings that counts as time in which a value did not change: over a longer one
// nobody knows.
const gap = 2 * time.Hour

// fewest is how many readings of a metric a day needs to be looked at.
const fewest = 20

// trace is how one metric of one kiosk moved, day by day. It is fed in order of time.
type trace struct {
	from time.Time // begin of the first day
	days []daily
	last float64
	at   time.Time // of last; zero: none yet

	runFrom time.Time     // since when the value has not changed
	run     time.Duration // for how long, without gaps
	longest run
}

// run is a time without any change.
type run struct {
	from, to time.Time
	length   time.Duration // without gaps
	value    float64
}

// daily is one day of a trace.
type daily struct {
	n, moves      int
	base          float64 // the first value: sums are relative to it, so that they lose no digits
	sum, squares  float64
	rough, jump   float64 // sum and largest of |x − the one before|
	low, high     float64
	atLow, atHigh int
	still         time.Duration // the longest time without change that was going on, from its begin on an earlier day
}

func newTrace(from time.Time, days int) *trace { return &trace{from: from, days: make([]daily, days)} }

// add takes the next value.
func (t *trace) add(at time.Time, x float64) {
	day := int(at.Sub(t.from) / (24 * time.Hour))
	if day < 0 || day >= len(t.days) {
		return
	}
	d := &t.days[day]
	if d.n == 0 {
		d.base, d.low, d.high = x, x, x
	}
	d.n++
	rel := x - d.base
	d.sum += rel
	d.squares += rel * rel
	switch {
	case x < d.low:
		d.low, d.atLow = x, 1
	case x == d.low:
		d.atLow++
	}
	switch {
	case x > d.high:
		d.high, d.atHigh = x, 1
	case x == d.high:
		d.atHigh++
	}
	if t.at.IsZero() {
		t.runFrom = at
	} else {
		t.move(d, at, x)
	}
	t.last, t.at = x, at
}

// move compares a value with the one before.
func (t *trace) move(d *daily, at time.Time, x float64) {
	if x != t.last {
		d.moves++
		step := math.Abs(x - t.last)
		d.rough += step
		d.jump = max(d.jump, step)
		t.run, t.runFrom = 0, at
		return
	}
	if passed := at.Sub(t.at); passed <= gap {
		t.run += passed
	}
	d.still = max(d.still, t.run)
	if t.run > t.longest.length {
		t.longest = run{t.runFrom, at, t.run, x}
	}
}

// seen reports whether a day has enough readings to be looked at.
func (d *daily) seen() bool { return d.n >= fewest }

func (d *daily) mean() float64 { return d.base + d.sum/float64(d.n) }

func (d *daily) spread() float64 {
	mean := d.sum / float64(d.n)
	return math.Sqrt(max(0, d.squares/float64(d.n)-mean*mean))
}

// roughness leaves out the largest step, which may be somebody who filled up paper.
func (d *daily) roughness() float64 { return (d.rough - d.jump) / float64(d.n) }

func (d *daily) moving() float64 { return float64(d.moves) / float64(d.n) }

// atLimit returns the share of the readings that are exactly the day's highest or lowest value; 0 on a day without
// any change, which is still and not at a limit.
func (d *daily) atLimit() float64 {
	if d.low == d.high {
		return 0
	}
	return float64(max(d.atLow, d.atHigh)) / float64(d.n)
}

// limit returns the one of both that more readings are at.
func (d *daily) limit() float64 {
	if d.atLow > d.atHigh {
		return d.low
	}
	return d.high
}

// of returns what f says of each day that was seen and that keep, unless nil, wants.
func (t *trace) of(f func(*daily) float64, keep func(day int) bool) []float64 {
	var out []float64
	for i := range t.days {
		if d := &t.days[i]; d.seen() && (keep == nil || keep(i)) {
			out = append(out, f(d))
		}
	}
	return out
}

// texture sums the trace up: medians over its days.
func (t *trace) texture() model.Texture {
	return model.Texture{
		Kiosks: 1, Still: t.longest.length.Hours(), Moving: median(t.of((*daily).moving, nil)), Rough: median(t.of((*daily).roughness, nil)),
		Spread: median(t.of((*daily).spread, nil)), AtLimit: median(t.of((*daily).atLimit, nil)),
	}
}

// every is how far apart the readings are that a trace looks at, at least: how often a sensor moves from one to the
// next depends on it, and it must not depend on how often a kiosk reports.
const every = 5 * time.Minute

// traces are those of one kiosk, by metric.
type traces struct {
	kiosk    fleet.Kiosk
	from     time.Time
	days     int
	readings int64
	seenDays float64 // with readings
	metrics  map[string]*trace
	lastDay  int
	next     time.Time // when the next reading is looked at
}

func newTraces(kiosk fleet.Kiosk, from, to time.Time) *traces {
	days := int(math.Ceil(to.Sub(from).Hours() / 24))
	return &traces{kiosk: kiosk, from: from, days: days, metrics: map[string]*trace{}, lastDay: -1}
}

// add takes the next reading.
func (t *traces) add(at time.Time, values []fleet.Value) {
	t.readings++
	if day := int(at.Sub(t.from) / (24 * time.Hour)); day != t.lastDay {
		t.lastDay = day
		t.seenDays++
	}
	if at.Before(t.next) {
		return
	}
	t.next = at.Truncate(every).Add(every)
	for _, v := range values {
		m := t.metrics[v.Metric]
		if m == nil {
			m = newTrace(t.from, t.days)
			t.metrics[v.Metric] = m
		}
		m.add(at, v.Value)
	}
}
