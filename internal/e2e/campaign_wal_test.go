package e2e

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kioskfleet/internal/testkit/load"
)

// newest returns the last file, by name, of a folder below the embedded time series.
func newest(t *testing.T, data, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(data, "telemetry", folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(entries) {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return filepath.Join(data, "telemetry", folder, e.Name())
		}
	}
	t.Fatalf("%s has no file with content: the campaign wrote too little", folder)
	return ""
}

// written is the size of a file without the zeros at its end, which is preallocated.
func written(t *testing.T, path string) int64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(len(bytes.TrimRight(text, "\x00")))
	if n < 16<<10 {
		t.Fatalf("%s has %d bytes: too few to damage", path, n)
	}
	return n
}

func truncateNewest(folder string) func(t *testing.T, data string) {
	return func(t *testing.T, data string) {
		t.Helper()
		path := newest(t, data, folder)
		if err := os.Truncate(path, written(t, path)/2); err != nil {
			t.Fatal(err)
		}
	}
}

func garbageInNewest(folder string) func(t *testing.T, data string) {
	return func(t *testing.T, data string) {
		t.Helper()
		path := newest(t, data, folder)
		garbage := make([]byte, 4<<10)
		_, _ = rand.Read(garbage)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(garbage, written(t, path)/2); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedTimeSeriesLogIsMadeUpFromTheJournal(t *testing.T) {
	p := startAdmin(t, nil)
	clients := p.publishers(t, 20, "W", func(i int, c *load.Config) {
		mix(i, c)
		c.Rate = 20
	})
	// The same kiosks again, with readings of an hour ago.
	backfill := p.publishers(t, len(clients), "W", func(i int, c *load.Config) {
		mix(i, c)
		c.ClientID, c.Session, c.Behind, c.Rate = "backfill", "earlier", time.Hour, 30
	})
	all := slices.Concat(clients, backfill)
	stop := load.Start(t.Context(), all)
	defer stop()
	awaitAcked(t, backfill, len(backfill)*150)
	p.interrupt() // writes full chunks out and, when it starts again, begins new segments
	p.boot(t)
	awaitAcked(t, all, len(all)*120)
	p.kill()
	stop()
	sent := sentBy(all)

	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, data string)
	}{
		{"none", func(*testing.T, string) {}},
		{"newest wal segment cut in half", truncateNewest("wal")},
		{"garbage in the newest wal segment", garbageInNewest("wal")},
		{"newest wal segment gone", func(t *testing.T, data string) {
			if err := os.Remove(newest(t, data, "wal")); err != nil {
				t.Fatal(err)
			}
		}},
		{"wal gone", func(t *testing.T, data string) {
			if err := os.RemoveAll(filepath.Dir(newest(t, data, "wal"))); err != nil {
				t.Fatal(err)
			}
		}},
		{"newest wbl segment cut in half", truncateNewest("wbl")},
		{"garbage in the newest wbl segment", garbageInNewest("wbl")},
		{"garbage in chunks_head", garbageInNewest("chunks_head")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if out, err := exec.CommandContext(t.Context(), "cp", "-a", p.data, data).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			tt.damage(t, data)
			damaged := newPlatform(t, data, nil)
			damaged.boot(t)
			damaged.holdToAcknowledged(t, sent)
		})
	}
}
