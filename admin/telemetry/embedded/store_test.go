package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/storetest"
)

// opened is a store that knows how to open itself again.
type opened struct {
	*Store
	cfg Config
}

func open(t testing.TB, cfg Config) *opened {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &opened{s, cfg}
}

func TestTheEmbeddedStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t,
		func(t *testing.T) telemetry.Store { return open(t, Config{Dir: t.TempDir()}) },
		storetest.Reopen(func(t *testing.T, s telemetry.Store) telemetry.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return open(t, s.(*opened).cfg)
		}),
		storetest.Expire(func(t *testing.T, s telemetry.Store, before time.Time) telemetry.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			cfg := s.(*opened).cfg
			cfg.Retention, cfg.OutOfOrderWindow = time.UnixMilli(s.(*opened).db.Head().MaxTime()).Sub(before), time.Hour
			again := open(t, cfg)
			for range 2 { // what the first writes as blocks the second finds too old
				if err := again.db.Compact(t.Context()); err != nil {
					t.Fatalf("Compact: %v", err)
				}
			}
			return again
		}))
}

// noon is when the readings of these tests begin.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const metric = "hardware.cpu_temp"

func reading(serial string, offset time.Duration, value float64) fleet.Reading {
	return fleet.Reading{Serial: serial, Site: "hall-1", Time: noon.Add(offset), Values: []fleet.Value{{Metric: metric, Value: value}}}
}

func query(from, to time.Duration, serials ...string) telemetry.Query {
	return telemetry.Query{Metric: metric, Serials: serials, From: noon.Add(from), To: noon.Add(to)}
}

func mustAppend(t testing.TB, s telemetry.Store, readings ...fleet.Reading) {
	t.Helper()
	if err := s.Append(t.Context(), readings); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

// values returns what the store has of one kiosk, oldest first.
func values(t testing.TB, s telemetry.Store, q telemetry.Query) []float64 {
	t.Helper()
	all, err := s.Range(t.Context(), q)
	if err != nil {
		t.Fatalf("Range: %v", err)
	}
	var got []float64
	for _, one := range all {
		for _, p := range one.Points {
			got = append(got, p.Value)
		}
	}
	return got
}

func equal(t testing.TB, what string, got []float64, want ...float64) {
	t.Helper()
	same := len(got) == len(want)
	for i := 0; same && i < len(want); i++ {
		same = got[i] == want[i]
	}
	if !same {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestOpenNamesWhatIsWrongWithTheConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no folder", Config{}, "no folder was given"},
		{"a negative retention", Config{Dir: t.TempDir(), Retention: -1}, "must not be negative"},
		{"a negative size", Config{Dir: t.TempDir(), RetentionBytes: -1}, "must not be negative"},
		{"a window beyond the retention", Config{Dir: t.TempDir(), Retention: 24 * time.Hour, OutOfOrderWindow: 25 * time.Hour}, "longer than the retention"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.cfg)
			if err == nil {
				s.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q does not say %q", err, c.want)
			}
		})
	}
}

func TestAFolderInUseIsRefusedWithAdviceAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	first := open(t, Config{Dir: dir})
	mustAppend(t, first, reading("K-1", 0, 1))
	// What a compaction in progress looks like; the second must not tidy it away.
	working := filepath.Join(dir, "01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp-for-creation")
	if err := os.Mkdir(working, 0o750); err != nil {
		t.Fatal(err)
	}
	second, err := Open(Config{Dir: dir})
	if err == nil {
		second.Close()
		t.Fatal("two stores have the same folder open")
	}
	if !strings.Contains(err.Error(), "another process uses the folder "+dir) {
		t.Errorf("%q does not say what to do", err)
	}
	if _, err := os.Stat(working); err != nil {
		t.Errorf("the second opening touched the first one's work: %v", err)
	}
	mustAppend(t, first, reading("K-1", time.Second, 2))
	if err := first.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	equal(t, "after the first was closed", values(t, open(t, Config{Dir: dir}), query(0, time.Hour, "K-1")), 1, 2)
}

func TestAFolderThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: filepath.Join(file, "tsdb")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the path", err)
	}
}

func TestReadingsOutsideTheWindowAreRejectedAndTheRestIsKept(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), OutOfOrderWindow: 48 * time.Hour})
	mustAppend(t, s, reading("K-1", 0, 1))
	err := s.Append(t.Context(), []fleet.Reading{
		reading("K-1", time.Second, 2), reading("K-1", -50*time.Hour, 3), reading("K-1", -48*time.Hour, 4), reading("K-2", -72*time.Hour, 5),
	})
	var e *telemetry.RejectedError
	if !errors.As(err, &e) || len(e.Rejected) != 2 || e.Rejected[0].Index != 1 || e.Rejected[1].Index != 3 {
		t.Fatalf("Append: %v, want the second and the fourth rejected", err)
	}
	if want := "time 2026-02-28T10:00:00Z is older than the store takes"; e.Rejected[0].Reason != want {
		t.Errorf("reason %q, want %q", e.Rejected[0].Reason, want)
	}
	equal(t, "K-1", values(t, s, query(-96*time.Hour, time.Hour, "K-1")), 4, 1, 2)
	equal(t, "K-2", values(t, s, query(-96*time.Hour, time.Hour, "K-2")))
}

