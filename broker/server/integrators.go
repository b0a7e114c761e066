package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Integrators lets programs read telemetry, status, alerts and incidents over a listener of their own: TLS without
// client certificates, any user name, and a token as password.
type Integrators struct {
	Addr string // host:port
	// Login checks the token of a client that connects, and slows down guessing by its remote host.
	Login func(ctx context.Context, token, remote string) error
	// Check tells whether a token that logged in is still good; ErrTokenEnded ends its connections, any other error
	// leaves them alone. It is called every two seconds for each connection.
	Check func(ctx context.Context, token string) error
}

// What Integrators.Login and Check answer; other errors mean that nobody could tell.
var (
	ErrTokenEnded = errors.New("the token is not valid, has expired or was withdrawn")
	ErrThrottled  = errors.New("too many wrong tokens from this address")
)

const (
	// integratorPrefix begins the session names of integrators, each of which has one of its own: it cannot take over
	// another's, and $ cannot be in a kiosk's.
	integratorPrefix = "$integrator/"
	maxIntegrators   = 200
	checkEvery       = 2 * time.Second
	// loginPatience bounds the check of a token.
	loginPatience = 5 * time.Second
	// writePatience is how long an integrator may take nothing before its connection ends.
	writePatience = 30 * time.Second
)

// reader is the connection of an integrator. It is a type of its own, so that nothing that is for kiosks takes it for
// one.
type reader struct {
	*conn
	name  string // user name, for the log
	token string
	feed  *feed
	done  chan struct{} // closed when it has gone
	codes []byte        // answers to its subscription that is being worked on; only its own goroutine uses them
}

// Write gives a client that takes nothing a deadline.
func (r *reader) Write(b []byte) (int, error) {
	if err := r.conn.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return 0, err
	}
	return r.conn.Write(b)
}

// SetDeadline is mochi's for the next packet that it reads; writing has its own.
func (r *reader) SetDeadline(t time.Time) error { return r.conn.SetReadDeadline(t) }

// readers are the integrators that are connected.
type readers struct {
	n  atomic.Int64
	mu sync.RWMutex
	m  map[*mqtt.Client]*reader
}

func (r *readers) all() map[*mqtt.Client]*reader {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(map[*mqtt.Client]*reader, len(r.m))
	for cl, one := range r.m {
		out[cl] = one
	}
	return out
}

// listenForIntegrators opens their listener.
func (s *Server) listenForIntegrators() error {
	cfg := s.cfg
	s.integrators = newListener("integrators", cfg.Integrators.Addr, &tls.Config{
		MinVersion:     tls.VersionTLS12, // for programs of others
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cfg.Certificate() },
	}, cfg.ConnectDeadline, s.metrics)
	s.integrators.present = func(c *conn) net.Conn {
		return &reader{conn: c, feed: newFeed(), done: make(chan struct{})}
	}
	return s.mqtt.AddListener(s.integrators)
}

// IntegratorsAddr is the address of the integrators' listener, empty when there is none.
func (s *Server) IntegratorsAddr() string {
	if s.integrators == nil {
		return ""
	}
	return s.integrators.Address()
}

// connectReader decides whether an integrator may come in.
func (h *hook) connectReader(cl *mqtt.Client, r *reader, pk packets.Packet) error {
	r.name, r.token = string(pk.Connect.Username), string(pk.Connect.Password)
	remote, _, err := net.SplitHostPort(cl.Net.Remote)
	if err != nil {
		remote = cl.Net.Remote
	}
	if pk.Connect.WillFlag {
		return h.refuseReader(cl, r, "will", errors.New("integrators may only read, so they have no will"))
	}
	if n := h.readers.n.Load(); n >= maxIntegrators {
		return h.refuseReader(cl, r, "too_many", fmt.Errorf("%d integrators already", n))
	}
	ctx, cancel := context.WithTimeout(context.Background(), loginPatience)
	defer cancel()
	switch err := h.server.cfg.Integrators.Login(ctx, r.token, remote); {
	case errors.Is(err, ErrThrottled):
		return h.refuseReader(cl, r, "throttled", err)
	case err != nil:
		return h.refuseReader(cl, r, "bad_token", err)
	}
	cl.ID = integratorPrefix + r.id
	// No session outlives its connection: nobody would bound what waits for one that never comes back.
	cl.Properties.Clean = true
	cl.Properties.Props.SessionExpiryInterval = 0
	r.admitted()
	return nil
}

func (h *hook) refuseReader(cl *mqtt.Client, r *reader, reason string, err error) error {
	h.server.metrics.refused.WithLabelValues(reason).Inc()
	h.server.log.Warn("integrator refused", "user", r.name, "remote", cl.Net.Remote, "reason", err.Error())
	h.answerRefusal(cl)
	return err
}

// established lets an integrator that is in have what it subscribes to.
func (h *hook) established(cl *mqtt.Client, r *reader) {
	h.readers.mu.Lock()
	h.readers.m[cl] = r
	h.readers.n.Store(int64(len(h.readers.m)))
	h.readers.mu.Unlock()
	h.server.metrics.integrators.Inc()
	h.server.log.Info("integrator connected", "user", r.name, "remote", cl.Net.Remote)
	h.server.pumps.Go(func() { h.pump(cl, r) })
}

func (h *hook) departed(cl *mqtt.Client, r *reader) {
	h.readers.mu.Lock()
	_, known := h.readers.m[cl]
	delete(h.readers.m, cl)
	h.readers.n.Store(int64(len(h.readers.m)))
	h.readers.mu.Unlock()
	if known {
		close(r.done)
		h.server.metrics.integrators.Dec()
		cause := ""
		if err := cl.StopCause(); err != nil {
			cause = err.Error()
		}
		h.server.log.Info("integrator gone", "user", r.name, "remote", cl.Net.Remote, "reason", cause)
	}
}

