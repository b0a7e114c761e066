package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
)

// Delays between two tries to open a store that does not say when to come back.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// checkEvery spaces the looks at a Fragile store.
const checkEvery = 200 * time.Millisecond

// Fragile is a Store that lives in this process and on this disk: it may break while it is open, and it
// may have lost points before it was opened.
type Fragile interface {
	Store
	// Check returns why the store must be closed for now; nil while it may stay open.
	Check() error
	// Lost returns what was missing when the store was opened of the points that an earlier Sync had
	// confirmed; empty when nothing was.
	Lost() string
}

// Lazy is a store that is still being opened: until Run has opened it, Append and Range answer
// ErrNotReady, so that the rest of the program need not wait for a long log to be replayed or for a
// server to come back. A store that breaks is closed and opened again in the same way.
//
// When the store that was opened had lost points, the first Append or Sync answers ErrLost and does nothing.
type Lazy struct {
	open   func(context.Context) (Store, error)
	logger *slog.Logger
	broken chan struct{} // holds a token when the store is to be closed and opened again

	// mu guards the fields below.
	mu       sync.RWMutex
	store    Store              // nil until it is open
	appended Store              // the one that was appended to since the last Sync; nil: none was
	lost     bool               // Append has not said yet that points are lost
	lastErr  error              // why the latest try to open failed, or why the store was closed
	cancel   context.CancelFunc // ends Run; nil before it
	done     chan struct{}      // closed when Run has ended; nil before it
	closed   bool
}

// NewLazy returns a store that Run opens by calling open.
func NewLazy(open func(context.Context) (Store, error), logger *slog.Logger) *Lazy {
	return &Lazy{open: open, logger: logger, broken: make(chan struct{}, 1)}
}

// Run opens the store. It tries again after a *RetryAfterError, as long as it takes; any other error of
// the first opening is returned. A Fragile store it watches until ctx or the store ends, and opens again
// whenever it broke; for any other it returns once the store is open. It is called at most once.
func (l *Lazy) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	if !l.begin(cancel, done) {
		return nil
	}
	for first := true; ; first = false {
		store, err := l.tryToOpen(ctx, first)
		if err != nil || store == nil {
			return err
		}
		fragile, watch := store.(Fragile)
		if err := l.opened(store); err != nil || !watch {
			return err
		}
		cause := l.watch(ctx, fragile)
		if ctx.Err() != nil {
			return nil
		}
		l.takeDown(store, cause)
	}
}

// tryToOpen opens the store, however long it takes. Without an error, nil means that ctx has ended.
func (l *Lazy) tryToOpen(ctx context.Context, first bool) (Store, error) {
	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		store, err := l.open(ctx)
		if err == nil {
			return store, nil
		}
		if ctx.Err() != nil {
			return nil, nil //nolint:nilerr // the end was asked for
		}
		var later *RetryAfterError
		if isLater := errors.As(err, &later); !isLater && first {
			return nil, fmt.Errorf("open the time-series store: %w", err)
		} else if isLater && later.After > 0 {
			wait = later.After
		}
		l.failed(err)
		l.logger.Warn("time-series store cannot be opened yet", "error", err, "retry_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
	return nil, nil
}

// watch waits until the store is to be opened again, and returns why, or until ctx ends.
func (l *Lazy) watch(ctx context.Context, store Fragile) error {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.broken:
			l.mu.RLock()
			defer l.mu.RUnlock()
			return l.lastErr
		case <-ticker.C:
			if err := store.Check(); err != nil {
				return err
			}
		}
	}
}

// takeDown closes a store that is of no more use.
func (l *Lazy) takeDown(store Store, cause error) {
	l.mu.Lock()
	if l.store != store { // Close was faster
		l.mu.Unlock()
		return
	}
	l.store, l.lastErr = nil, cause
	l.mu.Unlock()
	l.logger.Error("time-series store is closed and opened again", "error", cause)
	if err := store.Close(); err != nil {
		l.logger.Warn("time-series store did not close cleanly", "error", err)
	}
}

