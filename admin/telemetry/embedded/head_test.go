package embedded

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
)

// compact moves everything but the latest hours into blocks, and forgets idle series.
func compact(t *testing.T, s *opened) {
	t.Helper()
	if err := s.db.Compact(t.Context()); err != nil {
		t.Fatalf("compact: %v", err)
	}
	if err := s.db.CompactOOOHead(t.Context()); err != nil {
		t.Fatalf("compact late points: %v", err)
	}
	if len(s.db.Blocks()) == 0 {
		t.Fatal("nothing was compacted: the test proves nothing")
	}
}

func cached(s *opened, serial string) int {
	s.cache.mu.RLock()
	defer s.cache.mu.RUnlock()
	kiosk := s.cache.kiosks[kioskKey{serial, "hall-1"}]
	if kiosk == nil {
		return 0
	}
	return len(kiosk.all)
}

func TestAKioskThatWasIdleGoesOnAfterItsSeriesWereForgotten(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	for i := range 10 {
		mustAppend(t, s, reading("K-idle", time.Duration(i)*time.Minute, float64(i)))
	}
	// A look-up before the compaction, used after it: its reference is stale by then.
	late := reading("K-idle", 9*time.Hour, 10)
	stale := s.cache.lookup(&late, nil)
	for i := range 100 {
		mustAppend(t, s, reading("K-busy", time.Duration(i)*5*time.Minute, float64(i)))
	}
	compact(t, s)
	if n := cached(s, "K-idle"); n != 0 {
		t.Errorf("the cache still has %d series of the idle kiosk", n)
	}
	if n := cached(s, "K-busy"); n != 1 {
		t.Errorf("the cache has %d series of the busy kiosk, want 1", n)
	}
	before := stale[0].ref.Load()

	appender := s.db.Appender(t.Context())
	if reason, err := appendReading(appender, &late, stale); reason != "" || err != nil {
		t.Fatalf("append by a stale reference: %q, %v", reason, err)
	}
	if err := appender.Commit(); err != nil {
		t.Fatal(err)
	}
	if after := stale[0].ref.Load(); after == before {
		t.Error("the reference was not stale: the test proves nothing")
	}
	mustAppend(t, s, reading("K-idle", 9*time.Hour+time.Minute, 11), reading("K-idle", 30*time.Minute, 9.5))
	equal(t, "the idle kiosk", values(t, s, query(0, 24*time.Hour, "K-idle")), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9.5, 10, 11)
}

func TestARangeSpansBlocksHeadAndLatePoints(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	const n = 12 * 60
	var all []fleet.Reading
	for i := range n {
		r := reading("K-1", time.Duration(i)*time.Minute, float64(i))
		if i >= n/3 {
			r.Site = "hall-2"
		}
		all = append(all, r)
	}
	var late []fleet.Reading
	for i, r := range all {
		if i%10 == 3 { // arrives when everything else is compacted
			late = append(late, r)
			continue
		}
		mustAppend(t, s, r)
	}
	compact(t, s)
	mustAppend(t, s, late...)
	mustAppend(t, s, all...) // the same again, into the head over the blocks
	check := func(when string) {
		t.Helper()
		got := values(t, s, query(0, 24*time.Hour, "K-1"))
		if len(got) != n {
			t.Errorf("%s: %d points, want %d", when, len(got), n)
			return
		}
		for i, v := range got {
			if v != float64(i) {
				t.Errorf("%s: point %d is %v", when, i, v)
				return
			}
		}
		q := query(0, 24*time.Hour, "K-1")
		q.Step, q.Aggregate = time.Hour, telemetry.AggregateCount
		for i, v := range values(t, s, q) {
			if v != 60 {
				t.Errorf("%s: %v points in hour %d", when, v, i)
			}
		}
	}
	check("blocks, head and late points")
	compact(t, s)
	check("after the late points were compacted too")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.cfg)
	check("after reopening")
}

func TestPointsBeyondTheRetentionGo(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Retention: 24 * time.Hour})
	const hours = 4 * 24
	for i := range hours * 6 {
		mustAppend(t, s, reading("K-1", time.Duration(i)*10*time.Minute, float64(i)))
	}
	compact(t, s)
	if got := values(t, s, query(0, 48*time.Hour, "K-1")); len(got) != 0 {
		t.Errorf("%d points older than two days are left with a retention of one", len(got))
	}
	if got := values(t, s, query((hours-24)*time.Hour, hours*time.Hour, "K-1")); len(got) != 24*6 {
		t.Errorf("%d points of the last day are left, want %d", len(got), 24*6)
	}
}

func TestSeriesHaveNamesAndLabelsForPromQL(t *testing.T) {
	for _, c := range []struct{ metric, site, want string }{
		{"hardware.cpu_temp", "hall-1", `{__name__="kiosk_hardware_cpu_temp_celsius", metric="hardware.cpu_temp", serial="K-1", site="hall-1"}`},
		{"network.latency", "", `{__name__="kiosk_network_latency_milliseconds", metric="network.latency", serial="K-1"}`},
		{"network.signal_strength", "", `{__name__="kiosk_network_signal_strength_dbm", metric="network.signal_strength", serial="K-1"}`},
		{"location.lat", "", `{__name__="kiosk_location_lat_degrees", metric="location.lat", serial="K-1"}`},
		{"custom.paper_level", "", `{__name__="kiosk_custom_paper_level_percent", metric="custom.paper_level", serial="K-1"}`},
		{"environmental.air_quality", "", `{__name__="kiosk_environmental_air_quality_aqi", metric="environmental.air_quality", serial="K-1"}`},
		{"custom.Foo_1", "", `{__name__="kiosk_custom_Foo_1", metric="custom.Foo_1", serial="K-1"}`},
	} {
		if got := seriesLabels(c.metric, "K-1", c.site).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.metric, got, c.want)
		}
	}
}

// cancelsItself is a context that is cancelled when it is looked at for the nth time.
type cancelsItself struct {
	context.Context
	looks atomic.Int64
	n     int64
}

func (c *cancelsItself) Err() error {
	if c.looks.Add(1) >= c.n {
		return context.Canceled
	}
	return nil
}

func TestARangeEndsInTheMiddleWhenItsContextDoes(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	var batch []fleet.Reading
	for i := range 10 * checkEvery {
		batch = append(batch, reading("K-1", time.Duration(i)*time.Second, 1))
	}
	mustAppend(t, s, batch...)
	for _, step := range []time.Duration{0, time.Minute} {
		ctx := &cancelsItself{Context: t.Context(), n: 4}
		q := query(0, 24*time.Hour, "K-1")
		q.Step, q.Aggregate = step, telemetry.AggregateMean
		if got, err := s.Range(ctx, q); !errors.Is(err, context.Canceled) || got != nil {
			t.Errorf("step %v: %d series and %v, want context.Canceled", step, len(got), err)
		}
		if looks := ctx.looks.Load(); looks > 6 {
			t.Errorf("step %v: it went on for %d more looks at the context", step, looks-4)
		}
	}
	ctx := &cancelsItself{Context: t.Context(), n: 3}
	for i := range batch { // none of which is late: it is one transaction
		batch[i].Serial, batch[i].Time = "K-2", batch[i].Time.Add(10*checkEvery*time.Second)
	}
	if err := s.Append(ctx, batch); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v, want context.Canceled", err)
	}
	equal(t, "what a cancelled Append left", values(t, s, query(0, 24*time.Hour, "K-2")))
}
