package e2e

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/internal/testkit/influxd"
)

func copyTo(w io.Writer, res *http.Response) (int64, error) { return io.Copy(w, res.Body) }

// awaitPoints waits until an hour of a kiosk's CPU temperature has points.
func (p *platform) awaitPoints(t *testing.T, serial string) {
	t.Helper()
	eventually(t, "points of "+serial, func() error {
		var out struct{ Points []struct{ Value float64 } }
		if err := p.try("GET", "/kiosks/"+serial+"/telemetry?metric=hardware.cpu_temp", nil, http.StatusOK, &out); err != nil {
			return err
		}
		if len(out.Points) < 3 {
			return fmt.Errorf("%d points", len(out.Points))
		}
		return nil
	})
}

func TestReadingsGoToInfluxDB(t *testing.T) {
	db := influxd.Start(t)
	p := startAdmin(t, map[string]string{"TELEMETRY_BACKEND": "influxdb", "INFLUXDB_URL": db.URL, "INFLUXDB_BUCKET": "fleet"})
	start(t, "spawner", p.agentEnv(nil), "-n", "2")
	p.awaitOnline(t, 2, time.Time{})
	p.awaitPoints(t, "SIM-KIOSK-001")
	res, err := http.Get(db.URL + "/query?db=fleet&q=SELECT+count(%22hardware.cpu_temp%22)+FROM+kiosk_telemetry")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || len(text) < 80 {
		t.Errorf("InfluxDB itself answers %s", text)
	}
}

func TestAStandAloneBrokerServesAdmin(t *testing.T) {
	first := startAdmin(t, nil) // makes the CA and the spawner's tokens
	files := filepath.Join(t.TempDir(), "tls")
	if out, err := run(t, "admin", map[string]string{"DATA_DIR": first.data}, "broker", "files", files); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	addr := first.env["BROKER_KIOSKS_ADDR"]
	first.interrupt() // its port is the broker's from here on

	broker := start(t, "broker", map[string]string{"KIOSKS_ADDR": addr, "DATA_DIR": t.TempDir(), "METRICS_ADDR": ""}, "--tls-dir", files)
	broker.awaitLine("broker is running")
	first.env["BROKER_MODE"], first.env["BROKER_URL"] = "external", "mqtts://"+addr
	first.boot(t)
	start(t, "spawner", first.agentEnv(nil), "-n", "2")
	first.awaitOnline(t, 2, time.Time{})
	first.awaitPoints(t, "SIM-KIOSK-002")
	if c := first.send(t, "SIM-KIOSK-001", `{"name":"block"}`); c.Status != "verified" {
		t.Errorf("block ended as %s: %+v", c.Status, c.Steps)
	}
}

func TestEachKioskMayBeAProcessOfItsOwn(t *testing.T) {
	p := startAdmin(t, nil)
	s := start(t, "spawner", p.agentEnv(nil), "-n", "2", "--exec")
	p.awaitOnline(t, 2, time.Time{})
	s.interrupt()
	eventually(t, "both to say goodbye", func() error {
		for _, k := range p.kiosks(t) {
			if k.Presence != "offline" {
				return fmt.Errorf("%s is %s", k.Serial, k.Presence)
			}
		}
		return nil
	})
}

func TestTheBrowserSeesTenKiosksAndBlocksOne(t *testing.T) {
	needsPage(t)
	p := startAdmin(t, nil)
	start(t, "spawner", p.agentEnv(nil))
	p.awaitOnline(t, 10, time.Time{})
	p.inBrowser(t, "fleet.spec.mjs", "")
}
