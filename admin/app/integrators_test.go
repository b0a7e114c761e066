package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"kioskfleet/admin/auth"
	"kioskfleet/admin/fleet"
	"kioskfleet/broker/server"
	"kioskfleet/internal/config"
)

// An integrator logs in with an API token of scope read and is gone soon after the token is.
func TestAnAPITokenReadsOverMQTT(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataDir, cfg.HTTP.Addr, cfg.Broker.Kiosks.Addr, cfg.Broker.Integrators.Addr = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Journal.MaxSize, cfg.Journal.MinFree, cfg.Admin.Password = config.Bytes(256<<20), 0, "correct horse"
	a, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	const patience = 15 * time.Second
	for limit := time.Now().Add(patience); a.link.ready() != nil; time.Sleep(time.Millisecond) { // between polls
		if time.Now().After(limit) {
			t.Fatal("not ready")
		}
	}
	users := auth.New(a.store, time.Now)
	token, text, err := users.CreateAPIToken(t.Context(), "dashboard", fleet.ScopeRead, 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan error, 1)
	dial := func(password string) (paho.Client, error) {
		opts := paho.NewClientOptions().AddBroker("mqtts://" + a.IntegratorsAddr()).SetClientID("x").SetUsername("me").SetPassword(password).SetAutoReconnect(false).
			SetProtocolVersion(4).SetConnectTimeout(patience).SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }).
			SetTLSConfig(&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the broker's tests check the certificate
		c := paho.NewClient(opts)
		connected := c.Connect()
		if !connected.WaitTimeout(patience) {
			return nil, errors.New("no answer to CONNECT")
		}
		return c, connected.Error()
	}
	if _, err := dial("kf_wrong"); err == nil {
		t.Error("logged in with something that is no token")
	}
	c, err := dial(text)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Disconnect(0)
	got := make(chan string, 1)
	if s := c.Subscribe("incidents/#", 0, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) }); !s.WaitTimeout(patience) || s.Error() != nil {
		t.Fatalf("subscribe: %v", s.Error())
	}
	if err := a.link.Publish(t.Context(), "incidents/north", 1, false, []byte("all down")); err != nil {
		t.Fatal(err)
	}
	select {
	case payload := <-got:
		if payload != "all down" {
			t.Errorf("got %q", payload)
		}
	case <-time.After(patience):
		t.Fatal("no incident")
	}
	if err := users.DeleteAPIToken(t.Context(), token.ID, "test"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatal("still connected after its token was deleted")
	}
}

func TestNoIntegratorsWithoutAnAddress(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Broker.Integrators.Addr = ""
	if integrators(cfg, nil) != nil {
		t.Error("there is a listener")
	}
	cfg.Broker.Integrators.Addr = "8884"
	if err := cfg.Validate(); err == nil {
		t.Error("an address without a colon is taken")
	}
}

func TestTokenErrorsInTheBrokersWords(t *testing.T) {
	busy := errors.New("busy")
	for _, tt := range []struct{ err, want error }{
		{&auth.TooManyError{After: time.Second}, server.ErrThrottled}, {fleet.ErrUnauthorized, server.ErrTokenEnded}, {busy, busy}, {nil, nil},
	} {
		if got := tokenError(tt.err); !errors.Is(got, tt.want) || errors.Is(tt.want, busy) && errors.Is(got, server.ErrTokenEnded) {
			t.Errorf("%v becomes %v, want %v", tt.err, got, tt.want)
		}
	}
}
