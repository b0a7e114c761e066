package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/protocol"
	"kioskfleet/spawner/roster"
)

// Files of a history in its folder.
const (
	manifestFile = "history.json"
	truthFile    = "truth.jsonl"
	readingsDir  = "readings"
	truthParts   = "truth.parts" // while it is being written
	loadFiles    = "load-*.json" // what a load noted, see progressFile
)

const manifestVersion = 1

// Manifest is history.json: what the history is made of, and the sums of its files.
type Manifest struct {
	Version   int         `json:"version"`
	Arguments Arguments   `json:"arguments"`
	Readings  int64       `json:"readings"`
	LeftOut   int64       `json:"left_out"` // taken, but sent in a form that no platform accepts
	First     time.Time   `json:"first"`    // timestamps of the oldest and the newest reading
	Last      time.Time   `json:"last"`
	Truth     TruthFile   `json:"truth"`
	Kiosks    []KioskFile `json:"kiosks"`

	id string // a hash of the text
}

// Arguments are what the history was made with.
type Arguments struct {
	Start    time.Time       `json:"start"`
	Days     int             `json:"days"`
	Interval roster.Duration `json:"interval"`
	Seed     uint64          `json:"seed"`
	Faults   string          `json:"faults,omitempty"`
	Scenario string          `json:"scenario,omitempty"`
	Format   string          `json:"format"`
	Compress string          `json:"compress"`
}

// File is one file of a history. Name is relative to its folder, with slashes.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// TruthFile is the truth about all kiosks.
type TruthFile struct {
	File
	Events int64 `json:"events"`
}

// KioskFile is one kiosk with its readings.
type KioskFile struct {
	Kiosk    roster.Kiosk `json:"settings"`
	Readings int64        `json:"readings"`
	LeftOut  int64        `json:"left_out"`
	Sessions int          `json:"sessions"`
	First    time.Time    `json:"first,omitzero"`
	Last     time.Time    `json:"last,omitzero"`
	File
}

func (f *KioskFile) count(t time.Time) {
	if f.Readings == 0 {
		f.First = t
	}
	f.Last = t
	f.Readings++
}

// add counts a kiosk into the sums.
func (m *Manifest) add(f *KioskFile) {
	m.LeftOut += f.LeftOut
	if f.Readings == 0 {
		return
	}
	if m.Readings == 0 || f.First.Before(m.First) {
		m.First = f.First
	}
	if f.Last.After(m.Last) {
		m.Last = f.Last
	}
	m.Readings += f.Readings
}

func argumentsOf(c *Config) Arguments {
	return Arguments{
		Start: c.Start, Days: c.Days, Interval: roster.Duration(c.Interval), Seed: c.Seed,
		Faults: c.Faults, Scenario: c.Scenario, Format: c.Format, Compress: c.Compress,
	}
}

func (m *Manifest) store(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", manifestFile, err)
	}
	return durablefile.Write(filepath.Join(dir, manifestFile), append(text, '\n'), 0o644)
}

// Open reads a history's list and compares all of its files with their sums.
//
// Errors: there is no whole history; one of another version; a file that is missing or was changed.
func Open(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no whole history: there is no %s; write one with spawner history --out %s", dir, manifestFile, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	m := &Manifest{}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s is of version %d, this program knows version %d: write it anew", filepath.Join(dir, manifestFile), m.Version, manifestVersion)
	}
	sum := sha256.Sum256(text)
	m.id = hex.EncodeToString(sum[:])
	files := []File{m.Truth.File}
	for _, k := range m.Kiosks {
		if err := protocol.CheckSerial(k.Kiosk.Serial); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, manifestFile), err)
		}
		files = append(files, k.File)
	}
	for _, f := range files {
		if err := f.check(dir); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// check compares a file with its sum.
func (f File) check(dir string) error {
	if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
		return fmt.Errorf("%s: %q is no file of the folder", filepath.Join(dir, manifestFile), f.Name)
	}
	path := filepath.Join(dir, filepath.FromSlash(f.Name))
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the history: %w", err)
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s is not what %s says: it was changed or is damaged; write the history anew", path, manifestFile)
	}
	return nil
}

// prepare makes the folder, which must be empty unless force is set.
func prepare(dir string, force bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	switch {
	case len(entries) == 0:
	case !force:
		return fmt.Errorf("--out: %s is not empty: name another folder, or give --force to write over a history there", dir)
	default:
		if err := clear(dir); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	for _, sub := range []string{readingsDir, truthParts} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return fmt.Errorf("--out: %w", err)
		}
	}
	return nil
}

// clear removes what a history consists of, the list first, and leaves everything else.
func clear(dir string) error {
	notes, err := filepath.Glob(filepath.Join(dir, loadFiles))
	if err != nil {
		return err
	}
	for _, path := range append([]string{filepath.Join(dir, manifestFile), filepath.Join(dir, truthFile)}, notes...) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, sub := range []string{readingsDir, truthParts} {
		if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	return nil
}

// bytes is the size of all readings' files.
func (m *Manifest) bytes() (sum int64) {
	for i := range m.Kiosks {
		sum += m.Kiosks[i].Bytes
	}
	return sum
}
