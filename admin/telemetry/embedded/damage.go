package embedded

import (
	"context"
	"log/slog"
	"strings"
	"sync"
)

// damageHandler is a log handler that notes the first error which the TSDB logs while it opens. It gets
// over damaged logs and chunks by leaving out what it cannot read, and says so nowhere else.
type damageHandler struct {
	slog.Handler
	damage *damage
}

type damage struct {
	mu    sync.Mutex // guards the rest
	found error
	ended bool
}

// WithAttrs implements slog.Handler.
func (h *damageHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &damageHandler{h.Handler.WithAttrs(attrs), h.damage}
}

// WithGroup implements slog.Handler.
func (h *damageHandler) WithGroup(name string) slog.Handler {
	return &damageHandler{h.Handler.WithGroup(name), h.damage}
}

// Enabled implements slog.Handler.
func (*damageHandler) Enabled(context.Context, slog.Level) bool { return true }

// overlapping is how a message of the TSDB begins that it warns with, each time it writes a block beside others
// of the same hours, and lists all of these in. Late readings make such blocks, and compaction merges them: a
// month of backfill would write tens of megabytes into the log and tell nothing.
const overlapping = "Overlapping blocks found"

// Handle implements slog.Handler.
func (h *damageHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		r.Attrs(func(a slog.Attr) bool {
			err, ok := a.Value.Any().(error)
			if ok {
				h.damage.note(err)
			}
			return !ok
		})
	}
	if strings.HasPrefix(r.Message, overlapping) {
		r = slog.NewRecord(r.Time, slog.LevelDebug, r.Message, r.PC)
	}
	if !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (d *damage) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found == nil && !d.ended {
		d.found = err
	}
}

// end returns what was noted, and notes nothing more.
func (d *damage) end() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	return d.found
}