func TestManyLateReadingsAtOnceAreKept(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), OutOfOrderWindow: 48 * time.Hour})
	const kiosks = 3 * mostLate
	var live, late []fleet.Reading
	for k := range kiosks {
		serial := fmt.Sprintf("K-%d", k)
		live = append(live, reading(serial, 0, 1))
		late = append(late, reading(serial, -10*time.Second, 2), reading(serial, -5*time.Second, 3))
	}
	mustAppend(t, s, live...)
	late = append(late, reading("K-0", -50*time.Hour, 4))
	err := s.Append(t.Context(), late)
	var e *telemetry.RejectedError
	if !errors.As(err, &e) || len(e.Rejected) != 1 || e.Rejected[0].Index != 2*kiosks {
		t.Fatalf("Append: %v, want only the last rejected", err)
	}
	for k := range kiosks {
		serial := fmt.Sprintf("K-%d", k)
		equal(t, serial, values(t, s, query(-time.Hour, time.Hour, serial)), 2, 3, 1)
	}
}

// What the TSDB takes as late is committed in portions: in one piece it would allocate hundreds of megabytes.
func TestLateReadingsTakeLittleMemory(t *testing.T) {
	const kiosks, most = 600, 100 << 20
	for _, tt := range []struct {
		name string
		late func(t *testing.T) (*opened, []fleet.Reading)
	}{
		{"what was kept while others were told", func(t *testing.T) (*opened, []fleet.Reading) {
			s := open(t, Config{Dir: t.TempDir()})
			mustAppend(t, s, round(kiosks, 0)...)
			return s, round(kiosks, -10*time.Second)
		}},
		{"after a start", func(t *testing.T) (*opened, []fleet.Reading) {
			dir := t.TempDir()
			s := open(t, Config{Dir: dir})
			mustAppend(t, s, round(kiosks, 0)...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, Config{Dir: dir}), round(kiosks, -10*time.Second)
		}},
		{"of a site that comes back after hours", func(t *testing.T) (*opened, []fleet.Reading) {
			s := open(t, Config{Dir: t.TempDir()})
			mustAppend(t, s, round(kiosks, -3*time.Hour-time.Minute)...)
			mustAppend(t, s, reading("LIVE", 0, 1))
			return s, round(kiosks, -3*time.Hour)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, late := tt.late(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			mustAppend(t, s, late...)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("%d MB", took>>20)
			}
		})
	}
}

func TestTheDefaultWindowTakesSevenDays(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	mustAppend(t, s, reading("K-1", 0, 1))
	mustAppend(t, s, reading("K-1", -7*24*time.Hour, 2))
	equal(t, "K-1", values(t, s, query(-8*24*time.Hour, time.Hour, "K-1")), 2, 1)
}

func TestAnotherValueForAStoredTimeIsRejectedAndTheFirstStays(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	r := reading("K-1", 0, 1)
	r.Values = append(r.Values, fleet.Value{Metric: "hardware.cpu_usage", Value: 5})
	mustAppend(t, s, r)
	r.Values[0].Value = 2
	err := s.Append(t.Context(), []fleet.Reading{r, reading("K-1", time.Second, 3)})
	var e *telemetry.RejectedError
	if !errors.As(err, &e) || len(e.Rejected) != 1 || e.Rejected[0].Index != 0 || !strings.Contains(e.Rejected[0].Reason, metric) {
		t.Fatalf("Append: %v, want the first rejected because of %s", err, metric)
	}
	equal(t, "K-1", values(t, s, query(0, time.Hour, "K-1")), 1, 3)
}

func TestAStoreThatWasNotClosedHasEverythingWhenItIsOpened(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	for i := range 50 {
		mustAppend(t, s, reading("K-1", time.Duration(i)*time.Minute, float64(i)), reading("K-1", -time.Duration(i+100)*time.Minute, float64(-i)))
	}
	// What the disk holds now is what a killed process leaves behind.
	left := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(left, os.DirFS(s.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	q := query(-24*time.Hour, 24*time.Hour, "K-1")
	equal(t, "after the kill", values(t, open(t, Config{Dir: left}), q), values(t, s, q)...)

	// And with the last record torn, as a power cut may leave it, it still opens.
	torn := filepath.Join(t.TempDir(), "torn")
	if err := os.CopyFS(torn, os.DirFS(s.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(torn, "wal", "00000000")
	info, err := os.Stat(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(segment, info.Size()-3); err != nil {
		t.Fatal(err)
	}
	repaired := open(t, Config{Dir: torn})
	if got := values(t, repaired, q); len(got) < 90 {
		t.Errorf("after a torn record: %d points are left of 100", len(got))
	}
	mustAppend(t, repaired, reading("K-1", 49*time.Minute, 49)) // and takes the lost one again
	got := values(t, repaired, query(0, time.Hour, "K-1"))
	if len(got) != 50 || got[49] != 49 {
		t.Errorf("after a torn record and its reading again: %v", got)
	}
}

func TestTheTSDBsMetricsCanBeRegisteredAgainAfterClose(t *testing.T) {
	registry := prometheus.NewRegistry()
	cfg := Config{Dir: t.TempDir(), Registerer: registry}
	for range 2 {
		s := open(t, cfg)
		mustAppend(t, s, reading("K-1", 0, 1))
		if families, err := registry.Gather(); err != nil || len(families) == 0 {
			t.Errorf("%d metrics, %v", len(families), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if families, _ := registry.Gather(); len(families) != 0 {
			t.Errorf("%d metrics are left after Close", len(families))
		}
	}
}
