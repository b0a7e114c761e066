package anomaly_test

import (
	"testing"
	"time"

	"kioskfleet/admin/anomaly/score"
	"kioskfleet/admin/anomaly/synth"
	"kioskfleet/admin/anomaly/train"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// watched lets a kiosk's detector see all readings and returns its scores.
func watched(w *watch.Kiosk, k *synth.Kiosk) []float64 {
	scores := make([]float64, len(k.Times))
	var values []fleet.Value
	for i, at := range k.Times {
		values = k.Reading(i, values)
		scores[i] = w.Step(at, values, nil).Score
	}
	return scores
}

// Whole kiosks, which begin with what the fleet knows: all kinds of faults, and relations that break in particular.
func TestFaultsOfKiosks(t *testing.T) {
	cfg := watch.Default()
	var prior watch.Prior
	made := synth.Options{Kiosks: 3, Days: 8, Step: time.Minute, Seed: 901}
	for k := range made.Fleet() {
		k = train.Watched(k)
		w := watch.New(&cfg, nil)
		watched(w, &k)
		prior.Add(w)
	}
	others := []synth.Kind{synth.Spike, synth.LevelShift, synth.Drift, synth.Stuck, synth.Dropout, synth.NoiseBurst, synth.Oscillation}
	var tracks []score.Track
	made = synth.Options{Kiosks: 30, Days: 10, Step: time.Minute, Seed: freshSeeds}
	for k := range made.Fleet() {
		k = synth.InjectKiosk(train.Watched(k), freshSeeds, 2, synth.CorrelationBreak)
		k = synth.InjectKiosk(k, freshSeeds+1, 2, others...)
		tracks = append(tracks, k.Track(watched(watch.New(&cfg, &prior), &k)))
	}
	alarms := score.Default()
	r := alarms.Evaluate(tracks, alarms.ThresholdFor(tracks, falsePerDay))
	t.Log("\n" + tableOf(r))
	fixed := alarms.Evaluate(tracks, 0.99)
	t.Logf("at the fixed threshold 0.99: recall %.2f, precision %.2f, %.3f false alarms per kiosk and day", fixed.Recall(""), fixed.Precision(), fixed.FalsePerDay)
	hold(t, []goal{
		{"recall", r.Recall(""), 0.75},
		{"precision", r.Precision(), 0.75},
		{"recall of correlation breaks", r.Recall(string(synth.CorrelationBreak)), 0.80},
	})
}
