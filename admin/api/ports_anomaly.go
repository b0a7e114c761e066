package api

import (
	"context"
	"time"

	"kioskfleet/admin/fleet"
)

// The interfaces below are what the API needs to serve anomalies and the models that find them; admin/app connects
// them as it does those of ports.go. Their errors are those of fleet.

// AnomalyLists reads what was unusual.
type AnomalyLists interface {
	Anomaly(ctx context.Context, id string) (fleet.Anomaly, error)
	// Anomalies returns a page, newest first; next is the cursor of the page after it, empty after the last.
	Anomalies(ctx context.Context, f fleet.AnomalyFilter) (page []fleet.Anomaly, next string, err error)
}

// AnomalyCare says what is unusual now, and learns from what people say of it.
type AnomalyCare interface {
	// Now says how unusual a registered kiosk is; its At is zero while nothing was scored.
	Now(serial string) fleet.AnomalyNow
	// Judge keeps what a person says of an anomaly in the place of what was said before, and tunes by it.
	Judge(ctx context.Context, id string, said fleet.AnomalyFeedback) (fleet.Anomaly, error)
	// Tunings returns what feedback has made of the budgets of metrics, by name.
	Tunings() []fleet.AnomalyTuning
	// ResetTuning lets a metric begin anew at factor 1; fleet.ErrNotFound when there is no feedback about it.
	ResetTuning(ctx context.Context, metric, actor string) error
}

// Models keeps the models and says which one is at work.
type Models interface {
	// Models returns all, newest first.
	Models(ctx context.Context) ([]fleet.Model, error)
	Model(ctx context.Context, version string) (fleet.Model, error)
	// Promote puts a model to work and returns it.
	Promote(ctx context.Context, version, actor string) (fleet.Model, error)
	// Rollback puts the one that was at work before back to work and returns it.
	Rollback(ctx context.Context, actor string) (fleet.Model, error)
}

// Trainer trains a model, one at a time.
type Trainer interface {
	// Train starts a training that goes on when the call returns; false says that one runs already.
	Train(ctx context.Context, actor string) (started bool, err error)
	Training() Training
}

// Training is how a training does: the one that runs, else the last one since the start, else zero.
type Training struct {
	Running    bool
	Stage      string  // what it does, in words
	Progress   float64 // 0 to 1
	StartedAt  time.Time
	StartedBy  string // empty: the schedule
	FinishedAt time.Time
	Version    string // of the model that it made, once it has
	Error      string // why it made none
}
