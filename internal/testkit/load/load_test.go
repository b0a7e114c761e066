package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"kioskfleet/broker/server"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/pkitest"
)

// everybody lets each certificate in.
type everybody struct{}

func (everybody) Admit(pki.Identity) error { return nil }

// sink takes readings, and refuses each n-th message.
type sink struct {
	refuseEach int

	mu       sync.Mutex
	messages int
	taken    map[string][]protocol.Reading // by serial
	raw      map[string]map[uint64][]byte  // by serial and seq: the payload
	changed  []string                      // what was sent again and was not the same
}

func (s *sink) Publish(m server.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	var r protocol.Reading
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		s.changed = append(s.changed, err.Error())
		return nil
	}
	if s.raw[r.Serial] == nil {
		s.raw[r.Serial] = map[uint64][]byte{}
	}
	if before, again := s.raw[r.Serial][r.Seq]; again && !bytes.Equal(before, m.Payload) {
		s.changed = append(s.changed, fmt.Sprintf("%s then %s", before, m.Payload))
	}
	s.raw[r.Serial][r.Seq] = m.Payload
	if s.refuseEach > 0 && s.messages%s.refuseEach == 0 {
		return errors.New("refused by the test")
	}
	s.taken[r.Serial] = append(s.taken[r.Serial], r)
	return nil
}

func (s *sink) Connected(server.Connection)                   {}
func (s *sink) Disconnected(server.Connection, server.Ending) {}

// broker runs a broker and returns its address and how to connect as a kiosk.
func broker(t *testing.T, s *sink) (address string, as func(serial string) *tls.Config) {
	t.Helper()
	s.taken, s.raw = map[string][]protocol.Reading{}, map[string]map[uint64][]byte{}
	ca := pkitest.Authority(t)
	cert := pkitest.Server(t, ca)
	b, err := server.New(server.Config{
		Addr: "127.0.0.1:0", Certificate: func() (*tls.Certificate, error) { return &cert, nil }, Roots: ca.Pool(), Admissions: everybody{}, Sink: s,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return "mqtts://" + b.Addr(), func(serial string) *tls.Config { return pki.ClientTLS(pkitest.Kiosk(t, ca, serial, 0), ca.Pool()) }
}

// await polls until f is true.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestAForeignBrokerMayTakePlainTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := make(chan byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		packet := make([]byte, 512)
		if n, err := conn.Read(packet); err == nil && n > 0 {
			_, _ = conn.Write([]byte{typeConnack << 4, 2, 0, 0})
			first <- packet[0]
		}
	}()
	address := "mqtt://" + l.Addr().String()
	conn, err := Dial(t.Context(), address, nil, MQTT311, "K-1")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.net.Close()
	if got := <-first; got != typeConnect<<4 {
		t.Errorf("the first byte is 0x%02x", got)
	}
	if _, err := New(Config{Broker: address, Serial: "K-1", QoS: 1}); err != nil {
		t.Errorf("without TLS for %s: %v", address, err)
	}
	if _, err := New(Config{Broker: "mqtts://localhost:1", Serial: "K-1", QoS: 1}); err == nil {
		t.Error("mqtts:// goes without TLS")
	}
}

