package embedded

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
)

// logs are the TSDB's write-ahead logs: for samples in order and for late ones.
var logs = []string{"wal", "wbl"}

// marks say how far each of the TSDB's logs was on disk at the latest Sync: its newest segment, and that
// segment's size. What is shorter at the next opening was cut, by a crash of the machine, by a repair, or
// by hand. The file is written without a sync: it only has to survive us, and an older one finds less.
type marks map[string]mark

type mark struct {
	Segment string `json:"segment"`
	Bytes   int64  `json:"bytes"`
}

const marksFile = "synced.json"

// readMarks returns the marks of an earlier run; known is false when there are none.
func readMarks(dir string) (m marks, known bool) {
	text, err := os.ReadFile(filepath.Join(dir, marksFile))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return nil, false
	}
	return m, true
}

func (m marks) write(dir string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, marksFile)
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func (marks) remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, marksFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// missing says which log is shorter than its mark, or "".
func (m marks) missing(dir string) string {
	for _, log := range logs {
		was, ok := m[log]
		if !ok {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, log, was.Segment))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Sprintf("segment %s of %s is gone", was.Segment, log)
		case err == nil && info.Size() < was.Bytes:
			return fmt.Sprintf("segment %s of %s has %d bytes, %d were on disk", was.Segment, log, info.Size(), was.Bytes)
		}
	}
	return ""
}

// newestSegments returns the newest segments of a log, at most two, oldest first.
func newestSegments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name, and so by age
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries { // not the checkpoints, which the TSDB syncs, nor what it puts beside them
		if !e.IsDir() && strings.Trim(e.Name(), "0123456789") == "" {
			names = append(names, e.Name())
		}
	}
	return slices.Clone(names[max(0, len(names)-2):]), nil
}

// setLogsAside moves the TSDB's logs out of its way. moved is false when there are none.
func setLogsAside(dir string) (aside string, moved bool) {
	aside = filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000"))
	for _, name := range append([]string{"chunks_head"}, logs...) {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			continue
		}
		if err := os.MkdirAll(aside, 0o750); err != nil {
			return aside, false
		}
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil {
			return aside, false
		}
		moved = true
	}
	return aside, moved
}
