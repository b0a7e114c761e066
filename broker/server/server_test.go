package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/testkit/load"
	"kioskfleet/internal/testkit/pkitest"
)

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// registry admits the serials it holds, from their generation on.
type registry struct {
	mu     sync.Mutex
	kiosks map[string]int64
}

func (r *registry) Admit(id pki.Identity) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	generation, ok := r.kiosks[id.Serial]
	if !ok || id.Generation < generation {
		return errors.New("not admitted")
	}
	return nil
}

func (r *registry) set(serial string, generation int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kiosks[serial] = generation
}

// recorder keeps what reaches the sink.
type recorder struct {
	mu       sync.Mutex
	messages []Message
	events   []string
	refuse   error
	changed  chan struct{}
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{}, 1)} }

func (r *recorder) note(f func() error) error {
	r.mu.Lock()
	err := f()
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return err
}

func (r *recorder) Publish(m Message) error {
	return r.note(func() error {
		if r.refuse != nil && !m.Will {
			return r.refuse
		}
		r.messages = append(r.messages, m)
		return nil
	})
}

func (r *recorder) Connected(c Connection) {
	_ = r.note(func() error { r.events = append(r.events, "connected "+c.Serial); return nil })
}

func (r *recorder) Disconnected(c Connection, how Ending) {
	_ = r.note(func() error {
		r.events = append(r.events, fmt.Sprintf("disconnected %s clean=%v takenover=%v", c.Serial, how.Clean, how.TakenOver))
		return nil
	})
}

// await waits until ok holds of what was recorded.
func (r *recorder) await(t *testing.T, what string, ok func(*recorder) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		held := ok(r)
		messages, events := len(r.messages), slices.Clone(r.events)
		r.mu.Unlock()
		if held {
			return
		}
		select {
		case <-r.changed:
		case <-deadline:
			t.Fatalf("not within %s: %s (%d messages, events %q)", patience, what, messages, events)
		}
	}
}

// world is a broker with its CA.
type world struct {
	t         *testing.T
	authority *pki.Authority
	server    *Server
	registry  *registry
	sink      *recorder
}

func newWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, authority: pkitest.Authority(t), registry: &registry{kiosks: map[string]int64{"K-1": 0, "K-2": 0}}, sink: newRecorder()}
	cfg := w.config()
	cfg.Admissions, cfg.Sink = w.registry, w.sink
	if change != nil {
		change(&cfg)
	}
	w.start(cfg)
	return w
}

func (w *world) config() Config {
	w.t.Helper()
	cert := pkitest.Server(w.t, w.authority)
	return Config{Addr: "127.0.0.1:0", Roots: w.authority.Pool(), Certificate: func() (*tls.Certificate, error) { return &cert, nil }}
}

func (w *world) start(cfg Config) {
	w.t.Helper()
	s, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	w.server = s
}

// dial connects a kiosk by paho, with its serial as client id unless change says otherwise.
func (w *world) dial(serial string, change func(*paho.ClientOptions)) (paho.Client, error) {
	w.t.Helper()
	return w.dialAs(pkitest.Kiosk(w.t, w.authority, serial, 0), serial, change)
}

func (w *world) dialAs(cert tls.Certificate, clientID string, change func(*paho.ClientOptions)) (paho.Client, error) {
	opts := paho.NewClientOptions().AddBroker("mqtts://" + w.server.Addr()).SetClientID(clientID).
		SetTLSConfig(pki.ClientTLS(cert, w.authority.Pool())).SetAutoReconnect(false).SetConnectTimeout(patience).SetProtocolVersion(4)
	if change != nil {
		change(opts)
	}
	c := paho.NewClient(opts)
	token := c.Connect()
	if !token.WaitTimeout(patience) {
		return nil, errors.New("no answer to CONNECT")
	}
	if err := token.Error(); err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Disconnect(0) })
	return c, nil
}

