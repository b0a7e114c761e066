package app

import (
	"context"
	"time"

	"kioskfleet/admin/alert/backtest"
	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/anomaly/train"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/registry"
	"kioskfleet/internal/protocol"
)

// trainingData lets models be trained on what is stored of the fleet.
type trainingData struct {
	registry *registry.Registry
	modelOf  func(serial string) string
	metrics  func(ctx context.Context) ([]string, error) // that the store has
	past     backtest.Series
}

var _ train.Source = (*trainingData)(nil)

// newTrainingData reads the time series and the log of states of this admin.
func (a *App) newTrainingData() *trainingData {
	return &trainingData{
		registry: a.registry, modelOf: a.modelOf, metrics: a.rollups.Metrics,
		past: backtest.Series{Points: storedPoints{a.rollups}, Events: a.store, Live: a.tracker.Get},
	}
}

// Kiosks implements train.Source.
func (d *trainingData) Kiosks(context.Context) ([]fleet.Kiosk, error) {
	all := d.registry.All()
	out := make([]fleet.Kiosk, len(all))
	for i, k := range all {
		out[i] = *k
		out[i].Model = d.modelOf(k.Serial)
	}
	return out, nil
}

// Readings implements train.Source. What a kiosk reported while it was blocked or being worked on is left out, as the
// detectors leave it out.
func (d *trainingData) Readings(ctx context.Context, serial string, from, to time.Time, each func(at time.Time, values []fleet.Value) error) error {
	stored, err := d.metrics(ctx)
	if err != nil {
		return err
	}
	var gauges []string
	for _, name := range stored {
		if anomaly.Watched(name) && !protocol.IsComputed(name) {
			gauges = append(gauges, name)
		}
	}
	if len(gauges) == 0 {
		return nil
	}
	var last *fleet.Value // of the reading before
	q := backtest.Query{Serials: []string{serial}, Metrics: gauges, From: from, To: to}
	return d.past.Replay(ctx, q, func(r *fleet.Reading) error {
		// A state that changed between two readings repeats the numbers of the first.
		if len(r.Values) == 0 || &r.Values[0] == last {
			return nil
		}
		last = &r.Values[0]
		if anomaly.Rests(r.Status) {
			return nil
		}
		return each(r.Time, r.Values)
	})
}
