package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"kioskfleet/admin/alert/backtest"
	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/train"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry"
	"kioskfleet/internal/protocol"
)

// history lets a training read the time-series store.
type history struct {
	kiosks  func() []*fleet.Kiosk
	modelOf func(serial string) string
	series  telemetry.Store
	events  backtest.Events
}

// Kiosks implements train.Source.
func (h history) Kiosks(context.Context) ([]fleet.Kiosk, error) {
	var out []fleet.Kiosk
	for _, k := range h.kiosks() {
		one := *k
		one.Model = h.modelOf(k.Serial)
		out = append(out, one)
	}
	return out, nil
}

// historyPart is how much of a kiosk's time is read at once: some hundred thousand numbers.
const historyPart = 6 * time.Hour

// Readings implements train.Source. What a kiosk reported while it was blocked or being worked on is left out, as the
// detectors leave it out.
func (h history) Readings(ctx context.Context, serial string, from, to time.Time, each func(time.Time, []fleet.Value) error) error {
	metrics, err := h.metrics(ctx, serial, from, to)
	if err != nil || len(metrics) == 0 {
		return err
	}
	told, err := statesOf(ctx, h.events, serial, from, to)
	if err != nil {
		return err
	}
	working := func(at time.Time, values []fleet.Value) error {
		if told.rests(at) {
			return nil
		}
		return each(at, values)
	}
	for at := from; at.Before(to); at = at.Add(historyPart) {
		if err := h.part(ctx, serial, metrics, at, earlier(to, at.Add(historyPart)), working); err != nil {
			return err
		}
	}
	return nil
}

// metrics returns the gauges that detectors look at and that the kiosk has. Of all names that are stored, which may be
// very many, those are its own that it has at one of some times.
func (h history) metrics(ctx context.Context, serial string, from, to time.Time) ([]string, error) {
	names, err := h.series.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	const times = 4
	var own []string
	for _, name := range names {
		if !anomaly.Watched(name) || protocol.IsComputed(name) {
			continue
		}
		for i := range times {
			end := to.Add(-to.Sub(from) * time.Duration(i) / times)
			begin := end.Add(-historyPart)
			if begin.Before(from) {
				begin = from
			}
			found, err := h.series.Range(ctx, telemetry.Query{Metric: name, Serials: []string{serial}, From: begin, To: end})
			if err != nil {
				return nil, err
			}
			if len(found) > 0 {
				own = append(own, name)
				break
			}
		}
		if len(own) == watch.MaxMetrics {
			break
		}
	}
	return own, nil
}

