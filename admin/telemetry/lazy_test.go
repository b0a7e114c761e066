package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
)

type fakeStore struct{ appended, closed int }

func (f *fakeStore) Append(context.Context, []fleet.Reading) error { f.appended++; return nil }
func (f *fakeStore) Range(context.Context, Query) ([]Series, error) {
	return []Series{{Serial: "K"}}, nil
}
func (f *fakeStore) Summaries(context.Context, Selection, Grid, Fields, func(KioskWindows) error) error {
	return nil
}
func (f *fakeStore) Metrics(context.Context) ([]string, error) { return nil, nil }
func (f *fakeStore) Sync(context.Context) error                { return nil }
func (f *fakeStore) Close() error                              { f.closed++; return nil }

var quiet = slog.New(slog.DiscardHandler)

func TestALazyStoreIsNotReadyUntilItIsOpen(t *testing.T) {
	inner, proceed := &fakeStore{}, make(chan struct{})
	lazy := NewLazy(func(context.Context) (Store, error) { <-proceed; return inner, nil }, quiet)
	if err := lazy.Append(t.Context(), nil); !errors.Is(err, ErrNotReady) {
		t.Errorf("Append before Run: %v, want ErrNotReady", err)
	}
	done := make(chan error)
	go func() { done <- lazy.Run(t.Context()) }()
	if _, err := lazy.Range(t.Context(), Query{}); !errors.Is(err, ErrNotReady) {
		t.Errorf("Range while opening: %v, want ErrNotReady", err)
	}
	close(proceed)
	if err := <-done; err != nil {
		t.Fatalf("Run: %v", err)
	}
	if err := lazy.Ready(); err != nil {
		t.Errorf("Ready once open: %v", err)
	}
	if err := lazy.Append(t.Context(), nil); err != nil || inner.appended != 1 {
		t.Errorf("Append once open: %v, %d appends reached the store", err, inner.appended)
	}
	if series, err := lazy.Range(t.Context(), Query{}); err != nil || len(series) != 1 {
		t.Errorf("Range once open: %v, %v", series, err)
	}
	if err := lazy.Close(); err != nil || inner.closed != 1 {
		t.Errorf("Close: %v, the store was closed %d times", err, inner.closed)
	}
	if err := lazy.Close(); err != nil || inner.closed != 1 {
		t.Errorf("Close again: %v, the store was closed %d times", err, inner.closed)
	}
	if err := lazy.Append(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v, want ErrClosed", err)
	}
}

func TestALazyStoreRetriesWhatPassesAndReturnsWhatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone, wrong := errors.New("connection refused"), errors.New("bad password")
		began := time.Now()
		var tries []time.Duration
		var lazy *Lazy
		lazy = NewLazy(func(context.Context) (Store, error) {
			tries = append(tries, time.Since(began))
			switch len(tries) {
			case 1, 2:
				return nil, &RetryAfterError{Err: gone}
			case 3:
				if err := lazy.Ready(); !errors.Is(err, ErrNotReady) || !errors.Is(err, gone) {
					t.Errorf("Ready between two tries: %v, want ErrNotReady and the reason", err)
				}
				return nil, &RetryAfterError{After: time.Minute, Err: gone}
			}
			return nil, wrong
		}, quiet)
		if err := lazy.Run(t.Context()); !errors.Is(err, wrong) {
			t.Errorf("Run: %v, want %v", err, wrong)
		}
		want := []time.Duration{0, time.Second, 3 * time.Second, 63 * time.Second}
		if len(tries) != len(want) {
			t.Fatalf("%d tries, want %d", len(tries), len(want))
		}
		for i := range want {
			if tries[i] != want[i] {
				t.Errorf("try %d after %v, want %v", i, tries[i], want[i])
			}
		}
	})
}

