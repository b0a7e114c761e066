package swarm

import (
	"context"
	"crypto/tls"
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

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/roster"
)

// world is a platform as the spawner sees it: an API and a broker.
type world struct {
	t         *testing.T
	authority *pki.Authority
	api       *httptest.Server
	broker    string

	mu         sync.Mutex
	refuse     int            // status of all enrolments; 0: they succeed
	conflict   bool           // every kiosk is registered already
	registered []registration // in the order they came
	bearer     string
	enrolled   map[string]bool
	last       map[string]string // the newest message of each topic
	readings   map[string]int    // by serial
}

// openDoor lets every client in that TLS has let in.
type openDoor struct{ mqtt.HookBase }

func (*openDoor) ID() string { return "open-door" }
func (*openDoor) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck
}
func (*openDoor) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }
func (*openDoor) OnACLCheck(*mqtt.Client, string, bool) bool              { return true }

func newWorld(t *testing.T) *world {
	t.Helper()
	a, err := pki.OpenAuthority(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, authority: a, enrolled: map[string]bool{}, last: map[string]string{}, readings: map[string]int{}}
	cert, err := a.ServerCertificate(t.TempDir(), []string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(&openDoor{}, nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "kiosks", Address: "127.0.0.1:0", TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool(),
	}})
	if err := s.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := s.Subscribe("kiosks/#", 1, w.received); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	w.broker = "mqtts://" + l.Address()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+protocol.EnrollPath, w.enroll)
	mux.HandleFunc("POST "+kiosksPath, w.register)
	w.api = httptest.NewServer(mux)
	t.Cleanup(func() {
		w.api.Close()
		_ = s.Close()
	})
	return w
}

func (w *world) received(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last[pk.TopicName] = string(pk.Payload)
	if serial, ch, ok := protocol.ParseTopic(pk.TopicName); ok && ch == protocol.ChannelTelemetry {
		w.readings[serial]++
	}
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
	cert, err := w.authority.SignKiosk(csr, req.Serial, 0, time.Hour, time.Now())
	if err != nil {
		w.t.Error(err)
		return
	}
	w.enrolled[req.Serial] = true
	_ = json.NewEncoder(rw).Encode(protocol.EnrollResponse{
		Certificate: string(pki.EncodeCertificate(cert)), Chain: string(w.authority.PEM()), Brokers: []string{w.broker},
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
	return enroll.Tokens{Text: protocol.EnrollmentToken{ID: "t", Secret: "s", CA: w.authority.Fingerprint()}.String()}
}

// locked reads the world's books.
func (w *world) locked(look func() bool) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return look()
	}
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
	eventually(t, "three readings of each kiosk", w.locked(func() bool {
		for i := range 10 {
			if w.readings[fmt.Sprintf("SIM-KIOSK-%03d", i+1)] < 3 {
				return false
			}
		}
		return true
	}))
	if n := cfg.Counters.Totals().Connected; n != 10 {
		t.Errorf("%d connected", n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	// The broker acknowledges a bye before it passes it on.
	eventually(t, "ten byes", w.locked(func() bool {
		byes := 0
		for topic := range w.last {
			if _, ch, _ := protocol.ParseTopic(topic); ch == protocol.ChannelBye {
				byes++
			}
		}
		return byes == 10
	}))
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range 10 {
		serial := fmt.Sprintf("SIM-KIOSK-%03d", i+1)
		var bye protocol.Bye
		var join protocol.Join
		if json.Unmarshal([]byte(w.last[protocol.Topic(serial, protocol.ChannelBye)]), &bye) != nil || bye.Reason != protocol.ByeStopped {
			t.Errorf("%s: bye = %+v", serial, bye)
		}
		if json.Unmarshal([]byte(w.last[protocol.Topic(serial, protocol.ChannelJoin)]), &join) != nil || join.Session != bye.Session {
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
