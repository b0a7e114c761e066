package score

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEvaluate(t *testing.T) {
	window := [2]int{500, 520}
	for _, tt := range []struct {
		name         string
		track        Track
		found, false int
		delay        float64
	}{
		{"nothing", trackOf(1000, nil, window), 0, 0, 0},
		{"at once", trackOf(1000, map[int]float64{500: 1}, window), 1, 0, 0},
		{"three points later", trackOf(1000, map[int]float64{503: 1}, window), 1, 0, 3},
		{"an hour after its end", trackOf(1000, map[int]float64{532: 1}, window), 1, 0, 32},
		{"later than that", trackOf(1000, map[int]float64{533: 1}, window), 0, 1, 0},
		{"just before", trackOf(1000, map[int]float64{499: 1}, window), 0, 1, 0},
		{"an alarm that was there before is not of the fault", trackOf(1000, map[int]float64{495: 1, 501: 1}, window), 0, 1, 0},
		{"crossings within the hold-off are one alarm", trackOf(1000, map[int]float64{300: 1, 312: 1, 324: 1}, window), 0, 1, 0},
		{"beyond it they are two", trackOf(1000, map[int]float64{300: 1, 313: 1}, window), 0, 2, 0},
		{"two alarms of one fault", trackOf(1000, map[int]float64{502: 1, 518: 1}, window), 1, 0, 2},
		{"probation is not looked at", trackOf(1000, map[int]float64{149: 1, 500: 1}, window), 1, 0, 0},
		{"an alarm that goes on from probation begins after it", trackOf(1000, map[int]float64{149: 1, 150: 1}, window), 0, 1, 0},
		{"what is below the threshold", trackOf(1000, map[int]float64{500: 0.49}, window), 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Default().Evaluate([]Track{tt.track}, 0.5)
			if got := r.Recall(""); got != float64(tt.found) || r.False != tt.false || r.MedianDelay("") != tt.delay {
				t.Errorf("got recall %v, %d false, delay %v; want %d, %d, %v", got, r.False, r.MedianDelay(""), tt.found, tt.false, tt.delay)
			}
			wantDays := 849.0 / 288
			if math.Abs(r.Days-wantDays) > 1e-9 || math.Abs(r.FalsePerDay-float64(tt.false)/wantDays) > 1e-9 {
				t.Errorf("got %v days and %v a day", r.Days, r.FalsePerDay)
			}
		})
	}
}

func TestATrackIsLookedAtFromItsTimeOn(t *testing.T) {
	track := trackOf(1000, map[int]float64{300: 1, 510: 1, 799: 1, 900: 1}, [2]int{500, 520}, [2]int{895, 905})
	track.From = row5(800)
	r := Default().Evaluate([]Track{track}, 1)
	if len(r.Faults) != 1 || !r.Faults[0].Found || r.False != 0 || math.Abs(r.Days-199.0/288) > 1e-9 {
		t.Errorf("got %+v", r)
	}
	if got := Default().ThresholdFor([]Track{track}, 0); got != 1 {
		t.Errorf("threshold %v, want 1: with less, row 800 begins an alarm", got)
	}
}

func TestResultByKind(t *testing.T) {
	track := trackOf(1000, map[int]float64{200: 1, 303: 1, 410: 1, 600: 1, 700: 1}, [2]int{200, 210}, [2]int{300, 310}, [2]int{400, 420}, [2]int{500, 510}, [2]int{10, 20})
	for i, kind := range []string{"dropout", "stuck", "stuck", "drift", "drift"} {
		track.Windows[i].Kind = kind
	}
	r := Default().Evaluate([]Track{track}, 1)
	if len(r.Faults) != 4 {
		t.Fatalf("%d faults, want 4: one ends in probation", len(r.Faults))
	}
	for _, tt := range []struct {
		name      string
		got, want float64
	}{
		{"recall", r.Recall(""), 0.75},
		{"recall of stuck", r.Recall("stuck"), 1},
		{"recall of stuck within 9", r.RecallWithin("stuck", 9), 0.5},
		{"recall of dropout at once", r.RecallWithin("dropout", 0), 1},
		{"recall of drift", r.Recall("drift"), 0},
		{"recall of what there is none of", r.Recall("spike"), 0},
		{"precision", r.Precision(), 0.6},
		{"median delay", r.MedianDelay(""), 3},
		{"median delay of stuck", r.MedianDelay("stuck"), 6.5},
	} {
		if math.Abs(tt.got-tt.want) > 1e-9 {
			t.Errorf("%s = %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if got := r.Kinds(); !slices.Equal(got, []string{"drift", "dropout", "stuck"}) {
		t.Errorf("kinds %v", got)
	}
}

// ThresholdFor counts alarms while it lowers the threshold; counting anew at every threshold has to agree.
func TestThresholdForAgreesWithCounting(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		var tracks []Track
		var levels []float64
		for range 3 {
			track := trackOf(600, nil, [2]int{200, 220}, [2]int{400, 404})
			for i := range track.Scores {
				if random.IntN(6) == 0 {
					track.Scores[i] = math.Round(math.Pow(random.Float64(), 3)*50) / 50
				}
			}
			levels = append(levels, track.Scores[Probation(600):]...)
			tracks = append(tracks, track)
		}
		slices.Sort(levels)
		levels = slices.Compact(levels)
		for _, rate := range []float64{0, 0.3, 1, 4} {
			want := math.Nextafter(1, 2)
			for _, level := range slices.Backward(levels) {
				if Default().Evaluate(tracks, level).FalsePerDay > rate {
					break
				}
				want = level
			}
			if got := Default().ThresholdFor(tracks, rate); got != want {
				t.Errorf("seed %d, rate %v: %v, want %v", seed, rate, got, want)
			}
		}
	}
}

func TestExtremes(t *testing.T) {
	detect := Extremes()
	for i, tt := range []struct{ x, want float64 }{{5, 1}, {5, 0}, {6, 1}, {5.5, 0}, {4, 1}, {6, 0}, {6.1, 1}} {
		if got := detect(row5(i), tt.x); got != tt.want {
			t.Errorf("value %d, %v: %v, want %v", i, tt.x, got, tt.want)
		}
	}
}

func TestRunKeepsScoresInRange(t *testing.T) {
	answers := []float64{-1, 2, math.NaN(), 0.5, math.Inf(1)}
	s := Series{Name: "a.csv", Points: make([]Point, len(answers))}
	next := 0
	tracks := Run([]Series{s, s}, func() Scorer {
		next = 0
		return func(time.Time, float64) float64 { next++; return answers[next-1] }
	})
	for _, track := range tracks {
		if !slices.Equal(track.Scores, []float64{0, 1, 0, 0.5, 1}) {
			t.Errorf("got %v", track.Scores)
		}
	}
}
