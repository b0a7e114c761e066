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

// Lazy is a store that is still being opened: until Run has opened it, Append and Range answer
// ErrNotReady, so that the rest of the program need not wait for a long log to be replayed or for a
// server to come back.
type Lazy struct {
	open   func(context.Context) (Store, error)
	logger *slog.Logger

	// mu guards the fields below.
	mu      sync.RWMutex
	store   Store              // nil until it is open
	lastErr error              // why the latest try to open failed
	cancel  context.CancelFunc // ends Run; nil before it
	done    chan struct{}      // closed when Run has ended; nil before it
	closed  bool
}

// NewLazy returns a store that Run opens by calling open.
func NewLazy(open func(context.Context) (Store, error), logger *slog.Logger) *Lazy {
	return &Lazy{open: open, logger: logger}
}

// Run opens the store and returns nil once that is done, or when ctx or the store ends first. It tries
// again after a *RetryAfterError, as long as it takes; any other error of opening is returned. It is
// called at most once.
func (l *Lazy) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	if !l.begin(cancel, done) {
		return nil
	}

	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		store, err := l.open(ctx)
		if err == nil {
			return l.opened(store)
		}
		var later *RetryAfterError
		if ctx.Err() != nil {
			return nil
		}
		if !errors.As(err, &later) {
			return fmt.Errorf("open the time-series store: %w", err)
		}
		l.failed(err)
		if later.After > 0 {
			wait = later.After
		}
		l.logger.Warn("time-series store cannot be opened yet", "error", err, "retry_in", wait)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
	return nil
}

// begin makes the run known to Close; false when the store is closed already.
func (l *Lazy) begin(cancel context.CancelFunc, done chan struct{}) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel, l.done = cancel, done
	return !l.closed
}

func (l *Lazy) opened(store Store) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return store.Close() // Close came while it opened, and waits for us
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

// Append passes the readings on, or answers ErrNotReady.
func (l *Lazy) Append(ctx context.Context, readings []fleet.Reading) error {
	store, err := l.get()
	if err != nil {
		return err
	}
	return store.Append(ctx, readings)
}

// Range passes the query on, or answers ErrNotReady.
func (l *Lazy) Range(ctx context.Context, q Query) ([]Series, error) {
	store, err := l.get()
	if err != nil {
		return nil, err
	}
	return store.Range(ctx, q)
}

// Sync implements Store.
func (l *Lazy) Sync(ctx context.Context) error {
	store, err := l.get()
	if err != nil {
		return err
	}
	return store.Sync(ctx)
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
