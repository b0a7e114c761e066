package score

import (
	"errors"
	"math"
	"testing"
	"time"
)

var began = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// row5 is the time of a row when there is one every five minutes.
func row5(i int) time.Time { return began.Add(time.Duration(i) * 5 * time.Minute) }

// trackOf returns a track of n rows that scores what is given at some rows and 0 elsewhere, with windows of
// rows [from, to].
func trackOf(n int, scores map[int]float64, windows ...[2]int) Track {
	t := Track{Name: "made.csv", Scores: make([]float64, n)}
	for i := range n {
		t.Times = append(t.Times, row5(i))
	}
	for i, v := range scores {
		t.Scores[i] = v
	}
	for _, w := range windows {
		t.Windows = append(t.Windows, Window{From: row5(w[0]), To: row5(w[1])})
	}
	return t
}

func TestSigmoid(t *testing.T) {
	for _, tt := range []struct{ place, want float64 }{
		{-1, 0.98661430}, {-0.5, 0.84828364}, {0, 0}, {0.5, -0.84828364}, {1, -0.98661430}, {3, -0.99999939}, {3.01, -1},
	} {
		if got := sigmoid(tt.place); math.Abs(got-tt.want) > 1e-8 {
			t.Errorf("sigmoid(%v) = %v, want %v", tt.place, got, tt.want)
		}
	}
}

func TestNumenta(t *testing.T) {
	// 1,000 rows, of which 150 are not scored, and a window of the 100 rows 500 to 599.
	window := [2]int{500, 599}
	half := sigmoid(-0.5) / sigmoid(-1) // of a detection at row 550: 50 rows are left of 100
	for _, tt := range []struct {
		name    string
		profile int
		track   Track
		want    float64
	}{
		{"never detects", 0, trackOf(1000, nil, window), 0},
		{"at the window's begin", 0, trackOf(1000, map[int]float64{500: 1}, window), 100},
		{"in its middle", 0, trackOf(1000, map[int]float64{550: 1}, window), 100 * (half + 1) / 2},
		{"at its last row", 0, trackOf(1000, map[int]float64{599: 1}, window), 100 * (sigmoid(-0.01)/sigmoid(-1) + 1) / 2},
		{"the best detection of a window counts", 0, trackOf(1000, map[int]float64{550: 1, 500: 1, 599: 1}, window), 100},
		{"one false positive before all windows", 0, trackOf(1000, map[int]float64{500: 1, 300: 1}, window), 100 * (1 - 0.11 + 1) / 2},
		{"its price in the profile of few false positives", 1, trackOf(1000, map[int]float64{500: 1, 300: 1}, window), 100 * (1 - 0.22 + 1) / 2},
		{"just behind a window it is cheap", 0, trackOf(1000, map[int]float64{500: 1, 600: 1}, window), 100 * (2 + 0.11*sigmoid(1.0/99)) / 2},
		{"one width behind it is not", 0, trackOf(1000, map[int]float64{500: 1, 698: 1}, window), 100 * (2 + 0.11*sigmoid(1)) / 2},
		{"what comes in probation costs nothing", 0, trackOf(1000, map[int]float64{500: 1, 149: 1}, window), 100},
		{"the first row after it does", 0, trackOf(1000, map[int]float64{500: 1, 150: 1}, window), 100 * (2 - 0.11) / 2},
		{"the threshold leaves out what does harm", 0, trackOf(1000, map[int]float64{500: 0.9, 300: 0.8}, window), 100},
		{"one of two windows", 0, trackOf(1000, map[int]float64{500: 1}, window, [2]int{800, 899}), 50},
		{"one of two where misses weigh double", 2, trackOf(1000, map[int]float64{500: 1}, window, [2]int{800, 899}), 100 * (1 - 2 + 4) / 6.0},
		{"a window of one row", 0, trackOf(1000, map[int]float64{500: 1, 501: 1}, [2]int{500, 500}), 100 * (2 + 0.11*sigmoid(1)) / 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Numenta([]Track{tt.track}, Profiles()[tt.profile])
			if err != nil || math.Abs(got.Score-tt.want) > 1e-9 {
				t.Errorf("got %v and %v, want %v", got.Score, err, tt.want)
			}
		})
	}
}

func TestNumentaHasOneThresholdForAll(t *testing.T) {
	window := [2]int{500, 599}
	loud := map[int]float64{500: 0.9}
	for i := 700; i < 730; i++ {
		loud[i] = 0.6 // 30 false positives: more than the quiet window is worth
	}
	quiet := trackOf(1000, map[int]float64{500: 0.5}, window)
	got, err := Numenta([]Track{trackOf(1000, loud, window), quiet}, Profiles()[0])
	if err != nil || got.Score != 50 || got.Threshold != 0.9 {
		t.Errorf("got %+v and %v, want 50 at 0.9", got, err)
	}
	if a, b := got.Series[0], got.Series[1]; a.Found != 1 || a.FalsePositives != 0 || b.Found != 0 || b.Raw != -1 {
		t.Errorf("got the parts %+v", got.Series)
	}
}

func TestNumentaNeedsWindows(t *testing.T) {
	if _, err := Numenta([]Track{trackOf(10, nil)}, Profiles()[0]); !errors.Is(err, ErrNoWindows) {
		t.Errorf("got %v, want ErrNoWindows", err)
	}
}

func TestProbation(t *testing.T) {
	for _, tt := range []struct{ n, want int }{{0, 0}, {6, 0}, {7, 1}, {1000, 150}, {4032, 604}, {5000, 750}, {20000, 750}} {
		if got := Probation(tt.n); got != tt.want {
			t.Errorf("Probation(%d) = %d, want %d", tt.n, got, tt.want)
		}
	}
}
