package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kioskfleet/internal/testkit/pkitest"
)

// tokens are those that may log in.
type tokens struct {
	mu    sync.Mutex
	good  map[string]bool
	wrong int
	down  bool // nobody can tell
}

func (k *tokens) check(_ context.Context, token string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.down:
		return errors.New("database is busy")
	case !k.good[token]:
		return ErrTokenEnded
	}
	return nil
}

func (k *tokens) login(ctx context.Context, token, remote string) error {
	if remote != "127.0.0.1" {
		return fmt.Errorf("remote is %q", remote)
	}
	k.mu.Lock()
	throttled := k.wrong >= 3
	k.mu.Unlock()
	if throttled {
		return ErrThrottled
	}
	err := k.check(ctx, token)
	if err != nil {
		k.mu.Lock()
		k.wrong++
		k.mu.Unlock()
	}
	return err
}

func (k *tokens) set(token string, good bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.good[token] = good
}

func newIntegratorWorld(t *testing.T) (*world, *tokens) {
	t.Helper()
	k := &tokens{good: map[string]bool{"secret": true, "other": true}}
	w := newWorld(t, func(c *Config) {
		c.Integrators = &Integrators{Addr: "127.0.0.1:0", Login: k.login, Check: k.check}
		c.Log = slog.New(slog.DiscardHandler)
	})
	return w, k
}

// raw is a client of either version that shows every packet.
type raw struct {
	t       *testing.T
	conn    net.Conn
	in      *bufio.Reader
	version byte
}

func (w *world) raw(t *testing.T, version byte, change func(*packets.ConnectParams)) (*raw, packets.Packet) {
	t.Helper()
	c, err := tls.Dial("tcp", w.server.IntegratorsAddr(), &tls.Config{RootCAs: w.authority.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := &raw{t: t, conn: c, in: bufio.NewReader(c), version: version}
	params := packets.ConnectParams{
		ProtocolName: []byte("MQTT"), Clean: true, Keepalive: 60, ClientIdentifier: "dashboard",
		UsernameFlag: true, Username: []byte("grafana"), PasswordFlag: true, Password: []byte("secret"),
	}
	if change != nil {
		change(&params)
	}
	r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, Connect: params}, (*packets.Packet).ConnectEncode)
	answer, err := r.read()
	if err != nil {
		t.Fatal(err)
	}
	return r, answer
}

func (r *raw) send(pk packets.Packet, encode func(*packets.Packet, *bytes.Buffer) error) {
	r.t.Helper()
	pk.ProtocolVersion = r.version
	var b bytes.Buffer
	if err := encode(&pk, &b); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.conn.Write(b.Bytes()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) read() (pk packets.Packet, err error) {
	_ = r.conn.SetReadDeadline(time.Now().Add(patience))
	first, err := r.in.ReadByte()
	if err != nil {
		return pk, err
	}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return pk, err
	}
	n, _, err := packets.DecodeLength(r.in)
	if err != nil {
		return pk, err
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r.in, body); err != nil {
		return pk, err
	}
	pk.FixedHeader.Remaining, pk.ProtocolVersion = n, r.version
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(body)
	case packets.Suback:
		err = pk.SubackDecode(body)
	case packets.Unsuback:
		err = pk.UnsubackDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Disconnect:
		err = pk.DisconnectDecode(body)
	}
	return pk, err
}

func (r *raw) subscribe(filters ...packets.Subscription) []byte {
	r.t.Helper()
	r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 7, Filters: filters}, (*packets.Packet).SubscribeEncode)
	for {
		pk, err := r.read()
		if err != nil {
			r.t.Fatal(err)
		}
		if pk.FixedHeader.Type == packets.Suback {
			return pk.ReasonCodes
		}
	}
}

// next returns the next message as "topic payload", with r before it when it is a retained one.
func (r *raw) next() string {
	r.t.Helper()
	for {
		pk, err := r.read()
		if err != nil {
			return err.Error()
		}
		if pk.FixedHeader.Type == packets.Publish {
			retained := ""
			if pk.FixedHeader.Retain {
				retained = "r "
			}
			return retained + pk.TopicName + " " + string(pk.Payload)
		}
	}
}