// begin makes the run known to Close; false when the store is closed already.
func (l *Lazy) begin(cancel context.CancelFunc, done chan struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel, l.done = cancel, done
	return !l.closed
}

func (l *Lazy) opened(store Store) error {
	var lost string
	if f, ok := store.(Fragile); ok {
		lost = f.Lost()
	}
	select {
	case <-l.broken: // it was about the one before
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return store.Close() // Close came while it opened, and waits for us
	}
	if lost != "" {
		l.lost = true
		l.logger.Debug("time-series store needs what it had again", "why", lost)
	}
	l.store, l.lastErr = store, nil
	return nil
}

func (l *Lazy) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastErr = err
}

// Ready returns nil once the store is open, before that ErrNotReady with the reason if there is one,
// and ErrClosed in the end.
func (l *Lazy) Ready() error {
	_, err := l.get()
	return err
}

func (l *Lazy) get() (Store, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.store != nil:
		return l.store, nil
	case l.lastErr != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotReady, l.lastErr)
	}
	return nil, ErrNotReady
}

// noted passes an error on and has a store opened again that is broken.
func (l *Lazy) noted(store Store, err error) error {
	var broken *BrokenError
	if !errors.As(err, &broken) {
		return err
	}
	l.mu.Lock()
	current := l.store == store
	if current {
		l.lastErr = broken.Err
	}
	l.mu.Unlock()
	if current {
		select {
		case l.broken <- struct{}{}:
		default:
		}
	}
	return err
}

// Append passes the readings on, or answers ErrNotReady, or once ErrLost.
func (l *Lazy) Append(ctx context.Context, readings []fleet.Reading) error {
	store, err := l.get()
	if err != nil {
		return err
	}
	l.mu.Lock()
	lost := l.lost
	l.lost = false
	if l.appended == nil && !lost {
		l.appended = store
	}
	l.mu.Unlock()
	if lost {
		return ErrLost
	}
	return l.noted(store, store.Append(ctx, readings))
}

// Range passes the query on, or answers ErrNotReady.
func (l *Lazy) Range(ctx context.Context, q Query) ([]Series, error) {
	store, err := l.get()
	if err != nil {
		return nil, err
	}
	return store.Range(ctx, q)
}

// Summaries passes the question on, or answers ErrNotReady.
func (l *Lazy) Summaries(ctx context.Context, sel Selection, grid Grid, fields Fields, add func(KioskWindows) error) error {
	store, err := l.get()
	if err != nil {
		return err
	}
	return store.Summaries(ctx, sel, grid, fields, add)
}

// Metrics passes the question on, or answers ErrNotReady.
func (l *Lazy) Metrics(ctx context.Context) ([]string, error) {
	store, err := l.get()
	if err != nil {
		return nil, err
	}
	return store.Metrics(ctx)
}

// errReopened is the answer to a Sync when something was appended to a store that was closed since.
var errReopened = errors.New("the time-series store was opened again meanwhile")

// Sync implements Store. It fails when the store was opened again since the last one: nobody knows then
// whether all that was appended is on disk.
func (l *Lazy) Sync(ctx context.Context) error {
	store, err := l.get()
	if err != nil {
		return err
	}
	l.mu.Lock()
	appended, lost := l.appended, l.lost
	l.appended, l.lost = nil, false
	l.mu.Unlock()
	if lost {
		return ErrLost
	}
	if appended != nil && appended != store {
		return errReopened
	}
	return l.noted(store, store.Sync(ctx))
}

// Close ends Run, waits for it, and closes the store if it was open.
func (l *Lazy) Close() error {
	l.mu.Lock()
	store, cancel, done := l.store, l.cancel, l.done
	l.store, l.closed = nil, true
	l.mu.Unlock()

	if done != nil {
		cancel()
		<-done // an opening that cannot be interrupted closes its own store
	}
	if store == nil {
		return nil
	}
	return store.Close()
}
