package model

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"kioskfleet/admin/fleet"
)

// Follow calls apply with the model at work, at once and whenever another one is put to work by whichever process; it
// looks every so often and returns when ctx ends. A model at work whose file is damaged, foreign or gone is rolled
// back. While the index cannot be read, what was applied last stays; at first the built-in model is applied.
func (r *Registry) Follow(ctx context.Context, every time.Duration, log *slog.Logger, apply func(*File)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var seen []byte // the index that was looked at last
	applied, failed := "", ""
	for {
		now, err := os.ReadFile(filepath.Join(r.dir, indexFile))
		if errors.Is(err, fs.ErrNotExist) {
			now, err = []byte{}, nil
		}
		if err == nil && (seen == nil || !bytes.Equal(now, seen)) {
			var f *File
			if f, err = r.wholeCurrent(ctx, log); err == nil {
				seen = now
				if f.Version != applied {
					apply(f)
					applied = f.Version
				}
			}
		}
		switch {
		case err == nil:
			failed = ""
		case err.Error() != failed: // the same is not said every few seconds
			failed = err.Error()
			log.Error("model at work not read, the one of before stays", "error", err)
			if applied == "" {
				apply(builtIn())
				applied = BuiltIn
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// wholeCurrent returns the model at work. One whose file is no good is rolled back first; one that could not be read,
// for want of rights or open files, may be whole and stays.
func (r *Registry) wholeCurrent(ctx context.Context, log *slog.Logger) (*File, error) {
	f, _, err := r.Current(ctx)
	if err == nil || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) && !errors.Is(err, fleet.ErrNotFound) {
		return f, err
	}
	m, rollErr := r.RollbackFor(ctx, "", "its file is no good: "+err.Error(), "registry")
	if rollErr != nil {
		return nil, errors.Join(err, rollErr)
	}
	log.Error("model at work rolled back, for its file is no good", "model", m.Version, "error", err)
	f, _, err = r.Current(ctx)
	return f, err
}
