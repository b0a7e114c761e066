package ingest

import (
	"context"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// seriesCompany is how long a reading waits for others, so that they share one append and one sync.
	seriesCompany = 200 * time.Millisecond

	retryFirst = 200 * time.Millisecond
	retryMax   = 10 * time.Second
)

// seriesSide appends readings to the time-series store, and tries again for as long as it refuses.
type seriesSide struct{ in *Ingest }

func newSeriesSide(in *Ingest) *seriesSide { return &seriesSide{in} }

func (s *seriesSide) work(ctx context.Context, batch []record) (durable bool, err error) {
	var readings []fleet.Reading
	for i := range batch {
		r := &batch[i]
		if r.kind != kindMessage || r.channel != protocol.ChannelTelemetry {
			continue
		}
		// What cannot be decoded is a dead letter of the live side; it is counted once.
		decoded, _ := decodeReadings(r.serial, r.payload, r.at, s.in.cfg.Window)
		for i := range decoded {
			decoded[i].Site = r.site
		}
		readings = append(readings, decoded...)
	}
	if len(readings) == 0 {
		return false, nil
	}
	return true, s.store(ctx, readings)
}

// store appends and syncs until the store has taken or refused each reading, or ctx ends.
func (s *seriesSide) store(ctx context.Context, readings []fleet.Reading) error {
	in := s.in
	delay := retryFirst
	for {
		err := in.cfg.Series.Append(ctx, readings)
		rejected := in.cfg.Rejected(err)
		if err == nil || rejected != nil {
			if err = in.cfg.Series.Sync(ctx); err == nil {
				for i, reason := range rejected {
					in.metrics.deadLetters.WithLabelValues(reasonRejected).Inc()
					in.cfg.Log.Debug("reading refused by the time-series store", "serial", readings[i].Serial, "time", readings[i].Time, "reason", reason)
				}
				in.metrics.stored.Add(float64(len(readings) - len(rejected)))
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		in.metrics.retries.Inc()
		pause := max(delay, in.cfg.Retry(err))
		in.cfg.Log.Warn("time-series store does not take readings, trying again", "readings", len(readings), "retry_in", pause, "error", err)
		delay = min(2*delay, retryMax)
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}
