package anomaly_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/detect"
	"kioskfleet/admin/anomaly/score"
	"kioskfleet/admin/anomaly/synth"
)

// Nobody tunes on seeds from here on; see docs/anomaly-evaluation.md.
const freshSeeds = 70_000

// falsePerDay is the rate of false alarms per series and day at which results are given.
const falsePerDay = 0.1

// detector is the frozen configuration as a scorer.
func detector() score.Scorer {
	cfg := detect.Default()
	m := detect.New(&cfg, nil)
	return func(at time.Time, x float64) float64 { return m.Step(at, x).Score }
}

// injected returns series of all shapes over two weeks with about one fault in three days.
func injected(n int, seed uint64) []score.Series {
	all := synth.Backgrounds(n, seed, 14, 5*time.Minute)
	for i, background := range all {
		all[i] = synth.Inject(background, seed+uint64(i), 5)
	}
	return all
}

// tableOf writes a result as docs/anomaly-evaluation.md has it.
func tableOf(r score.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d faults, recall %.2f, precision %.2f, %.3f false alarms per series and day, median delay %.0f points\n",
		len(r.Faults), r.Recall(""), r.Precision(), r.FalsePerDay, r.MedianDelay(""))
	fmt.Fprintf(&b, "%-18s %6s %6s %8s %9s %5s\n", "kind", "faults", "recall", "at once", "within 12", "delay")
	for _, kind := range r.Kinds() {
		faults := 0
		for _, o := range r.Faults {
			if o.Window.Kind == kind {
				faults++
			}
		}
		fmt.Fprintf(&b, "%-18s %6d %6.2f %8.2f %9.2f %5.0f\n", kind, faults,
			r.Recall(kind), r.RecallWithin(kind, 0), r.RecallWithin(kind, 12), r.MedianDelay(kind))
	}
	return b.String()
}

// goal is a figure and the least that it has to be.
type goal struct {
	name      string
	got, want float64
}

func hold(t *testing.T, goals []goal) {
	t.Helper()
	for _, g := range goals {
		if g.got < g.want {
			t.Errorf("%s is %.3f, the goal is %.2f", g.name, g.got, g.want)
		}
	}
}

// The table of injected faults: one threshold for all series, at a stated rate of false alarms.
func TestInjectedFaults(t *testing.T) {
	tracks := score.Run(injected(100, freshSeeds), detector)
	alarms := score.Default()
	r := alarms.Evaluate(tracks, alarms.ThresholdFor(tracks, falsePerDay))
	t.Log("\n" + tableOf(r))
	if r.FalsePerDay > falsePerDay || r.FalsePerDay < falsePerDay*0.8 {
		t.Errorf("%.3f false alarms per series and day: the table is for %v", r.FalsePerDay, falsePerDay)
	}
	hold(t, []goal{
		{"recall", r.Recall(""), 0.75},
		{"precision", r.Precision(), 0.72},
		{"stuck found within 12 points", r.RecallWithin(string(synth.Stuck), 12), 0.95},
		{"dropout found at once", r.RecallWithin(string(synth.Dropout), 0), 0.90},
	})
}

// Nobody has labels of his own series: a threshold that was found on other ones has to give about the same alarms.
func TestAThresholdCarriesOver(t *testing.T) {
	alarms := score.Default()
	threshold := alarms.ThresholdFor(score.Run(injected(40, 1000), detector), falsePerDay)
	r := alarms.Evaluate(score.Run(injected(40, freshSeeds+3000), detector), threshold)
	t.Logf("threshold %.3f: recall %.2f, precision %.2f, %.3f false alarms per series and day", threshold, r.Recall(""), r.Precision(), r.FalsePerDay)
	if r.FalsePerDay > 2*falsePerDay || r.Recall("") < 0.7 {
		t.Errorf("%.3f false alarms per series and day and recall %.2f, want at most %.2f and 0.70", r.FalsePerDay, r.Recall(""), 2*falsePerDay)
	}
}

// A detector has to be worth more than "every new extreme": it finds more at that one's rate of false alarms,
// and it finds as much with fewer of them.
func TestBetterThanEveryNewExtreme(t *testing.T) {
	for _, seed := range []uint64{freshSeeds + 1000, freshSeeds + 2000} {
		series := injected(40, seed)
		alarms := score.Default()
		simple := alarms.Evaluate(score.Run(series, score.Extremes), 1)
		tracks := score.Run(series, detector)
		same := alarms.Evaluate(tracks, alarms.ThresholdFor(tracks, simple.FalsePerDay))
		half := alarms.Evaluate(tracks, alarms.ThresholdFor(tracks, simple.FalsePerDay/2))
		t.Logf("seed %d: every extreme finds %.2f at %.2f a day; we find %.2f, and %.2f at half of that",
			seed, simple.Recall(""), simple.FalsePerDay, same.Recall(""), half.Recall(""))
		hold(t, []goal{
			{"recall at the same rate", same.Recall(""), simple.Recall("") + 0.15},
			{"recall at half the rate", half.Recall(""), simple.Recall("")},
		})
	}
}
