// Package score says how good a detector of anomalies is: it reads labelled series, lets a detector score them,
// and measures what its alarms are worth. Two yardsticks: the profile score of the Numenta benchmark
// (numenta.go), and recall, precision and delay of alarms at a stated rate of false ones (events.go).
// docs/anomaly-evaluation.md explains both.
package score

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Point is one value of a series.
type Point struct {
	At    time.Time // UTC
	Value float64   // finite; NaN where a file has none
}

// Window is a stretch of time in which something was wrong: the truth that alarms are held against.
type Window struct {
	From, To time.Time // both inside
	Kind     string    // of the fault; empty where the labels do not say
	Metrics  []string  // that it is to be seen in; empty for a series of its own
}

// contains reports whether t is inside the window or at most grace after it.
func (w Window) contains(t time.Time, grace time.Duration) bool {
	return !t.Before(w.From) && !t.After(w.To.Add(grace))
}

// Series is one measured quantity over time, with what was wrong in it.
type Series struct {
	Name    string // where it is in its folder, with slashes: realTraffic/speed_7578.csv
	Points  []Point
	Windows []Window // in order of From, not overlapping

	// Lines of the file that have no value, and whose time is before that of the row above.
	Empty, Back []int

	// What the file said, letter by letter, for Write; nil for a series that comes from no file.
	stamps, values []string
}

// Track is what a detector made of a series or of a whole kiosk: a score at each time.
type Track struct {
	Name    string
	Times   []time.Time
	Scores  []float64 // 0 to 1, one for each time
	Windows []Window  // in order of From
	// Alarms before this time count neither way; zero: those in Probation do not. The benchmark's score does not heed it.
	From time.Time
}

// Scorer scores the values of one series, which it is given one after the other: x as it was at the time at.
// The answer is 0 to 1 and depends on nothing that comes later.
type Scorer func(at time.Time, x float64) float64

// Run lets a fresh scorer see every series from its first point to its last.
func Run(series []Series, fresh func() Scorer) []Track {
	tracks := make([]Track, len(series))
	for i, s := range series {
		tracks[i] = s.Run(fresh())
	}
	return tracks
}

// Run lets a scorer see the series from its first point to its last. A point without a value scores 0, unseen. A score
// beyond 0 to 1 becomes the nearer of the two, and one that is no number becomes 0.
func (s Series) Run(scorer Scorer) Track {
	t := Track{Name: s.Name, Windows: s.Windows, Times: make([]time.Time, len(s.Points)), Scores: make([]float64, len(s.Points))}
	for i, p := range s.Points {
		t.Times[i] = p.At
		if math.IsNaN(p.Value) {
			continue
		}
		v := scorer(p.At, p.Value)
		if math.IsNaN(v) {
			v = 0
		}
		t.Scores[i] = min(max(v, 0), 1)
	}
	return t
}

// Extremes returns the detector that every other one has to beat: it scores 1 at each value that is lower or
// higher than all before it, and 0 otherwise.
func Extremes() Scorer {
	low, high := math.Inf(1), math.Inf(-1)
	return func(_ time.Time, x float64) float64 {
		extreme := x < low || x > high
		low, high = min(low, x), max(high, x)
		if extreme {
			return 1
		}
		return 0
	}
}

// Probation returns how many of n rows are given to a detector to learn from: 15%, at most 750.
//
// Source: Numenta Anomaly Benchmark, docs of its scoring; 15% of 5,000 rows is its limit.
func Probation(n int) int { return min(n*15/100, 750) }

// sorted returns the windows in order of their begin.
func sorted(windows []Window) []Window {
	return slices.SortedStableFunc(slices.Values(windows), func(a, b Window) int { return a.From.Compare(b.From) })
}

// validDetector reports whether name can be a folder and the begin of a file's name from which the benchmark
// takes it back: it ends at the first underscore.
func validDetector(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "_/\\")
}
