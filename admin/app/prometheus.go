package app

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/registry"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/promapi"
	"kioskfleet/internal/daemon"
)

// opened remembers the embedded store that was opened last, for who asks more of it than the port offers.
type opened struct {
	series *telemetry.Lazy
	store  atomic.Pointer[embedded.Store]
}

// note keeps a store that was opened, if it is the embedded one.
func (o *opened) note(store telemetry.Store) {
	if s, ok := store.(*embedded.Store); ok {
		o.store.Store(s)
	}
}

// get returns the store, or why there is none now.
func (o *opened) get() (*embedded.Store, error) {
	if err := o.series.Ready(); err != nil {
		return nil, err
	}
	if s := o.store.Load(); s != nil {
		return s, nil
	}
	return nil, telemetry.ErrNotReady
}

// newPromQL returns what answers PromQL.
func newPromQL(cfg *Config, from *opened, kiosks *registry.Registry, metrics prometheus.Registerer, log *slog.Logger) http.Handler {
	if cfg.Telemetry.Backend != BackendEmbedded {
		return promapi.Unsupported()
	}
	return promapi.New(promapi.Config{
		Store: from.get, Kiosks: kiosks.All, MaxSamples: cfg.Prometheus.MaxSamples, Timeout: cfg.Prometheus.Timeout,
		Concurrent: cfg.Prometheus.Concurrent, Version: daemon.Version, Now: time.Now, Registerer: metrics, Log: log,
	})
}