func TestWhatIsAcknowledgedWasTaken(t *testing.T) {
	for _, tt := range []struct {
		name          string
		version, qos  byte
		window        int
		refuseEach    int
		wantAcked     int
		wantReconnect bool
	}{
		{"3.1.1, QoS 1, one after the other", MQTT311, 1, 1, 0, 300, false},
		{"3.1.1, QoS 2", MQTT311, 2, 1, 0, 300, false},
		{"5, QoS 1, window 8", MQTT5, 1, 8, 0, 300, false},
		{"5, QoS 2, window 8", MQTT5, 2, 8, 0, 300, false},
		{"5, QoS 2, more than the broker's receive maximum", MQTT5, 2, 200, 0, 300, false},
		{"3.1.1, QoS 1, refused now and then", MQTT311, 1, 4, 40, 120, true},
		{"5, QoS 2, refused now and then", MQTT5, 2, 4, 40, 120, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sink{refuseEach: tt.refuseEach}
			address, as := broker(t, s)
			c, err := New(Config{
				Broker: address, TLS: as("K-1"), Serial: "K-1", Session: "one", Version: tt.version, QoS: tt.qos, Window: tt.window,
				MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			stop := Start(t.Context(), []*Client{c})
			await(t, "acknowledgements", func() bool { return c.Ledger().Acked() >= tt.wantAcked })
			stop()

			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.changed) > 0 {
				t.Errorf("what was sent again had changed: %s", s.changed[0])
			}
			taken := map[uint64]time.Time{}
			for _, r := range s.taken["K-1"] {
				if r.Session != "one" {
					t.Errorf("session %q", r.Session)
				}
				if n, ok := r.Custom["number"].(float64); !ok || uint64(n) != r.Seq {
					t.Errorf("reading %d has number %v", r.Seq, r.Custom["number"])
				}
				taken[r.Seq] = r.Timestamp
			}
			last := time.Time{}
			for _, e := range c.Ledger().Entries() {
				if at, ok := taken[e.Seq]; e.Acked && (!ok || !at.Equal(e.Time)) {
					t.Errorf("reading %d of %s is acknowledged; the broker took it: %v, of %s", e.Seq, e.Time, ok, at)
				}
				if !e.Time.After(last) {
					t.Errorf("reading %d has time %s, the one before it %s", e.Seq, e.Time, last)
				}
				last = e.Time
			}
			st := c.Stats()
			if got := st.Acked.Load(); got != uint64(c.Ledger().Acked()) || st.Latency.Quantile(1) == 0 {
				t.Errorf("the counters say %s, the ledger %d", st, c.Ledger().Acked())
			}
			if reconnected := st.Connects.Load() > 1 && st.Resent.Load() > 0; reconnected != tt.wantReconnect {
				t.Errorf("reconnected and sent again: %v, want %v: %s, last failure %q", reconnected, tt.wantReconnect, st, st.LastFailure())
			}
		})
	}
}

func TestRateAndQoS0(t *testing.T) {
	s := &sink{}
	address, as := broker(t, s)
	c, err := New(Config{Broker: address, TLS: as("K-1"), Serial: "K-1", QoS: 0, Rate: 200, Behind: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	stop := Start(t.Context(), []*Client{c})
	await(t, "100 readings", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.taken["K-1"]) >= 100 })
	took := time.Since(begin)
	stop()
	if took < 450*time.Millisecond {
		t.Errorf("100 readings at 200 a second took %s", took)
	}
	if c.Ledger().Acked() != 0 || c.Stats().Acked.Load() != 0 {
		t.Errorf("QoS 0 was acknowledged: %s", c.Stats())
	}
	s.mu.Lock() // what is under way may still come
	defer s.mu.Unlock()
	if at := s.taken["K-1"][0].Timestamp; begin.Sub(at) < 59*time.Minute {
		t.Errorf("the first reading is of %s", at)
	}
	if _, err := New(Config{Broker: address, TLS: as("K-1"), Serial: "K-1"}); err == nil {
		t.Error("QoS 0 without a rate was allowed")
	}
}

func TestConnPublishesOneMessage(t *testing.T) {
	for _, version := range []byte{MQTT311, MQTT5} {
		for _, qos := range []byte{0, 1, 2} {
			s := &sink{}
			address, as := broker(t, s)
			conn, err := Dial(t.Context(), address, as("K-1"), version, "K-1")
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Publish("kiosks/K-1/telemetry", qos, []byte(`{"serial":"K-1","seq":5}`)); err != nil {
				t.Errorf("version %d, QoS %d: %v", version, qos, err)
			}
			if err := conn.Ping(); err != nil {
				t.Errorf("version %d: %v", version, err)
			}
			s.mu.Lock()
			if len(s.taken["K-1"]) != 1 {
				t.Errorf("version %d, QoS %d: the broker took %d", version, qos, len(s.taken["K-1"]))
			}
			s.mu.Unlock()
			_ = conn.Close()
		}
	}
}

