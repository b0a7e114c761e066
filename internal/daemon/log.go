package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Log is the part of a configuration that says how to log.
type Log struct {
	Level  string `key:"level" usage:"debug, info, warn or error"`
	Format string `key:"format" usage:"text or json"`
}

// DefaultLog logs text at level info.
func DefaultLog() Log { return Log{Level: "info", Format: "text"} }

// Logger returns a logger that writes to w, or an error that names the key at fault.
func (l Log) Logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %q is not debug, info, warn or error", l.Level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch l.Format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log.format: %q is not text or json", l.Format)
}

// AtLeast returns a logger for a talkative library: it passes on only what is at least as bad as
// level, unless log itself is at debug level.
func AtLeast(log *slog.Logger, level slog.Level) *slog.Logger {
	if log.Enabled(context.Background(), slog.LevelDebug) {
		return log
	}
	return slog.New(&floor{log.Handler(), level})
}

type floor struct {
	slog.Handler
	level slog.Level
}

func (f *floor) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= f.level && f.Handler.Enabled(ctx, l)
}

func (f *floor) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &floor{f.Handler.WithAttrs(attrs), f.level}
}

func (f *floor) WithGroup(name string) slog.Handler {
	return &floor{f.Handler.WithGroup(name), f.level}
}
