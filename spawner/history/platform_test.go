package history

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"kioskfleet/broker/server"
	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/pkitest"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/outbox"
	"kioskfleet/spawner/swarm"
)

// platform is a broker as admin embeds it, with an API for enrolment, that keeps what it acknowledges.
type platform struct {
	t         *testing.T
	authority *pki.Authority
	broker    string
	api       *httptest.Server

	mu         sync.Mutex
	before     func(n int) error // is asked before message n is kept, and after as -n; an error breaks the connection
	revoked    string            // a serial that may not connect
	messages   int
	arrays     int
	kept       map[string][]json.RawMessage  // by serial, as they came
	others     map[protocol.Channel][]string // payloads on other channels
	unclean    int                           // connections that ended without a goodbye
	registered []string
}

func (p *platform) Admit(id pki.Identity) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id.Serial == p.revoked {
		return errors.New("revoked")
	}
	return nil
}

func (p *platform) Publish(m server.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Channel != protocol.ChannelTelemetry {
		p.others[m.Channel] = append(p.others[m.Channel], string(m.Payload))
		return nil
	}
	var readings []json.RawMessage
	if err := json.Unmarshal(m.Payload, &readings); err != nil || len(readings) > outbox.MaxBatchReadings || len(m.Payload) > outbox.MaxBatchBytes {
		p.t.Errorf("a message of %d bytes with %d readings: %v", len(m.Payload), len(readings), err)
	}
	p.messages++
	n := p.messages
	if p.before != nil {
		if err := p.before(n); err != nil {
			return err
		}
	}
	p.kept[m.Serial] = append(p.kept[m.Serial], readings...)
	p.arrays++
	if p.before != nil {
		return p.before(-n)
	}
	return nil
}

func (*platform) Connected(server.Connection) {}

func (p *platform) Disconnected(_ server.Connection, how server.Ending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !how.Clean {
		p.unclean++
	}
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{t: t, authority: pkitest.Authority(t), kept: map[string][]json.RawMessage{}, others: map[protocol.Channel][]string{}}
	cert := pkitest.Server(t, p.authority)
	s, err := server.New(server.Config{
		Addr: "127.0.0.1:0", Certificate: func() (*tls.Certificate, error) { return &cert, nil },
		Roots: p.authority.Pool(), Admissions: p, Sink: p,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	p.broker = "mqtts://" + s.Addr()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+protocol.EnrollPath, p.enroll)
	mux.HandleFunc("POST /api/v1/kiosks", p.register)
	p.api = httptest.NewServer(mux)
	t.Cleanup(func() {
		p.api.Close()
		_ = s.Close()
	})
	return p
}

func (p *platform) enroll(w http.ResponseWriter, r *http.Request) {
	var req protocol.EnrollRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		p.t.Error(err)
	}
	csr, err := pki.ParseCSR([]byte(req.CSR))
	if err != nil {
		p.t.Error(err)
		return
	}
	cert, err := p.authority.SignKiosk(csr, req.Serial, 0, time.Hour, time.Now())
	if err != nil {
		p.t.Error(err)
		return
	}
	_ = json.NewEncoder(w).Encode(protocol.EnrollResponse{
		Certificate: string(pki.EncodeCertificate(cert)), Chain: string(p.authority.PEM()), Brokers: []string{p.broker},
	})
}

func (p *platform) register(w http.ResponseWriter, r *http.Request) {
	var k struct{ Serial, Site string }
	if err := json.NewDecoder(r.Body).Decode(&k); err != nil {
		p.t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registered = append(p.registered, k.Serial+" at "+k.Site)
	w.WriteHeader(http.StatusCreated)
}

// recently writes a history that a platform of today takes.
func recently(t *testing.T, kiosks, days int) (string, *Manifest) {
	t.Helper()
	cfg := configOf(t, kiosks, days)
	cfg.Start = time.Now().UTC().Truncate(day).AddDate(0, 0, -days)
	return cfg.Dir, written(t, cfg)
}

func (p *platform) config(dir string) LoadConfig {
	p.t.Helper()
	api, err := enroll.NewPlatform(p.api.URL)
	if err != nil {
		p.t.Fatal(err)
	}
	data := p.t.TempDir()
	return LoadConfig{
		Dir: dir, Platform: api, DataDir: data, Counters: &LoadCounters{},
		Tokens:    enroll.Tokens{Text: protocol.EnrollmentToken{ID: "t", Secret: "s", CA: p.authority.Fingerprint()}.String()},
		Registrar: &swarm.Registrar{Platform: api, Token: "api", DataDir: data, Log: slog.New(slog.DiscardHandler)},
		Backoff:   mqttclient.Backoff{Min: 2 * time.Millisecond, Max: 10 * time.Millisecond},
	}
}

// holds compares what the platform kept with the history, and returns how many readings came more than once.
func (p *platform) holds(t *testing.T, dir string, m *Manifest, shift time.Duration) (repeated int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range m.Kiosks {
		got := map[string]bool{}
		for _, r := range p.kept[f.Kiosk.Serial] {
			if got[string(r)] {
				repeated++
			}
			got[string(r)] = true
		}
		want := 0
		for line := range bytes.Lines(content(t, dir, f.Name)) {
			want++
			if shift != 0 {
				var r protocol.Reading
				err := json.Unmarshal(line, &r)
				if err == nil {
					r.Timestamp = r.Timestamp.Add(shift)
					line, err = json.Marshal(r)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !got[string(bytes.TrimSpace(line))] {
				t.Fatalf("%s did not arrive", line)
			}
		}
		if len(got) != want {
			t.Errorf("%s: %d different readings arrived of %d", f.Kiosk.Serial, len(got), want)
		}
	}
	return repeated
}
