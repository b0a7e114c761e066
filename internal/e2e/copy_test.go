package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/testkit/influxd"
)

// An operator moves from the embedded store to InfluxDB and takes the history along, while admin runs.
func TestHistoryIsCopiedIntoInfluxDB(t *testing.T) {
	db := influxd.Start(t)
	p := startAdmin(t, nil)
	s := start(t, "spawner", p.agentEnv(nil), "-n", "2")
	p.awaitOnline(t, 2, time.Time{})
	p.awaitPoints(t, "SIM-KIOSK-001")
	p.awaitPoints(t, "SIM-KIOSK-002")
	s.interrupt() // what is in InfluxDB afterwards has come by the copy

	env := map[string]string{"DATA_DIR": p.data, "INFLUXDB_URL": db.URL, "INFLUXDB_BUCKET": "fleet"}
	copyAll := []string{"telemetry", "copy", "--from", "embedded", "--to", "influxdb", "--json"}
	out, err := run(t, "admin", env, copyAll...)
	if err == nil || !strings.Contains(out, "another process uses the folder") || !strings.Contains(out, "telemetry.backend: influxdb") {
		t.Errorf("while admin has the embedded store open: %v\n%s", err, out)
	}
	p.interrupt()
	for name, value := range map[string]string{"TELEMETRY_BACKEND": "influxdb", "INFLUXDB_URL": db.URL, "INFLUXDB_BUCKET": "fleet"} {
		p.env[name] = value
	}
	p.boot(t)
	if out, err = run(t, "admin", env, copyAll...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var done struct {
		Days     int `json:"kiosk_days"`
		DaysDone int `json:"kiosk_days_done"`
		Readings int `json:"readings"`
		Rejected int `json:"rejected"`
	}
	if err := json.Unmarshal([]byte(out[strings.LastIndex(out, "{"):]), &done); err != nil || done.Readings < 6 || done.Days < 2 || done.DaysDone != done.Days || done.Rejected != 0 {
		t.Errorf("%v: %s", err, out)
	}
	p.awaitPoints(t, "SIM-KIOSK-001")
	if out, err = run(t, "admin", env, "telemetry", "copy", "--to", "embedded"); err == nil || !strings.Contains(out, "--to influxdb") {
		t.Errorf("to where nothing can be copied: %v\n%s", err, out)
	}
}
