package model

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/filelock"
)

// conflict is a fleet.ErrConflict that says in its own words what stands in the way.
type conflict string

func (c conflict) Error() string { return string(c) }

// Unwrap makes it a fleet.ErrConflict.
func (conflict) Unwrap() error { return fleet.ErrConflict }

func conflictf(format string, args ...any) error { return conflict(fmt.Sprintf(format, args...)) }

// change runs one change of the index under the lock. What do returns an error for is not written.
func (r *Registry) change(do func(x *index) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of models: %w", err)
	}
	lock, err := filelock.Take(filepath.Join(r.dir, lockName))
	if err != nil {
		return fmt.Errorf("lock the index of models: %w", err)
	}
	defer lock.Close()
	x, err := r.readIndex()
	if err != nil {
		return err
	}
	if err := do(x); err != nil {
		return err
	}
	return r.writeIndex(x)
}

// newEntry describes a file as a candidate; as refused if its own checks say so, wherever they were made.
func newEntry(f *File, reason string) entry {
	e := entry{facts: factsOf(&f.Model), Version: f.Version, State: fleet.ModelCandidate, SHA256: f.SHA256, Bytes: f.Bytes, Reason: reason}
	if c := e.failed(); c != nil {
		e.State, e.Reason = fleet.ModelRefused, fmt.Sprintf("%s; refused where it was trained: %s: %s", reason, c.Name, c.Text)
	}
	return e
}

// Add keeps a model that was just trained, as a candidate or as refused, and returns it with its version. It removes
// the oldest models beyond the number that is kept.
func (r *Registry) Add(_ context.Context, f *File, state fleet.ModelState, reason, actor string) (fleet.Model, error) {
	data, err := f.Encode()
	if err != nil {
		return fleet.Model{}, err
	}
	e := newEntry(f, "")
	e.State, e.Reason = state, reason
	return r.add(e, data, actor, "add")
}

func (r *Registry) add(e entry, data []byte, actor, action string) (m fleet.Model, err error) {
	if len(data) > maxFileBytes {
		return m, fmt.Errorf("keep model %s: its %d MB are more than the %d MB that can be read back", e.Version, len(data)>>20, maxFileBytes>>20)
	}
	var old []string
	err = r.change(func(x *index) error {
		if x.find(e.Version) != nil {
			return fmt.Errorf("model %s: %w", e.Version, fleet.ErrExists)
		}
		if err := durablefile.Write(r.path(e.Version), data, 0o600); err != nil {
			return fmt.Errorf("keep model %s: %w", e.Version, err)
		}
		e.ChangedAt, e.ChangedBy = r.now().UTC(), actor
		x.Models = append(x.Models, e)
		x.note(Event{e.ChangedAt, actor, action, e.Version, e.Reason})
		old = r.prune(x, e.ChangedAt)
		m = e.domain()
		return nil
	})
	if err != nil {
		return fleet.Model{}, err
	}
	// Only now that the index does not know them any more: a crash before it leaves files, not holes.
	for _, v := range old {
		if err := os.Remove(r.path(v)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return m, fmt.Errorf("remove model %s: %w", v, err)
		}
	}
	return m, nil
}

// prune takes the oldest models out of the index, those that came first, and returns their versions.
func (r *Registry) prune(x *index, now time.Time) (old []string) {
	needed := []string{x.Current, x.Models[len(x.Models)-1].Version}
	if n := len(x.Past); n > 0 {
		needed = append(needed, x.Past[n-1])
	}
	for i := 0; i < len(x.Models) && len(x.Models) > r.keep; {
		v := x.Models[i].Version
		if slices.Contains(needed, v) {
			i++
			continue
		}
		old = append(old, v)
		x.Models = slices.Delete(x.Models, i, i+1)
		x.Past = slices.DeleteFunc(x.Past, func(p string) bool { return p == v })
		x.note(Event{now, "registry", "remove", v, fmt.Sprintf("only %d models are kept", r.keep)})
	}
	return old
}

