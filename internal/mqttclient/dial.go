package mqttclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"syscall"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// opener makes the network connections of one attempt, and remembers the last one.
type opener struct {
	ctx context.Context // of the attempt
	cfg *Config

	mu   sync.Mutex // guards conn
	conn net.Conn
}

// open is what paho calls for each broker that it tries.
func (o *opener) open(broker *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(o.ctx, connectTimeout)
	defer cancel()
	limited, done := context.WithTimeout(ctx, dialTimeout)
	defer done()
	raw, err := o.cfg.Dial(limited, "tcp", broker.Host)
	if err != nil {
		return nil, err
	}
	config := o.cfg.TLS
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = broker.Hostname()
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, &handshakeError{err}
	}
	o.mu.Lock()
	o.conn = raw
	o.mu.Unlock()
	return conn, nil
}

// opened returns the latest connection below TLS, nil if there was none.
func (o *opener) opened() net.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conn
}

// handshakeError is a TLS handshake that failed.
type handshakeError struct{ error }

func (e *handshakeError) Unwrap() error { return e.error }

// classify adds ErrRefused, ErrTimeout or ErrTLS to an error of an attempt to connect, where it is one of
// them.
func classify(err error) error {
	var timeout net.Error
	var handshake *handshakeError
	switch {
	case refused(err):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, ErrTimeout):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.As(err, &handshake) && !broken(err):
		return fmt.Errorf("%w: %w", ErrTLS, err)
	}
	return err
}

// refused tells an answer of the broker from a network failure. TLS 1.3 servers reject a client's
// certificate after the handshake, by an alert.
func refused(err error) bool {
	var op *net.OpError
	return errors.Is(err, packets.ErrorRefusedNotAuthorised) ||
		errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) ||
		errors.Is(err, packets.ErrorRefusedIDRejected) ||
		errors.As(err, &op) && op.Op == "remote error"
}

// broken reports whether the connection failed, rather than what was said on it.
func broken(err error) bool {
	var number syscall.Errno
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.As(err, &number)
}
