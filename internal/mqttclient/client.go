// Package mqttclient keeps one MQTT connection alive: it connects, announces, reconnects with
// jittered exponential backoff, and says goodbye at the end. It is the only user of paho.
package mqttclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/net/proxy"
)

// ErrNotConnected is returned by Publish while there is no connection.
var ErrNotConnected = errors.New("not connected to the broker")

// ErrRefused is what OnFailed gets when the broker answered but does not accept this client: its
// identity is unknown, revoked, or of another authority.
var ErrRefused = errors.New("the broker refuses this client")

// ErrTimeout is what OnFailed gets when the broker did not answer in time.
var ErrTimeout = errors.New("no answer")

// ErrTLS is what OnFailed gets when no trusted connection came about: the broker's certificate is not that
// of our authority or of this host, or it does not speak TLS.
var ErrTLS = errors.New("the broker cannot be trusted")

// ErrAbandoned as the cause of a context that ends makes Run let go of the connection without a word on it,
// as the end of the process would: no Goodbye, no DISCONNECT, and the broker publishes the will.
var ErrAbandoned = errors.New("the connection is abandoned")

// Message is one received message. With ManualAck the handler's nil return acknowledges it.
type Message struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool
}

// Will is what the broker publishes for a client that vanished; QoS 1, never retained.
type Will struct {
	Topic   string
	Payload []byte
}

// Subscription is a topic filter that is subscribed to after each connect.
type Subscription struct {
	Filter string
	QoS    byte
}

// Config says how to connect. Brokers, ClientID and TLS are required.
type Config struct {
	Brokers  []string // mqtts://host:port, tried in order
	ClientID string
	TLS      *tls.Config
	// Dial makes the network connections below TLS; default a net.Dialer, through the proxy of the
	// environment (ALL_PROXY, NO_PROXY) if there is one.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Persistent keeps the session on the broker while the client is away.
	Persistent    bool
	Subscriptions []Subscription
	// Will is asked for before each connection attempt; nil means none.
	Will func() *Will
	// OnMessage handles one message at a time, in order; it must not call Publish and wait. An error
	// leaves a QoS 1 message unacknowledged, so that the broker sends it again after a reconnect.
	OnMessage func(Message) error
	// OnConnect runs after each connection once its subscriptions stand; it must return when ctx ends, which
	// ends with the connection. OnLost runs when one breaks, after that.
	OnConnect func(ctx context.Context, c *Client)
	OnLost    func(error)
	// OnFailed runs after each attempt that made no connection, with ErrRefused, ErrTimeout or ErrTLS; any
	// other error is the network's.
	OnFailed func(error)
	// Goodbye runs before a clean disconnect, while the connection still stands.
	Goodbye   func(ctx context.Context, c *Client)
	KeepAlive time.Duration // default 30 s
	Backoff   Backoff
	Log       *slog.Logger
}

// Client is one connection that comes back. Create it with New, drive it with Run.
type Client struct {
	cfg Config

	mu   sync.RWMutex // guards conn
	conn *connection  // nil while disconnected
}

// connection is one MQTT connection and the network connection below it.
type connection struct {
	mqtt.Client
	opened func() net.Conn
	up     context.Context // ends with the connection, by the cause of that, or with the client's
	down   context.CancelCauseFunc
}

// abandon closes the network connection before anything can be said on it.
func (c *connection) abandon() {
	if raw := c.opened(); raw != nil {
		_ = raw.Close()
	}
}

// drop ends a connection that did not come about.
func (c *connection) drop(ctx context.Context) {
	c.down(nil)
	if errors.Is(context.Cause(ctx), ErrAbandoned) {
		c.abandon()
	}
	c.Disconnect(0)
}

const (
	// dialTimeout is how long a network connection may take to come about.
	dialTimeout = 10 * time.Second
	// connectTimeout is for all of it until the broker has accepted the client, and again until it has confirmed
	// the subscriptions. Where a whole fleet comes back at once its handshakes wait for each other; to give one
	// up is to have made it in vain, and to make it again adds to the queue.
	connectTimeout = 30 * time.Second
	writeTimeout   = 10 * time.Second
	goodbyeTimeout = time.Second
	// disconnectQuiesceMillis is how long paho lets work in flight finish after DISCONNECT.
	disconnectQuiesceMillis = 100
)

// New returns a client that is not connected yet.
func New(cfg Config) (*Client, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("mqtt: no broker address")
	}
	for _, b := range cfg.Brokers {
		u, err := url.Parse(b)
		if err != nil || u.Host == "" || u.Scheme != "mqtts" && u.Scheme != "ssl" && u.Scheme != "tls" {
			return nil, fmt.Errorf("mqtt: broker address %q is not mqtts://host:port", b)
		}
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = 30 * time.Second
	}
	cfg.Backoff = cfg.Backoff.withDefaults()
	if cfg.Dial == nil {
		cfg.Dial = proxy.Dial
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{cfg: cfg}, nil
}

