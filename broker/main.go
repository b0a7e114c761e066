// Command broker runs the platform's MQTT broker on its own, apart from admin: for a second machine, or
// to keep kiosks connected while admin is upgraded. It admits the kiosks that admin has told it of.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"kioskfleet/broker/server"
	"kioskfleet/broker/server/durable"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/pki"
)

// config is the broker's configuration; configs/broker.yaml explains every key.
type config struct {
	DataDir string `key:"data_dir" usage:"folder of all data; the broker's is broker/ in it"`
	Kiosks  struct {
		Addr string `key:"addr" usage:"address of the MQTT listener (mTLS) for kiosks and admin"`
	} `key:"kiosks"`
	TLSDir  string `key:"tls_dir" usage:"folder with ca.pem, server.pem and server-key.pem, as written by 'admin broker files'; default broker/tls in data_dir"`
	Metrics struct {
		Addr string `key:"addr" usage:"address of /metrics, /healthz and /readyz; empty: none"`
	} `key:"metrics"`
	Log daemon.Log `key:"log"`
}

func defaults() *config {
	c := &config{DataDir: "data", Log: daemon.DefaultLog()}
	c.Kiosks.Addr = ":8883"
	c.Metrics.Addr = "127.0.0.1:8081"
	return c
}

// Validate returns every fault, each naming its key.
func (c *config) Validate() error {
	var faults []error
	if c.DataDir == "" {
		faults = append(faults, errors.New("data_dir: must not be empty"))
	}
	if _, _, err := net.SplitHostPort(c.Kiosks.Addr); err != nil {
		faults = append(faults, fmt.Errorf("kiosks.addr: %q is not host:port", c.Kiosks.Addr))
	}
	if c.Metrics.Addr != "" {
		if _, _, err := net.SplitHostPort(c.Metrics.Addr); err != nil {
			faults = append(faults, fmt.Errorf("metrics.addr: %q is not host:port", c.Metrics.Addr))
		}
	}
	return errors.Join(faults...)
}

func main() {
	daemon.Program[config]{
		Name:  "broker",
		Short: "Run the platform's MQTT broker on its own",
		Long: `broker keeps kiosks connected while admin is elsewhere. Prepare its certificate with
'admin broker files DIR' and point admin at it with broker.mode external and broker.url.`,
		Default: defaults,
		Log:     func(c *config) daemon.Log { return c.Log },
		Run:     run,
	}.Main()
}

func run(ctx context.Context, cfg *config, log *slog.Logger) error {
	folder := filepath.Join(cfg.DataDir, "broker")
	tlsDir := cfg.TLSDir
	if tlsDir == "" {
		tlsDir = filepath.Join(folder, "tls")
	}
	authority, err := os.ReadFile(filepath.Join(tlsDir, "ca.pem"))
	if err != nil {
		return fmt.Errorf("tls_dir: %w (write it with 'admin broker files %s')", err, tlsDir)
	}
	roots, err := pki.Pool(authority)
	if err != nil {
		return fmt.Errorf("tls_dir: ca.pem: %w", err)
	}
	certificate, err := pki.NewFileCertificate(filepath.Join(tlsDir, "server.pem"), filepath.Join(tlsDir, "server-key.pem"), log)
	if err != nil {
		return fmt.Errorf("tls_dir: %w", err)
	}
	storage, err := durable.Open(filepath.Join(folder, "store"), log)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s, err := server.New(server.Config{
		Addr: cfg.Kiosks.Addr, Certificate: func() (*tls.Certificate, error) { return certificate.Get() }, Roots: roots,
		Admissions: server.NewAdmissionTable(), Storage: storage, Log: log, Metrics: metrics,
	})
	if err != nil {
		return fmt.Errorf("kiosks.addr %s: %w", cfg.Kiosks.Addr, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	if cfg.Metrics.Addr != "" {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Metrics.Addr)
		if err != nil {
			_ = s.Close()
			return fmt.Errorf("metrics.addr %s: %w", cfg.Metrics.Addr, err)
		}
		group.Go(func() error { return serveMetrics(ctx, listener, metrics, s.Serving) })
	}
	log.Info("broker is running", "kiosks", s.Addr(), "data", cfg.DataDir)
	return group.Wait()
}

const headerTimeout = 10 * time.Second

func serveMetrics(ctx context.Context, listener net.Listener, metrics prometheus.Gatherer, serving func() bool) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !serving() {
			http.Error(w, "not serving yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
