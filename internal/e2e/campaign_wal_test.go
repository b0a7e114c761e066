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

// leastWritten is what a file must hold for damage in its middle to hit something.
const leastWritten = 8 << 10

// newest returns the last file, by name, of a folder below the embedded time series that has something
// in it, and its size without the zeros at its end, which are preallocated.
func newest(t *testing.T, data, folder string) (path string, written int64) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(data, "telemetry", folder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slices.Backward(entries) {
		path := filepath.Join(data, "telemetry", folder, e.Name())
		if !e.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := int64(len(bytes.TrimRight(text, "\x00"))); n >= leastWritten {
			return path, n
		}
	}
	t.Fatalf("%s has no file with content: the campaign wrote too little", folder)
	return "", 0
}

func truncateNewest(folder string) func(t *testing.T, data string) {
	return func(t *testing.T, data string) {
		t.Helper()
		path, written := newest(t, data, folder)
		if err := os.Truncate(path, written/2); err != nil {
			t.Fatal(err)
		}
	}
}

func garbageInNewest(folder string) func(t *testing.T, data string) {
	return func(t *testing.T, data string) {
		t.Helper()
		path, written := newest(t, data, folder)
		garbage := make([]byte, 4<<10)
		_, _ = rand.Read(garbage)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(garbage, written/2); err != nil {
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
			path, _ := newest(t, data, "wal")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}},
		{"wal gone", func(t *testing.T, data string) {
			path, _ := newest(t, data, "wal")
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
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