func TestARefusalIsNoAcknowledgement(t *testing.T) {
	for _, refusal := range [][]byte{
		{typePuback << 4, 3, 0, 1, 0x97},                // quota exceeded
		{typeDisconnect << 4, 2, 0x97, 0},               // the broker ends the connection
		{typePuback << 4, 2, 0, 9},                      // of a packet that was never sent
		{typePubcomp << 4, 2, 0, 1},                     // out of turn
		{typePuback << 4, 0xff, 0xff, 0xff, 0xff, 0x7f}, // no such length
	} {
		client, fake := net.Pipe()
		go func() {
			buf := make([]byte, 4096)
			_, _ = fake.Read(buf)
			_, _ = fake.Write(refusal)
		}()
		c, err := New(Config{Broker: "mqtts://x", TLS: &tls.Config{}, Serial: "K-1", Version: MQTT5, QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		conn := &Conn{version: MQTT5, net: client, in: make([]byte, 512), receiveMaximum: 10}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := c.serve(ctx, conn); err == nil || timedOut(err) {
			t.Errorf("% x: serve ended with %v", refusal, err)
		}
		cancel()
		if c.Ledger().Acked() != 0 {
			t.Errorf("% x counts as an acknowledgement", refusal)
		}
		if c.reclaim(); len(c.resend) != 1 {
			t.Errorf("% x: %d readings to send again, want 1", refusal, len(c.resend))
		}
		_ = fake.Close()
	}
}

func TestTheReadingIsWhatAKioskSends(t *testing.T) {
	tpl := newTemplate(MQTT5, 1, "SIM-KIOSK-0001", "abc")
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	packet := tpl.append(nil, 3, 1234567890, at)
	body := packet[bytes.IndexByte(packet, '{'):]
	if len(body) < 440 || len(body) > 540 {
		t.Errorf("it has %d bytes", len(body))
	}
	var r protocol.Reading
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if r.Serial != "SIM-KIOSK-0001" || r.Session != "abc" || r.Seq != 1234567890 || !r.Timestamp.Equal(at) {
		t.Errorf("it is %+v", r)
	}
	if checkSeq(1e10) == nil {
		t.Error("a number that has no room in the template is allowed")
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte{typeConnack << 4, 2, 0, 0, typePuback << 4, 2, 0, 1})
	f.Add([]byte{typeConnack << 4, 6, 0, 0, 3, 0x21, 0, 64, typePubrec << 4, 4, 0, 1, 0x10, 0})
	f.Add([]byte{typePuback << 4, 0x80, 0x80, 0x80, 0x80})
	f.Fuzz(func(t *testing.T, stream []byte) {
		client, fake := net.Pipe()
		go func() {
			_, _ = fake.Write(stream)
			_ = fake.Close()
		}()
		c := &Conn{version: MQTT5, net: client, in: make([]byte, 16)}
		for range 100 {
			kind, body, err := c.read()
			if err != nil {
				break
			}
			_, _ = parseAnswer(kind, body)
			if n := receiveMaximum(body); n < 1 || n > defaultReceiveMaximum {
				t.Errorf("receive maximum %d", n)
			}
		}
		_ = client.Close()
	})
}

func BenchmarkReading(b *testing.B) {
	tpl := newTemplate(MQTT5, 1, "SIM-KIOSK-0001", "abc")
	var buf []byte
	at := time.Now()
	for i := range b.N {
		buf = tpl.append(buf[:0], 1, uint64(i), at)
	}
}
