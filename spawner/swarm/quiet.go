package swarm

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Quiet returns a handler that lets at most burst records with the same message through in each
// window and counts the others, which the next one tells as held_back: thousands of kiosks that lose
// one broker say the same thing at once.
func Quiet(inner slog.Handler, burst int, window time.Duration) slog.Handler {
	return &quiet{inner, &quietState{burst: burst, window: window, seen: map[string]*quietCount{}}}
}

type quiet struct {
	slog.Handler
	state *quietState
}

type quietState struct {
	burst  int
	window time.Duration

	mu   sync.Mutex // guards seen; it holds one entry per message text, and those are constants
	seen map[string]*quietCount
}

type quietCount struct {
	since    time.Time
	passed   int
	heldBack int
}

// admit decides about a record and returns how many were held back before it.
func (s *quietState) admit(message string, at time.Time) (heldBack int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.seen[message]
	if c == nil || at.Sub(c.since) >= s.window {
		if c != nil {
			heldBack = c.heldBack
		}
		c = &quietCount{since: at}
		s.seen[message] = c
	}
	if c.passed >= s.burst {
		c.heldBack++
		return 0, false
	}
	c.passed++
	return heldBack, true
}

// Handle implements slog.Handler.
func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	heldBack, ok := q.state.admit(r.Message, r.Time)
	if !ok {
		return nil
	}
	if heldBack > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("held_back", heldBack))
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quiet{q.Handler.WithAttrs(attrs), q.state}
}

// WithGroup implements slog.Handler.
func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{q.Handler.WithGroup(name), q.state}
}
