package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"kioskfleet/internal/testkit/load"
)

// Names of what is measured.
const (
	targetBare  = "bare broker"
	targetQuiet = "admin without anomalies" // which does not look for them
	targetAdmin = "admin"
)

// round is one measurement under load.
type round struct {
	Acked         float64 `json:"acknowledged_per_second"`
	Stored        float64 `json:"stored_per_second,omitempty"` // over the round and the catching up
	CatchUp       float64 `json:"catch_up_seconds,omitempty"`
	CPUMicros     float64 `json:"cpu_microseconds_per_message"` // the process's, until it has caught up
	ClientMicros  float64 `json:"generator_cpu_microseconds_per_message"`
	P50Millis     float64 `json:"p50_milliseconds"`
	P99Millis     float64 `json:"p99_milliseconds"`
	Acknowledged  uint64  `json:"acknowledged"`
	LostConnected uint64  `json:"connections_lost"`
}

// throughput is one row of the table: some rounds of one target under one load.
type throughput struct {
	Target  string  `json:"target"`
	Clients int     `json:"clients"`
	Window  int     `json:"window"`
	Rounds  []round `json:"rounds"`
	// Ratio is the median of acknowledged messages over that of the bare broker.
	Ratio float64 `json:"ratio_to_bare,omitempty"`
	// StoredRatio is the same of stored readings.
	StoredRatio float64 `json:"stored_ratio_to_bare,omitempty"`
}

// target is a broker under measurement; platform is nil for the bare one.
type target struct {
	name     string
	address  string // mqtts://host:port
	process  *process
	platform *platform
}

// loadOn describes the load of a round.
type loadOn struct {
	ids    []load.Identity
	window int
	// session is new in each round, so that no reading has the name of an earlier one.
	session string
}

// measure runs one round: connect, warm up, count for d, stop, and let the target catch up.
func (b *bench) measure(ctx context.Context, t *target, l loadOn, d time.Duration) (round, error) {
	var r round
	stats := new(load.Stats)
	clients := make([]*load.Client, len(l.ids))
	for i, id := range l.ids {
		var err error
		if clients[i], err = load.New(load.Config{
			Broker: t.address, TLS: id.TLS, Serial: id.Serial, Session: l.session, QoS: 1, Window: l.window, Stats: stats,
			Version: []byte{load.MQTT311, load.MQTT5}[i%2],
		}); err != nil {
			return r, err
		}
	}
	stop := load.Start(ctx, clients)
	defer stop()
	if err := poll(ctx, "connect all clients", pollOften, func() (bool, error) {
		if text := stats.LastFailure(); text != "" {
			return int(stats.Connects.Load()) >= len(clients), errors.New(text)
		}
		return int(stats.Connects.Load()) >= len(clients), nil
	}); err != nil {
		return r, err
	}
	if err := sleep(ctx, b.warmUp); err != nil {
		return r, err
	}

	cpu, err := t.process.cpu()
	if err != nil {
		return r, err
	}
	own, err := cpuOf("self")
	if err != nil {
		return r, err
	}
	stored := 0.0
	if t.platform != nil {
		// What is on its way from the warm-up does not count.
		behind, err := t.platform.metric(ctx, behindSeries)
		if err != nil {
			return r, err
		}
		if stored, err = t.platform.metric(ctx, metricStored); err != nil {
			return r, err
		}
		stored += behind
	}
	lost, acked, begin := stats.Lost.Load(), stats.Acked.Load(), time.Now()
	stats.Latency.Reset()
	if err := sleep(ctx, d); err != nil {
		return r, err
	}
	counted, took := stats.Acked.Load()-acked, time.Since(begin)
	r.P50Millis, r.P99Millis = millis(stats.Latency.Quantile(0.5)), millis(stats.Latency.Quantile(0.99))
	ownAfter, err := cpuOf("self")
	if err != nil {
		return r, err
	}
	stop()
	end := time.Now()
	r.Acked, r.Acknowledged = float64(counted)/took.Seconds(), counted
	r.ClientMicros = (ownAfter - own).Seconds() * 1e6 / float64(counted)
	r.LostConnected = stats.Lost.Load() - lost
	if t.platform != nil {
		if err := t.platform.awaitCaughtUp(ctx, behindSeries); err != nil {
			return r, err
		}
		r.CatchUp = time.Since(end).Seconds()
		if err := t.platform.awaitCaughtUp(ctx, behindLive); err != nil {
			return r, err
		}
		after, err := t.platform.metric(ctx, metricStored)
		if err != nil {
			return r, err
		}
		r.Stored = (after - stored) / (took.Seconds() + r.CatchUp)
	}
	cpuAfter, err := t.process.cpu()
	if err != nil {
		return r, err
	}
	if all := stats.Acked.Load() - acked; all > 0 {
		r.CPUMicros = (cpuAfter - cpu).Seconds() * 1e6 / float64(all)
	}
	return r, nil
}

// compare measures the targets in turn, so that what the machine does besides meets all of them.
func (b *bench) compare(ctx context.Context, targets []*target, ids []load.Identity, window int) ([]throughput, error) {
	rows := make([]throughput, len(targets))
	for n := range b.rounds {
		for i, t := range targets {
			rows[i].Target, rows[i].Clients, rows[i].Window = t.name, len(ids), window
			b.session++
			limited, cancel := context.WithTimeout(ctx, roundPatience)
			r, err := b.measure(limited, t, loadOn{ids, window, "b" + strconv.Itoa(b.session)}, b.duration)
			cancel()
			if err != nil {
				return nil, fmt.Errorf("%s, %d clients, window %d: %w", t.name, len(ids), window, err)
			}
			b.progress("%-23s %5d clients, window %d, round %d: %6.0f acknowledged/s, %6.0f stored/s", t.name, len(ids), window, n+1, r.Acked, r.Stored)
			rows[i].Rounds = append(rows[i].Rounds, r)
		}
	}
	yardstick := median(rows[0].Rounds, func(r round) float64 { return r.Acked })
	for i := range rows[1:] {
		rows[i+1].Ratio = median(rows[i+1].Rounds, func(r round) float64 { return r.Acked }) / yardstick
		rows[i+1].StoredRatio = median(rows[i+1].Rounds, func(r round) float64 { return r.Stored }) / yardstick
	}
	return rows, nil
}

// roundPatience bounds a round, catching up included.
const roundPatience = 5 * time.Minute

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// median returns the median of one number of the rounds.
func median(rounds []round, of func(round) float64) float64 { return medianOf(rounds, of) }

// medianOf is median of any rounds.
func medianOf[T any](rounds []T, of func(T) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}