func versions(t *testing.T, f func(t *testing.T, version byte)) {
	for _, version := range []byte{4, 5} {
		t.Run(map[byte]string{4: "3.1.1", 5: "5"}[version], func(t *testing.T) { f(t, version) })
	}
}

func TestWhatIntegratorsMaySubscribeTo(t *testing.T) {
	tests := map[string]bool{
		"kiosks/+/telemetry": true, "kiosks/+/status": true, "kiosks/K-1/telemetry": true, "kiosks/K-1/status": true,
		"alerts/#": true, "alerts/+/K-1": true, "alerts/critical/#": true, "alerts/critical/K-1": true, "incidents/#": true, "incidents/north": true,
		"#": false, "+/#": false, "kiosks/#": false, "kiosks/+/#": false, "kiosks/+/+": false, "kiosks/K-1/#": false, "kiosks/K-1/+": false, "+/K-1/telemetry": false, "+/+/+": false,
		"kiosks/+/cmd": false, "kiosks/K-1/cmd": false, "kiosks/+/config": false, "kiosks/+/ack": false, "kiosks/+/join": false, "kiosks/+/bye": false,
		"kiosks/+/telemetry/#": false, "kiosks/+/telemetry/more": false, "kiosks": false, "alerts": false,
		"$SYS/#": false, "$share/g/kiosks/+/telemetry": false, "$share/g/alerts/#": false, "admissions/#": false, "alerts/#/x": false, "other": false,
	}
	w, _ := newIntegratorWorld(t)
	versions(t, func(t *testing.T, version byte) {
		for f, allowed := range tests {
			r, _ := w.raw(t, version, nil)
			codes := r.subscribe(packets.Subscription{Filter: f, Qos: 1})
			if len(codes) != 1 || (codes[0] == 0) != allowed || !allowed && codes[0] < 0x80 {
				t.Errorf("%s: answer %#x, allowed should be %v", f, codes, allowed)
			}
		}
	})
}

func TestAnIntegratorReads(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w, _ := newIntegratorWorld(t)
		publish := func(topic, payload string, retain bool) {
			t.Helper()
			if err := w.server.Publish(t.Context(), topic, 1, retain, []byte(payload)); err != nil {
				t.Fatal(err)
			}
		}
		publish("kiosks/K-1/status", "before", true)
		publish("alerts/critical/K-1", "missed", false)
		r, answer := w.raw(t, version, nil)
		if answer.ReasonCode != 0 {
			t.Fatalf("CONNACK %#x", answer.ReasonCode)
		}
		r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 7, Filters: packets.Subscriptions{
			{Filter: "kiosks/+/status", Qos: 1}, {Filter: "kiosks/+/telemetry", Qos: 2}, {Filter: "kiosks/K-1/telemetry"}, {Filter: "alerts/#"}, {Filter: "incidents/#"},
		}}, (*packets.Packet).SubscribeEncode)
		if got := r.next(); got != "r kiosks/K-1/status before" {
			t.Errorf("retained: %q", got)
		}
		kiosk := w.mustDial("K-1", nil)
		if err := finished(kiosk.Publish("kiosks/K-1/telemetry", 1, false, "reading")); err != nil {
			t.Fatal(err)
		}
		if got := r.next(); got != "kiosks/K-1/telemetry reading" {
			t.Errorf("telemetry, which two filters match: %q", got)
		}
		if err := finished(kiosk.Publish("kiosks/K-1/ack", 1, false, "secret")); err != nil {
			t.Fatal(err)
		}
		publish("kiosks/K-1/cmd", "secret", false)
		publish("kiosks/K-1/config", "secret", true)
		publish("kiosks/K-1/status", "after", true)
		publish("alerts/critical/K-1", "alert", false)
		publish("incidents/north", "incident", false)
		for _, want := range []string{"kiosks/K-1/status after", "alerts/critical/K-1 alert", "incidents/north incident"} {
			if got := r.next(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: 8, Filters: packets.Subscriptions{{Filter: "alerts/#"}}}, (*packets.Packet).UnsubscribeEncode)
		if pk, err := r.read(); err != nil || pk.FixedHeader.Type != packets.Unsuback || version == 5 && pk.ReasonCodes[0] != 0 {
			t.Errorf("UNSUBACK %+v, %v", pk.ReasonCodes, err)
		}
		publish("alerts/critical/K-1", "no more", false)
		publish("incidents/north", "still", false)
		if got := r.next(); got != "incidents/north still" {
			t.Errorf("after unsubscribing: %q", got)
		}
	})
}

