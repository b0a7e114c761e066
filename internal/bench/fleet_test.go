package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAFleetIsMeasured runs the real programs with a few kiosks; its figures say nothing.
func TestAFleetIsMeasured(t *testing.T) {
	const kiosks = 12
	b := &bench{dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for name, path := range map[string]*string{"admin": &b.admin, "spawner": &b.spawner} {
		if err := b.build(ctx, name, path); err != nil {
			t.Fatal(err)
		}
	}
	f, err := b.fleet(ctx, fleetOptions{kiosks: kiosks, steady: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if f.First <= 0 || f.Again <= 0 || f.Seconds != 1 || f.Silent <= 0 {
		t.Errorf("the run is %+v", f)
	}
	for name, u := range map[string]used{"admin": f.Admin, "spawner": f.Spawner} {
		if u.RSS < 1<<20 || u.Peak < u.RSS || u.Cores < 0 {
			t.Errorf("%s used %+v", name, u)
		}
	}
	// Each kiosk reports as soon as it is connected, in both starts.
	if s := f.Sums; s.Acknowledged < kiosks || s.Stored < s.Acknowledged || s.Lost != 0 || s.Gaps != 0 || s.Refused != 0 {
		t.Errorf("the sums are %+v", s)
	}
	var out bytes.Buffer
	(&report{Machine: thisMachine(), Fleet: f}).print(&out)
	for _, want := range []string{"fleet of 12 kiosks", "acknowledged, stored, lost", "cores"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "window") {
		t.Errorf("the report has a table of a throughput that was not measured:\n%s", out.String())
	}
}

func TestASpawnersSummary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary.json")
	if err := os.WriteFile(file, []byte(`{"readings": {"sent": 12, "acknowledged": 10, "resent": 2}, "publish_to_ack": {"count": 10, "p50_ms": 1.5, "p99_ms": 20}, "errors": {"connection_lost": 3}, "more": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := (&swarm{file: file}).read()
	if err != nil || s.Readings.Acknowledged != 10 || s.Readings.Resent != 2 || s.PublishToAck.P99 != 20 || s.Errors["connection_lost"] != 3 {
		t.Errorf("the summary is %+v, %v", s, err)
	}
	if _, err = (&platform{}).count(t.Context(), time.Now(), &summary{Problem: "killed"}); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("counting without knowing what was acknowledged: %v", err)
	}
}

func TestLatenciesOfTheSteadyTime(t *testing.T) {
	line := func(second int, msg, p50, p99 string) string {
		return fmt.Sprintf(`{"time":"2026-11-25T04:00:%02dZ","msg":%q,"publish_to_ack_p50":%q,"publish_to_ack_p99":%q}`+"\n", second, msg, p50, p99)
	}
	log := line(1, "progress", "900.0 ms", "2000.0 ms") + "not JSON\n" + line(10, "progress", "4.5 ms", "20.0 ms") +
		line(15, "progress", "5.5 ms", "1200.0 ms") + line(20, "progress", "4.7 ms", "30.0 ms") + line(25, "stopped", "1.0 ms", "1.0 ms")
	if got := lately(log, time.Date(2026, 11, 25, 4, 0, 5, 0, time.UTC)); got != (recent{4.7, 30}) {
		t.Errorf("%+v", got)
	}
	if got := lately("", time.Time{}); got != (recent{}) {
		t.Errorf("of nothing: %+v", got)
	}
}