// part passes the readings of a short time: the series of all metrics, put together by time.
func (h history) part(ctx context.Context, serial string, metrics []string, from, to time.Time, each func(time.Time, []fleet.Value) error) error {
	points := make([][]telemetry.Point, len(metrics))
	for i, name := range metrics {
		found, err := h.series.Range(ctx, telemetry.Query{Metric: name, Serials: []string{serial}, From: from, To: to})
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, serial, err)
		}
		if len(found) > 0 {
			points[i] = found[0].Points
		}
	}
	values := make([]fleet.Value, 0, len(metrics))
	for {
		var at time.Time
		for _, left := range points {
			if len(left) > 0 && (at.IsZero() || left[0].Time.Before(at)) {
				at = left[0].Time
			}
		}
		if at.IsZero() {
			return ctx.Err()
		}
		values = values[:0]
		for i, left := range points {
			if len(left) > 0 && left[0].Time.Equal(at) {
				values = append(values, fleet.Value{Metric: metrics[i], Value: left[0].Value})
				points[i] = left[1:]
			}
		}
		if err := each(at, values); err != nil {
			return err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// countedAlarms counts anomalies of the live fleet for the Runner.
type countedAlarms struct {
	store  *store.Store
	kiosks func() int // that are watched
}

// Alarms implements train.Counter.
func (c countedAlarms) Alarms(ctx context.Context, from, to time.Time) (train.Alarms, error) {
	n, err := c.store.CountAnomalies(ctx, from, to)
	return train.Alarms{Opened: n, Kiosks: c.kiosks(), Time: to.Sub(from)}, err
}

// watchConfig is how kiosks are watched.
func (c *Config) watchConfig() watch.Config {
	w := watch.Default()
	w.Budget, w.Detect.Trees = c.Anomaly.Budget, c.Anomaly.Trees
	return w
}

// trainingOptions are what the configuration says of trainings.
func (c *Config) trainingOptions() train.Options {
	r := &c.Anomaly.Retrain
	return train.Options{Kiosks: r.Kiosks, MinKioskDays: r.MinKioskDays, Step: r.Step, Watch: c.watchConfig()}
}

// newTrainer returns what trains models by the schedule and on demand.
func (a *App) newTrainer(series telemetry.Store, models *model.Registry) *train.Runner {
	r := &a.cfg.Anomaly.Retrain
	return train.NewRunner(train.RunnerConfig{
		Source: history{a.registry.All, a.modelOf, series, a.store}, Registry: models,
		Counter: countedAlarms{a.store, func() int { return a.anomalies.Stats().Kiosks }},
		Options: a.cfg.trainingOptions(), Window: r.Window, Every: r.Every, Promote: r.Promote, Now: time.Now, Log: a.log,
	})
}

// Training is what a subcommand wants of a training.
type Training struct {
	Folder  string        // of files; empty: the time-series store
	Window  time.Duration // how far back to look; 0: all of the folder, or as configured
	Promote bool
	Actor   string
	// Progress is told what is done, and how far all of it is, 0 to 1.
	Progress func(stage string, done float64)
}

// leastKioskDays is what a training on demand needs: whoever wants it knows what there is.
const leastKioskDays = 2

// TrainModel trains a model, judges it and puts it to work if that is wanted and the gate lets it through. Where a
// server runs on the data folder, which has the embedded time series to itself, it leaves an order for it instead, and
// ordered is true.
func (o *Offline) TrainModel(ctx context.Context, cfg *Config, t Training, log *slog.Logger) (m fleet.Model, ordered bool, err error) {
	models := OpenModels(cfg)
	options := cfg.trainingOptions()
	options.Origin, options.Now, options.MinKioskDays, options.Progress = fleet.ModelManual, time.Now(), leastKioskDays, t.Progress
	var src train.Source
	if t.Folder != "" {
		folder, err := train.OpenFolder(t.Folder)
		if err != nil {
			return m, false, err
		}
		if options.From, options.To, err = folder.Span(); err != nil {
			return m, false, err
		}
		src = folder
	} else {
		options.From, options.To = options.Now.Add(-cfg.Anomaly.Retrain.Window), options.Now
		if cfg.Telemetry.Backend == BackendEmbedded {
			free, release, err := o.serverless(ctx)
			if err != nil {
				return m, false, err
			}
			if !free {
				return m, true, models.Place(ctx, model.Order{At: options.Now, By: t.Actor, Days: t.Window.Hours() / 24, Promote: t.Promote})
			}
			defer release()
		}
		series, err := openSeries(ctx, cfg, nil, log)
		if err != nil {
			return m, false, err
		}
		defer func() {
			if closeErr := series.Close(); err == nil {
				err = closeErr
			}
		}()
		src = history{o.Kiosks.All, o.Kiosks.ModelOf, series, o.store}
	}
	if from := options.To.Add(-t.Window); t.Window > 0 && from.After(options.From) || t.Folder == "" && t.Window > 0 {
		options.From = from
	}
	current, _, err := models.Current(ctx)
	if err != nil {
		return m, false, err
	}
	out, err := train.Make(ctx, src, current, options)
	if err != nil {
		return m, false, err
	}
	m, err = train.Keep(ctx, models, out, current.Version, t.Promote, t.Actor)
	if err == nil {
		err = o.Audit(ctx, t.Actor, "model.train", m.Version, m.Reason)
	}
	return m, false, err
}

// serverless reports whether no server runs on this data folder, and keeps the rollups to itself until release; see
// RebuildRollups.
func (o *Offline) serverless(ctx context.Context) (free bool, release func(), err error) {
	owner, now := uuid.NewString(), time.Now()
	free, err = o.store.LeaseRollups(ctx, owner, now, now.Add(time.Minute))
	return free, func() {
		now := time.Now()
		_, _ = o.store.LeaseRollups(context.WithoutCancel(ctx), owner, now, now) // it runs out by itself
	}, err
}

// EvaluateModels measures models on the labelled kiosks of a folder, or on injected faults where it has no labels.
func EvaluateModels(ctx context.Context, cfg *Config, folder string, models ...*model.File) ([]train.Evaluation, error) {
	trials, err := train.Labelled(folder)
	if err != nil {
		return nil, err
	}
	w := cfg.watchConfig()
	return train.Evaluate(ctx, &w, trials, models...)
}

// EvaluateOnHistory measures models on what kiosks in the time-series store reported of late, with injected faults.
//
// Errors: one that says so while a server has the embedded time series to itself.
func (o *Offline) EvaluateOnHistory(ctx context.Context, cfg *Config, window time.Duration, log *slog.Logger, models ...*model.File) (e []train.Evaluation, err error) {
	if cfg.Telemetry.Backend == BackendEmbedded {
		free, release, err := o.serverless(ctx)
		if err != nil {
			return nil, err
		}
		if !free {
			return nil, errors.New("a server has the embedded time series open; stop it, or evaluate a folder with --data")
		}
		defer release()
	}
	series, err := openSeries(ctx, cfg, nil, log)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := series.Close(); err == nil {
			err = closeErr
		}
	}()
	now := time.Now()
	options := cfg.trainingOptions()
	options.From, options.To = now.Add(-window), now
	return train.EvaluateSource(ctx, history{o.Kiosks.All, o.Kiosks.ModelOf, series, o.store}, options, slices.Clone(models)...)
}