// pump sends an integrator what waits for it, at the pace at which it takes it.
func (h *hook) pump(cl *mqtt.Client, r *reader) {
	for {
		select {
		case <-r.feed.wake:
		case <-r.done:
			return
		}
		for _, d := range r.feed.take() {
			err := cl.WritePacket(packets.Packet{
				FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: d.retain},
				TopicName:   d.topic, Payload: d.payload,
				Properties: packets.Properties{SubscriptionIdentifier: d.identifiers},
			})
			switch {
			case err == nil:
				h.server.metrics.forwarded.Inc()
			case errors.Is(err, packets.ErrPacketTooLarge): // for what the client said that it takes
				h.server.metrics.unforwarded.Inc()
			default:
				cl.Stop(err)
				return
			}
		}
	}
}

// forwardToReaders offers a message to every integrator. It never waits for one.
func (h *hook) forwardToReaders(topic string, payload []byte, retain bool) {
	if h.readers.n.Load() == 0 {
		return
	}
	h.readers.mu.RLock()
	defer h.readers.mu.RUnlock()
	for _, r := range h.readers.m {
		if r.feed.offer(topic, payload, retain) {
			h.server.metrics.unforwarded.Inc()
		}
	}
}

// readerMay answers for integrators. A publish ends the connection; subscriptions are kept by the feed, so mochi is
// told that it has none to keep, and OnPacketEncode gives the client the true answer.
func (h *hook) readerMay(cl *mqtt.Client, r *reader, topic string, write bool) bool {
	if !write {
		return false
	}
	h.server.metrics.denied.WithLabelValues("publish").Inc()
	h.server.log.Warn("integrator disconnected: it published, but may only read", "user", r.name, "remote", cl.Net.Remote, "topic", topic)
	reason := packets.Code{Code: packets.ErrNotAuthorized.Code, Reason: "integrators may only read"}
	if cl.Properties.ProtocolVersion >= 5 {
		_ = h.server.mqtt.DisconnectClient(cl, reason)
	}
	cl.Stop(reason)
	return false
}

// OnSubscribe implements mqtt.Hook: it notes what integrators subscribe to. They get everything at QoS 0, since what
// is dropped for a slow one is not sent again.
func (h *hook) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	r, ok := cl.Net.Conn.(*reader)
	if !ok {
		return pk
	}
	r.codes = r.codes[:0]
	for _, sub := range pk.Filters {
		code := packets.CodeGrantedQos0.Code
		if !mqtt.IsValidFilter(sub.Filter, false) || !integratorMay(sub.Filter) {
			code = packets.ErrNotAuthorized.Code
		} else if isNew, ok := r.feed.subscribe(filter{text: sub.Filter, identifier: sub.Identifier, asPublished: sub.RetainAsPublished}); !ok {
			code = packets.ErrQuotaExceeded.Code
		} else if sub.RetainHandling == 0 || sub.RetainHandling == 1 && isNew {
			h.forwardRetained(r, sub)
		}
		if code != packets.CodeGrantedQos0.Code {
			h.server.metrics.denied.WithLabelValues("subscribe").Inc()
			h.server.log.Debug("access denied", "user", r.name, "action", "subscribe", "topic", sub.Filter)
			if cl.Properties.ProtocolVersion < 5 {
				code = packets.ErrUnspecifiedError.Code // the only failure that 3.1.1 knows
			}
		}
		r.codes = append(r.codes, code)
	}
	return pk
}

func (h *hook) forwardRetained(r *reader, sub packets.Subscription) {
	var identifiers []int
	if sub.Identifier > 0 {
		identifiers = []int{sub.Identifier}
	}
	h.statuses.matching(sub.Filter, identifiers, func(all []delivery) {
		h.server.metrics.unforwarded.Add(float64(r.feed.offerRetained(all)))
	})
}

// OnUnsubscribe implements mqtt.Hook.
func (h *hook) OnUnsubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if r, ok := cl.Net.Conn.(*reader); ok {
		r.codes = r.codes[:0]
		for _, sub := range pk.Filters {
			code := packets.CodeSuccess.Code
			if !r.feed.unsubscribe(sub.Filter) {
				code = packets.CodeNoSubscriptionExisted.Code
			}
			r.codes = append(r.codes, code)
		}
	}
	return pk
}

// OnPacketEncode implements mqtt.Hook: it answers integrators' subscriptions with what OnSubscribe decided.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type != packets.Suback && pk.FixedHeader.Type != packets.Unsuback {
		return pk
	}
	if r, ok := cl.Net.Conn.(*reader); ok && len(pk.ReasonCodes) == len(r.codes) {
		pk.ReasonCodes = append([]byte(nil), r.codes...)
	}
	return pk
}

// checkReaders ends the connections of integrators whose token is no longer good, until the broker closes.
func (h *hook) checkReaders() {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-h.server.closed:
			return
		}
		for cl, r := range h.readers.all() {
			ctx, cancel := context.WithTimeout(context.Background(), loginPatience)
			err := h.server.cfg.Integrators.Check(ctx, r.token)
			cancel()
			if errors.Is(err, ErrTokenEnded) {
				h.server.log.Warn("integrator disconnected", "user", r.name, "remote", cl.Net.Remote, "reason", err.Error())
				cl.Stop(ErrTokenEnded)
			}
		}
	}
}

// stopReaders ends the connections of all integrators: mochi would wait for one that takes nothing.
func (h *hook) stopReaders() {
	for cl := range h.readers.all() {
		cl.Stop(packets.ErrServerShuttingDown)
	}
}
