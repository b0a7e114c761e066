package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kioskfleet/admin/api"
	"kioskfleet/admin/fleet"
)

// replayAtOnce bounds what one call replays. Each letter is a commit of the journal, a few milliseconds.
const replayAtOnce = 200

// journalPause is what callers are asked to wait when the journal does not accept a letter.
const journalPause = 5 * time.Second

// notAcceptedError says that the journal did not accept a letter; the letter is kept.
type notAcceptedError struct{ err error }

func (e *notAcceptedError) Error() string { return e.err.Error() + "; the letter is kept" }
func (e *notAcceptedError) Unwrap() error { return e.err }

// letterStore keeps dead letters.
type letterStore interface {
	OldDeadLetters(ctx context.Context, f fleet.DeadLetterFilter, after int64, limit int) ([]fleet.DeadLetter, error)
	DeadLetter(ctx context.Context, id int64) (fleet.DeadLetter, error)
	ReplayedDeadLetters(ctx context.Context, ids []int64, actor string, now time.Time) error
	DiscardDeadLetter(ctx context.Context, id int64, actor string, now time.Time) error
	DiscardDeadLetters(ctx context.Context, f fleet.DeadLetterFilter, actor string, now time.Time) (int, error)
}

// letters lets the API replay and discard dead letters. A letter is removed only after the journal has it
// again; a crash between the two replays it twice, which changes nothing.
type letters struct {
	store      letterStore
	replay     func(fleet.DeadLetter) error
	registered func(serial string) bool
	now        func() time.Time

	// replaying lets one replay run at a time, so that two people do not replay the same letter.
	replaying sync.Mutex
}

func (a *App) settling(now func() time.Time) *letters {
	return &letters{store: a.store, replay: a.ingest.Replay, now: now, registered: func(serial string) bool {
		_, err := a.registry.Get(serial)
		return err == nil
	}}
}

// Replay implements api.Settling.
func (l *letters) Replay(ctx context.Context, id int64, actor string) error {
	l.replaying.Lock()
	defer l.replaying.Unlock()
	if err := l.again(ctx, id); err != nil {
		return err
	}
	// Whoever asked may be gone by now; the journal has the letter all the same.
	return l.store.ReplayedDeadLetters(context.WithoutCancel(ctx), []int64{id}, actor, l.now())
}

// again gives a letter to the journal.
func (l *letters) again(ctx context.Context, id int64) error {
	d, err := l.store.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	if !l.registered(d.Serial) {
		return fmt.Errorf("replay dead letter %d: %w", id, fleet.Invalid("serial", "kiosk %s is not registered; register it first", d.Serial))
	}
	if err := l.replay(d); err != nil {
		var invalid *fleet.ValidationError
		if !errors.As(err, &invalid) {
			err = &notAcceptedError{err}
		}
		return fmt.Errorf("replay dead letter %d: %w", id, err)
	}
	return nil
}

// ReplayMany implements api.Settling.
func (l *letters) ReplayMany(ctx context.Context, f fleet.DeadLetterFilter, after int64, actor string) (api.Settled, error) {
	l.replaying.Lock()
	defer l.replaying.Unlock()
	found, err := l.store.OldDeadLetters(ctx, f, after, replayAtOnce+1)
	if err != nil {
		return api.Settled{}, err
	}
	more := len(found) > replayAtOnce
	found = found[:min(len(found), replayAtOnce)]
	var out api.Settled
	var taken []int64
	var failed error
	for _, d := range found {
		var invalid *fleet.ValidationError
		switch err := l.again(ctx, d.ID); {
		case err == nil:
			taken = append(taken, d.ID)
		case errors.As(err, &invalid):
			out.Refused++
		case errors.Is(err, fleet.ErrNotFound): // discarded meanwhile
		default:
			failed = err
		}
		if failed != nil {
			break
		}
		after = d.ID
	}
	if err := l.store.ReplayedDeadLetters(context.WithoutCancel(ctx), taken, actor, l.now()); err != nil {
		return api.Settled{}, err
	}
	out.Replayed = len(taken)
	if failed != nil && out.Replayed+out.Refused == 0 {
		return out, failed
	}
	// What failed is left for the next call, which will say so.
	if more || failed != nil {
		out.Next = after
	}
	return out, nil
}

// Discard implements api.Settling.
func (l *letters) Discard(ctx context.Context, id int64, actor string) error {
	return l.store.DiscardDeadLetter(ctx, id, actor, l.now())
}

// DiscardMany implements api.Settling.
func (l *letters) DiscardMany(ctx context.Context, f fleet.DeadLetterFilter, actor string) (int, error) {
	return l.store.DiscardDeadLetters(ctx, f, actor, l.now())
}
