// Package server is the platform's MQTT broker: mochi-mqtt behind TLS 1.3 with client certificates,
// one hook that decides who may connect and what they may publish and read, and a sink that takes
// kiosks' messages before they are acknowledged. admin embeds it; broker runs it alone. It is the
// only user of mochi-mqtt.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/internal/daemon"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// Admissions decides which kiosks may connect. Admit returns nil, or why not; it is called for each
// CONNECT and must not block for long.
type Admissions interface {
	Admit(id pki.Identity) error
}

// Sink takes what kiosks publish and learns of their connections. Publish returns once the message
// is accepted; an error closes the connection without an acknowledgement, so that the kiosk sends
// the message again; one of QoS 0 is lost. Calls for one connection never overlap.
type Sink interface {
	Publish(m Message) error
	Connected(c Connection)
	Disconnected(c Connection, how Ending)
}

// Message is one message of a kiosk, or its will.
type Message struct {
	Serial       string
	Channel      protocol.Channel
	Payload      []byte // the sink may keep it
	QoS          byte
	Will         bool
	ConnectionID string
	ReceivedAt   time.Time // UTC
}

// Connection is one MQTT connection of a kiosk.
type Connection struct {
	ID     string
	Serial string
	Remote string
	At     time.Time // UTC
}

// Ending says how a connection ended.
type Ending struct {
	At        time.Time // UTC
	Clean     bool      // by DISCONNECT
	TakenOver bool      // by another connection with the same client id
	Shutdown  bool      // because this broker stops
}

// Storage keeps sessions, queued and retained messages; see package durable.
type Storage struct {
	Hook    mqtt.Hook
	Options any
}

// Config says how to serve. Addr, Certificate, Roots and Admissions are required.
type Config struct {
	Addr string // host:port of the kiosks' listener
	// Certificate is asked for at each handshake, so that it can be renewed while running.
	Certificate func() (*tls.Certificate, error)
	Roots       *x509.CertPool // CAs of the clients' certificates
	Admissions  Admissions
	// Sink is nil in the stand-alone broker: there messages only go to subscribers, and kiosks are
	// held back while the platform's own session is absent or full.
	Sink    Sink
	Storage *Storage // nil: everything in memory
	// Integrators is nil where there is no listener for them.
	Integrators *Integrators
	// ConnectDeadline is the time from accept to the client's first words, and from there to a complete CONNECT,
	// TLS handshake included but not the wait for its turn; default 10 s.
	ConnectDeadline time.Duration
	Log             *slog.Logger
	Metrics         prometheus.Registerer // nil: not registered
}

const (
	// maxPacketSize bounds an MQTT packet: a backfill array of 256 KB and some room.
	maxPacketSize = 512 << 10
	// clientQueue is how many outgoing messages wait for a slow kiosk; it gets few. When it is full,
	// mochi drops the message and counts it; commands are sent again on the next join.
	clientQueue = 32
	// platformQueue is the same in the stand-alone broker, where the platform's client gets everything.
	platformQueue = 1024
	// readBuffer is for a packet's header and topic. What is larger is read past it, out of a record that TLS
	// has in memory already.
	readBuffer = 256
	// maxSessionExpiry bounds how long a session without connection is kept.
	maxSessionExpiry = 7 * 24 * time.Hour
	// sysTopicSeconds spaces the $SYS topics; each round stops the world for memory figures.
	sysTopicSeconds = 300
)

// Server is a running broker. Create it with New, which listens; Serve starts it; Close ends it.
type Server struct {
	cfg      Config
	mqtt     *mqtt.Server
	listener *listener
	// integrators is their listener, nil without one.
	integrators *listener
	pumps       sync.WaitGroup // goroutines for integrators
	hook        *hook
	metrics     *metrics
	log         *slog.Logger

	serving   atomic.Bool
	closeOnce sync.Once
	closed    chan struct{}
}

