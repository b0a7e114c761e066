package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"kioskfleet/internal/pki"
)

// bareAnnouncement is what a bare broker says before its address.
const bareAnnouncement = "bare broker listens on "

// allow lets everybody do everything.
type allow struct{ mqtt.HookBase }

// ID implements mqtt.Hook.
func (*allow) ID() string { return "allow" }

// Provides implements mqtt.Hook.
func (*allow) Provides(b byte) bool { return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck }

// OnConnectAuthenticate implements mqtt.Hook.
func (*allow) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck implements mqtt.Hook.
func (*allow) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// runBare is the yardstick: mochi as it comes, everybody allowed, nothing kept, behind the same TLS as
// admin's listener. It ends with ctx.
func runBare(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bare", flag.ContinueOnError)
	data := flags.String("data", "", "admin's data folder, whose CA it uses")
	if err := flags.Parse(args); err != nil {
		return err
	}
	authority, err := pki.OpenAuthority(filepath.Join(*data, "pki"), time.Now())
	if err != nil {
		return err
	}
	own, err := os.MkdirTemp("", "kioskfleet-bare-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(own) }()
	cert, err := authority.ServerCertificate(own, []string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		return err
	}
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	defer server.Close()
	if err := server.AddHook(new(allow), nil); err != nil {
		return err
	}
	listener := listeners.NewTCP(listeners.Config{ID: "bare", Address: "127.0.0.1:0", TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(), Certificates: []tls.Certificate{cert},
	}})
	if err := server.AddListener(listener); err != nil {
		return err
	}
	if err := server.Serve(); err != nil {
		return err
	}
	fmt.Println(bareAnnouncement + listener.Address())
	<-ctx.Done()
	return nil
}
