package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
)

// Backends of the time series.
const (
	backendEmbedded = "embedded"
	backendInflux   = "influxdb"
)

// storing is how fast one backend takes readings, in one row.
type storing struct {
	Backend string         `json:"backend"`
	Kiosks  int            `json:"kiosks"`
	Batch   int            `json:"readings_per_append"`
	Metrics int            `json:"metrics_per_reading"` // numbers and texts
	Rounds  []storingRound `json:"rounds"`
}

// storingRound is one measurement. CPU is that of the adapter, and for InfluxDB the server's besides.
type storingRound struct {
	Rate          float64 `json:"readings_per_second"`
	AdapterMicros float64 `json:"adapter_cpu_microseconds_per_reading"`
	ServerMicros  float64 `json:"server_cpu_microseconds_per_reading,omitempty"`
}

const (
	// storingBatch is how many readings ingest appends at most at a time.
	storingBatch = 2048
	// storingPace is the kiosks' interval, by the readings' own clock.
	storingPace = 5 * time.Second
	// syncEvery is how often ingest asks the store to bring everything to disk.
	syncEvery = time.Second
)

// storing measures the adapters in turn, each on a store of its own that goes on from round to round.
func (b *bench) storing(ctx context.Context, o seriesOptions, out *seriesRun) (err error) {
	d := newDevices(o.storingKiosks)
	begin := time.Now().UTC().Truncate(time.Hour).Add(-24 * time.Hour)
	// A minute of the fleet, again and again: making readings up is not to be measured.
	var minute [][]fleet.Reading
	for n := range int(time.Minute / storingPace) {
		minute = append(minute, d.readings(begin.Add(time.Duration(n)*storingPace)))
	}
	local, err := embedded.Open(embedded.Config{Dir: filepath.Join(b.dir, "storing-embedded")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	type side struct {
		row    *storing
		store  telemetry.Store
		server *process
		next   time.Time
	}
	row := func(backend string) *storing {
		return &storing{Backend: backend, Kiosks: o.storingKiosks, Batch: min(storingBatch, o.storingKiosks), Metrics: len(minute[0][0].Values) + len(minute[0][0].Texts)}
	}
	sides := []*side{{row: row(backendEmbedded), store: local, next: begin}}
	server, remote, stop, err := b.openInflux(ctx, "storing-influxdb", false, "storing in InfluxDB", out)
	if err != nil {
		return err
	}
	if server != nil {
		defer stop()
		sides = append(sides, &side{row: row(backendInflux), store: remote, server: server.process, next: begin})
	}
	for n := range b.rounds {
		for _, s := range sides {
			r, err := keep(ctx, s.store, s.server, minute, &s.next, o.storing)
			if err != nil {
				return err
			}
			b.progress("storing in %s, round %d: %.0f readings/s", s.row.Backend, n+1, r.Rate)
			s.row.Rounds = append(s.row.Rounds, r)
		}
	}
	for _, s := range sides {
		out.Storing = append(out.Storing, *s.row)
	}
	return nil
}

// keep appends the readings of the fleet for d, as ingest does: one batch after the other, and now and then all of
// it is brought to disk.
func keep(ctx context.Context, s telemetry.Store, server *process, minute [][]fleet.Reading, next *time.Time, d time.Duration) (r storingRound, err error) {
	before, err := cpuOf("self")
	if err != nil {
		return r, err
	}
	var serverBefore time.Duration
	if server != nil {
		if serverBefore, err = server.cpu(); err != nil {
			return r, err
		}
	}
	began := time.Now()
	synced, readings := began, 0
	for n := 0; time.Since(began) < d; n++ {
		all := minute[n%len(minute)]
		for i := range all {
			all[i].Time, all[i].ReceivedAt = *next, *next
		}
		for from := 0; from < len(all); from += storingBatch {
			batch := all[from:min(from+storingBatch, len(all))]
			if err := s.Append(ctx, batch); err != nil {
				return r, err
			}
			readings += len(batch)
		}
		*next = next.Add(storingPace)
		if time.Since(synced) >= syncEvery {
			if err := s.Sync(ctx); err != nil {
				return r, err
			}
			synced = time.Now()
		}
	}
	if err := s.Sync(ctx); err != nil {
		return r, err
	}
	r.Rate = float64(readings) / time.Since(began).Seconds()
	after, err := cpuOf("self")
	if err != nil {
		return r, err
	}
	r.AdapterMicros = (after - before).Seconds() * 1e6 / float64(readings)
	if server != nil {
		serverAfter, err := server.cpu()
		if err != nil {
			return r, err
		}
		r.ServerMicros = (serverAfter - serverBefore).Seconds() * 1e6 / float64(readings)
	}
	return r, nil
}
