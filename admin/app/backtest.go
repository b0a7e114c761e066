package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"kioskfleet/admin/alert/backtest"
	"kioskfleet/admin/derived/location"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/ingest"
	"kioskfleet/admin/telemetry"
)

// liveStates give the live state of a kiosk, never nil.
type liveStates interface {
	Get(serial string) *fleet.Live
}

// newBacktest lets rules run over the past: over the journal where it still holds all of the time, otherwise over the
// time series and the log of changes.
func newBacktest(kiosks backtest.Kiosks, states liveStates, events backtest.Events, series ranger, in *ingest.Ingest, now func() time.Time) *backtest.Backtest {
	watch := location.New(location.Config{})
	return backtest.New(backtest.Config{
		Kiosks: kiosks, Events: events, Now: now,
		Series:  backtest.Series{Points: storedPoints{series}, Events: events, Live: states.Get},
		Journal: backtest.Journal{Readings: in.Readings}, Oldest: in.Oldest,
		Derive: func(k *fleet.Kiosk) backtest.Deriver { return &pastLocation{watch: watch, place: k.Location} },
		Needs:  neededFor,
	})
}

// pastLocation computes where a kiosk stood.
type pastLocation struct {
	watch *location.Watch
	place *fleet.Location
	state location.State
}

// Reading implements backtest.Deriver. The address that the kiosk was connected from is not known any more.
func (p *pastLocation) Reading(r *fleet.Reading) { p.watch.Step(&p.state, r, p.place, "") }

// Value implements rule.Derived.
func (p *pastLocation) Value(name string) (float64, bool) { return p.state.Value(name) }

// neededFor names the metrics from which a derived value is computed.
func neededFor(derived string) []string {
	if !strings.HasPrefix(derived, "location.") {
		return nil
	}
	return []string{"location.lat", "location.lng", "location.accuracy", "network.carrier", "network.ssid", "network.gateway"}
}

// ranger answers questions for stored numbers.
type ranger interface {
	Range(ctx context.Context, q telemetry.Query) ([]telemetry.Series, error)
}

// storedPoints lets backtests read the time-series store.
type storedPoints struct{ series ranger }

// Points implements backtest.Points.
func (s storedPoints) Points(ctx context.Context, metric, serial string, from, to time.Time) ([]backtest.Point, error) {
	found, err := s.series.Range(ctx, telemetry.Query{Metric: metric, Serials: []string{serial}, From: from, To: to})
	if half := to.Sub(from) / 2; errors.Is(err, telemetry.ErrTooLarge) && half >= time.Millisecond {
		middle := from.Add(half).Truncate(time.Millisecond)
		first, err := s.Points(ctx, metric, serial, from, middle)
		if err != nil {
			return nil, err
		}
		rest, err := s.Points(ctx, metric, serial, middle, to)
		return append(first, rest...), err
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	points := make([]backtest.Point, len(found[0].Points))
	for i, p := range found[0].Points {
		points[i] = backtest.Point(p)
	}
	return points, nil
}

// Count implements backtest.Points. Whole days come from rollups.
func (s storedPoints) Count(ctx context.Context, metric string, serials []string, from, to time.Time) (int, error) {
	const day = 24 * time.Hour
	atOnce := telemetry.MaxPoints / (int(to.Sub(from)/day) + 2)
	n := 0
	for len(serials) > 0 {
		some := serials[:min(atOnce, len(serials))]
		serials = serials[len(some):]
		found, err := s.series.Range(ctx, telemetry.Query{
			Metric: metric, Serials: some, From: from, To: to, Step: day, Aggregate: telemetry.AggregateCount,
		})
		if err != nil {
			return 0, err
		}
		for _, one := range found {
			for _, p := range one.Points {
				n += int(p.Value)
			}
		}
	}
	return n, nil
}
