package app

import (
	"context"
	"time"

	"kioskfleet/admin/anomaly/model"
)

// OpenModels returns the registry of models in the data folder. It touches nothing yet.
func OpenModels(cfg *Config) *model.Registry { return model.Open(cfg.path("models"), time.Now) }

// Audit notes in the audit log what a subcommand did to something that keeps no such log itself.
func (o *Offline) Audit(ctx context.Context, actor, action, target, detail string) error {
	return o.store.Audit(ctx, time.Now(), actor, action, target, detail)
}
