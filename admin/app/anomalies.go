package app

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/derived"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// anomalyFolder is where the detectors' states are, in the data folder.
const anomalyFolder = "anomaly"

// openAnomalies wires the detectors; alerts and ingest are opened later, before the first reading comes.
func (a *App) openAnomalies(ctx context.Context, metrics prometheus.Registerer) error {
	states, err := anomaly.OpenFiles(a.cfg.path(anomalyFolder))
	if err != nil {
		return err
	}
	if a.anomalies, err = anomaly.New(ctx, anomaly.Config{
		Kiosks: a.registry, Keeper: a.store, Words: a.store, Scores: journalScores{a}, States: states, ModelOf: a.modelOf,
		Resting: func(serial string, at time.Time) bool { return a.alerts.desk.InMaintenance(serial, at) },
		Detect:  a.cfg.watchConfig(), Disabled: !a.cfg.Anomaly.Enabled, SnapshotEvery: a.cfg.Anomaly.SnapshotEvery, Now: time.Now, Log: a.log,
	}); err != nil {
		return err
	}
	registerAnomalies(metrics, a.anomalies)
	a.models = OpenModels(a.cfg)
	return nil
}

// modelsEvery is how soon a model is at work that another process has promoted.
const modelsEvery = 2 * time.Second

// followModels puts the model at work to work, calls ready, then puts each one to work that is promoted, by whichever
// process, until ctx ends.
func (a *App) followModels(ctx context.Context, ready func()) {
	once := sync.OnceFunc(ready)
	defer once()
	a.models.Follow(ctx, modelsEvery, a.log, func(f *model.File) {
		a.anomalies.UseModel(anomaly.Model{Version: f.Version, Prior: f.PriorFor})
		a.log.Info("model at work", "model", f.Version)
		once()
	})
}

// modelOf returns the model of a kiosk: that of its registration, or what it says of itself.
func (a *App) modelOf(serial string) string {
	if m := a.registry.ModelOf(serial); m != "" {
		return m
	}
	return a.tracker.Get(serial).Model
}

// journalScores takes scores into the journal.
type journalScores struct{ app *App }

// AcceptScores implements anomaly.Scores.
func (j journalScores) AcceptScores(scores []fleet.KioskScore) error {
	return j.app.ingest.AcceptScores(scores)
}

// computed is what rules see of a kiosk besides what it reports.
type computed struct {
	derived.Of
	anomalies *anomaly.Watch
	serial    string
}

var _ rule.DerivedTexts = computed{}

// Value implements rule.Derived.
func (c computed) Value(name string) (float64, bool) {
	if name == fleet.AnomalyMetric {
		return c.anomalies.Score(c.serial)
	}
	return c.Of.Value(name)
}

// Text implements rule.DerivedTexts.
func (c computed) Text(name string) (string, bool) {
	a, ok := c.anomalies.Open(c.serial)
	switch {
	case !ok:
	case name == "anomaly.text":
		return a.Text, a.Text != ""
	case name == "anomaly.sensors":
		var titles []string
		for _, metric := range a.MainMetrics() {
			titles = append(titles, metricTitle(metric))
		}
		return strings.Join(titles, ", "), len(titles) > 0
	}
	return "", false
}

// metricTitle is what people call a metric.
func metricTitle(metric string) string {
	if m, ok := protocol.LookupMetric(metric); ok {
		return m.Text
	}
	return metric
}

// registerAnomalies adds what is counted of the detectors to the metrics.
func registerAnomalies(metrics prometheus.Registerer, w *anomaly.Watch) {
	counter := func(name, help string, value func(s *anomaly.Stats) float64) {
		metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "kioskfleet_anomaly_" + name, Help: help}, func() float64 {
			s := w.Stats()
			return value(&s)
		}))
	}
	gauge := func(name, help string, value func(s *anomaly.Stats) float64) {
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kioskfleet_anomaly_" + name, Help: help}, func() float64 {
			s := w.Stats()
			return value(&s)
		}))
	}
	gauge("open", "Anomalies that go on.", func(s *anomaly.Stats) float64 { return float64(s.Open) })
	gauge("states", "Kiosks of which something is learnt.", func(s *anomaly.Stats) float64 { return float64(s.Kiosks) })
	gauge("snapshot_bytes", "Size of all snapshots of what was learnt, as they were written last.", func(s *anomaly.Stats) float64 { return float64(s.SnapshotBytes) })
	counter("opened_total", "Anomalies that opened.", func(s *anomaly.Stats) float64 { return float64(s.Opened) })
	counter("scored_readings_total", "Readings that were scored.", func(s *anomaly.Stats) float64 { return float64(s.Steps) })
	counter("score_seconds_total", "Time that scoring took.", func(s *anomaly.Stats) float64 { return s.StepTime.Seconds() })
	counter("late_readings_total", "Readings that were not looked at, because they were older than another of their kiosk.", func(s *anomaly.Stats) float64 { return float64(s.Late) })
	counter("resting_readings_total", "Readings that were not looked at, because their kiosk was blocked or being worked on.", func(s *anomaly.Stats) float64 { return float64(s.Resting) })
	counter("skipped_values_total", "Values that were not looked at, because their kiosk reports more metrics than are watched.", func(s *anomaly.Stats) float64 { return float64(s.Skipped) })
	counter("scores_dropped_total", "Scores that are not in the time series, because the journal did not take them.", func(s *anomaly.Stats) float64 { return float64(s.ScoresDropped) })
	counter("snapshots_total", "Snapshots that were written, each of a part of the kiosks.", func(s *anomaly.Stats) float64 { return float64(s.Snapshots) })
	counter("snapshot_failures_total", "Snapshots that could not be written.", func(s *anomaly.Stats) float64 { return float64(s.SnapshotsFailed) })
	counter("snapshot_seconds_total", "Time that snapshots took.", func(s *anomaly.Stats) float64 { return s.SnapshotTime.Seconds() })
}
