package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

// newest returns the path of the newest segment of a log.
func newest(t *testing.T, dir, log string) string {
	t.Helper()
	names, err := newestSegments(filepath.Join(dir, log))
	if err != nil || len(names) == 0 {
		t.Fatal(log, names, err)
	}
	return filepath.Join(dir, log, names[len(names)-1])
}

// garbage overwrites some bytes in the middle of a file.
func garbage(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, info.Size()/2)
}

func overwrite(t *testing.T, path string, from int64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	part := text[from:]
	_, _ = rand.NewChaCha8([32]byte{}).Read(part[:min(len(part), 4096)]) // never fails
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What a killed process leaves is damaged before the next one opens it: either nothing is missing, or
// Lost says that something is, and then everything can be appended again and is there once.
func TestDamageIsRepairedAndSaid(t *testing.T) {
	truncate := func(t *testing.T, path string) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()/2); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, path string) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		damage func(t *testing.T, dir string)
		lost   bool
	}{
		"none":                    {func(*testing.T, string) {}, false},
		"a torn write at the end": {func(t *testing.T, dir string) { appendTo(t, newest(t, dir, "wal"), "torn") }, true},
		"wal truncated":           {func(t *testing.T, dir string) { truncate(t, newest(t, dir, "wal")) }, true},
		"wal emptied": {func(t *testing.T, dir string) {
			remove(t, newest(t, dir, "wal"))
			appendTo(t, filepath.Join(dir, "wal", "00000000"), "")
		}, true},
		"a torn write at the end of wbl": {func(t *testing.T, dir string) { appendTo(t, newest(t, dir, "wbl"), "torn") }, true},
		"both":                           {func(t *testing.T, dir string) { truncate(t, newest(t, dir, "wal")); garbage(t, newest(t, dir, "wbl")) }, true},
		"wal overwritten":                {func(t *testing.T, dir string) { garbage(t, newest(t, dir, "wal")) }, true},
		"newest segment deleted":         {func(t *testing.T, dir string) { remove(t, newest(t, dir, "wal")) }, true},
		"wal deleted":                    {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "wal")) }, true},
		"wbl truncated":                  {func(t *testing.T, dir string) { truncate(t, newest(t, dir, "wbl")) }, true},
		"wbl overwritten":                {func(t *testing.T, dir string) { garbage(t, newest(t, dir, "wbl")) }, true},
		"wal is a file": {func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "wal"))
			appendTo(t, filepath.Join(dir, "wal"), "x")
		}, true},
		"chunks_head overwritten": {func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, "chunks_head", "000001"), 100) }, true},
		"chunks_head deleted":     {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "chunks_head")) }, false},
		"marks deleted":           {func(t *testing.T, dir string) { remove(t, filepath.Join(dir, marksFile)) }, true},
		"all deleted":             {func(t *testing.T, dir string) { remove(t, dir) }, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			live, dir := filepath.Join(t.TempDir(), "live"), filepath.Join(t.TempDir(), "crashed")
			s := open(t, Config{Dir: live})
			var all []fleet.Reading
			for i := range 2000 { // enough for chunks of its own on disk
				all = append(all, reading("K-1", time.Duration(i)*time.Second, float64(i)))
			}
			for i := range 300 { // late ones
				all = append(all, reading("K-1", time.Duration(i)*time.Second-time.Hour, float64(-i)))
			}
			for batch := range slices.Chunk(all, 100) {
				mustAppend(t, s, batch...)
			}
			s.db.ForceHeadMMap()
			if err := s.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "chunks_head") { // the TSDB writes small ones when it closes
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.CopyFS(dir, os.DirFS(live)); err != nil { // as a killed process leaves it
				t.Fatal(err)
			}
			remove(t, filepath.Join(dir, "lock"))
			if strings.HasPrefix(name, "chunks_head") {
				if text, err := os.ReadFile(filepath.Join(dir, "chunks_head", "000001")); err != nil || bytes.Count(text, []byte{0}) > len(text)-150 {
					t.Fatalf("there are no chunks to damage in %d bytes: %v", len(bytes.TrimRight(text, "\x00")), err)
				}
			}
			tt.damage(t, dir)

			again := open(t, Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
			if got := again.Lost(); (got != "") != tt.lost {
				t.Errorf("Lost() = %q", got)
			}
			if again.Lost() != "" {
				for batch := range slices.Chunk(all, 100) {
					mustAppend(t, again, batch...)
				}
			}
			got := values(t, again, query(-2*time.Hour, 2*time.Hour, "K-1"))
			if len(got) != len(all) {
				t.Fatalf("%d points, want %d", len(got), len(all))
			}
			for i := range 300 {
				if got[i] != float64(-i) {
					t.Fatalf("late point %d is %v", i, got[i])
				}
			}
			for i := range 2000 {
				if got[300+i] != float64(i) {
					t.Fatalf("point %d is %v", i, got[300+i])
				}
			}
			if err := again.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
			if third := open(t, Config{Dir: dir}); third.Lost() != "" {
				t.Errorf("after the repair it says it has lost %s", third.Lost())
			}
		})
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestALossIsSaidUntilItIsMadeUpFor(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	for i := range 50 {
		mustAppend(t, s, reading("K-1", time.Duration(i)*time.Second, float64(i)))
	}
	if err := errors.Join(s.Sync(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	marked, _ := readMarks(dir)
	garbage(t, filepath.Join(dir, "wal", marked["wal"].Segment)) // its repair leaves a whole page
	for range 2 {                                                // nobody appends before the restart
		s = open(t, Config{Dir: dir})
		if s.Lost() == "" {
			t.Error("the loss is forgotten")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADiskThatIsNearlyFullClosesTheStore(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	if err := s.Check(); err != nil {
		t.Errorf("without a bound: %v", err)
	}
	s.minFree = 1
	if err := s.Check(); err != nil {
		t.Errorf("with room: %v", err)
	}
	s.minFree = 1 << 60
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "MB left") {
		t.Errorf("without room: %v", err)
	}
	_, err := Open(Config{Dir: t.TempDir(), MinFreeBytes: 1 << 60})
	var later *telemetry.RetryAfterError
	if !errors.As(err, &later) || later.After <= 0 {
		t.Errorf("opening without room: %v, want to be told to come back", err)
	}
}

func TestAPanicOfTheTSDBIsABrokenStore(t *testing.T) {
	var broken *telemetry.BrokenError
	err := func() (err error) {
		defer recovered(&err)
		panic(fmt.Errorf("no space left on device"))
	}()
	if !errors.As(err, &broken) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error = %v", err)
	}
}

func TestBlocksOfTheSameHoursAreNoWarning(t *testing.T) {
	var log bytes.Buffer
	s := open(t, Config{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for i, ago := range []time.Duration{0, 50 * time.Hour, 50*time.Hour - time.Minute} {
		mustAppend(t, s, reading("K-1", -ago, float64(i)), reading("K-1", -ago+time.Minute/2, float64(i)))
		if err := s.db.CompactOOOHead(t.Context()); err != nil { // into blocks of their own
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // then nobody writes into the log
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, `level=DEBUG msg="`+overlapping) || strings.Contains(text, "level=WARN") {
		t.Error(text)
	}
}