func (w *world) mustDial(serial string, change func(*paho.ClientOptions)) paho.Client {
	w.t.Helper()
	c, err := w.dial(serial, change)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func finished(token paho.Token) error {
	if !token.WaitTimeout(patience) {
		return errors.New("no answer")
	}
	return token.Error()
}

func TestAKioskPublishesOnItsOwnTopicsOnly(t *testing.T) {
	tests := []struct {
		topic   string
		allowed bool
	}{
		{"kiosks/K-1/telemetry", true},
		{"kiosks/K-1/join", true},
		{"kiosks/K-1/bye", true},
		{"kiosks/K-1/ack", true},
		{"kiosks/K-1/status", false},
		{"kiosks/K-1/cmd", false},
		{"kiosks/K-1/config", false},
		{"kiosks/K-1/other", false},
		{"kiosks/K-1", false},
		{"kiosks/K-1/telemetry/more", false},
		{"kiosks/K-2/telemetry", false},
		{"admissions/K-1", false},
		{"alerts/critical/K-1", false},
	}
	w := newWorld(t, nil)
	for _, tt := range tests {
		t.Run(tt.topic, func(t *testing.T) {
			c := w.mustDial("K-1", nil)
			defer c.Disconnect(0)
			err := finished(c.Publish(tt.topic, 1, false, "x"))
			if (err == nil) != tt.allowed {
				t.Errorf("publish: %v, allowed should be %v", err, tt.allowed)
			}
		})
	}
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	for _, m := range w.sink.messages {
		if m.Serial != "K-1" || !m.Channel.FromKiosk() {
			t.Errorf("the sink received %s on %s", m.Serial, m.Channel)
		}
	}
	if len(w.sink.messages) != 4 {
		t.Errorf("the sink received %d messages, want 4", len(w.sink.messages))
	}
}

func TestAKioskReadsOnlyItsOwnCommands(t *testing.T) {
	w := newWorld(t, nil)
	c := w.mustDial("K-1", nil)
	for filter, allowed := range map[string]bool{
		"kiosks/K-1/cmd": true, "kiosks/K-1/config": true,
		"kiosks/K-2/cmd": false, "kiosks/+/cmd": false, "#": false, "kiosks/K-1/#": false, "$share/g/kiosks/K-1/cmd": false, "kiosks/K-1/telemetry": false,
	} {
		token := c.Subscribe(filter, 1, nil).(*paho.SubscribeToken)
		err := finished(token)
		granted := err == nil
		for _, code := range token.Result() { // paho keys a shared subscription by its inner filter
			granted = granted && code < 0x80
		}
		if granted != allowed {
			t.Errorf("subscribe %s: granted %v (%v), want %v", filter, granted, err, allowed)
		}
	}
	got := make(chan string, 1)
	if err := finished(c.Subscribe("kiosks/K-1/cmd", 1, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) })); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Publish(t.Context(), "kiosks/K-1/cmd", 1, false, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-got:
		if text != "hello" {
			t.Errorf("got %q", text)
		}
	case <-time.After(patience):
		t.Error("the command did not arrive")
	}
}

func TestConnectIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.registry.set("REVOKED", 1)
	other := pkitest.Authority(t)
	will := func(topic string) func(*paho.ClientOptions) {
		return func(o *paho.ClientOptions) { o.SetWill(topic, "x", 1, false) }
	}
	tests := []struct {
		name   string
		cert   tls.Certificate
		change func(*paho.ClientOptions)
	}{
		{"without a certificate", tls.Certificate{}, nil},
		{"by another CA", pkitest.Kiosk(t, other, "K-1", 0), nil},
		{"unregistered", pkitest.Kiosk(t, w.authority, "K-9", 0), nil},
		{"revoked", pkitest.Kiosk(t, w.authority, "REVOKED", 0), nil},
		{"will on another kiosk's bye", pkitest.Kiosk(t, w.authority, "K-1", 0), will("kiosks/K-2/bye")},
		{"will on its own telemetry", pkitest.Kiosk(t, w.authority, "K-1", 0), will("kiosks/K-1/telemetry")},
		{"TLS 1.2", pkitest.Kiosk(t, w.authority, "K-1", 0), func(o *paho.ClientOptions) {
			o.TLSConfig.MinVersion, o.TLSConfig.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := w.dialAs(tt.cert, "K-1", tt.change); err == nil {
				// TLS 1.3 lets the client believe for a moment that a missing certificate is fine.
				if err := finished(c.Publish("kiosks/K-1/telemetry", 1, false, "x")); err == nil {
					t.Error("connected and published")
				}
			}
		})
	}
	if _, err := w.dialAs(pkitest.Kiosk(t, w.authority, "REVOKED", 1), "REVOKED", nil); err != nil {
		t.Errorf("a certificate of the new generation: %v", err)
	}
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	if len(w.sink.messages) != 0 {
		t.Errorf("%d messages reached the sink", len(w.sink.messages))
	}
}

