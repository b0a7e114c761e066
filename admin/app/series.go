package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/api"
	"kioskfleet/admin/auth"
	"kioskfleet/admin/command"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/influx"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/protocol"
)

// openSeries opens the configured time-series store.
func openSeries(ctx context.Context, cfg *Config, metrics prometheus.Registerer, log *slog.Logger) (telemetry.Store, error) {
	if cfg.Telemetry.Backend == BackendInfluxDB {
		return influx.Open(ctx, influx.Config{
			URL: cfg.InfluxDB.URL, Token: cfg.InfluxDB.Token, Org: cfg.InfluxDB.Org, Bucket: cfg.InfluxDB.Bucket,
			Timeout: cfg.InfluxDB.Timeout, Retention: cfg.InfluxDB.Retention, Logger: log,
		})
	}
	return embedded.Open(embedded.Config{
		Dir: cfg.path("telemetry"), Retention: cfg.Telemetry.Retention, OutOfOrderWindow: cfg.Telemetry.Window,
		MinFreeBytes: int64(cfg.Journal.MinFree) / 4,                           // the journal stops long before
		Logger:       daemon.AtLeast(log, slog.LevelWarn), Registerer: metrics, // its reports of each replayed segment are no news
	})
}

// rejectedReadings picks the readings that the store refused for good.
func rejectedReadings(err error) map[int]string {
	var rejected *telemetry.RejectedError
	if !errors.As(err, &rejected) {
		return nil
	}
	out := make(map[int]string, len(rejected.Rejected))
	for _, r := range rejected.Rejected {
		out[r.Index] = r.Reason
	}
	return out
}

// openingPause is how long to wait for a store that is still opening.
const openingPause = 500 * time.Millisecond

func retryAfter(err error) time.Duration {
	var later *telemetry.RetryAfterError
	switch {
	case errors.As(err, &later):
		return later.After
	case errors.Is(err, telemetry.ErrNotReady):
		return openingPause
	}
	return 0
}

// lostPoints reports whether the store has lost what it had confirmed.
func lostPoints(err error) bool { return errors.Is(err, telemetry.ErrLost) }

// series lets ingest write to the time-series store.
type series struct{ telemetry.Store }

// Values implements ingest.Series.
func (s series) Values(ctx context.Context, metric string, serials []string, from, to time.Time, found func(string, time.Time, float64)) error {
	all, err := s.Store.Range(ctx, telemetry.Query{Metric: metric, Serials: serials, From: from, To: to})
	if half := to.Sub(from) / 2; errors.Is(err, telemetry.ErrTooLarge) && half >= time.Millisecond {
		// It is ingest that asks: it has no smaller question, and would ask this one for ever.
		middle := from.Add(half).Truncate(time.Millisecond)
		if err := s.Values(ctx, metric, serials, from, middle, found); err != nil {
			return err
		}
		return s.Values(ctx, metric, serials, middle, to, found)
	}
	if err != nil {
		return err
	}
	for _, one := range all {
		for _, p := range one.Points {
			found(one.Serial, p.Time, p.Value)
		}
	}
	return nil
}

// classify gives the API the HTTP answers for errors of packages that it does not know.
func classify(err error) (api.Fault, bool) {
	var later *telemetry.RetryAfterError
	var tooMany *auth.TooManyError
	var notAccepted *notAcceptedError
	switch {
	case errors.As(err, &notAccepted):
		return api.Fault{Status: http.StatusServiceUnavailable, Title: "Journal does not accept", RetryAfter: journalPause}, true
	case errors.As(err, &tooMany):
		return api.Fault{Status: http.StatusTooManyRequests, Title: "Too many attempts", RetryAfter: tooMany.After}, true
	case errors.Is(err, telemetry.ErrRefused):
		return api.Fault{Status: http.StatusBadGateway, Title: "Time-series store refuses"}, true
	case errors.Is(err, telemetry.ErrTooLarge):
		return api.Fault{Status: http.StatusUnprocessableEntity, Title: "Range too large", TooLarge: true}, true
	// A store that broke is closed beneath its queries, and opened again.
	case errors.Is(err, telemetry.ErrNotReady), errors.Is(err, telemetry.ErrClosed):
		return api.Fault{Status: http.StatusServiceUnavailable, Title: "Time series are still opening", RetryAfter: time.Second}, true
	case errors.As(err, &later):
		return api.Fault{Status: http.StatusServiceUnavailable, Title: "Time-series store not available", RetryAfter: max(later.After, time.Second)}, true
	}
	return api.Fault{}, false
}

// commands lets the API give orders.
type commands struct{ ladder *command.Ladder }

// Send implements api.Commands.
func (c commands) Send(ctx context.Context, serial string, name protocol.CommandName, params []byte, expiresIn time.Duration, key, actor string) (fleet.Command, error) {
	sent, err := c.ladder.Send(ctx, command.Request{Serial: serial, Name: name, Params: params, ExpiresIn: expiresIn, Key: key, Actor: actor})
	if err != nil {
		return sent, fmt.Errorf("command %s of %s: %w", name, serial, err)
	}
	return sent, nil
}
