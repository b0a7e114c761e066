package durablefile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteReplacesAWholeFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	// What a crash in the middle of an earlier write has left.
	if err := os.WriteFile(file+".tmp", []byte("half of something that was much longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"long text", "short", ""} {
		if err := Write(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		info, statErr := os.Stat(file)
		if err != nil || statErr != nil || string(got) != text || info.Mode().Perm() != 0o600 {
			t.Errorf("%q %v, %v, %v; want %q", got, info.Mode(), err, statErr, text)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestAFailedWriteKeepsTheOldContent(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := Write(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file+".tmp", 0o700); err != nil { // in the way
		t.Fatal(err)
	}
	err := Write(file, []byte("new"), 0o600)
	if got, readErr := os.ReadFile(file); err == nil || !strings.Contains(err.Error(), file) || readErr != nil || string(got) != "old" {
		t.Errorf("error = %v, content %q, %v", err, got, readErr)
	}
	if err := Write(filepath.Join(dir, "none", "f"), nil, 0o600); err == nil {
		t.Error("a folder that does not exist is no error")
	}
}

func TestWriteAllChangesNothingWhereOneFileCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	files := func(text string) []File {
		return []File{{"a", []byte(text), 0o600}, {"b", []byte(text), 0o644}}
	}
	if err := WriteAll(dir, files("old")...); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "b.tmp"), 0o700); err != nil { // in the way
		t.Fatal(err)
	}
	if err := WriteAll(dir, files("new")...); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "b")) {
		t.Errorf("error = %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "b.tmp")); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
	for round, want := range []string{"old", "newer"} {
		if round == 1 {
			if err := WriteAll(dir, files(want)...); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range files(want) {
			got, err := os.ReadFile(filepath.Join(dir, f.Name))
			info, statErr := os.Stat(filepath.Join(dir, f.Name))
			if err != nil || statErr != nil || string(got) != want || info.Mode().Perm() != f.Mode {
				t.Errorf("%s is %q %v, %v, %v; want %q %v", f.Name, got, info.Mode(), err, statErr, want, f.Mode)
			}
		}
	}
}
