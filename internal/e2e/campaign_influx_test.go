package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/influxd"
	"kioskfleet/internal/testkit/load"
)

const (
	influxKiosks = 50
	// liveLimit is how long the live stream may be silent about a kiosk while the store is away; it tells
	// of each kiosk once a second.
	liveLimit = 10 * time.Second
	// closeBehind is how far behind counts as caught up while readings keep coming: a few seconds' worth.
	closeBehind = 1000
)

// onInfluxDB starts a platform on that InfluxDB with kiosks that publish until stop is called.
func onInfluxDB(t *testing.T, address string) (p *platform, clients []*load.Client, stop func()) {
	t.Helper()
	p = startAdmin(t, map[string]string{"TELEMETRY_BACKEND": "influxdb", "INFLUXDB_URL": address, "INFLUXDB_BUCKET": "fleet"})
	clients = p.publishers(t, influxKiosks, "I", func(i int, c *load.Config) {
		mix(i, c)
		c.Rate = 5
	})
	stop = load.Start(t.Context(), clients)
	t.Cleanup(stop)
	awaitAcked(t, clients, 10*influxKiosks)
	return p, clients, stop
}

func (p *platform) awaitCaughtUp(t *testing.T) {
	t.Helper()
	within(t, settling, 100*time.Millisecond, "the time series to catch up", func() error {
		n, err := p.sum(behind("timeseries"))
		if err == nil && n > closeBehind {
			err = fmt.Errorf("%v records behind", n)
		}
		return err
	})
}

// liveDuring holds a fault of the time-series store for a time, and holds the live side to being as ever.
func (p *platform) liveDuring(t *testing.T, fault time.Duration) {
	t.Helper()
	s := p.follow(t)
	time.Sleep(fault) // the fault is held
	s.kept(t, influxKiosks, liveLimit)
	for _, k := range p.kiosks(t) {
		if age := time.Since(k.LastReading.ReceivedAt); age > liveLimit || k.Presence != "online" {
			t.Errorf("%s is %s, its last reading %s old", k.Serial, k.Presence, age)
		}
	}
}

func TestAnInfluxDBThatGoesAwayDelaysOnlyTheTimeSeries(t *testing.T) {
	const outage = time.Minute
	db := influxd.Start(t)
	p, clients, stop := onInfluxDB(t, db.URL)
	for _, way := range []struct {
		name string
		end  func()
	}{{"SIGKILL", db.Kill}, {"SIGTERM", db.Stop}} {
		t.Run(way.name, func(t *testing.T) {
			p.awaitCaughtUp(t)
			before := acked(clients)
			way.end()
			p.liveDuring(t, outage)
			during := acked(clients) - before
			lag := p.count(t, behind("timeseries"))
			t.Logf("%s: %d readings acknowledged, the time series are %v records behind", way.name, during, lag)
			if lag < float64(during)/2 || during < influxKiosks*int(outage/time.Second) {
				t.Errorf("%d readings were acknowledged during the outage, and the lag is %v", during, lag)
			}
			db.Restart()
			p.awaitCaughtUp(t)
		})
	}
	stop()
	t.Logf("%s", clients[0].Stats())
	if st := clients[0].Stats(); st.Lost.Load() > 0 {
		t.Errorf("kiosks lost their connections: %s", st.LastFailure())
	}
	p.holdToAcknowledged(t, sentBy(clients))
}

// influxAnswer is an answer of InfluxDB.
type influxAnswer struct {
	status int
	header http.Header
	body   []byte
}

// faultProxy stands in front of InfluxDB and does to writes what fault says.
type faultProxy struct {
	*httptest.Server
	target string
	hits   atomic.Int64 // writes that met the fault

	mu    sync.Mutex // guards fault
	fault func(w http.ResponseWriter, forward func() *influxAnswer)
}

