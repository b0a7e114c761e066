package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/train"
	"kioskfleet/admin/api"
	"kioskfleet/admin/fleet"
)

// tellAnomalies passes what happens to anomalies on to the live stream.
func (a *App) tellAnomalies() {
	a.anomalies.Observe(func(events []fleet.AnomalyEvent) {
		for _, e := range events {
			a.hub.Anomaly(e)
		}
	})
}

// models lets the API keep the models. Who puts one to work is in the audit log, as everything that people do.
type models struct {
	*model.Registry
	audit func(ctx context.Context, now time.Time, actor, action, target, detail string) error
}

// Promote implements api.Models.
func (m models) Promote(ctx context.Context, version, actor string) (fleet.Model, error) {
	promoted, err := m.Registry.Promote(ctx, version, actor)
	return promoted, m.changed(ctx, err, actor, "model.promote", version)
}

// Rollback implements api.Models.
func (m models) Rollback(ctx context.Context, actor string) (fleet.Model, error) {
	back, err := m.Registry.Rollback(ctx, actor)
	return back, m.changed(ctx, err, actor, "model.rollback", back.Version)
}

// changed notes a change that was made. A file that cannot be used is a fault of what was asked for, not of the server.
func (m models) changed(ctx context.Context, err error, actor, action, version string) error {
	switch {
	case errors.Is(err, model.ErrDamaged), errors.Is(err, model.ErrForeign):
		return fleet.Invalid("version", "%v", err)
	case err != nil:
		return err
	}
	if err := m.audit(ctx, time.Now(), actor, action, version, ""); err != nil {
		return fmt.Errorf("model %s is at work, but the audit log does not say so: %w", version, err)
	}
	return nil
}

// trainer lets the API train models.
type trainer struct{ runner *train.Runner }

func (t trainer) Train(ctx context.Context, actor string) (bool, error) {
	return t.runner.Train(ctx, actor)
}

func (t trainer) Training() api.Training { return api.Training(t.runner.Training()) }