func TestPahoReadsAsAnIntegrator(t *testing.T) {
	w, _ := newIntegratorWorld(t)
	c, err := w.dialIntegrator("dashboard", "secret")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	if err := finished(c.Subscribe("alerts/#", 1, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) })); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Publish(t.Context(), "alerts/warning/K-1", 1, false, []byte("hot")); err != nil {
		t.Fatal(err)
	}
	select {
	case payload := <-got:
		if payload != "hot" {
			t.Errorf("got %q", payload)
		}
	case <-time.After(patience):
		t.Fatal("no alert")
	}
}

func (w *world) dialIntegrator(clientID, token string) (paho.Client, error) {
	opts := paho.NewClientOptions().AddBroker("mqtts://" + w.server.IntegratorsAddr()).SetClientID(clientID).SetUsername("grafana").SetPassword(token).
		SetTLSConfig(&tls.Config{RootCAs: w.authority.Pool(), ServerName: "localhost"}).SetAutoReconnect(false).SetConnectTimeout(patience).SetProtocolVersion(4)
	c := paho.NewClient(opts)
	if err := finished(c.Connect()); err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Disconnect(0) })
	return c, nil
}

func TestAnIntegratorThatPublishesIsDisconnected(t *testing.T) {
	w, _ := newIntegratorWorld(t)
	versions(t, func(t *testing.T, version byte) {
		for qos := range byte(3) {
			for _, topic := range []string{"kiosks/K-1/telemetry", "kiosks/K-1/cmd", "alerts/critical/K-1", "anything"} {
				r, _ := w.raw(t, version, nil)
				r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, PacketID: uint16(qos), TopicName: topic, Payload: []byte("x")}, (*packets.Packet).PublishEncode)
				pk, err := r.read()
				if version == 5 {
					if err != nil || pk.FixedHeader.Type != packets.Disconnect || pk.ReasonCode != packets.ErrNotAuthorized.Code || !strings.Contains(pk.Properties.ReasonString, "only read") {
						t.Errorf("%s at QoS %d: packet type %d, reason %#x %q, %v", topic, qos, pk.FixedHeader.Type, pk.ReasonCode, pk.Properties.ReasonString, err)
					}
					_, err = r.read()
				}
				if err == nil || isTimeout(err) {
					t.Errorf("%s at QoS %d: still connected, got packet type %d", topic, qos, pk.FixedHeader.Type)
				}
			}
		}
	})
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	if len(w.sink.messages) > 0 || len(w.sink.events) > 0 {
		t.Errorf("reached the sink: %v %v", w.sink.messages, w.sink.events)
	}
}

func TestWhoIsNoIntegrator(t *testing.T) {
	versions(t, func(t *testing.T, version byte) {
		w, k := newIntegratorWorld(t)
		refused := packets.ErrNotAuthorized.Code
		if version == 4 {
			refused = 5
		}
		for name, change := range map[string]func(*packets.ConnectParams){
			"a wrong token": func(p *packets.ConnectParams) { p.Password = []byte("guess") },
			"no token":      func(p *packets.ConnectParams) { p.PasswordFlag, p.Password = false, nil },
			"a will": func(p *packets.ConnectParams) {
				p.WillFlag, p.WillTopic, p.WillPayload = true, "kiosks/K-1/bye", []byte("x")
			},
		} {
			r, answer := w.raw(t, version, change)
			if answer.ReasonCode != refused {
				t.Errorf("%s: CONNACK %#x, want %#x", name, answer.ReasonCode, refused)
			}
			if pk, err := r.read(); err == nil || isTimeout(err) {
				t.Errorf("%s: still connected, got packet type %d, %v", name, pk.FixedHeader.Type, err)
			}
		}
		k.set("late", true)
		if _, answer := w.raw(t, version, func(p *packets.ConnectParams) { p.Password = []byte("guess") }); answer.ReasonCode != refused {
			t.Errorf("the third wrong token: CONNACK %#x", answer.ReasonCode)
		}
		if _, answer := w.raw(t, version, func(p *packets.ConnectParams) { p.Password = []byte("late") }); answer.ReasonCode != refused {
			t.Errorf("a good token after three wrong ones: CONNACK %#x", answer.ReasonCode)
		}
		for reason, want := range map[string]float64{"bad_token": 3, "throttled": 1, "will": 1} {
			if got := testutil.ToFloat64(w.server.metrics.refused.WithLabelValues(reason)); got != want {
				t.Errorf("%v refused as %s, want %v", got, reason, want)
			}
		}
	})
}

