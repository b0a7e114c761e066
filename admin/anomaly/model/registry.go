package model

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
)

// Registry is a folder of models. Several processes may use it at once: each change is made under the lock of a file
// and replaces the index in one step, so that readers need no lock.
type Registry struct {
	dir  string
	now  func() time.Time
	keep int
	mu   sync.Mutex // held over a change, where the system has no file locks
}

// keepFiles is how many models are kept; the one at work and the one before it are kept in any case.
const keepFiles = 10

// Open returns the registry in a folder, which the first change makes.
func Open(dir string, now func() time.Time) *Registry {
	return &Registry{dir: dir, now: now, keep: keepFiles}
}

// versionPattern is what Encode names models; anything else could be a path to somewhere.
var versionPattern = regexp.MustCompile(`^m\d{8}-\d{6}-[0-9a-f]{8}$`)

// Models returns all models, newest first, and last the built-in one.
//
// Errors: ErrDamaged and ErrForeign, of the index.
func (r *Registry) Models(context.Context) ([]fleet.Model, error) {
	x, err := r.readIndex()
	if err != nil {
		return nil, err
	}
	out := make([]fleet.Model, 0, len(x.Models)+1)
	for i := range x.Models {
		out = append(out, x.Models[i].domain())
	}
	slices.SortStableFunc(out, func(a, b fleet.Model) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.Version, a.Version))
	})
	return append(out, x.builtIn()), nil
}

// builtIn describes the built-in model and where it stands.
func (x *index) builtIn() fleet.Model {
	m := builtIn().Model
	m.State, m.Reason = fleet.ModelRetired, "comes with the program; every kiosk learns alone"
	if x.current() == BuiltIn {
		m.State, m.ChangedAt, m.ChangedBy = fleet.ModelCurrent, x.Since.At, x.Since.By
		m.Reason = cmp.Or(x.Since.Reason, m.Reason)
	}
	return m
}

// Model returns what is known of one model.
//
// Errors: fleet.ErrNotFound, ErrDamaged and ErrForeign, of the index.
func (r *Registry) Model(_ context.Context, version string) (fleet.Model, error) {
	x, err := r.readIndex()
	if err != nil {
		return fleet.Model{}, err
	}
	return x.model(version)
}

func (x *index) model(version string) (fleet.Model, error) {
	if version == BuiltIn {
		return x.builtIn(), nil
	}
	if e := x.find(version); e != nil {
		return e.domain(), nil
	}
	return fleet.Model{}, fmt.Errorf("model %q: %w", version, fleet.ErrNotFound)
}

// Current returns the model at work with its priors, and the versions that were at work before it, the latest first.
//
// Errors: ErrDamaged and ErrForeign, of the index or of the model's file; fleet.ErrNotFound when its file is gone.
func (r *Registry) Current(_ context.Context) (*File, []string, error) {
	x, err := r.readIndex()
	if err != nil {
		return nil, nil, err
	}
	past := slices.Clone(x.Past)
	slices.Reverse(past)
	f, err := r.load(x, x.current())
	if err != nil {
		err = fmt.Errorf("model at work: %w; a running server rolls it back, and so does admin model rollback", err)
	}
	return f, past, err
}

// Load returns a model with its priors.
//
// Errors: ErrDamaged, ErrForeign, fleet.ErrNotFound.
func (r *Registry) Load(_ context.Context, version string) (*File, error) {
	x, err := r.readIndex()
	if err != nil {
		return nil, err
	}
	return r.load(x, version)
}

func (r *Registry) load(x *index, version string) (*File, error) {
	if version == BuiltIn {
		f := builtIn()
		f.Model = x.builtIn()
		return f, nil
	}
	f, err := r.read(version)
	if err != nil {
		return nil, err
	}
	if e := x.find(version); e != nil {
		f.State, f.Reason, f.ChangedAt, f.ChangedBy = e.State, e.Reason, e.ChangedAt, e.ChangedBy
		f.Origin = e.Origin
	}
	return f, nil
}

func (r *Registry) path(version string) string { return filepath.Join(r.dir, version+extension) }

// read reads and checks the file of a version.
func (r *Registry) read(version string) (*File, error) {
	if !versionPattern.MatchString(version) {
		return nil, fmt.Errorf("model %q: %w", version, fleet.ErrNotFound)
	}
	f, err := readFile(r.path(version))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("model %s: its file: %w", version, fleet.ErrNotFound)
	case err != nil:
		return nil, err
	case f.Version != version:
		return nil, fmt.Errorf("%s: %w: it holds model %s", r.path(version), ErrDamaged, f.Version)
	}
	return f, nil
}

// readFile reads a model's file, wherever it is.
func readFile(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: %w: it is larger than %d MB", path, ErrDamaged, maxFileBytes>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// History returns what happened to models, oldest first.
func (r *Registry) History(context.Context) ([]Event, error) {
	x, err := r.readIndex()
	if err != nil {
		return nil, err
	}
	return x.History, nil
}