// Run keeps the client connected until ctx ends, then says goodbye and disconnects, unless the cause is
// ErrAbandoned. It returns nil after that; refused connections are retried for ever, because a registration
// may follow.
func (c *Client) Run(ctx context.Context) error {
	attempt := 0
	for {
		conn, err := c.connect(ctx)
		if err == nil {
			connectedAt := time.Now()
			err = c.hold(ctx, conn)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end was asked for
			}
			if time.Since(connectedAt) > c.cfg.Backoff.Max {
				attempt = 0
			}
			if c.cfg.OnLost != nil {
				c.cfg.OnLost(err)
			}
		} else if ctx.Err() == nil && c.cfg.OnFailed != nil {
			c.cfg.OnFailed(err)
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for
		}
		delay := c.cfg.Backoff.Delay(attempt)
		attempt++
		c.cfg.Log.Info("mqtt connection is down", "client", c.cfg.ClientID, "error", err, "retry_in", delay.Round(time.Millisecond))
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// connect makes one connection with its subscriptions.
func (c *Client) connect(ctx context.Context) (*connection, error) {
	opening, giveUp := context.WithCancel(ctx)
	defer giveUp() // an attempt that we no longer wait for ends as well
	open := opener{ctx: opening, cfg: &c.cfg}
	conn := &connection{opened: open.opened}
	conn.up, conn.down = context.WithCancelCause(ctx)
	opts := mqtt.NewClientOptions().
		SetClientID(c.cfg.ClientID).
		SetTLSConfig(c.cfg.TLS).
		SetProtocolVersion(4).
		SetCleanSession(!c.cfg.Persistent).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetKeepAlive(c.cfg.KeepAlive).
		SetPingTimeout(c.cfg.KeepAlive / 2).
		SetAutoAckDisabled(true).
		SetCustomOpenConnectionFn(open.open).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { conn.down(err) })
	for _, b := range c.cfg.Brokers {
		opts.AddBroker(b)
	}
	if c.cfg.Will != nil {
		if w := c.cfg.Will(); w != nil {
			opts.SetBinaryWill(w.Topic, w.Payload, 1, false)
		}
	}
	opts.SetDefaultPublishHandler(c.handle)
	conn.Client = mqtt.NewClient(opts)
	if err := wait(ctx, conn.Connect(), connectTimeout*time.Duration(len(c.cfg.Brokers))); err != nil {
		conn.drop(ctx)
		return nil, fmt.Errorf("connect: %w", classify(err))
	}
	if len(c.cfg.Subscriptions) > 0 {
		filters := make(map[string]byte, len(c.cfg.Subscriptions))
		for _, s := range c.cfg.Subscriptions {
			filters[s.Filter] = s.QoS
		}
		token := conn.SubscribeMultiple(filters, nil)
		err := wait(ctx, token, connectTimeout)
		if err == nil {
			err = refusedFilter(token)
		}
		if err != nil {
			conn.drop(ctx)
			return nil, fmt.Errorf("subscribe: %w", classify(err))
		}
	}
	return conn, nil
}

// subackFailure is the return code of a refused filter (MQTT 3.1.1, section 3.9.3).
const subackFailure = 0x80

func refusedFilter(token mqtt.Token) error {
	if sub, ok := token.(*mqtt.SubscribeToken); ok {
		for filter, code := range sub.Result() {
			if code >= subackFailure {
				return fmt.Errorf("the broker refuses %s", filter)
			}
		}
	}
	return nil
}

// hold lets others use the connection until it breaks or ctx ends. OnConnect has no goroutine of its own: in
// a process of thousands of clients another stack for each would weigh more than what the client knows.
func (c *Client) hold(ctx context.Context, conn *connection) error {
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	if c.cfg.OnConnect != nil {
		c.cfg.OnConnect(conn.up, c)
	}
	<-conn.up.Done()
	err := context.Cause(conn.up)
	quiesce := uint(disconnectQuiesceMillis)
	switch {
	case errors.Is(context.Cause(ctx), ErrAbandoned):
		conn.abandon()
		quiesce = 0
	case ctx.Err() != nil && c.cfg.Goodbye != nil:
		bye, done := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
		c.cfg.Goodbye(bye, c)
		done()
	}
	conn.down(nil)
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	conn.Disconnect(quiesce)
	return err
}

func (c *Client) handle(_ mqtt.Client, m mqtt.Message) {
	if c.cfg.OnMessage != nil {
		msg := Message{Topic: m.Topic(), Payload: m.Payload(), QoS: m.Qos(), Retained: m.Retained()}
		if err := c.cfg.OnMessage(msg); err != nil {
			c.cfg.Log.Debug("mqtt message is left unacknowledged", "topic", msg.Topic, "error", err)
			return
		}
	}
	m.Ack()
}

// Connected reports whether there is a connection right now.
func (c *Client) Connected() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.conn != nil && c.conn.IsConnectionOpen()
}

// Publish sends a message and, at QoS 1 and 2, waits until the broker has acknowledged it. An error
// means that it may or may not have arrived: send it again.
func (c *Client) Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error {
	c.mu.RLock()
	conn := c.conn
	c.mu.RUnlock()
	if conn == nil || !conn.IsConnectionOpen() {
		return ErrNotConnected
	}
	// paho blocks for up to writeTimeout while the network stalls; ctx must end the wait before that.
	begun := make(chan mqtt.Token, 1)
	go func() { begun <- conn.Publish(topic, qos, retain, payload) }()
	var err error
	select {
	case token := <-begun:
		err = wait(ctx, token, 0)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("publish on %s: %w", topic, err)
	}
	return nil
}

// wait waits for a token until ctx ends or limit (0: none) has passed.
func wait(ctx context.Context, token mqtt.Token, limit time.Duration) error {
	var timeout <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout:
		return fmt.Errorf("%w within %s", ErrTimeout, limit)
	}
}