func TestTheKiosksListenerTakesNoTokens(t *testing.T) {
	w, _ := newIntegratorWorld(t)
	opts := paho.NewClientOptions().AddBroker("mqtts://" + w.server.Addr()).SetClientID("x").SetUsername("u").SetPassword("secret").SetAutoReconnect(false).
		SetTLSConfig(&tls.Config{RootCAs: w.authority.Pool(), ServerName: "localhost"}).SetConnectTimeout(patience).SetProtocolVersion(4)
	if err := finished(paho.NewClient(opts).Connect()); err == nil {
		t.Error("connected without a certificate")
	}
	// And a kiosk's certificate is worth nothing on the integrators'.
	cert := pkitest.Kiosk(t, w.authority, "K-1", 0)
	opts = paho.NewClientOptions().AddBroker("mqtts://" + w.server.IntegratorsAddr()).SetClientID("K-1").SetAutoReconnect(false).
		SetTLSConfig(&tls.Config{RootCAs: w.authority.Pool(), ServerName: "localhost", Certificates: []tls.Certificate{cert}}).SetConnectTimeout(patience).SetProtocolVersion(4)
	if err := finished(paho.NewClient(opts).Connect()); err == nil {
		t.Error("connected without a token")
	}
}

func TestIntegratorsTakeNobodysSession(t *testing.T) {
	w, _ := newIntegratorWorld(t)
	kiosk := w.mustDial("K-1", nil)
	var all []paho.Client
	for _, id := range []string{"K-1", "K-1", "dashboard", "dashboard", "$integrator/1"} {
		c, err := w.dialIntegrator(id, "secret")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for i, c := range all {
		if err := finished(c.Subscribe("alerts/#", 0, nil)); err != nil {
			t.Errorf("integrator %d: %v", i, err)
		}
	}
	if err := finished(kiosk.Publish("kiosks/K-1/telemetry", 1, false, "x")); err != nil {
		t.Errorf("the kiosk: %v", err)
	}
	w.server.Disconnect("K-1") // which is about kiosks
	if err := finished(all[0].Subscribe("incidents/#", 0, nil)); err != nil {
		t.Errorf("an integrator with the id of a kiosk that was revoked: %v", err)
	}
	for _, c := range all {
		c.Disconnect(10)
	}
	for limit := time.Now().Add(patience); testutil.ToFloat64(w.server.metrics.integrators) > 0; {
		if time.Now().After(limit) {
			t.Fatal("integrators are still counted")
		}
		time.Sleep(time.Millisecond) // between polls
	}
	for id := range w.server.mqtt.Clients.GetAll() {
		if strings.HasPrefix(id, integratorPrefix) {
			t.Errorf("session %s was kept", id)
		}
	}
}

func TestAWithdrawnTokenEndsItsConnectionsOnly(t *testing.T) {
	w, k := newIntegratorWorld(t)
	gone, _ := w.raw(t, 5, nil)
	stays, _ := w.raw(t, 5, func(p *packets.ConnectParams) { p.Password = []byte("other") })
	gone.subscribe(packets.Subscription{Filter: "alerts/#"})
	stays.subscribe(packets.Subscription{Filter: "alerts/#"})
	k.mu.Lock()
	k.down = true // nobody can tell: everybody stays
	k.mu.Unlock()
	_ = gone.conn.SetReadDeadline(time.Now().Add(checkEvery + checkEvery/2))
	if _, err := gone.in.Peek(1); !isTimeout(err) {
		t.Errorf("while nobody can tell: %v", err)
	}
	k.mu.Lock()
	k.down = false
	k.mu.Unlock()
	k.set("secret", false)
	if _, err := gone.read(); err == nil || isTimeout(err) {
		t.Errorf("the withdrawn token's connection: %v", err)
	}
	if err := w.server.Publish(t.Context(), "alerts/info/K-1", 0, false, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := stays.next(); got != "alerts/info/K-1 x" {
		t.Errorf("the other's: %q", got)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// An integrator that reads nothing loses messages, counted; kiosks and the other integrators notice nothing.
func TestASlowIntegratorHarmsNobody(t *testing.T) {
	w, _ := newIntegratorWorld(t)
	slow, _ := w.raw(t, 4, nil)
	slow.subscribe(packets.Subscription{Filter: "kiosks/+/telemetry"})
	quick, _ := w.raw(t, 5, nil)
	quick.subscribe(packets.Subscription{Filter: "kiosks/K-1/telemetry"})
	kiosk := w.mustDial("K-1", nil)
	payload := bytes.Repeat([]byte("x"), 200<<10)
	sent := 0
	for limit := time.Now().Add(patience); testutil.ToFloat64(w.server.metrics.unforwarded) == 0; sent++ {
		if time.Now().After(limit) {
			t.Fatalf("nothing was dropped of %d messages", sent)
		}
		if err := finished(kiosk.Publish("kiosks/K-1/telemetry", 1, false, payload)); err != nil {
			t.Fatal(err)
		}
		if got := quick.next(); !strings.HasPrefix(got, "kiosks/K-1/telemetry ") {
			t.Fatalf("the quick one: %.60s", got)
		}
	}
	w.sink.await(t, "every message", func(r *recorder) bool { return len(r.messages) == sent })
	if got := testutil.ToFloat64(w.server.metrics.dropped); got != 0 {
		t.Errorf("%v deliveries dropped to kiosks", got)
	}
	done := make(chan error, 1)
	go func() { done <- w.server.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Close waits for the slow one")
	}
}

func TestASilentIntegratorIsClosedBeforeConnect(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.ConnectDeadline = 200 * time.Millisecond
		c.Integrators = &Integrators{Addr: "127.0.0.1:0"}
	})
	c, err := tls.Dial("tcp", w.server.IntegratorsAddr(), &tls.Config{RootCAs: w.authority.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	expectClosed(t, c)
}

func TestTheIntegratorsPortInUse(t *testing.T) {
	w := newWorld(t, nil)
	cfg := w.config()
	cfg.Admissions, cfg.Sink, cfg.Integrators = w.registry, w.sink, &Integrators{Addr: w.server.Addr()}
	if _, err := New(cfg); !errors.Is(err, ErrIntegratorsAddr) {
		t.Errorf("error = %v", err)
	}
}

func TestTopicsMatchFilters(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/+", "a/b", true}, {"a/+", "a/b/c", false}, {"a/+", "a", false}, {"a/#", "a/b/c", true},
		{"a/#", "a", true}, {"a/#", "b", false}, {"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/d", false}, {"a/+/#", "a/b", true}, {"a/+/#", "a", false}, {"a/b", "a/b/", false}, {"a/+", "a/", true},
	} {
		if got := matches(tt.filter, tt.topic); got != tt.want {
			t.Errorf("matches(%q, %q) = %v", tt.filter, tt.topic, got)
		}
	}
}

func BenchmarkOffer(b *testing.B) {
	for _, n := range []int{0, 1, 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {

			feeds := make([]*feed, n)
			for i := range feeds {
				feeds[i] = newFeed()
				feeds[i].subscribe(filter{text: "kiosks/+/telemetry"})
			}
			payload := make([]byte, 480)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for _, f := range feeds {
					f.offer("kiosks/KIOSK-00007/telemetry", payload, false)
					if i%1000 == 0 {
						f.take()
					}
				}
			}
		})
	}
}
