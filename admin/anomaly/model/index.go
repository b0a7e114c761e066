package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kioskfleet/internal/durablefile"
)

// Names in the registry's folder.
const (
	indexFile = "index.json"
	lockName  = "index.lock"
	extension = ".model.gz"
)

// maxEvents and maxPast bound what the index remembers.
const (
	maxEvents = 200
	maxPast   = 10
)

// index says which model is at work and what became of the others.
type index struct {
	Format int `json:"kioskfleet_models"`
	// Current is the version at work; empty for the built-in one.
	Current string `json:"current"`
	// Past are the versions that were at work before it, the latest last; a rollback goes to the last one.
	Past    []string `json:"past"`
	Since   since    `json:"since"` // of the current one
	Models  []entry  `json:"models"`
	History []Event  `json:"history"`
	Order   *Order   `json:"order,omitempty"`
}

// since says how the built-in model came to work, which has no entry of its own.
type since struct {
	At     time.Time `json:"at,omitzero"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Event is one line of the registry's history.
type Event struct {
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Action  string    `json:"action"` // add, import, promote, roll back, remove
	Version string    `json:"version"`
	Reason  string    `json:"reason"`
}

func (x *index) find(version string) *entry {
	for i := range x.Models {
		if x.Models[i].Version == version {
			return &x.Models[i]
		}
	}
	return nil
}

// current returns the version at work.
func (x *index) current() string {
	if x.Current == "" {
		return BuiltIn
	}
	return x.Current
}

func (x *index) note(e Event) {
	x.History = append(x.History, e)
	if n := len(x.History) - maxEvents; n > 0 {
		x.History = slices.Delete(x.History, 0, n)
	}
}

// readIndex returns the index as it is on the disk; an empty one when there is none yet. Model files that it does not
// know, such as one that somebody copied there, are candidates.
//
// Errors: ErrDamaged, ErrForeign.
func (r *Registry) readIndex() (*index, error) {
	x := &index{Format: Format}
	path := filepath.Join(r.dir, indexFile)
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the index of models: %w", err)
	default:
		if err := json.Unmarshal(data, x); err != nil {
			return nil, fmt.Errorf("read %s: %w: %w; move it away, and the models beside it are found again as candidates", path, ErrDamaged, err)
		}
		if x.Format != Format {
			return nil, fmt.Errorf("read %s: %w: it has format %d, this program reads %d", path, ErrForeign, x.Format, Format)
		}
	}
	names, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the folder of models: %w", err)
	}
	for _, name := range names {
		v, ok := strings.CutSuffix(name.Name(), extension)
		if !ok || x.find(v) != nil {
			continue
		}
		f, err := r.read(v)
		if err != nil {
			continue // it is no model that could be put to work; Load says why
		}
		x.Models = append(x.Models, newEntry(f, "found in the folder of models"))
	}
	return x, nil
}

func (r *Registry) writeIndex(x *index) error {
	data, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		return fmt.Errorf("write the index of models: %w", err)
	}
	if err := durablefile.Write(filepath.Join(r.dir, indexFile), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the index of models: %w", err)
	}
	return nil
}
