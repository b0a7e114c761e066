package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/availability"
	"kioskfleet/admin/presence"
	"kioskfleet/admin/registry"
	"kioskfleet/admin/store"
)

// openAvailability keeps availability from what the tracker tells; call it when the tracker has restored its states.
// maintenance reports whether a kiosk was in a maintenance window; nil: there are none.
func openAvailability(ctx context.Context, cfg *Config, repository *store.Store, reg *registry.Registry, tracker *presence.Tracker, maintenance func(serial string, at time.Time) bool, metrics prometheus.Registerer, log *slog.Logger) (*availability.Book, error) {
	book, err := availability.Open(ctx, availability.Config{
		Store: repository, Maintenance: maintenance, Retention: cfg.Telemetry.Rollups, Now: time.Now, Log: log,
		Site: func(serial string) (string, bool) {
			k, err := reg.Get(serial)
			if err != nil {
				return "", false
			}
			return k.Site, true
		},
	})
	if err != nil {
		return nil, err
	}
	book.Restore(tracker.All())
	tracker.Observe(func(c presence.Change) { book.Changed(c.Old, c.New, c.At) })
	metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "kioskfleet_availability_dropped_total", Help: "Times of kiosks that were not counted because the database did not take them.",
	}, func() float64 { return float64(book.Dropped()) }))
	return book, nil
}