// Promote puts a model to work because a person says so, and returns it.
//
// Errors: fleet.ErrConflict for one that the gate refused, even if it was at work by force since, or that is at work; those
// of PromoteFor.
func (r *Registry) Promote(ctx context.Context, version, actor string) (fleet.Model, error) {
	x, err := r.readIndex()
	if err != nil {
		return fleet.Model{}, err
	}
	if e := x.find(version); e != nil && version != x.Current {
		because := e.Reason
		if c := e.failed(); c != nil {
			because = c.Name + ": " + c.Text
		}
		if e.State == fleet.ModelRefused || e.failed() != nil {
			return e.domain(), conflictf("model %s was refused: %s; admin model promote --force puts it to work all the same", version, because)
		}
	}
	return r.PromoteFor(ctx, version, "", "promoted by hand", actor)
}

// PromoteFor puts a model to work, whatever the gate said of it, and notes why. With a version expected to be at work it
// does so only while that one is. The file is read and checked first: a damaged one is never put to work.
//
// Errors: fleet.ErrNotFound; fleet.ErrConflict when it is at work already or another one than expected is; ErrDamaged;
// ErrForeign.
func (r *Registry) PromoteFor(_ context.Context, version, expected, reason, actor string) (m fleet.Model, err error) {
	err = r.change(func(x *index) error {
		switch {
		case x.current() == version:
			return conflictf("model %s is at work already", version)
		case expected != "" && x.current() != expected:
			return conflictf("model %s is at work, no longer %s", x.current(), expected)
		}
		if _, err := r.load(x, version); err != nil {
			return err
		}
		before := x.current()
		x.Past = append(x.Past, before)
		if n := len(x.Past) - maxPast; n > 0 {
			x.Past = slices.Delete(x.Past, 0, n)
		}
		m = x.work(version, fleet.ModelRetired, fmt.Sprintf("%s took its place", version), reason, actor, r.now().UTC())
		x.note(Event{m.ChangedAt, actor, "promote", version, reason})
		return nil
	})
	return m, err
}

// work puts a version to work and gives the one before its new state.
func (x *index) work(version string, left fleet.ModelState, leftBecause, reason, actor string, now time.Time) fleet.Model {
	if e := x.find(x.Current); e != nil {
		e.State, e.Reason, e.ChangedAt, e.ChangedBy = left, leftBecause, now, actor
	}
	x.Current, x.Since = version, since{now, actor, reason}
	if version == BuiltIn {
		x.Current = ""
		return x.builtIn()
	}
	e := x.find(version)
	e.State, e.Reason, e.ChangedAt, e.ChangedBy = fleet.ModelCurrent, reason, now, actor
	return e.domain()
}

// Rollback puts the model that was at work before back to work because a person says so, and returns it.
//
// Errors: those of RollbackFor.
func (r *Registry) Rollback(ctx context.Context, actor string) (fleet.Model, error) {
	return r.RollbackFor(ctx, "", "rolled back by hand", actor)
}

// RollbackFor takes the model at work away, notes why, and puts the latest of those before it to work whose file is
// whole; when there is none, the built-in one. With a version expected to be at work it does so only while that one
// is. Called again it goes one further back.
//
// Errors: fleet.ErrConflict when the built-in model is at work and nothing was before it, or another one than expected is.
func (r *Registry) RollbackFor(_ context.Context, expected, reason, actor string) (m fleet.Model, err error) {
	err = r.change(func(x *index) error {
		from := x.current()
		if expected != "" && from != expected {
			return conflictf("model %s is at work, no longer %s", from, expected)
		}
		to := BuiltIn
		for n := len(x.Past); n > 0; n = len(x.Past) {
			to = x.Past[n-1]
			x.Past = x.Past[:n-1]
			if _, err := r.load(x, to); err == nil && to != from && (to == BuiltIn || x.find(to).State != fleet.ModelRolledBack) {
				break
			}
			to = BuiltIn
		}
		if to == from {
			return conflictf("no model was at work before %s", from)
		}
		m = x.work(to, fleet.ModelRolledBack, reason, fmt.Sprintf("back to work after %s: %s", from, reason), actor, r.now().UTC())
		x.note(Event{m.ChangedAt, actor, "roll back", from, reason})
		return nil
	})
	return m, err
}
