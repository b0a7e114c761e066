package history

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kioskfleet/kiosk/truth"
)

// truthFiles gathers the truth about all kiosks. They live one after the other, but the truth goes by time,
// and the sum of all would not fit into memory: it is put into a file a day first. Safe for concurrent use.
type truthFiles struct {
	dir string

	mu   sync.Mutex // guards days and the files
	days map[string]bool
}

const dayName = "20060102"

// add keeps one kiosk's truth.
func (t *truthFiles) add(events []truth.Event) error {
	texts := map[string][]byte{} // by day
	for i := range events {
		line, err := json.Marshal(&events[i])
		if err != nil {
			return fmt.Errorf("encode the truth: %w", err)
		}
		name := events[i].Time.Format(dayName)
		texts[name] = append(append(texts[name], line...), '\n')
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.days == nil {
		t.days = map[string]bool{}
	}
	for name, text := range texts {
		t.days[name] = true
		f, err := os.OpenFile(filepath.Join(t.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// merge writes the truth file below dir, in order of time, serial and kind, and removes the parts.
func (t *truthFiles) merge(ctx context.Context, dir string) (TruthFile, error) {
	out := TruthFile{File: File{Name: truthFile}}
	f, err := os.Create(filepath.Join(dir, truthFile))
	if err != nil {
		return out, err
	}
	defer f.Close()
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), outputBuffer)
	names := make([]string, 0, len(t.days))
	for name := range t.days {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		lines, err := sorted(filepath.Join(t.dir, name))
		if err != nil {
			return out, fmt.Errorf("sort the truth: %w", err)
		}
		for _, l := range lines {
			if _, err := w.Write(l.text); err != nil {
				return out, err
			}
			out.Events++
			out.Bytes += int64(len(l.text))
		}
	}
	if err := errors.Join(w.Flush(), f.Sync(), os.RemoveAll(t.dir)); err != nil {
		return out, err
	}
	out.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return out, nil
}

// truthLine is a line of the truth with what it is sorted by.
type truthLine struct {
	Time   time.Time  `json:"time"`
	Serial string     `json:"serial"`
	Event  truth.Kind `json:"event"`
	text   []byte
}

func sorted(path string) ([]truthLine, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []truthLine
	for line := range bytes.Lines(text) {
		l := truthLine{text: line}
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	// The text comes last, so that it does not matter which kiosk was done first.
	slices.SortFunc(lines, func(a, b truthLine) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.Event, b.Event), bytes.Compare(a.text, b.text))
	})
	return lines, nil
}
