package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kioskfleet/internal/durablefile"
	"kioskfleet/spawner/roster"
)

// loaded is what a platform has acknowledged of a history: the file load-<authority>.json beside it. A
// crash may leave it behind what was acknowledged, never ahead. Safe for concurrent use.
type loaded struct {
	path string

	mu      sync.Mutex // guards note and changed
	note    note
	changed bool
}

// note is the file's content.
type note struct {
	History string `json:"history"` // SHA-256 of history.json
	// Shift is how far times were moved. It must not change: the same reading at two times would be two.
	Shift        roster.Duration  `json:"shift"`
	Acknowledged map[string]int64 `json:"acknowledged"` // readings from the first on, by serial
}

// noteLength is how much of the authority's fingerprint names the file.
const noteLength = 16

// openLoaded reads what an earlier run has noted; found is false when there was none.
//
// Errors: the note is of another history.
func openLoaded(dir, authority string, m *Manifest) (l *loaded, found bool, err error) {
	name := strings.Replace(loadFiles, "*", authority[:min(noteLength, len(authority))], 1)
	l = &loaded{path: filepath.Join(dir, name), note: note{History: m.id, Acknowledged: map[string]int64{}}}
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read what was loaded: %w", err)
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil {
		return nil, false, fmt.Errorf("%s: %w (delete the file to load the history from its beginning)", l.path, err)
	}
	if n.History != m.id {
		return nil, false, fmt.Errorf("%s is of another history than the one beside it: delete the file to load this one from its beginning", l.path)
	}
	if n.Acknowledged != nil {
		l.note.Acknowledged = n.Acknowledged
	}
	l.note.Shift = n.Shift
	return l, true, nil
}

func (l *loaded) shift() time.Duration { return time.Duration(l.note.Shift) }

func (l *loaded) acknowledged(serial string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.note.Acknowledged[serial]
}

func (l *loaded) add(serial string, readings int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note.Acknowledged[serial] += readings
	l.changed = true
}

// save brings the note to disk if it has changed. One goroutine calls it at a time.
func (l *loaded) save() error {
	l.mu.Lock()
	n := l.note
	n.Acknowledged = maps.Clone(n.Acknowledged)
	changed := l.changed
	l.changed = false
	l.mu.Unlock()
	if !changed {
		return nil
	}
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what was loaded: %w", err)
	}
	return durablefile.Write(l.path, append(text, '\n'), 0o644)
}
