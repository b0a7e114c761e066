package swarm

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/mqttbroker"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
)

// world is a platform as the spawner sees it: an API and a broker.
type world struct {
	t    *testing.T
	hub  *mqttbroker.Broker
	api  *httptest.Server
	urls []string // of brokers, for kiosks

	mu         sync.Mutex
	refuse     int            // status of all enrolments; 0: they succeed
	conflict   bool           // every kiosk is registered already
	registered []registration // in the order they came
	bearer     string
	enrolled   map[string]bool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, hub: mqttbroker.Start(t), enrolled: map[string]bool{}}
	w.urls = []string{w.hub.URL()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+protocol.EnrollPath, w.enroll)
	mux.HandleFunc("POST "+kiosksPath, w.register)
	w.api = httptest.NewServer(mux)
	t.Cleanup(w.api.Close)
	return w
}

// last decodes the newest message of a kiosk on a channel and reports whether there is one.
func (w *world) last(serial string, ch protocol.Channel, out any) bool {
	messages := w.hub.Messages(serial, ch)
	return len(messages) > 0 && json.Unmarshal(messages[len(messages)-1].Payload, out) == nil
}

func (w *world) enroll(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != 0 {
		rw.WriteHeader(w.refuse)
		_, _ = fmt.Fprint(rw, `{"title":"The token is not known","detail":"Make a new one."}`)
		return
	}
	var req protocol.EnrollRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.t.Error(err)
	}
	csr, err := pki.ParseCSR([]byte(req.CSR))
	if err != nil {
		w.t.Error(err)
		return
	}
	cert, err := w.hub.Authority.SignKiosk(csr, req.Serial, 0, time.Hour, time.Now())
	if err != nil {
		w.t.Error(err)
		return
	}
	w.enrolled[req.Serial] = true
	_ = json.NewEncoder(rw).Encode(protocol.EnrollResponse{
		Certificate: string(pki.EncodeCertificate(cert)), Chain: string(w.hub.Authority.PEM()), Brokers: w.urls,
	})
}

func (w *world) register(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var reg registration
	if err := json.NewDecoder(r.Body).Decode(&reg); err != nil {
		w.t.Error(err)
	}
	if w.enrolled[reg.Serial] {
		w.t.Errorf("%s is registered after it enrolled", reg.Serial)
	}
	w.registered = append(w.registered, reg)
	w.bearer = r.Header.Get("Authorization")
	if w.conflict {
		rw.WriteHeader(http.StatusConflict)
		return
	}
	rw.WriteHeader(http.StatusCreated)
}

func (w *world) tokens() enroll.Tokens {
	return enroll.Tokens{Text: protocol.EnrollmentToken{ID: "t", Secret: "s", CA: w.hub.Authority.Fingerprint()}.String()}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // between polls
	}
}

// config returns a swarm's configuration with n fast kiosks.
func (w *world) config(n int, dataDir string) Config {
	w.t.Helper()
	platform, err := enroll.NewPlatform(w.api.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	return Config{
		Kiosks: roster.Plan(nil, "SIM-KIOSK-", n), Platform: platform, Tokens: w.tokens(),
		Registrar: &Registrar{Platform: platform, DataDir: dataDir, Log: slog.New(slog.DiscardHandler)},
		DataDir:   dataDir, Interval: 50 * time.Millisecond, RampUp: 1000, Counters: &Counters{},
		Backoff: mqttclient.Backoff{Min: 5 * time.Millisecond, Max: 20 * time.Millisecond},
	}
}

// run starts a swarm; stop ends it and returns what Run did.
func run(t *testing.T, cfg Config) (stop func() error) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestASwarmEnrolsReportsAndSaysGoodbye(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	cfg := w.config(10, dir)
	stop := run(t, cfg)
	eventually(t, "three readings of each kiosk", func() bool {
		for i := range 10 {
			if len(w.hub.Messages(fmt.Sprintf("SIM-KIOSK-%03d", i+1), protocol.ChannelTelemetry)) < 3 {
				return false
			}
		}
		return true
	})
	if n := cfg.Counters.Totals().Connected; n != 10 {
		t.Errorf("%d connected", n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	// The broker acknowledges a bye before it passes it on.
	eventually(t, "ten byes", func() bool {
		byes := 0
		for i := range 10 {
			byes += len(w.hub.Messages(fmt.Sprintf("SIM-KIOSK-%03d", i+1), protocol.ChannelBye))
		}
		return byes == 10
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range 10 {
		serial := fmt.Sprintf("SIM-KIOSK-%03d", i+1)
		var bye protocol.Bye
		var join protocol.Join
		if !w.last(serial, protocol.ChannelBye, &bye) || bye.Reason != protocol.ByeStopped {
			t.Errorf("%s: bye = %+v", serial, bye)
		}
		if !w.last(serial, protocol.ChannelJoin, &join) || join.Session != bye.Session {
			t.Errorf("%s: join = %+v, bye = %+v", serial, join, bye)
		}
		info, err := os.Stat(filepath.Join(dir, "spawner", serial, "key.pem"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: key: %v", serial, err)
		}
	}
	if len(w.registered) > 0 {
		t.Error("kiosks were registered without an API token")
	}
	c := cfg.Counters.Totals()
	if c.Connected != 0 || c.Enrolled != 10 || c.Readings.Acknowledged < 30 || len(errorCells(c.Errors)) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestKiosksAreRegisteredBeforeTheyEnrol(t *testing.T) {
	for _, conflict := range []bool{false, true} {
		t.Run(fmt.Sprintf("conflict=%t", conflict), func(t *testing.T) {
			w := newWorld(t)
			w.conflict = conflict
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, apiTokenFile), []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := w.config(3, dir)
			run(t, cfg)
			eventually(t, "all connected", func() bool { return cfg.Counters.Totals().Connected == 3 })
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.registered) != 3 || w.bearer != "Bearer secret" {
				t.Fatalf("%d registered, with %q", len(w.registered), w.bearer)
			}
			for _, reg := range w.registered {
				if reg.Site == "" || reg.Model == "" || reg.Timezone == "" || reg.Location == nil {
					t.Errorf("registered as %+v", reg)
				}
			}
		})
	}
}

func TestASwarmThatIsRefusedGivesUp(t *testing.T) {
	w := newWorld(t)
	w.refuse = http.StatusUnauthorized
	cfg := w.config(3, t.TempDir())
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "The token is not known: Make a new one.") || !strings.Contains(err.Error(), "all 3 kiosks") {
		t.Errorf("error = %v", err)
	}
	if n := cfg.Counters.GaveUp.Load(); n != 3 {
		t.Errorf("%d gave up", n)
	}
}

func TestASwarmStopsWhileItStillStarts(t *testing.T) {
	w := newWorld(t)
	w.api.Close() // nobody can enrol
	cfg := w.config(50, t.TempDir())
	cfg.RampUp = 1
	stop := run(t, cfg)
	eventually(t, "a start", func() bool { return cfg.Counters.Started.Load() > 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := cfg.Counters.Started.Load(); n == 50 {
		t.Errorf("%d were started in spite of the ramp", n)
	}
}
