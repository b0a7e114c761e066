package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/daemon"
	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/pkitest"
)

// patience bounds every wait for something that must happen.
const patience = 15 * time.Second

// bench is a broker that can be stopped and started on the same folder and port.
type bench struct {
	t         *testing.T
	cfg       *config
	authority *pki.Authority
	stop      func()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	authority := pkitest.Authority(t)
	tlsDir := filepath.Join(dir, "tls")
	if err := os.Mkdir(tlsDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durablefile.Write(filepath.Join(tlsDir, "ca.pem"), authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.ServerCertificate(tlsDir, []string{"127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	cfg := &config{DataDir: dir, TLSDir: tlsDir, Log: daemon.DefaultLog()}
	cfg.Kiosks.Addr = addr
	b := &bench{t: t, cfg: cfg, authority: authority}
	t.Cleanup(func() {
		if b.stop != nil {
			b.stop()
		}
	})
	return b
}

func (b *bench) start() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, b.cfg, slog.New(slog.DiscardHandler)) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
		b.stop = nil
	}
	deadline := time.Now().Add(patience)
	for {
		c, err := net.Dial("tcp", b.cfg.Kiosks.Addr)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case err := <-done:
			b.t.Fatalf("the broker ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			b.t.Fatal(err)
		}
	}
}

// client is a connected client with what it received.
type client struct {
	*mqttclient.Client
	messages  chan mqttclient.Message
	connected chan struct{}
	lost      chan error
	refused   chan error
	stop      func()
}

func (b *bench) connect(id string, cert tls.Certificate, persistent bool, filters ...string) *client {
	b.t.Helper()
	c := &client{messages: make(chan mqttclient.Message, 100), connected: make(chan struct{}, 10), lost: make(chan error, 10), refused: make(chan error, 1)}
	var subs []mqttclient.Subscription
	for _, f := range filters {
		subs = append(subs, mqttclient.Subscription{Filter: f, QoS: 1})
	}
	var err error
	c.Client, err = mqttclient.New(mqttclient.Config{
		Brokers: []string{"mqtts://" + b.cfg.Kiosks.Addr}, ClientID: id, TLS: pki.ClientTLS(cert, b.authority.Pool()), Persistent: persistent, Subscriptions: subs,
		OnMessage: func(m mqttclient.Message) error { c.messages <- m; return nil },
		OnConnect: func(context.Context, *mqttclient.Client) { c.connected <- struct{}{} },
		OnLost:    func(err error) { c.lost <- err },
		OnFailed: func(err error) {
			select {
			case c.refused <- err:
			default:
			}
		},
		Backoff: mqttclient.Backoff{Min: 20 * time.Millisecond, Max: 100 * time.Millisecond},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	c.stop = func() { cancel(); <-done }
	b.t.Cleanup(c.stop)
	return c
}

func (b *bench) platform() *client {
	b.t.Helper()
	cert, err := b.authority.IssuePlatform(time.Hour, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	c := b.connect("admin", cert, true, protocol.FilterFromKiosks()...)
	await(b.t, "the platform's connection", c.connected)
	return c
}

func (b *bench) kiosk(serial string) *client {
	b.t.Helper()
	return b.connect(serial, pkitest.Kiosk(b.t, b.authority, serial, 0), false, protocol.Topic(serial, protocol.ChannelCmd))
}

func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %s: %s", patience, what)
		panic("unreachable")
	}
}

func (c *client) publish(t *testing.T, topic string, retain bool, payload []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := c.Publish(ctx, topic, 1, retain, payload)
		if err == nil {
			return
		}
		if !errors.Is(err, mqttclient.ErrNotConnected) && ctx.Err() != nil {
			t.Fatal(err)
		}
		await(t, "a connection to publish "+topic, c.connected)
	}
}

func admit(t *testing.T, platform *client, serial string, generation int64) {
	t.Helper()
	text, err := json.Marshal(protocol.Admission{Serial: serial, Generation: generation})
	if err != nil {
		t.Fatal(err)
	}
	platform.publish(t, protocol.AdmissionTopic(serial), true, text)
}

func TestTheStandAloneBrokerAdmitsWhomAdminNames(t *testing.T) {
	b := newBench(t)
	b.start()
	k := b.kiosk("K-1")
	select {
	case <-k.connected:
		t.Fatal("an unknown kiosk connected")
	case err := <-k.refused:
		if !errors.Is(err, mqttclient.ErrRefused) {
			t.Errorf("an unknown kiosk failed with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("no answer to an unknown kiosk")
	}
	platform := b.platform()
	admit(t, platform, "K-1", 0)
	await(t, "the admitted kiosk's connection", k.connected)

	k.publish(t, protocol.Topic("K-1", protocol.ChannelTelemetry), false, []byte("one"))
	if m := await(t, "the kiosk's message", platform.messages); string(m.Payload) != "one" {
		t.Errorf("got %q", m.Payload)
	}
	platform.publish(t, protocol.Topic("K-1", protocol.ChannelCmd), false, []byte("do"))
	if m := await(t, "the command", k.messages); string(m.Payload) != "do" {
		t.Errorf("got %q", m.Payload)
	}

	admit(t, platform, "K-1", 1) // a revocation
	await(t, "the end of the revoked kiosk's session", k.lost)
}

func TestQueuedMessagesAndAdmissionsSurviveARestart(t *testing.T) {
	b := newBench(t)
	b.start()
	platform := b.platform()
	admit(t, platform, "K-1", 0)
	k := b.kiosk("K-1")
	await(t, "the kiosk's connection", k.connected)
	platform.stop()
	k.publish(t, protocol.Topic("K-1", protocol.ChannelTelemetry), false, []byte("while admin was away"))

	b.stop()
	b.start()
	await(t, "the kiosk's return", k.connected)
	k.publish(t, protocol.Topic("K-1", protocol.ChannelTelemetry), false, []byte("after the restart"))
	platform = b.platform()
	got := map[string]bool{}
	for range 2 {
		got[string(await(t, "a queued message", platform.messages).Payload)] = true
	}
	if !got["while admin was away"] || !got["after the restart"] {
		t.Errorf("got %v", got)
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	cfg := defaults()
	cfg.Kiosks.Addr, cfg.Metrics.Addr, cfg.DataDir = "nowhere", "x", ""
	err := cfg.Validate()
	for _, key := range []string{"kiosks.addr", "metrics.addr", "data_dir"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error %v does not name %s", err, key)
		}
	}
}
