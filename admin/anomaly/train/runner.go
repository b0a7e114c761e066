package train

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/fleet"
)

// Counter counts what the live fleet did.
type Counter interface {
	// Alarms returns the anomalies that opened in [from, to) and the kiosks that are watched.
	Alarms(ctx context.Context, from, to time.Time) (Alarms, error)
}

// RunnerConfig says what a Runner works on.
type RunnerConfig struct {
	Source   Source
	Registry *model.Registry
	Counter  Counter
	// Options are those of each training; the Runner sets From, To, Now, Origin and Progress. Without a Rest it rests
	// as long as it works, so that half a processor stays free.
	Options Options
	Window  time.Duration // how far back a training looks
	Every   time.Duration // how often one is due; 0: only on demand
	Promote bool          // put a scheduled model that the gate lets through to work
	Now     func() time.Time
	Log     *slog.Logger
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

// Runner trains models by the clock and on demand, one at a time, and rolls one back whose alarms are too many.
type Runner struct {
	cfg     RunnerConfig
	started time.Time
	orders  chan model.Order // at most one waits: while a training runs no other is taken
	makes   func(ctx context.Context, src Source, current *model.File, o Options) (*Outcome, error)

	mu     sync.Mutex // guards the rest
	state  Training
	failed time.Time // when a training last came to nothing
}

// NewRunner returns a Runner that does nothing before Run.
func NewRunner(cfg RunnerConfig) *Runner {
	if cfg.Options.Rest == nil {
		cfg.Options.Rest = rest
	}
	return &Runner{cfg: cfg, started: cfg.Now(), orders: make(chan model.Order, 1), makes: Make}
}

// rest pauses for as long as the work took.
func rest(ctx context.Context, worked time.Duration) error {
	timer := time.NewTimer(worked)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// How often the Runner looks at the clock and for orders, and at the live fleet.
const (
	lookEvery  = 10 * time.Second
	judgeEvery = time.Hour
)

// schedule is who starts a training by the clock.
const schedule = "schedule"

// Run trains and watches until ctx ends. A training that fails is told to the log and tried again later.
func (r *Runner) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case o := <-r.orders:
				r.train(ctx, o)
			}
		}
	})
	group.Go(func() error {
		r.look(ctx)
		return nil
	})
	return group.Wait()
}

// look starts what is due or ordered and judges the model at work.
func (r *Runner) look(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var over watchful
	judged := r.cfg.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := r.cfg.Now()
		if err := r.start(ctx, now); err != nil {
			r.cfg.Log.Error("no training started", "error", err)
		}
		if now.Sub(judged) < judgeEvery {
			continue
		}
		judged = now
		if err := r.judge(ctx, now, &over); err != nil {
			r.cfg.Log.Error("model at work not judged", "error", err)
		}
	}
}

// start begins a training that somebody left an order for, or that is due.
func (r *Runner) start(ctx context.Context, now time.Time) error {
	if r.Training().Running {
		return nil
	}
	order, err := r.cfg.Registry.Take(ctx)
	if err != nil {
		return err
	}
	if order != nil {
		r.begin(*order)
		return nil
	}
	models, err := r.cfg.Registry.Models(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	failed := r.failed
	r.mu.Unlock()
	if at, ever := Due(r.started, newest(models), failed, r.cfg.Every); ever && !now.Before(at) {
		r.begin(model.Order{At: now, By: schedule, Promote: r.cfg.Promote})
	}
	return nil
}

// Train starts a training that goes on when the call returns; false says that one runs already. Its model is a
// candidate: putting it to work is for the one who ordered it.
func (r *Runner) Train(_ context.Context, actor string) (started bool, err error) {
	return r.begin(model.Order{At: r.cfg.Now(), By: actor}), nil
}

// begin hands an order over unless a training runs.
func (r *Runner) begin(o model.Order) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Running {
		return false
	}
	r.state = Training{Running: true, Stage: "starting", StartedAt: r.cfg.Now(), StartedBy: o.By}
	if o.By == schedule {
		r.state.StartedBy = ""
	}
	r.orders <- o // has room: nothing is sent while one runs
	return true
}

// Training returns how the training does.
func (r *Runner) Training() Training {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *Runner) update(f func(*Training)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.state)
}

// train makes a model and does with it what the gate and the order say.
func (r *Runner) train(ctx context.Context, o model.Order) {
	m, err := r.make(ctx, o)
	now := r.cfg.Now()
	r.update(func(t *Training) {
		t.Running, t.FinishedAt, t.Version = false, now, m.Version
		t.Stage, t.Progress = "finished", 1
		if err != nil {
			t.Error = err.Error()
			r.failed = now
		}
	})
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrTooLittle):
		r.cfg.Log.Info("no model trained yet", "reason", err.Error())
	case err != nil:
		r.cfg.Log.Error("no model trained", "error", err)
	default:
		r.cfg.Log.Info("model trained", "model", m.Version, "state", m.State, "reason", m.Reason)
	}
}

func (r *Runner) make(ctx context.Context, o model.Order) (m fleet.Model, err error) {
	current, _, err := r.cfg.Registry.Current(ctx)
	if err != nil {
		return m, err
	}
	options := r.cfg.Options
	options.Now, options.To = r.cfg.Now(), r.cfg.Now()
	options.From = options.To.Add(-r.cfg.Window)
	if o.Days > 0 {
		options.From = options.To.Add(-time.Duration(o.Days * float64(24*time.Hour)))
	}
	options.Origin = fleet.ModelManual
	if o.By == schedule {
		options.Origin = fleet.ModelScheduled
	}
	options.Progress = func(stage string, done float64) {
		r.update(func(t *Training) { t.Stage, t.Progress = stage, done })
	}
	out, err := r.makes(ctx, r.cfg.Source, current, options)
	if err != nil {
		return m, err
	}
	return Keep(ctx, r.cfg.Registry, out, current.Version, o.Promote, o.By)
}

// Keep puts a new model into the registry and, if that is wanted and the gate lets it through, to work in the place of
// the one that it was compared with.
func Keep(ctx context.Context, r *model.Registry, out *Outcome, current string, promote bool, actor string) (fleet.Model, error) {
	m, err := r.Add(ctx, out.File, out.State(), out.Reason, actor)
	if err != nil || !promote || !out.Promote {
		return m, err
	}
	return r.PromoteFor(ctx, m.Version, current, out.Reason, actor)
}

// judge rolls the model at work back if its alarms are too many.
func (r *Runner) judge(ctx context.Context, now time.Time, over *watchful) error {
	f, _, err := r.cfg.Registry.Current(ctx)
	if err != nil {
		return err
	}
	promoted := f.ChangedAt
	if f.Origin == fleet.ModelBuiltIn || promoted.IsZero() || now.Sub(promoted) > probation {
		return nil
	}
	from := now.Add(-measured)
	if from.Before(promoted) {
		from = promoted
	}
	live, err := r.cfg.Counter.Alarms(ctx, from, now)
	if err != nil {
		return err
	}
	live.Time = now.Sub(from)
	before, err := r.cfg.Counter.Alarms(ctx, promoted.Add(-measured), promoted)
	if err != nil {
		return err
	}
	before.Time = measured
	why, back := over.look(now, &f.Model, live, before, r.cfg.Options.Watch.Budget)
	if !back {
		return nil
	}
	m, err := r.cfg.Registry.RollbackFor(ctx, f.Version, "too many alarms: "+why, schedule)
	if err != nil {
		return err
	}
	r.cfg.Log.Warn("model rolled back", "model", f.Version, "current", m.Version, "reason", why)
	return nil
}