func TestAClientIDIsNoWayIntoAnothersSession(t *testing.T) {
	w := newWorld(t, nil)
	victim := w.mustDial("K-2", nil)
	w.mustDial("K-1", func(o *paho.ClientOptions) { o.SetClientID("K-2") })
	if err := finished(victim.Publish("kiosks/K-2/telemetry", 1, false, "x")); err != nil {
		t.Errorf("the kiosk whose serial was taken as client id: %v", err)
	}
}

func TestTheWillReachesTheSink(t *testing.T) {
	w := newWorld(t, nil)
	var raw net.Conn
	w.mustDial("K-1", func(o *paho.ClientOptions) {
		o.SetWill("kiosks/K-1/bye", "lost", 1, true)
		o.SetCustomOpenConnectionFn(dialer(w, &raw))
	})
	w.sink.await(t, "connected", func(r *recorder) bool { return slices.Contains(r.events, "connected K-1") })
	_ = raw.Close() // as a failing network
	w.sink.await(t, "the will and the end of the connection", func(r *recorder) bool {
		return len(r.messages) == 1 && r.messages[0].Will && string(r.messages[0].Payload) == "lost" &&
			slices.Contains(r.events, "disconnected K-1 clean=false takenover=false")
	})
}

func TestACleanEndSendsNoWill(t *testing.T) {
	w := newWorld(t, nil)
	c := w.mustDial("K-1", func(o *paho.ClientOptions) { o.SetWill("kiosks/K-1/bye", "lost", 1, false) })
	c.Disconnect(100)
	w.sink.await(t, "a clean end", func(r *recorder) bool {
		return slices.Contains(r.events, "disconnected K-1 clean=true takenover=false")
	})
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	if len(w.sink.messages) != 0 {
		t.Errorf("the sink received %v", w.sink.messages)
	}
}

func TestASecondConnectionTakesOver(t *testing.T) {
	w := newWorld(t, nil)
	w.mustDial("K-1", nil)
	w.mustDial("K-1", nil)
	w.sink.await(t, "the first one's end", func(r *recorder) bool {
		return slices.Contains(r.events, "disconnected K-1 clean=false takenover=true")
	})
}

func TestDisconnectEndsALiveSession(t *testing.T) {
	w := newWorld(t, nil)
	lost := make(chan error, 1)
	w.mustDial("K-1", func(o *paho.ClientOptions) {
		o.SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err })
	})
	w.registry.set("K-1", 1)
	w.server.Disconnect("K-1")
	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatal("still connected")
	}
	if _, err := w.dial("K-1", nil); err == nil {
		t.Error("it came back with a revoked certificate")
	}
}