func TestClosingALazyStoreWhileItOpensClosesWhatWasOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, proceed := &fakeStore{}, make(chan struct{})
		lazy := NewLazy(func(context.Context) (Store, error) { <-proceed; return inner, nil }, quiet)
		ran, closed := make(chan error, 1), make(chan error, 1)
		go func() { ran <- lazy.Run(t.Context()) }()
		synctest.Wait()
		go func() { closed <- lazy.Close() }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("Close did not wait for the opening")
		}
		close(proceed)
		if err := <-closed; err != nil || inner.closed != 1 {
			t.Errorf("Close: %v, the store was closed %d times", err, inner.closed)
		}
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestALazyStoreStopsRetryingWhenItEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Lazy, context.CancelFunc)
	}{
		{"its context", func(_ *Lazy, cancel context.CancelFunc) { cancel() }},
		{"Close", func(l *Lazy, _ context.CancelFunc) {
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lazy := NewLazy(func(context.Context) (Store, error) {
					return nil, &RetryAfterError{After: time.Hour, Err: errors.New("gone")}
				}, quiet)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ran := make(chan error, 1)
				go func() { ran <- lazy.Run(ctx) }()
				synctest.Wait()
				began := time.Now()
				c.end(lazy, cancel)
				if err := <-ran; err != nil || time.Since(began) != 0 {
					t.Errorf("Run: %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// fragile is a store that breaks and loses on demand.
type fragile struct {
	fakeStore
	lost string

	mu      sync.Mutex // guards the rest
	err     error      // of Append
	failing error      // of Check
}

func (f *fragile) fail(err, check error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.failing = err, check
}

func (f *fragile) Append(ctx context.Context, r []fleet.Reading) error {
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.fakeStore.Append(ctx, r)
}
func (f *fragile) Lost() string { return f.lost }
func (f *fragile) Check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failing
}

// run runs a lazy store over the given ones, one after the other; each opening takes a second.
func run(t *testing.T, stores ...*fragile) *Lazy {
	t.Helper()
	lazy := NewLazy(func(context.Context) (Store, error) {
		time.Sleep(time.Second)
		if len(stores) == 0 {
			return nil, &RetryAfterError{Err: errors.New("no more")}
		}
		s := stores[0]
		stores = stores[1:]
		return s, nil
	}, quiet)
	done := make(chan error, 1)
	go func() { done <- lazy.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := lazy.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	time.Sleep(1100 * time.Millisecond)
	synctest.Wait()
	return lazy
}

// A sync without an append must not confirm a store that has lost something.
func TestASyncTellsOfALossToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := run(t, &fragile{lost: "the latest hours"})
		if err := l.Sync(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("Sync = %v, want to be told of the loss", err)
		}
		if err := l.Append(t.Context(), nil); err != nil {
			t.Errorf("Append = %v", err)
		}
	})
}

func TestABrokenStoreIsOpenedAgain(t *testing.T) {
	noSpace := errors.New("no space left on device")
	for name, breakIt := range map[string]func(*testing.T, *Lazy, *fragile){
		"by an append": func(t *testing.T, l *Lazy, f *fragile) {
			f.fail(&BrokenError{Err: noSpace}, nil)
			if err := l.Append(t.Context(), nil); !errors.Is(err, noSpace) {
				t.Errorf("Append = %v", err)
			}
		},
		"by a check": func(_ *testing.T, _ *Lazy, f *fragile) { f.fail(nil, noSpace) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := &fragile{}, &fragile{lost: "the latest hours"}
				l := run(t, first, second)
				if err := l.Append(t.Context(), nil); err != nil || first.appended != 1 {
					t.Fatalf("Append = %v", err)
				}
				breakIt(t, l, first)
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				if err := l.Append(t.Context(), nil); !errors.Is(err, ErrNotReady) || !errors.Is(err, noSpace) {
					t.Errorf("while it is opened again: %v, want not ready, and why", err)
				}
				if first.closed != 1 {
					t.Errorf("the broken one was closed %d times", first.closed)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if err := l.Append(t.Context(), nil); !errors.Is(err, ErrLost) || second.appended != 0 {
					t.Errorf("the first append afterwards: %v, %d reached the store; want to be told of the loss", err, second.appended)
				}
				if err := l.Sync(t.Context()); err == nil {
					t.Error("a sync confirms what went to the store before")
				}
				if err := l.Append(t.Context(), nil); err != nil || second.appended != 1 {
					t.Errorf("the next one: %v", err)
				}
				if err := l.Sync(t.Context()); err != nil {
					t.Errorf("sync: %v", err)
				}
			})
		})
	}
}
