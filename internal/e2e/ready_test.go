package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/internal/testkit/influxd"
	"kioskfleet/internal/testkit/load"
)

// Kiosks are served before the time-series store is there: what they send waits in the journal.
func TestReadingsAreAcknowledgedBeforeTheStoreIsOpen(t *testing.T) {
	db := influxd.Start(t)
	target, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	var there atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !there.Load() {
			conn, _, err := w.(http.Hijacker).Hijack() // as if nobody listened
			if err == nil {
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)

	p := startAdmin(t, map[string]string{"TELEMETRY_BACKEND": "influxdb", "INFLUXDB_URL": front.URL, "INFLUXDB_BUCKET": "fleet"}) // waits for /readyz
	clients := p.publishers(t, 5, "R", func(_ int, c *load.Config) { c.Rate = 20 })
	stop := load.Start(t.Context(), clients)
	defer stop()
	awaitAcked(t, clients, 100)
	path := "/kiosks/" + clients[0].Serial() + "/telemetry?metric=custom.number"
	if err := p.try("GET", path, nil, http.StatusServiceUnavailable, nil); err != nil {
		t.Errorf("a question before the store is open: %v", err)
	}
	var status struct {
		Accepting bool
		Consumers []struct {
			Name          string
			BehindRecords int `json:"behind_records"`
			Problem       string
		}
	}
	eventually(t, "the intake to say why the time series are behind", func() error {
		p.call(t, "GET", "/ingest", nil, http.StatusOK, &status)
		if c := status.Consumers[1]; !status.Accepting || c.Name != "timeseries" || c.BehindRecords < 100 || c.Problem == "" {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
	there.Store(true)
	stop()
	p.holdToAcknowledged(t, sentBy(clients))
}

// What a kiosk's ledger says is what was sent: gaps, repetitions and two readings of one time.
func TestAKiosksLedgerShowsWhatIsMissing(t *testing.T) {
	p := startAdmin(t, nil)
	ids, err := load.Enroll(t.Context(), p.url, p.file(t, "spawner-token"), []string{"SIM-KIOSK-LEDGER"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := load.Dial(t.Context(), ids[0].Broker, ids[0].TLS, load.MQTT311, ids[0].Serial)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().UTC().Add(-time.Minute)
	send := func(session string, seq, second int, more string) {
		t.Helper()
		payload := fmt.Sprintf(`{"timestamp":"%s","serial":%q,"session":%q,"seq":%d,"custom":{"number":%d}%s}`,
			from.Add(time.Duration(second)*time.Second).Format(time.RFC3339), ids[0].Serial, session, seq, seq, more)
		if err := c.Publish("kiosks/"+ids[0].Serial+"/telemetry", 1, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	send("a", 1, 1, "")
	send("a", 2, 2, "")
	send("a", 2, 2, "")                                              // again
	send("a", 6, 6, "")                                              // 3 to 5 are missing
	send("b", 3, 13, "")                                             // 1 and 2 are missing
	send("a", 4, 4, "")                                              // 4 was late
	send("b", 4, 14, `,"dropped":[{"session":"a","from":5,"to":5}]`) // 5 was given up
	send("b", 5, 14, "")                                             // at the same time as another one
	want := ledger{Received: 7, Missing: 3, Duplicated: 1, Conflicting: 1, Dropped: 1}
	check := func(when string) {
		t.Helper()
		eventually(t, "the ledger "+when, func() error {
			var out struct{ Ledger ledger }
			if err := p.try("GET", "/kiosks/"+ids[0].Serial, nil, http.StatusOK, &out); err != nil {
				return err
			}
			if out.Ledger.Since == "" {
				return fmt.Errorf("it does not say since when it counts: %+v", out.Ledger)
			}
			out.Ledger.Since = ""
			if out.Ledger != want {
				return fmt.Errorf("%+v, want %+v", out.Ledger, want)
			}
			return nil
		})
	}
	check("of what was sent")
	_ = c.Close()
	p.kill()
	p.boot(t)
	check("after a kill")
}

type ledger struct {
	Since                                               string
	Received, Missing, Duplicated, Conflicting, Dropped int
}
