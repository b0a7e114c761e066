package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest"
	"kioskfleet/admin/registry"
	"kioskfleet/broker/server"
	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// link is the way to the broker, embedded or external. It exists before the broker does, because
// what it serves and what serves it need each other.
type link interface {
	Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error
	// admit tells the broker of a kiosk that may connect, or of its new generation; forget that one may not.
	admit(k *fleet.Kiosk)
	forget(serial string)
	// run serves until ctx ends.
	run(ctx context.Context) error
	// ready is nil while kiosks can connect.
	ready() error
	// addresses are what kiosks are told, unless the configuration says otherwise.
	addresses(host string) []string
}

var errNoBroker = errors.New("the broker is not connected")

// innerBroker is a broker in this process.
type innerBroker struct {
	server *server.Server
	log    *slog.Logger
}

func newInnerBroker(cfg *Config, certificate func() (*tls.Certificate, error), roots *x509.CertPool, reg *registry.Registry, in func() *ingest.Ingest, readers *server.Integrators, metrics prometheus.Registerer, log *slog.Logger) (*innerBroker, error) {
	s, err := server.New(server.Config{
		Addr: cfg.Broker.Kiosks.Addr, Certificate: certificate, Roots: roots,
		Admissions: reg, Sink: &sink{in}, Log: log, Metrics: metrics, Integrators: readers,
	})
	if errors.Is(err, server.ErrIntegratorsAddr) {
		return nil, fmt.Errorf("broker.integrators.addr %s: %w", cfg.Broker.Integrators.Addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("broker.kiosks.addr %s: %w", cfg.Broker.Kiosks.Addr, err)
	}
	return &innerBroker{server: s, log: log}, nil
}

func (e *innerBroker) Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error {
	return e.server.Publish(ctx, topic, qos, retain, payload)
}

// admit ends the connections of a kiosk whose certificates were revoked; the broker asks the registry
// about everybody who comes.
func (e *innerBroker) admit(k *fleet.Kiosk) {
	if k.RevokedAt != nil {
		e.server.Disconnect(k.Serial)
	}
}

// forget ends the connections of a kiosk that is no longer registered and removes its retained status.
func (e *innerBroker) forget(serial string) {
	e.server.Disconnect(serial)
	if err := clearRetained(context.Background(), e, serial); err != nil {
		e.log.Warn("retained messages not removed", "serial", serial, "error", err)
	}
}

// clearRetained removes what the broker keeps of a kiosk that is no longer registered.
func clearRetained(ctx context.Context, l link, serial string) error {
	for _, ch := range []protocol.Channel{protocol.ChannelStatus, protocol.ChannelConfig} {
		if err := l.Publish(ctx, protocol.Topic(serial, ch), 1, true, nil); err != nil {
			return err
		}
	}
	return nil
}

func (e *innerBroker) run(ctx context.Context) error {
	if err := e.server.Serve(); err != nil {
		return err
	}
	<-ctx.Done()
	return e.server.Close()
}

func (e *innerBroker) ready() error {
	if !e.server.Serving() {
		return errors.New("the broker is not serving")
	}
	return nil
}

func (e *innerBroker) addresses(host string) []string {
	_, port, err := net.SplitHostPort(e.server.Addr())
	if err != nil {
		return nil
	}
	return []string{"mqtts://" + net.JoinHostPort(host, port)}
}

// sink carries what the embedded broker receives to ingest.
type sink struct{ ingest func() *ingest.Ingest }

// Publish implements server.Sink.
func (s *sink) Publish(m server.Message) error {
	return s.ingest().Accept(ingest.Message{Serial: m.Serial, Channel: m.Channel, Payload: m.Payload, ConnectionID: m.ConnectionID, ReceivedAt: m.ReceivedAt, Will: m.Will})
}

// Connected implements server.Sink.
func (s *sink) Connected(c server.Connection) {
	s.ingest().AcceptConnection(fleet.ConnectionEvent{Serial: c.Serial, ConnectionID: c.ID, Connected: true, Remote: c.Remote, At: c.At})
}

// Disconnected implements server.Sink.
func (s *sink) Disconnected(c server.Connection, how server.Ending) {
	if how.Shutdown {
		return // it is we who go; presence must not blame the kiosk
	}
	s.ingest().AcceptConnection(fleet.ConnectionEvent{Serial: c.Serial, ConnectionID: c.ID, Clean: how.Clean, TakenOver: how.TakenOver, Remote: c.Remote, At: how.At})
}

// outerBroker is a broker of its own: admin is a client with a persistent session, and what it has not
// taken stays there. Admissions are told by retained messages.
type outerBroker struct {
	client   *mqttclient.Client
	url      string
	registry *registry.Registry
	log      *slog.Logger

	mu      sync.Mutex
	pending map[string]*fleet.Kiosk // admissions to publish; nil value: withdraw
	wake    chan struct{}
}

const (
	// externalPatience bounds a publish: a handler of a message that waits for an acknowledgement
	// holds up the client that would receive it.
	externalPatience = 5 * time.Second
	admissionRetry   = time.Second
	// platformValidity outlives any run: each start issues a new certificate.
	platformValidity = 10 * 365 * 24 * time.Hour
)

func newOuterBroker(cfg *Config, authority *pki.Authority, reg *registry.Registry, in func() *ingest.Ingest, now time.Time, log *slog.Logger) (*outerBroker, error) {
	cert, err := authority.IssuePlatform(platformValidity, now)
	if err != nil {
		return nil, err
	}
	e := &outerBroker{url: cfg.Broker.URL, registry: reg, log: log, pending: map[string]*fleet.Kiosk{}, wake: make(chan struct{}, 1)}
	var subscriptions []mqttclient.Subscription
	for _, f := range append(protocol.FilterFromKiosks(), protocol.AdmissionFilter) {
		subscriptions = append(subscriptions, mqttclient.Subscription{Filter: f, QoS: 1})
	}
	e.client, err = mqttclient.New(mqttclient.Config{
		Brokers: []string{cfg.Broker.URL}, ClientID: "kioskfleet-admin", TLS: pki.ClientTLS(cert, authority.Pool()),
		Persistent: true, Subscriptions: subscriptions, Log: log,
		OnMessage: func(m mqttclient.Message) error {
			if serial, ok := protocol.ParseAdmissionTopic(m.Topic); ok {
				e.withdrawUnknown(serial, m.Payload)
				return nil
			}
			serial, ch, ok := protocol.ParseTopic(m.Topic)
			if !ok {
				return nil
			}
			return in().Accept(ingest.Message{Serial: serial, Channel: ch, Payload: m.Payload, ReceivedAt: time.Now().UTC()})
		},
		OnConnect: func(context.Context, *mqttclient.Client) { e.admitAll() },
	})
	if err != nil {
		return nil, fmt.Errorf("broker.url: %w", err)
	}
	return e, nil
}

func (e *outerBroker) Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, externalPatience)
	defer cancel()
	return e.client.Publish(ctx, topic, qos, retain, payload)
}

