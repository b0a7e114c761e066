package score

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Alarms says what makes an alarm and what it may count for.
type Alarms struct {
	// HoldOff is how long the score has to stay below the threshold before a crossing is a new alarm.
	HoldOff time.Duration
	// Grace is how long after the end of a window an alarm still counts as one of its fault, since the way back
	// is a change as well. Such an alarm is never a false one.
	Grace time.Duration
}

// Default returns the alarms that results are reported for: an hour for both.
func Default() Alarms { return Alarms{HoldOff: time.Hour, Grace: time.Hour} }

// Outcome is how it went with one fault.
type Outcome struct {
	Track  string
	Window Window
	Found  bool
	Delay  int // points from the fault's first to the alarm's, 0 at once; only if found
}

// Result is what the alarms at one threshold are worth. An alarm begins with the first point at or above the
// threshold after HoldOff without one; it is of a fault if it begins in the fault's window or within Grace
// after it, and false otherwise. Alarms after the first one of a fault count neither way. Points before
// the track's From (or in Probation) are not looked at, and faults that end there are no faults.
type Result struct {
	Threshold   float64
	Faults      []Outcome
	False       int     // alarms
	Days        float64 // that were looked at, of all tracks together
	FalsePerDay float64 // false alarms per track and day
}

// Evaluate says what the alarms at a threshold are worth.
func (a Alarms) Evaluate(tracks []Track, threshold float64) Result {
	r := Result{Threshold: threshold}
	for _, t := range tracks {
		r.Days += t.days()
		outcomes := make([]Outcome, len(t.Windows))
		for n, w := range t.Windows {
			outcomes[n] = Outcome{Track: t.Name, Window: w}
		}
		for _, i := range a.begins(t, threshold) {
			n := a.fault(t, i)
			switch {
			case n < 0:
				r.False++
			case !outcomes[n].Found:
				outcomes[n].Found = true
				outcomes[n].Delay = t.delay(n, i)
			}
		}
		for _, o := range outcomes {
			if t.looksAt(o.Window) {
				r.Faults = append(r.Faults, o)
			}
		}
	}
	if r.Days > 0 {
		r.FalsePerDay = float64(r.False) / r.Days
	}
	return r
}

// begins returns the rows at which alarms begin.
func (a Alarms) begins(t Track, threshold float64) []int {
	var all []int
	last := -1
	for i := t.first(); i < len(t.Times); i++ {
		if t.Scores[i] < threshold {
			continue
		}
		if last < 0 || t.Times[i].Sub(t.Times[last]) > a.HoldOff {
			all = append(all, i)
		}
		last = i
	}
	return all
}

// fault returns the last window that an alarm at row i is of, or -1.
func (a Alarms) fault(t Track, i int) int {
	for n := len(t.Windows) - 1; n >= 0; n-- {
		if t.Windows[n].contains(t.Times[i], a.Grace) {
			return n
		}
	}
	return -1
}

// first returns the first row that is looked at.
func (t *Track) first() int {
	if t.From.IsZero() {
		return Probation(len(t.Times))
	}
	i, _ := slices.BinarySearchFunc(t.Times, t.From, time.Time.Compare)
	return i
}

// days returns how long a track is looked at.
func (t *Track) days() float64 {
	first := t.first()
	if first >= len(t.Times) {
		return 0
	}
	return t.Times[len(t.Times)-1].Sub(t.Times[first]).Hours() / 24
}

// looksAt reports whether a window has points after probation.
func (t *Track) looksAt(w Window) bool {
	first := t.first()
	return first < len(t.Times) && !w.To.Before(t.Times[first])
}

// delay returns how many points of a window, as far as it is looked at, come before row i.
func (t *Track) delay(n, i int) int {
	first := t.first()
	before := 0
	for j := i - 1; j >= first && !t.Times[j].Before(t.Windows[n].From); j-- {
		before++
	}
	return before
}

