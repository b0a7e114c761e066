package api

import (
	"context"
	"math"
	"time"

	"kioskfleet/admin/fleet"
)

// unusual is what a world knows of anomalies and models.
type unusual struct {
	anomalies []fleet.Anomaly // newest first, as models
	tunings   []fleet.AnomalyTuning
	models    []fleet.Model
	training  Training
	now       fleet.AnomalyNow

	narrowed fleet.AnomalyFilter // of the last list
	said     fleet.AnomalyFeedback
}

// someAnomalies is a platform in which there is one of everything.
func someAnomalies() unusual {
	sensor := fleet.AnomalySensor{
		Metric: "hardware.cpu_temp", Kind: fleet.AnomalyRelation, Share: 0.8, Value: 63, Low: 48, High: 54, With: []string{"hardware.cpu_usage"},
		Band: []fleet.AnomalyBand{{Hour: 5, Low: 48, High: 54}, {Hour: 6, Low: math.Inf(-1), High: 54}}, Text: "CPU temperature is 63 °C",
	}
	return unusual{
		anomalies: []fleet.Anomaly{{
			ID: "n1", Serial: "K-1", Site: "Hall", Model: "T2", OpenedAt: start, PeakAt: start.Add(time.Minute), Score: 0.97,
			Sensors: []fleet.AnomalySensor{sensor}, Text: sensor.Text, Detector: "m20260301-120000-1a2b3c4d",
		}},
		tunings: []fleet.AnomalyTuning{{Metric: "hardware.cpu_temp", Factor: 0.5, Noise: 1, UpdatedAt: start}},
		models: []fleet.Model{{
			Version: "m20260301-120000-1a2b3c4d", CreatedAt: start, Origin: fleet.ModelScheduled, State: fleet.ModelCurrent, SHA256: "1a2b", Bytes: 9,
			TrainedFrom: start.Add(-time.Hour), TrainedTo: start, Kiosks: 40, Readings: 1000, Reason: "no check failed", ChangedAt: start,
			Figures: &fleet.ModelFigures{Series: 4, Days: 8, Faults: 10, Recall: 0.7, Precision: math.NaN(), ByKind: map[string]fleet.ModelKindFigures{"stuck": {Faults: 2, Recall: 1}, "drift": {Recall: math.NaN()}}},
			Checks:  []fleet.ModelCheck{{Name: "recall", Passed: true, Text: "0.70 is not below 0.66"}},
		}, {Version: "built-in", Origin: fleet.ModelBuiltIn, State: fleet.ModelRetired}},
		now: fleet.AnomalyNow{
			Serial: "K-1", At: start, Score: 0.3, Since: start.Add(-time.Hour), Detector: "m20260301-120000-1a2b3c4d", Sensors: []fleet.AnomalySensor{sensor},
			Bands: []fleet.AnomalyMetricBand{{Metric: "custom.ink_level"}, {Metric: "hardware.cpu_temp", Band: sensor.Band}},
		},
	}
}

// seer is everything about anomalies and models of a world.
type seer struct{ watch }

func (h seer) Anomaly(_ context.Context, id string) (fleet.Anomaly, error) {
	return find(h.w.anomalies, h.w.failing, func(a fleet.Anomaly) bool { return a.ID == id })
}

func (h seer) Anomalies(_ context.Context, f fleet.AnomalyFilter) ([]fleet.Anomaly, string, error) {
	h.w.narrowed = f
	if h.w.failing != nil {
		return nil, "", h.w.failing
	}
	return pageFrom(h.w.anomalies, f.Cursor, f.Limit)
}

func (h seer) Judge(ctx context.Context, id string, said fleet.AnomalyFeedback) (fleet.Anomaly, error) {
	a, err := h.Anomaly(ctx, id)
	if err != nil {
		return a, err
	}
	h.w.said, a.Feedback = said, &said
	return a, h.done("judge %s %s %s", id, said.Verdict, said.By)
}

func (h seer) Now(string) fleet.AnomalyNow { return h.w.now }

func (h seer) Tunings() []fleet.AnomalyTuning { return h.w.tunings }

func (h seer) ResetTuning(_ context.Context, metric, actor string) error {
	if _, err := find(h.w.tunings, h.w.failing, func(t fleet.AnomalyTuning) bool { return t.Metric == metric }); err != nil {
		return err
	}
	return h.done("reset %s %s", metric, actor)
}

func (h seer) Models(context.Context) ([]fleet.Model, error) { return h.w.models, h.w.failing }

func (h seer) Model(_ context.Context, version string) (fleet.Model, error) {
	return find(h.w.models, h.w.failing, func(m fleet.Model) bool { return m.Version == version })
}

func (h seer) Promote(ctx context.Context, version, actor string) (fleet.Model, error) {
	m, err := h.Model(ctx, version)
	if err != nil {
		return m, err
	}
	return m, h.done("promote %s %s", version, actor)
}

func (h seer) Rollback(_ context.Context, actor string) (fleet.Model, error) {
	if len(h.w.models) < 2 {
		return fleet.Model{}, fleet.Invalid("version", "there is no model before this one")
	}
	return h.w.models[1], h.done("roll back %s", actor)
}

func (h seer) Train(_ context.Context, actor string) (bool, error) {
	if h.w.training.Running {
		return false, nil
	}
	h.w.training = Training{Running: true, Stage: "reading", StartedAt: start, StartedBy: actor}
	return true, h.done("train %s", actor)
}

func (h seer) Training() Training { return h.w.training }