func (e *outerBroker) admit(k *fleet.Kiosk) { e.queue(k.Serial, k) }

func (e *outerBroker) forget(serial string) { e.queue(serial, nil) }

func (e *outerBroker) admitAll() {
	for _, k := range e.registry.All() {
		e.queue(k.Serial, k)
	}
}

// withdrawUnknown takes back an admission, kept by the broker, of a kiosk that was deleted while the
// broker could not be told.
func (e *outerBroker) withdrawUnknown(serial string, payload []byte) {
	if _, err := e.registry.Get(serial); err != nil && len(payload) > 0 {
		e.queue(serial, nil)
	}
}

func (e *outerBroker) queue(serial string, k *fleet.Kiosk) {
	e.mu.Lock()
	e.pending[serial] = k
	e.mu.Unlock()
	e.signal()
}

func (e *outerBroker) run(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- e.client.Run(ctx) }()
	for {
		select {
		case <-ctx.Done():
			return <-done
		case <-e.wake:
			if e.publishAdmissions(ctx) {
				continue
			}
			timer := time.NewTimer(admissionRetry)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return <-done
			}
			e.signal()
		}
	}
}

func (e *outerBroker) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// publishAdmissions publishes what is pending; false means that some of it is to be tried again.
func (e *outerBroker) publishAdmissions(ctx context.Context) bool {
	e.mu.Lock()
	pending := e.pending
	e.pending = map[string]*fleet.Kiosk{}
	e.mu.Unlock()
	ok := true
	for serial, k := range pending {
		var payload []byte
		if k != nil {
			payload, _ = json.Marshal(protocol.Admission{Serial: serial, Generation: k.Generation}) // cannot fail: plain fields
		}
		err := e.Publish(ctx, protocol.AdmissionTopic(serial), 1, true, payload)
		if err == nil && k == nil {
			err = clearRetained(ctx, e, serial)
		}
		if err != nil {
			ok = false
			e.mu.Lock()
			if _, newer := e.pending[serial]; !newer {
				e.pending[serial] = k
			}
			e.mu.Unlock()
		}
	}
	return ok
}

func (e *outerBroker) ready() error {
	if !e.client.Connected() {
		return errNoBroker
	}
	return nil
}

func (e *outerBroker) addresses(string) []string { return []string{e.url} }
