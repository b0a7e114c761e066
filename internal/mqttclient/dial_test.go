package mqttclient

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/testkit/pkitest"
	"kioskfleet/internal/testkit/proxy"
)

// opened makes a connection as paho would, through a proxy to a TLS server with that certificate.
func opened(t *testing.T, broker string, config *tls.Config, fault func(*proxy.Proxy), serve func(net.Conn)) (net.Conn, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	p := proxy.Start(t, l.Addr().String())
	fault(p)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	if broker != stalledBroker {
		ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
	}
	t.Cleanup(cancel)
	o := &opener{ctx: ctx, cfg: &Config{TLS: config, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if "mqtts://"+addr != broker {
			t.Errorf("dials %s", addr)
		}
		return new(net.Dialer).DialContext(ctx, network, p.Addr())
	}}}
	u, err := url.Parse(broker)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := o.open(u, mqtt.ClientOptions{})
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
		if o.opened() == nil || o.opened() == conn {
			t.Error("the connection below TLS is not remembered")
		}
	}
	return conn, err
}

const stalledBroker = "mqtts://127.0.0.1:2"

func TestWhyNoConnectionCameAbout(t *testing.T) {
	a := pkitest.Authority(t)
	good := pki.ClientTLS(pkitest.Kiosk(t, a, "SIM-KIOSK-001", 0), a.Pool())
	stranger := pki.ClientTLS(pkitest.Kiosk(t, a, "SIM-KIOSK-001", 0), pkitest.Authority(t).Pool())
	server := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pkitest.Server(t, a)}}
	secure := func(c net.Conn) {
		s := tls.Server(c, server)
		_, _ = io.Copy(s, s)
	}
	plain := func(c net.Conn) { _, _ = c.Write([]byte("220 mail.example ESMTP\r\n")) }
	fair := func(*proxy.Proxy) {}
	for _, tt := range []struct {
		name, broker string
		config       *tls.Config
		fault        func(*proxy.Proxy)
		serve        func(net.Conn)
		want         error // nil: the network's
		ok           bool
	}{
		{"all is well", "mqtts://127.0.0.1:1", good, fair, secure, nil, true},
		{"another host", "mqtts://broker.example:1", good, fair, secure, ErrTLS, false},
		{"another authority", "mqtts://127.0.0.1:1", stranger, fair, secure, ErrTLS, false},
		{"no TLS", "mqtts://127.0.0.1:1", good, fair, plain, ErrTLS, false},
		{"refused", "mqtts://127.0.0.1:1", good, (*proxy.Proxy).Refuse, secure, nil, false},
		{"closed", "mqtts://127.0.0.1:1", good, fair, func(c net.Conn) { _ = c.Close() }, nil, false},
		{"stalled", stalledBroker, good, (*proxy.Proxy).Stall, secure, ErrTimeout, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := opened(t, tt.broker, tt.config, tt.fault, tt.serve)
			if tt.ok {
				if err != nil {
					t.Fatal(err)
				}
				var b [5]byte
				if _, err := conn.Write([]byte("hello")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, b[:]); err != nil || string(b[:]) != "hello" {
					t.Errorf("%s, %v", b, err)
				}
				return
			}
			if err == nil {
				t.Fatal("there is a connection")
			}
			err = classify(err)
			for _, kind := range []error{ErrRefused, ErrTLS, ErrTimeout} {
				if errors.Is(err, kind) != errors.Is(tt.want, kind) {
					t.Errorf("%v: is %q: %v", err, kind, errors.Is(err, kind))
				}
			}
			if good.ServerName != "" {
				t.Error("the shared configuration was changed")
			}
		})
	}
}
