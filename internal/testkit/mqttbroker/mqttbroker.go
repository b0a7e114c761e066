// Package mqttbroker is an MQTT broker for tests of what connects to one: mutual TLS with certificates of
// its own authority, and a book of all that kiosks say. It asks nobody whether a kiosk is known.
package mqttbroker

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/pkitest"
)

// Message is what a kiosk, or its will, has said.
type Message struct {
	Time    time.Time // when it came
	Serial  string    // of its topic
	Channel protocol.Channel
	Payload []byte
}

// Broker is a running broker. It can be closed and opened again. Safe for concurrent use.
type Broker struct {
	Authority *pki.Authority
	Addr      string // host:port; the same when it is opened again
	// Refuse makes it refuse whoever comes.
	Refuse atomic.Bool

	t    testing.TB
	cert tls.Certificate

	mu       sync.Mutex // guards the rest
	server   *mqtt.Server
	messages map[string][]Message // by serial, in the order they came
}

// Start starts a broker that ends with the test.
func Start(t testing.TB) *Broker {
	t.Helper()
	b := &Broker{Authority: pkitest.Authority(t), Addr: "127.0.0.1:0", t: t, messages: map[string][]Message{}}
	b.cert = pkitest.Server(t, b.Authority)
	b.Open()
	t.Cleanup(b.Close)
	return b
}

// gate lets every client in while the broker does not refuse.
type gate struct {
	mqtt.HookBase
	refuse *atomic.Bool
}

func (*gate) ID() string                                                { return "gate" }
func (*gate) Provides(b byte) bool                                      { return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck }
func (g *gate) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return !g.refuse.Load() }
func (*gate) OnACLCheck(*mqtt.Client, string, bool) bool                { return true }

// Open lets it listen again after Close.
func (b *Broker) Open() {
	b.t.Helper()
	s := mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(&gate{refuse: &b.Refuse}, nil); err != nil {
		b.t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "kiosks", Address: b.Addr, TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{b.cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: b.Authority.Pool(),
	}})
	if err := s.AddListener(l); err != nil {
		b.t.Fatal(err)
	}
	b.Addr = l.Address()
	if err := s.Subscribe("kiosks/#", 1, b.received); err != nil {
		b.t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server = s
}

// Close ends all connections.
func (b *Broker) Close() {
	b.mu.Lock()
	s := b.server
	b.server = nil
	b.mu.Unlock()
	if s != nil {
		_ = s.Close()
	}
}

func (b *Broker) received(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) {
	serial, ch, ok := protocol.ParseTopic(pk.TopicName)
	if !ok || !ch.FromKiosk() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages[serial] = append(b.messages[serial], Message{time.Now(), serial, ch, bytes.Clone(pk.Payload)})
}

// URL is the address for kiosks.
func (b *Broker) URL() string { return "mqtts://" + b.Addr }

// Messages returns what a kiosk has said on the channels, or on all if none is given, in the order it came.
func (b *Broker) Messages(serial string, channels ...protocol.Channel) (out []Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages[serial] {
		for _, ch := range channels {
			if m.Channel == ch {
				out = append(out, m)
			}
		}
		if len(channels) == 0 {
			out = append(out, m)
		}
	}
	return out
}

// Send publishes a message for a kiosk, at QoS 1.
func (b *Broker) Send(serial string, ch protocol.Channel, payload []byte) {
	b.t.Helper()
	b.mu.Lock()
	s := b.server
	b.mu.Unlock()
	if s == nil {
		b.t.Fatal("the broker is closed")
	}
	if err := s.Publish(protocol.Topic(serial, ch), payload, false, 1); err != nil {
		b.t.Fatal(err)
	}
}

// Forget strikes what a kiosk has said on a channel from the book.
func (b *Broker) Forget(serial string, ch protocol.Channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages[serial] = slices.DeleteFunc(b.messages[serial], func(m Message) bool { return m.Channel == ch })
}
