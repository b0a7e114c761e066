package app

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"kioskfleet/admin/api"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/rollup"
)

// openRollups puts rollups around a time-series store.
func openRollups(ctx context.Context, cfg *Config, inner telemetry.Store, repository *store.Store, log *slog.Logger) (*rollup.Store, error) {
	return rollup.Open(ctx, rollup.Config{
		Inner: inner, Repository: repository, Owner: uuid.NewString(), Now: time.Now, Log: log,
		History: cfg.Telemetry.Retention, Retention: cfg.Telemetry.Rollups,
	})
}

// metricsFor is how long the list of stored metrics is good; one that is not in it is looked for again after
// metricsAgain.
const (
	metricsFor   = time.Minute
	metricsAgain = 2 * time.Second
)

// atOnce is how many questions are answered at once, others wait for their turn: one may hold some 100 MB meanwhile.
func atOnce() int { return max(8, 4*runtime.GOMAXPROCS(0)) }

// questions lets the API ask the time-series store.
type questions struct {
	store *rollup.Store
	now   func() time.Time
	turns chan struct{} // one for each question that is being answered

	mu    sync.Mutex // guards the rest
	names []string   // of stored metrics
	asked time.Time  // when
}

func newQuestions(s *rollup.Store, now func() time.Time) *questions {
	return &questions{store: s, now: now, turns: make(chan struct{}, atOnce())}
}

// Range implements api.Series.
func (q *questions) Range(ctx context.Context, r api.Range) (api.Answer, error) {
	query := telemetry.Query{
		Metric: r.Metric, Serials: r.Serials, From: r.From, To: r.To, Step: r.Step, Aggregate: telemetry.Aggregate(r.Aggregate), Zone: r.Zone,
	}
	for _, g := range r.Groups {
		query.Groups = append(query.Groups, telemetry.Group(g))
	}
	select {
	case q.turns <- struct{}{}:
		defer func() { <-q.turns }()
	case <-ctx.Done():
		return api.Answer{}, fmt.Errorf("wait for the turn of a question for %s: %w", r.Metric, ctx.Err())
	}
	found, origin, err := q.store.Answer(ctx, query)
	if err != nil {
		return api.Answer{}, err
	}
	out := api.Answer{Source: string(origin), Series: make([]api.NamedSeries, len(found))}
	for i, s := range found {
		points := make([]api.Point, len(s.Points))
		for j, p := range s.Points {
			points[j] = api.Point(p)
		}
		out.Series[i] = api.NamedSeries{Name: s.Serial, Points: points}
	}
	return out, nil
}

// Metrics implements api.Series.
func (q *questions) Metrics(ctx context.Context, missing string) ([]string, error) {
	q.mu.Lock()
	names, age := q.names, q.now().Sub(q.asked)
	q.mu.Unlock()
	if age < metricsFor && (slices.Contains(names, missing) || age < metricsAgain) {
		return names, nil
	}
	names, err := q.store.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.names, q.asked = names, q.now()
	return names, nil
}

// RebuildRollups marks the days from the first to the last, of one kiosk or of all when the serial is empty,
// to be made again from raw readings. When no server works on this data folder it makes them right away;
// otherwise the server does so within a minute. Whose turn it is says the lease in the database, which a
// server holds while it runs and for three minutes if it is killed.
func (o *Offline) RebuildRollups(ctx context.Context, cfg *Config, serial string, first, last time.Time, log *slog.Logger) (days int, done bool, err error) {
	const day = 24 * time.Hour
	var marks []fleet.RollupMark
	for at := first.Truncate(day); !at.After(last); at = at.Add(day) {
		marks = append(marks, fleet.RollupMark{Serial: serial, Day: at.Unix() / int64(day/time.Second)})
	}
	if err := o.store.MarkRollups(ctx, marks); err != nil {
		return 0, false, err
	}
	owner, now := uuid.NewString(), time.Now()
	free, err := o.store.LeaseRollups(ctx, owner, now, now.Add(time.Minute))
	if err != nil || !free {
		return len(marks), false, err
	}
	defer func() {
		now := time.Now()
		if _, leaseErr := o.store.LeaseRollups(context.WithoutCancel(ctx), owner, now, now); err == nil {
			err = leaseErr
		}
	}()
	inner, err := openSeries(ctx, cfg, nil, log)
	if err != nil {
		return len(marks), false, err
	}
	defer func() {
		if closeErr := inner.Close(); err == nil {
			err = closeErr
		}
	}()
	rollups, err := rollup.Open(ctx, rollup.Config{
		Inner: inner, Repository: o.store, Owner: owner, Now: time.Now, Log: log, History: cfg.Telemetry.Retention, Retention: cfg.Telemetry.Rollups,
	})
	if err != nil {
		return len(marks), false, err
	}
	return len(marks), true, rollups.Work(ctx)
}