func TestAMessageThatIsNotAcceptedIsNotAcknowledged(t *testing.T) {
	refusals := map[string]error{
		"disk full": errors.New("disk full"),
		// mochi panics at a wrapped code of its own for MQTT 5, and acknowledges it for 3.1.1.
		"a code of mochi, wrapped": fmt.Errorf("journal: %w", packets.ErrQuotaExceeded),
	}
	for why, refusal := range refusals {
		for _, version := range []byte{load.MQTT311, load.MQTT5} {
			for qos := range byte(3) {
				t.Run(fmt.Sprintf("%s, version %d, QoS %d", why, version, qos), func(t *testing.T) {
					w := newWorld(t, nil)
					refuse := func(err error) {
						w.sink.mu.Lock()
						defer w.sink.mu.Unlock()
						w.sink.refuse = err
					}
					cert := pkitest.Kiosk(t, w.authority, "K-1", 0)
					dial := func() *load.Conn {
						c, err := load.Dial(t.Context(), "mqtts://"+w.server.Addr(), pki.ClientTLS(cert, w.authority.Pool()), version, "K-1")
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { _ = c.Close() })
						return c
					}
					refuse(refusal)
					c := dial()
					err := c.Publish("kiosks/K-1/telemetry", qos, []byte("x"))
					var refused *load.RefusedError
					switch {
					case qos > 0 && (err == nil || errors.As(err, &refused)):
						t.Fatalf("answer to a message that the sink refused: %v; want the connection to end without one", err)
					case qos == 0 && err != nil:
						t.Fatalf("QoS 0: %v", err)
					}
					if err := c.Ping(); (err == nil) != (qos == 0) {
						t.Errorf("ping afterwards: %v; only at QoS 0 the connection stays", err)
					}
					refuse(nil)
					if qos > 0 {
						c = dial()
					}
					if err := c.Publish("kiosks/K-1/telemetry", qos, []byte("again")); err != nil {
						t.Errorf("sent again: %v", err)
					}
					w.sink.await(t, "the second message alone", func(r *recorder) bool {
						return len(r.messages) == 1 && string(r.messages[0].Payload) == "again" && r.messages[0].QoS == qos
					})
					if lost := testutil.ToFloat64(w.server.metrics.lost); (lost == 1) != (qos == 0) {
						t.Errorf("%v messages are counted as lost", lost)
					}
				})
			}
		}
	}
}

func TestASilentConnectionIsClosedBeforeConnect(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ConnectDeadline = 200 * time.Millisecond })
	t.Run("before TLS", func(t *testing.T) {
		c, err := net.Dial("tcp", w.server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		expectClosed(t, c)
	})
	t.Run("after TLS", func(t *testing.T) {
		c, err := tls.Dial("tcp", w.server.Addr(), pki.ClientTLS(pkitest.Kiosk(t, w.authority, "K-1", 0), w.authority.Pool()))
		if err != nil {
			t.Fatal(err)
		}
		expectClosed(t, c)
	})
}

// TestAHandshakeWaitsForItsTurn: the wait does not count, and who says nothing does not wait.
func TestAHandshakeWaitsForItsTurn(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.ConnectDeadline = 200 * time.Millisecond })
	turns := w.server.listener.turns
	for range cap(turns) {
		turns <- struct{}{}
	}
	shaken := make(chan error, 1)
	go func() {
		c, err := tls.Dial("tcp", w.server.Addr(), pki.ClientTLS(pkitest.Kiosk(t, w.authority, "K-1", 0), w.authority.Pool()))
		if err == nil {
			_ = c.Close()
		}
		shaken <- err
	}()
	silent, err := net.Dial("tcp", w.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	expectClosed(t, silent) // so the deadline has passed
	select {
	case err := <-shaken:
		t.Fatalf("a handshake without a turn: %v", err)
	default:
	}
	<-turns
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	for range cap(turns) - 1 {
		<-turns
	}
	limit := time.Now().Add(patience)
	for len(turns) > 0 {
		if time.Now().After(limit) {
			t.Fatal("a turn is not given back")
		}
		time.Sleep(time.Millisecond) // between polls
	}
}

func expectClosed(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("still open after %s", patience)
	}
}

func TestCloseEndsEverythingAndMayBeRepeated(t *testing.T) {
	w := newWorld(t, nil)
	w.mustDial("K-1", nil)
	idle, err := net.Dial("tcp", w.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			if err := w.server.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(patience / 2):
		t.Fatal("Close waits for a connection that has not sent CONNECT")
	}
}

func TestAPortInUseIsAnErrorAtStart(t *testing.T) {
	w := newWorld(t, nil)
	cfg := w.config()
	cfg.Addr, cfg.Admissions, cfg.Sink = w.server.Addr(), w.registry, w.sink
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error = %v", err)
	}
}

// dialer opens paho's connection by hand, so that the test can cut it.
func dialer(w *world, raw *net.Conn) paho.OpenConnectionFunc {
	cert := pkitest.Kiosk(w.t, w.authority, "K-1", 0)
	return func(_ *url.URL, _ paho.ClientOptions) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(context.Background(), "tcp", w.server.Addr())
		if err != nil {
			return nil, err
		}
		*raw = c
		config := pki.ClientTLS(cert, w.authority.Pool())
		config.ServerName = "localhost"
		return tls.Client(c, config), nil
	}
}
