package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"

	"kioskfleet/internal/pki"
)

const (
	connectDeadline = 10 * time.Second
	// maxPending bounds connections that have not sent CONNECT yet; more are closed at once, so that
	// a flood of idle ones costs a bounded number of descriptors. Kiosks come back by their backoff.
	maxPending = 4096
	// maxHandshakes bounds the handshakes that are computed at a time, so that each that begins also ends in
	// time when a whole fleet comes at once. It allows a thousand a second of clients that take a quarter of a
	// second. The others wait for their turn, up to maxTurn: by then their clients are about to give up.
	maxHandshakes = 256
	maxTurn       = 20 * time.Second
	// acceptRetry spaces attempts after accept failed, for instance for want of descriptors.
	acceptRetry = 50 * time.Millisecond
)

// conn is a connection whose handshake has proven an identity.
type conn struct {
	*tls.Conn
	id       string
	identity pki.Identity
	since    time.Time
	admitted func() // frees its place among the pending
}

// listener accepts TLS connections for mochi. Unlike mochi's own it gives each a deadline before
// CONNECT, survives failing accepts, and makes the certificate's identity known.
type listener struct {
	id       string
	addr     string
	tls      *tls.Config
	deadline time.Duration // from accept to the client's first words, and from the handshake to CONNECT
	metrics  *metrics
	present  func(c *conn) net.Conn // what mochi gets; nil: c itself, whose certificate says who it is

	net     net.Listener
	log     *slog.Logger
	pending chan struct{}
	turns   chan struct{} // of handshakes
	serial  atomic.Uint64
	start   int64
	end     sync.Once
	ended   chan struct{}
	ready   chan struct{} // closed by allow; until then nobody is accepted
	conns   sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // every accepted connection, nil once closed
}

func newListener(id, addr string, config *tls.Config, deadline time.Duration, m *metrics) *listener {
	l := &listener{
		id: id, addr: addr, deadline: deadline, metrics: m,
		pending: make(chan struct{}, maxPending),
		turns:   make(chan struct{}, maxHandshakes),
		start:   time.Now().UnixNano(),
		ended:   make(chan struct{}),
		ready:   make(chan struct{}),
		open:    map[net.Conn]struct{}{},
	}
	l.tls = config.Clone()
	l.tls.GetConfigForClient = l.awaitTurn
	return l
}

// allow lets Serve accept connections.
func (l *listener) allow() { close(l.ready) }

// ID implements listeners.Listener.
func (l *listener) ID() string { return l.id }

// Protocol implements listeners.Listener.
func (l *listener) Protocol() string { return "tls" }

// Address implements listeners.Listener.
func (l *listener) Address() string {
	if l.net != nil {
		return l.net.Addr().String()
	}
	return l.addr
}

// Init implements listeners.Listener: it opens the port.
func (l *listener) Init(log *slog.Logger) (err error) {
	l.log = log
	l.net, err = new(net.ListenConfig).Listen(context.Background(), "tcp", l.addr)
	return err
}

