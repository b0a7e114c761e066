package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/influx"
	"kioskfleet/admin/telemetry/transfer"
	"kioskfleet/internal/daemon"
)

// copyLedger notes in the data folder which days of which kiosks are copied.
const copyLedger = "telemetry-copy.progress"

// CopyProgress is how far a copy is.
type CopyProgress = transfer.Progress

// CopyTelemetry copies the history of the embedded store into InfluxDB, going on where an earlier copy ended
// unless it is to begin again. It needs the embedded store for itself: admin may run beside it with
// telemetry.backend influxdb only.
func CopyTelemetry(ctx context.Context, cfg *Config, again bool, report func(CopyProgress), log *slog.Logger) (CopyProgress, error) {
	from, err := embedded.Open(embedded.Config{
		Dir: cfg.path("telemetry"), Retention: cfg.Telemetry.Retention, OutOfOrderWindow: cfg.Telemetry.Window, Logger: daemon.AtLeast(log, slog.LevelWarn),
	})
	if err != nil {
		return CopyProgress{}, fmt.Errorf("%w (admin may run during the copy with telemetry.backend: influxdb, which leaves the embedded store alone)", err)
	}
	defer from.Close()
	to, err := influx.Open(ctx, influx.Config{
		URL: cfg.InfluxDB.URL, Token: cfg.InfluxDB.Token, Org: cfg.InfluxDB.Org, Bucket: cfg.InfluxDB.Bucket,
		Timeout: cfg.InfluxDB.Timeout, Retention: cfg.InfluxDB.Retention, Logger: log,
	})
	if err != nil {
		return CopyProgress{}, err
	}
	defer to.Close()
	return transfer.Run(ctx, transfer.Config{
		From: from, To: telemetry.Store(to), Progress: cfg.path(copyLedger), Name: to.Address() + " " + cfg.InfluxDB.Bucket, Again: again,
		Report: report, Now: time.Now, Pause: pause,
	})
}

// pause waits, or returns ctx's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
