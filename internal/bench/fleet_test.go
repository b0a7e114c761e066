package main

import (
	"bytes"
	"context"
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
	log := `{"msg":"progress","readings":3}
not JSON
{"level":"INFO","msg":"stopped","readings":7,"dropped":1,"errors":2}
{"msg":"left without a goodbye"}`
	if s, err = lastWords(log); err != nil || s.Readings.Acknowledged != 7 || s.Readings.Dropped != 1 || s.Errors["all"] != 2 {
		t.Errorf("the last words are %+v, %v", s, err)
	}
	if _, err = lastWords(`{"msg":"progress"}`); err == nil {
		t.Error("a spawner that was killed has said how it ended")
	}
	if _, err = (&platform{}).count(t.Context(), time.Now(), &summary{Problem: "killed"}); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("counting without knowing what was acknowledged: %v", err)
	}
}
