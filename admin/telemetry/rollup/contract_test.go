package rollup_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/influx"
	"kioskfleet/admin/telemetry/rollup"
	"kioskfleet/admin/telemetry/storetest"
	"kioskfleet/internal/testkit/influxd"
)

func openEmbedded(t testing.TB, dir string) telemetry.Store {
	t.Helper()
	s, err := embedded.Open(embedded.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Whoever asks cannot tell a store with rollups from one without.
func TestAStoreWithRollupsKeepsTheContract(t *testing.T) {
	counts := map[rollup.Origin]int{}
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		dirs := map[telemetry.Store]string{}
		storetest.Run(t, func(t *testing.T) telemetry.Store {
			dir := t.TempDir()
			e := newEager(t, openEmbedded(t, filepath.Join(dir, "tsdb")), newMemory(), time.Time{})
			dirs[e] = dir
			e.origins.counts = counts
			return e
		}, storetest.Reopen(func(t *testing.T, s telemetry.Store) telemetry.Store {
			old := s.(*eager)
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			dir := dirs[s]
			e := newEager(t, openEmbedded(t, filepath.Join(dir, "tsdb")), old.repo, old.clock())
			dirs[e] = dir
			return e
		}))
		if counts[rollup.OriginRollup] < 10 || counts[rollup.OriginMixed] < 50 || counts[rollup.OriginRaw] < 100 {
			t.Errorf("the answers came from %v: this proves nothing", counts)
		}
	})
	t.Run("InfluxDB", func(t *testing.T) {
		t.Parallel()
		server, databases := influxd.Start(t), 0
		storetest.Run(t, func(t *testing.T) telemetry.Store {
			databases++
			inner, err := influx.Open(t.Context(), influx.Config{URL: server.URL, Bucket: fmt.Sprintf("test-%d", databases)})
			if err != nil {
				t.Fatal(err)
			}
			return newEager(t, inner, newMemory(), time.Time{})
		})
	})
}