// ThresholdFor returns the lowest threshold with at most the given number of false alarms per track and day,
// as seen from above: with a low threshold one alarm never ends, which is few alarms but no detector. Beyond 1
// if even the highest scores are too many.
func (a Alarms) ThresholdFor(tracks []Track, falsePerDay float64) float64 {
	type candidate struct {
		score    float64
		track, i int
		// The rows of its track before and after it with at least its score, among equals those that come first; -1: none.
		before, after int
	}
	var all []candidate
	days := 0.0
	chains := make([]chain, len(tracks))
	for n, t := range tracks {
		days += t.days()
		chains[n] = newChain(t.first(), len(t.Times))
		for i := t.first(); i < len(t.Times); i++ {
			all = append(all, candidate{score: t.Scores[i], track: n, i: i})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	for k := len(all) - 1; k >= 0; k-- {
		c := &all[k]
		c.before, c.after = chains[c.track].remove(c.i)
	}
	threshold, count := math.Nextafter(1, 2), 0
	for k, c := range all {
		t := &tracks[c.track]
		joins := func(i, j int) bool { return t.Times[j].Sub(t.Times[i]) <= a.HoldOff }
		falseAt := func(i int) int {
			if a.fault(*t, i) < 0 {
				return 1
			}
			return 0
		}
		if begins := c.before < 0 || !joins(c.before, c.i); begins {
			count += falseAt(c.i)
		}
		// The row after it may have begun an alarm until now.
		if c.after >= 0 && joins(c.i, c.after) && (c.before < 0 || !joins(c.before, c.after)) {
			count -= falseAt(c.after)
		}
		if k+1 < len(all) && all[k+1].score == c.score {
			continue
		}
		if float64(count) > falsePerDay*days {
			return threshold
		}
		threshold = c.score
	}
	return threshold
}

// chain links rows, of which some are removed, to their neighbours.
type chain struct {
	first         int
	before, after []int // of row first+i; -1: none
}

func newChain(first, end int) chain {
	n := max(end-first, 0)
	c := chain{first, make([]int, n), make([]int, n)}
	for i := range n {
		c.before[i], c.after[i] = i-1, i+1
	}
	if n > 0 {
		c.after[n-1] = -1
	}
	return c
}

// remove returns the neighbours that a row has left, and links them to each other; -1: none.
func (c *chain) remove(row int) (before, after int) {
	i := row - c.first
	before, after = c.before[i], c.after[i]
	if before >= 0 {
		c.after[before] = after
		before += c.first
	}
	if after >= 0 {
		c.before[after] = c.before[i]
		after += c.first
	}
	return before, after
}

// found counts the faults of a kind that were found with a delay of at most within points.
func (r Result) found(kind string, within int) (found, faults int) {
	for _, o := range r.Faults {
		if kind != "" && o.Window.Kind != kind {
			continue
		}
		faults++
		if o.Found && o.Delay <= within {
			found++
		}
	}
	return found, faults
}

// Recall returns the share of the faults that were found, 0..1; of one kind unless kind is empty.
// 0 if there are none.
func (r Result) Recall(kind string) float64 { return r.RecallWithin(kind, math.MaxInt) }

// RecallWithin returns the share of the faults that were found with a delay of at most points: 0 means at once.
func (r Result) RecallWithin(kind string, points int) float64 {
	found, faults := r.found(kind, points)
	if faults == 0 {
		return 0
	}
	return float64(found) / float64(faults)
}

// Precision returns the share of the alarms that were of a fault, of which each counts once, 0..1.
// 0 if there are none.
func (r Result) Precision() float64 {
	found, _ := r.found("", math.MaxInt)
	if found+r.False == 0 {
		return 0
	}
	return float64(found) / float64(found+r.False)
}

// MedianDelay returns the median delay in points of the faults that were found; of one kind unless kind is
// empty. 0 if none was.
func (r Result) MedianDelay(kind string) float64 {
	var delays []int
	for _, o := range r.Faults {
		if o.Found && (kind == "" || o.Window.Kind == kind) {
			delays = append(delays, o.Delay)
		}
	}
	if len(delays) == 0 {
		return 0
	}
	slices.Sort(delays)
	n := len(delays)
	return float64(delays[(n-1)/2]+delays[n/2]) / 2
}

// Kinds returns the kinds of the faults, in order.
func (r Result) Kinds() []string {
	var kinds []string
	for _, o := range r.Faults {
		kinds = append(kinds, o.Window.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