// New opens the listener, so that a port in use is an error here, and prepares everything else.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ConnectDeadline <= 0 {
		cfg.ConnectDeadline = connectDeadline
	}
	s := &Server{cfg: cfg, log: cfg.Log, closed: make(chan struct{}), metrics: newMetrics(cfg.Metrics)}

	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumMessageExpiryInterval = 0 // otherwise mochi deletes retained and queued messages after a day
	capabilities.MaximumSessionExpiryInterval = uint32(maxSessionExpiry / time.Second)
	capabilities.MaximumPacketSize = maxPacketSize
	capabilities.MaximumClientWritesPending = clientQueue
	capabilities.MaximumInflight = 1024
	capabilities.ReceiveMaximum = 64
	capabilities.TopicAliasMaximum = 0 // mochi checks the ACL before it resolves an alias
	capabilities.SharedSubAvailable = 0
	if cfg.Sink == nil {
		capabilities.MaximumClientWritesPending = platformQueue
		capabilities.MaximumInflight = platformQueue
	}
	s.mqtt = mqtt.New(&mqtt.Options{
		Capabilities:             capabilities,
		InlineClient:             true,
		ClientNetReadBufferSize:  readBuffer,
		ClientNetWriteBufferSize: 1024,
		SysTopicResendInterval:   sysTopicSeconds,
		Logger:                   daemon.AtLeast(cfg.Log, slog.LevelError), // it warns about each odd packet, with its payload
	})
	s.hook = newHook(s)
	if err := s.mqtt.AddHook(s.hook, nil); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if cfg.Storage != nil {
		if err := s.mqtt.AddHook(cfg.Storage.Hook, cfg.Storage.Options); err != nil {
			return nil, fmt.Errorf("broker: open the store: %w", err)
		}
	}
	s.listener = newListener("kiosks", cfg.Addr, &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     tls.RequireAndVerifyClientCert,
		ClientCAs:      cfg.Roots,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cfg.Certificate() },
		// A ticket holds the kiosk's whole certificate, takes time to seal, and both sides keep larger buffers
		// for it. Kiosks stay connected for days.
		SessionTicketsDisabled: true,
	}, cfg.ConnectDeadline, s.metrics)
	if err := s.mqtt.AddListener(s.listener); err != nil {
		s.stopHooks()
		return nil, fmt.Errorf("broker: %w", err)
	}
	if cfg.Integrators == nil {
		return s, nil
	}
	if err := s.listenForIntegrators(); err != nil {
		s.listener.Close(func(string) {})
		s.stopHooks()
		return nil, fmt.Errorf("%w: %w", ErrIntegratorsAddr, err)
	}
	return s, nil
}

// ErrIntegratorsAddr says that the integrators' listener could not be opened.
var ErrIntegratorsAddr = errors.New("broker: integrators")

// stopHooks closes a store that was opened by a start which then failed.
func (s *Server) stopHooks() {
	if s.cfg.Storage != nil {
		_ = s.cfg.Storage.Hook.Stop()
	}
}

// Addr is the address that the kiosks' listener has, with the port chosen for port 0.
func (s *Server) Addr() string { return s.listener.Address() }

// Serve starts accepting connections and returns; Close ends it.
func (s *Server) Serve() error {
	if err := s.mqtt.Serve(); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	s.hook.admissionsFromRetained()
	s.listener.allow()
	if s.integrators != nil {
		s.integrators.allow()
		s.pumps.Go(s.hook.checkReaders)
	}
	s.serving.Store(true)
	return nil
}

// Serving reports whether clients can connect.
func (s *Server) Serving() bool { return s.serving.Load() && !s.closing() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Serve(); err != nil {
		return err
	}
	<-ctx.Done()
	return s.Close()
}

// Close disconnects everybody and stops. Calling it again does nothing.
func (s *Server) Close() error {
	var err error
	s.closeOnce.Do(func() {
		close(s.closed)
		s.hook.stopReaders()
		err = s.mqtt.Close()
		s.listener.drain()
		if s.integrators != nil {
			s.integrators.drain()
		}
		s.pumps.Wait()
	})
	return err
}

