package score

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// Profile is how much each kind of detection counts in the Numenta benchmark.
type Profile struct {
	Name          string
	TruePositive  float64 // gained by a window that is found at its very begin
	FalseNegative float64 // lost by a window that is not found
	FalsePositive float64 // lost by a row outside windows
}

// Profiles returns the three of the benchmark, the standard one first.
func Profiles() []Profile {
	return []Profile{
		{Name: "standard", TruePositive: 1, FalseNegative: 1, FalsePositive: 0.11},
		{Name: "reward_low_FP_rate", TruePositive: 1, FalseNegative: 1, FalsePositive: 0.22},
		{Name: "reward_low_FN_rate", TruePositive: 1, FalseNegative: 2, FalsePositive: 0.11},
	}
}

// ProfileScore is what the benchmark says of a detector.
type ProfileScore struct {
	Profile   string
	Threshold float64 // the one for all series that gives the highest score; a row is a detection from there on
	Score     float64 // 0: never detects; 100: every window at its begin and nothing else; may be negative
	Series    []SeriesScore
}

// SeriesScore is one series' part in it.
type SeriesScore struct {
	Name           string
	Raw            float64 // before it is put on the scale of 0 to 100
	Windows, Found int
	FalsePositives int // rows
}

// ErrNoWindows says that there is nothing to find in any series, so that no score can be given.
var ErrNoWindows = errors.New("no windows in any series: give the labels of this data")

// Numenta computes the benchmark's score with the threshold that is best on these tracks together.
//
// A window counts with its best detection: the sigmoid of its place in the window, 1 at the begin and almost 0
// at the end; without any it costs FalseNegative. Each row above the threshold that is in no window costs up to
// FalsePositive: little just behind a window, all of it far from any. The first rows (Probation) do not count.
//
// Errors: ErrNoWindows.
// Source: A. Lavin, S. Ahmad, Evaluating Real-time Anomaly Detection Algorithms, ICMLA 2015, section II, with
// the places counted as the benchmark's program does (nab/sweeper.py).
func Numenta(tracks []Track, p Profile) (ProfileScore, error) {
	rows, windows := rowsOf(tracks, p)
	if windows == 0 {
		return ProfileScore{}, ErrNoWindows
	}
	result := ProfileScore{Profile: p.Name, Threshold: bestThreshold(rows, windows, p)}
	sum := 0.0
	for i, t := range tracks {
		result.Series = append(result.Series, seriesScore(t, p, result.Threshold))
		sum += result.Series[i].Raw
	}
	never := -p.FalseNegative * float64(windows)
	perfect := p.TruePositive * float64(windows)
	result.Score = 100 * (sum - never) / (perfect - never)
	return result, nil
}

// row is what a detection at one row would be worth.
type row struct {
	score  float64
	window int // counted over all series; -1 outside
	worth  float64
}

// rowsOf returns the rows after probation and the number of windows that they are in or that there are.
func rowsOf(tracks []Track, p Profile) ([]row, int) {
	var all []row
	windows := 0
	for _, t := range tracks {
		for i, r := range t.rows(p) {
			if r.window >= 0 {
				r.window += windows
			}
			if i >= Probation(len(t.Times)) {
				all = append(all, r)
			}
		}
		windows += len(t.Windows)
	}
	return all, windows
}

// rows returns what each row of a track is worth.
func (t *Track) rows(p Profile) []row {
	all := make([]row, len(t.Times))
	spans := t.spans()
	next := 0
	for i := range all {
		for next < len(spans) && i >= spans[next].end {
			next++
		}
		all[i] = row{score: t.Scores[i], window: -1}
		switch {
		case next < len(spans) && i >= spans[next].begin:
			w := spans[next]
			all[i].window = next
			all[i].worth = p.TruePositive * sigmoid(-float64(w.end-i)/float64(w.end-w.begin)) / sigmoid(-1)
		case next == 0:
			all[i].worth = -p.FalsePositive
		default:
			w := spans[next-1]
			all[i].worth = p.FalsePositive * sigmoid(float64(i-w.end+1)/float64(max(w.end-w.begin-1, 1)))
		}
	}
	return all
}

// span are the rows [begin, end) of a window.
type span struct{ begin, end int }

// spans returns the rows of each window; none for one that lies between two rows.
func (t *Track) spans() []span {
	all := make([]span, len(t.Windows))
	for n, w := range t.Windows {
		begin := 0
		for begin < len(t.Times) && t.Times[begin].Before(w.From) {
			begin++
		}
		end := begin
		for end < len(t.Times) && !t.Times[end].After(w.To) {
			end++
		}
		all[n] = span{begin, end}
	}
	return all
}

// sigmoid returns what a detection is worth by its place relative to a window: -1 at its begin, 0 at its end,
// positive behind it, in widths of the window.
func sigmoid(place float64) float64 {
	if place > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*place)) - 1
}

// bestThreshold returns the threshold at which all rows together are worth most.
func bestThreshold(rows []row, windows int, p Profile) float64 {
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(b.score, a.score) })
	found := make([]float64, windows)
	for i := range found {
		found[i] = -p.FalseNegative
	}
	sum := -p.FalseNegative * float64(windows)
	best, threshold := sum, math.Nextafter(1, 2) // no detection at all
	for i, r := range rows {
		if r.window < 0 {
			sum += r.worth
		} else if better := max(found[r.window], r.worth); better != found[r.window] {
			sum += better - found[r.window]
			found[r.window] = better
		}
		last := i+1 == len(rows) || rows[i+1].score != r.score
		if last && sum > best {
			best, threshold = sum, r.score
		}
	}
	return threshold
}

// seriesScore returns one track's part at a threshold.
func seriesScore(t Track, p Profile, threshold float64) SeriesScore {
	s := SeriesScore{Name: t.Name, Windows: len(t.Windows)}
	found := make([]float64, len(t.Windows))
	for i := range found {
		found[i] = -p.FalseNegative
	}
	for i, r := range t.rows(p) {
		switch {
		case i < Probation(len(t.Times)) || r.score < threshold:
		case r.window < 0:
			s.FalsePositives++
			s.Raw += r.worth
		default:
			found[r.window] = max(found[r.window], r.worth)
		}
	}
	for _, worth := range found {
		s.Raw += worth
		if worth > -p.FalseNegative {
			s.Found++
		}
	}
	return s
}