// Serve implements listeners.Listener.
func (l *listener) Serve(establish listeners.EstablishFn) {
	select {
	case <-l.ready:
	case <-l.ended:
		return
	}
	for {
		raw, err := l.net.Accept()
		if err != nil {
			select {
			case <-l.ended:
				return
			case <-time.After(acceptRetry):
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			l.log.Error("accept failed, trying again", "error", err)
			continue
		}
		select {
		case l.pending <- struct{}{}:
		default:
			l.metrics.handshakes.WithLabelValues("too_many_pending").Inc()
			_ = raw.Close()
			continue
		}
		l.conns.Go(func() { l.handle(raw, establish) })
	}
}

// handle does the handshake. The connection then lives on a goroutine of its own: a handshake needs a deep
// stack, which is given back with this one.
func (l *listener) handle(raw net.Conn, establish listeners.EstablishFn) {
	var once sync.Once
	release := func() { once.Do(func() { <-l.pending }) }
	if l.track(raw) {
		if c := l.secure(raw); c != nil {
			c.admitted = release
			l.conns.Go(func() { l.serve(c, establish) })
			return
		}
	}
	l.drop(raw)
	release()
}

// secure does the handshake and returns the connection, or nil where it proves no identity though it must.
func (l *listener) secure(raw net.Conn) *conn {
	_ = raw.SetDeadline(time.Now().Add(l.deadline))
	secured := tls.Server(raw, l.tls)
	turn := &turn{}
	err := secured.HandshakeContext(context.WithValue(context.Background(), turnKey{}, turn))
	if turn.taken {
		<-l.turns
	}
	if errors.Is(err, errTurn) {
		l.metrics.handshakes.WithLabelValues("too_many_pending").Inc()
		return nil
	}
	if err != nil {
		l.metrics.handshakes.WithLabelValues("failed").Inc()
		l.log.Debug("tls handshake failed", "remote", raw.RemoteAddr().String(), "error", err)
		return nil
	}
	if l.tls.ClientAuth == tls.NoClientCert {
		l.metrics.handshakes.WithLabelValues("ok").Inc()
		return &conn{Conn: secured, id: l.nextID(), since: now()}
	}
	state := secured.ConnectionState()
	identity, err := pki.IdentityOf(state.PeerCertificates[0])
	forgetCertificates(state)
	if err != nil {
		l.metrics.handshakes.WithLabelValues("bad_identity").Inc()
		l.log.Debug("certificate refused", "remote", raw.RemoteAddr().String(), "error", err)
		return nil
	}
	l.metrics.handshakes.WithLabelValues("ok").Inc()
	return &conn{Conn: secured, id: l.nextID(), identity: identity, since: now()}
}

// forgetCertificates lets go of the client's certificates, which have said who it is. TLS keeps them, read into some forty
// objects of 2 KB in all, for as long as the connection lives, only to return them in its state; the slices there are its
// own. Were they copies some day, nothing but the memory would be lost.
func forgetCertificates(state tls.ConnectionState) {
	clear(state.PeerCertificates)
	for _, chain := range state.VerifiedChains {
		clear(chain)
	}
}

// turn says whether a handshake has one of the turns.
type turn struct{ taken bool }

type turnKey struct{}

// errTurn ends a handshake that has waited for too long.
var errTurn = errors.New("too many handshakes are waiting")

// awaitTurn is what TLS calls once the client has said hello, before it computes anything; so who says nothing
// takes no turn. The time of the handshake counts from its turn: otherwise those at the end of the queue would
// be computed just to be given up.
func (l *listener) awaitTurn(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	limit := time.NewTimer(maxTurn)
	defer limit.Stop()
	select {
	case l.turns <- struct{}{}:
	case <-limit.C:
		_ = hello.Conn.Close() // without an alert, which would say that this client is refused
		return nil, errTurn
	case <-l.ended:
		return nil, net.ErrClosed
	}
	if t, ok := hello.Context().Value(turnKey{}).(*turn); ok {
		t.taken = true
	}
	return nil, hello.Conn.SetDeadline(time.Now().Add(l.deadline)) // no other configuration
}

// serve hands the connection to mochi until it ends.
func (l *listener) serve(c *conn, establish listeners.EstablishFn) {
	var presented net.Conn = c
	if l.present != nil {
		presented = l.present(c)
	}
	err := establish(l.id, presented)
	c.admitted()
	l.drop(c.NetConn())
	if err != nil {
		l.log.Debug("connection ended", "remote", c.RemoteAddr().String(), "serial", c.identity.Serial, "error", err)
	}
}

// drop closes a connection and forgets it.
func (l *listener) drop(raw net.Conn) {
	_ = raw.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, raw)
}

// nextID names a connection uniquely over restarts.
func (l *listener) nextID() string {
	return strconv.FormatInt(l.start, 36) + "-" + strconv.FormatUint(l.serial.Add(1), 36)
}

// Close implements listeners.Listener.
func (l *listener) Close(closeClients listeners.CloseFn) {
	l.end.Do(func() {
		close(l.ended)
		if l.net != nil {
			_ = l.net.Close()
		}
		closeClients(l.id)
		l.mu.Lock()
		defer l.mu.Unlock()
		// Those before CONNECT are unknown to mochi, which waits for them.
		for c := range l.open {
			_ = c.Close()
		}
		l.open = nil
	})
}

func (l *listener) track(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		return false
	}
	l.open[c] = struct{}{}
	return true
}

// drain waits until every connection's goroutine has ended, those before CONNECT too.
func (l *listener) drain() { l.conns.Wait() }
