package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/testkit/influxd"
)

// A program that knows PromQL reads a running admin with an API token, as Grafana does.
func TestPromQLOfARunningAdmin(t *testing.T) {
	p := startAdmin(t, nil)
	start(t, "spawner", p.agentEnv(nil), "-n", "2")
	p.awaitOnline(t, 2, time.Time{})
	out, err := run(t, "admin", map[string]string{"DATA_DIR": p.data}, "api-token", "create", "--name", "grafana", "--scope", "read", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var token struct{ Token string }
	if err := json.Unmarshal([]byte(out), &token); err != nil {
		t.Fatal(err)
	}
	ask := func(bearer string, form url.Values, into any) error {
		req, err := http.NewRequest(http.MethodPost, p.url+"/api/prometheus/api/v1/query", strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		res, err := p.http.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", res.Status, text)
		}
		return json.Unmarshal(text, into)
	}
	eventually(t, "both kiosks' values", func() error {
		var answer struct {
			Data struct{ Result []struct{ Value []any } }
		}
		if err := ask(token.Token, url.Values{"query": {`count(kiosk_hardware_cpu_temp_celsius{serial=~"SIM-.*"})`}}, &answer); err != nil {
			return err
		}
		if r := answer.Data.Result; len(r) != 1 || r[0].Value[1] != "2" {
			return fmt.Errorf("%+v", answer)
		}
		return nil
	})
	if err := ask("guess", url.Values{"query": {"1"}}, nil); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a token that is none: %v", err)
	}
}

// What InfluxDB lacks and admin may not create is said by the log and by /readyz, while readings are taken; once
// somebody has run the command, they are stored.
func TestAdminGoesOnUntilInfluxDBIsPrepared(t *testing.T) {
	db := influxd.Start(t, influxd.WithAuth("root", "secret"))
	statement := func(q string) {
		t.Helper()
		res, err := http.PostForm(db.URL+"/query?u=root&p=secret", url.Values{"q": {q}})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || strings.Contains(string(text), "error") {
			t.Fatalf("%s: %s", q, text)
		}
	}
	statement(`CREATE DATABASE other`)
	statement(`CREATE USER kioskfleet WITH PASSWORD 'secret'`)
	statement(`GRANT ALL ON other TO kioskfleet`)
	p := startAdmin(t, map[string]string{"TELEMETRY_BACKEND": "influxdb", "INFLUXDB_URL": db.URL, "INFLUXDB_BUCKET": "fleet", "INFLUXDB_TOKEN": "kioskfleet:secret"})
	start(t, "spawner", p.agentEnv(nil), "-n", "1")
	p.awaitOnline(t, 1, time.Time{})
	eventually(t, "the command in /readyz", func() error {
		res, err := p.http.Get(p.url + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(text), `influx -execute 'CREATE DATABASE "fleet"'`) {
			return fmt.Errorf("%s %s", res.Status, text)
		}
		return nil
	})
	p.awaitLine(`CREATE DATABASE`)
	statement(`CREATE DATABASE "fleet"`) // as the message says
	statement(`GRANT ALL ON "fleet" TO kioskfleet`)
	p.awaitPoints(t, "SIM-KIOSK-001")
}