func (s *Server) closing() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Publish sends a message from the platform itself; an empty retained payload removes what was
// retained. A subscriber that is not connected and has no session misses it.
func (s *Server) Publish(_ context.Context, topic string, qos byte, retain bool, payload []byte) error {
	if s.closing() {
		return errors.New("broker: closed")
	}
	if err := s.mqtt.Publish(topic, payload, retain, qos); err != nil {
		return fmt.Errorf("broker: publish on %s: %w", topic, err)
	}
	return nil
}

// Disconnect ends every connection of a kiosk and forgets its sessions.
func (s *Server) Disconnect(serial string) {
	for _, cl := range s.hook.clientsOf(serial) {
		_ = s.mqtt.DisconnectClient(cl, packets.ErrAdministrativeAction)
	}
	for id, cl := range s.mqtt.Clients.GetAll() {
		if ownerOf(id) == serial && cl.Closed() {
			cl.ClearInflights()
			s.mqtt.UnsubscribeClient(cl)
			if s.cfg.Storage != nil {
				s.cfg.Storage.Hook.OnClientExpired(cl) // or it would be back after a restart
			}
			s.mqtt.Clients.Delete(id)
		}
	}
}

// platformRoom is how many messages may be in flight to the platform's session before kiosks are
// held back; the rest of its queue is for those already past the check.
const platformRoom = platformQueue - 256

// metrics counts what an operator of the broker must know; labels never name a kiosk.
type metrics struct {
	connections prometheus.Gauge
	refused     *prometheus.CounterVec // by reason
	denied      *prometheus.CounterVec // by action: publish, subscribe
	rejected    prometheus.Counter
	lost        prometheus.Counter
	dropped     prometheus.Counter
	handshakes  *prometheus.CounterVec // by result
	integrators prometheus.Gauge
	forwarded   prometheus.Counter
	unforwarded prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	name := func(n string) string { return "kioskfleet_broker_" + n }
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: name("connections"), Help: "Connected kiosks' clients."}),
		refused:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("connects_refused_total"), Help: "Refused CONNECTs by reason."}, []string{"reason"}),
		denied:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("denied_total"), Help: "Publishes and subscribes that the access rules denied."}, []string{"action"}),
		rejected:    prometheus.NewCounter(prometheus.CounterOpts{Name: name("publishes_rejected_total"), Help: "Messages not accepted and so not acknowledged; the kiosk sends them again."}),
		lost:        prometheus.NewCounter(prometheus.CounterOpts{Name: name("qos0_lost_total"), Help: "Messages of QoS 0 that were not accepted; nobody sends them again."}),
		dropped:     prometheus.NewCounter(prometheus.CounterOpts{Name: name("deliveries_dropped_total"), Help: "Messages to a client that were dropped because its queue was full."}),
		handshakes:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("handshakes_total"), Help: "TLS handshakes by result."}, []string{"result"}),
	}
	m.integrators = prometheus.NewGauge(prometheus.GaugeOpts{Name: name("integrators"), Help: "Connected integrators."})
	m.forwarded = prometheus.NewCounter(prometheus.CounterOpts{Name: name("integrator_deliveries_total"), Help: "Messages sent to integrators."})
	m.unforwarded = prometheus.NewCounter(prometheus.CounterOpts{Name: name("integrator_drops_total"), Help: "Messages to an integrator that were dropped because it is too slow for them, or takes none of that size."})
	if reg != nil {
		reg.MustRegister(m.connections, m.refused, m.denied, m.rejected, m.lost, m.dropped, m.handshakes, m.integrators, m.forwarded, m.unforwarded)
	}
	return m
}

// sessionSeparator joins a kiosk's serial and its client id where they differ; it cannot be in a serial.
const sessionSeparator = "/"

// now is the time in the resolution that the platform keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