func newFaultProxy(t *testing.T, target string) *faultProxy {
	t.Helper()
	f := &faultProxy{target: target}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *faultProxy) set(fault func(w http.ResponseWriter, forward func() *influxAnswer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
	f.hits.Store(0)
}

func (f *faultProxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	forward := func() *influxAnswer {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, f.target+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Header = r.Header.Clone()
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer res.Body.Close()
		answer := &influxAnswer{status: res.StatusCode, header: res.Header}
		if answer.body, err = io.ReadAll(res.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		return answer
	}
	if fault != nil && strings.HasSuffix(r.URL.Path, "/write") {
		f.hits.Add(1)
		fault(w, forward)
		return
	}
	pass(w, forward())
}

// pass hands an answer on.
func pass(w http.ResponseWriter, a *influxAnswer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

func refusing(status int) func(http.ResponseWriter, func() *influxAnswer) {
	return func(w http.ResponseWriter, _ func() *influxAnswer) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, `{"error":"not now"}`, status)
	}
}

func TestAFaultyWayToInfluxDBLosesNothing(t *testing.T) {
	const held = 8 * time.Second
	db := influxd.Start(t)
	proxy := newFaultProxy(t, db.URL)
	p, clients, stop := onInfluxDB(t, proxy.URL)
	for _, tt := range []struct {
		name  string
		fault func(w http.ResponseWriter, forward func() *influxAnswer)
	}{
		{"answers after 2 s", func(w http.ResponseWriter, forward func() *influxAnswer) {
			time.Sleep(2 * time.Second) // the fault itself
			pass(w, forward())
		}},
		{"too many requests", refusing(http.StatusTooManyRequests)},
		{"unavailable", refusing(http.StatusServiceUnavailable)},
		{"cut after it has stored the batch", func(w http.ResponseWriter, forward func() *influxAnswer) {
			forward()
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte("{")) // a piece of the answer
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{"cut before any answer", func(_ http.ResponseWriter, forward func() *influxAnswer) {
			forward()
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.awaitCaughtUp(t)
			proxy.set(tt.fault)
			p.liveDuring(t, held)
			hits := proxy.hits.Load()
			proxy.set(nil)
			if hits == 0 {
				t.Error("no write met the fault")
			}
			p.awaitCaughtUp(t)
		})
	}
	t.Run("one reading that InfluxDB refuses", func(t *testing.T) { p.oneRefused(t, db) })
	stop()
	t.Logf("%s", clients[0].Stats())
	p.holdToAcknowledged(t, sentBy(clients))
}

// oneRefused sends a reading with a number in a field where InfluxDB has texts: the field becomes a dead
// letter, what else was in the reading and the readings around it are kept.
func (p *platform) oneRefused(t *testing.T, db *influxd.Server) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	line := fmt.Sprintf(`kiosk_telemetry,serial=other custom.conflict="text" %d`, now.UnixMilli())
	res, err := http.Post(db.URL+"/write?db=fleet&precision=ms", "text/plain", strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("InfluxDB does not take the text: status %d", res.StatusCode)
	}
	ids, err := load.Enroll(t.Context(), p.url, p.file(t, "spawner-token"), []string{"SIM-KIOSK-C"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := load.Dial(t.Context(), ids[0].Broker, ids[0].TLS, load.MQTT311, ids[0].Serial)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const letters = `kioskfleet_ingest_dead_letters_total{reason="rejected_by_store"}`
	before := p.count(t, letters)
	payload := fmt.Sprintf(`{"timestamp":%q,"serial":%q,"seq":1,"session":"s","custom":{"number":1,"conflict":5}}`, now.Format(time.RFC3339Nano), ids[0].Serial)
	if err := conn.Publish(protocol.Topic(ids[0].Serial, protocol.ChannelTelemetry), 1, []byte(payload)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the refused field to be counted as a dead letter, once", func() error {
		if n := p.count(t, letters); n != before+1 {
			return fmt.Errorf("%v are counted", n-before)
		}
		return nil
	})
	p.holdToAcknowledged(t, map[string][]load.Entry{ids[0].Serial: {{Seq: 1, Time: now, Acked: true}}})
}
