package anomaly

import (
	"context"
	"slices"
	"strings"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// Judge keeps what a person says of an anomaly, in place of what was said of it before, and tunes the budgets of the
// metrics that it is about from the next reading on. It returns the anomaly with the word.
//
// Errors: *fleet.ValidationError for feedback that cannot be taken; fleet.ErrNotFound.
func (w *Watch) Judge(ctx context.Context, id string, f fleet.AnomalyFeedback) (fleet.Anomaly, error) {
	w.judging.Lock()
	a, changed, err := w.cfg.Words.JudgeAnomaly(ctx, id, f)
	if err == nil {
		tunings := w.Tunings()
		for _, t := range changed {
			tunings = slices.DeleteFunc(tunings, func(old fleet.AnomalyTuning) bool { return old.Metric == t.Metric })
			if t.Useful+t.Noise > 0 {
				tunings = append(tunings, t)
			}
		}
		w.setTunings(tunings)
	}
	w.judging.Unlock()
	if err != nil {
		return a, err
	}
	if e := w.shard(a.Serial).entry(a.Serial); e != nil {
		e.mu.Lock()
		if e.open != nil && e.open.ID == id {
			e.open.Feedback = a.Feedback
		}
		e.mu.Unlock()
	}
	w.tell([]fleet.AnomalyEvent{{Kind: fleet.AnomalyJudged, Anomaly: a}})
	return a, nil
}

// Tunings returns what feedback has made of the budgets, by metric; a metric that nobody said anything of is not among
// them.
func (w *Watch) Tunings() []fleet.AnomalyTuning {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.Clone(w.tunings)
}

// ResetTuning takes back what feedback has made of a metric's budget.
//
// Errors: fleet.ErrNotFound for a metric that nobody said anything of.
func (w *Watch) ResetTuning(ctx context.Context, metric, actor string) error {
	w.judging.Lock()
	defer w.judging.Unlock()
	if err := w.cfg.Words.ResetAnomalyTuning(ctx, metric, actor, w.cfg.Now().UTC()); err != nil {
		return err
	}
	w.setTunings(slices.DeleteFunc(w.Tunings(), func(t fleet.AnomalyTuning) bool { return t.Metric == metric }))
	return nil
}

func (w *Watch) setTunings(tunings []fleet.AnomalyTuning) {
	slices.SortFunc(tunings, func(a, b fleet.AnomalyTuning) int { return strings.Compare(a.Metric, b.Metric) })
	factors := make(map[string]float64, len(tunings))
	for _, t := range tunings {
		factors[t.Metric] = t.Factor
	}
	tuning := watch.Tuning(func(metric string) float64 {
		if f, ok := factors[metric]; ok {
			return f
		}
		return 1
	})
	if len(factors) == 0 {
		tuning = nil
	}
	w.tuning.Store(&tuning)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tunings = tunings
}
