package rollup_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/rollup"
)

// eager is a store whose clock is a little ahead of the newest reading, and which rolls up after each append
// whatever it can.
type eager struct {
	*rollup.Store
	t       testing.TB
	inner   telemetry.Store
	repo    rollup.Repository
	origins *origins

	once   sync.Once // opens
	opened atomic.Bool

	mu  sync.Mutex
	now time.Time
}

// origins counts what answers were made of.
type origins struct {
	mu     sync.Mutex
	counts map[rollup.Origin]int
}

func openRepository(t testing.TB, file string) *store.Store {
	t.Helper()
	repo, err := store.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = repo.Close() })
	return repo
}

// newEager returns an eager store; history is rolled up from two weeks before the first reading on.
func newEager(t testing.TB, inner telemetry.Store, repo rollup.Repository, now time.Time) *eager {
	t.Helper()
	e := &eager{t: t, inner: inner, repo: repo, origins: &origins{counts: map[rollup.Origin]int{}}, now: now}
	if !now.IsZero() {
		e.open()
	}
	return e
}

func (e *eager) clock() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *eager) open() {
	e.t.Helper()
	s, err := rollup.Open(e.t.Context(), rollup.Config{
		Inner: e.inner, Repository: e.repo, Owner: "test", Now: e.clock, History: 14 * 24 * time.Hour, Retention: 10_000 * time.Hour, Every: time.Nanosecond, Lag: time.Nanosecond,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.Store = s
	e.opened.Store(true)
}

func (e *eager) Append(ctx context.Context, readings []fleet.Reading) error {
	e.mu.Lock()
	for i := range readings {
		if at := readings[i].Time; at.After(e.now) && at.Year() < 2100 && at.Year() > 2000 {
			e.now = at.Add(12 * time.Minute)
		}
	}
	if e.now.IsZero() {
		e.now = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	}
	e.mu.Unlock()
	e.once.Do(func() {
		if e.Store == nil {
			e.open()
		}
	})
	err := e.Store.Append(ctx, readings)
	if err == nil {
		if err := e.Work(ctx); err != nil {
			e.t.Errorf("Work: %v", err)
		}
	}
	return err
}

func (e *eager) Range(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error) {
	if !e.opened.Load() {
		return e.inner.Range(ctx, q)
	}
	all, origin, err := e.Answer(ctx, q)
	e.origins.mu.Lock()
	defer e.origins.mu.Unlock()
	e.origins.counts[origin]++
	return all, err
}

func (e *eager) Metrics(ctx context.Context) ([]string, error) { return e.inner.Metrics(ctx) }

func (e *eager) Close() error {
	return e.inner.Close()
}
