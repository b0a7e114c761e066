package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/rollup"
	"kioskfleet/kiosk/device"
)

// asked is the past that queries are asked about: cpu temperatures of simulated kiosks, by which all other metrics
// are stored alike. Some kiosks have days of it at a slow pace, and all of them the last day at the usual pace.
type asked struct {
	Kiosks    int     `json:"kiosks"`                 // of the last day
	Pace      float64 `json:"interval_seconds"`       // then
	MonthOf   int     `json:"month_kiosks"`           // of all days
	Days      int     `json:"month_days"`             // whole ones, before today
	MonthPace float64 `json:"month_interval_seconds"` // before the last day
	Points    int     `json:"points"`
	Fill      float64 `json:"fill_seconds"`
	RollUp    float64 `json:"roll_up_seconds"`

	from, midnight, to time.Time // midnight ends the whole days
	serials            []string
}

const (
	askedMetric = "hardware.cpu_temp"
	askedSeries = "kiosk_hardware_cpu_temp_celsius"
	// monthModel and dayModel tell the kiosks apart that have a month of readings.
	monthModel = "bench-month"
	dayModel   = "bench-day"
	// askedRetention keeps the month, whatever admin's default is.
	askedRetention = 45 * 24 * time.Hour
	// dayDevices is how many devices the kiosks of the last day share: a device costs more than its points.
	dayDevices = 40
)

// fillHistory writes the past into admin's data folder before admin is started: by the store's own Append in the
// order of time, and by the rollups' own work. What comes through the broker is stored by the same calls.
func (b *bench) fillHistory(ctx context.Context, data string, o seriesOptions) (_ *asked, err error) {
	now := time.Now().UTC()
	// Just after midnight the day before is not rolled up yet.
	midnight := now.Add(-time.Hour).Truncate(24 * time.Hour)
	a := &asked{
		Kiosks: o.kiosks, Pace: o.pace.Seconds(), MonthOf: o.monthKiosks, Days: o.monthDays, MonthPace: o.monthPace.Seconds(),
		from: midnight.Add(-time.Duration(o.monthDays) * 24 * time.Hour), midnight: midnight, to: now.Truncate(time.Minute),
	}
	repository, err := store.Open(ctx, filepath.Join(data, "kioskfleet.db"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, repository.Close()) }()
	inner, err := embedded.Open(embedded.Config{Dir: filepath.Join(data, "telemetry"), Retention: askedRetention})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, inner.Close()) }()

	kiosks := newDevices(o.kiosks)
	for i, k := range kiosks.kiosks {
		a.serials = append(a.serials, k.Serial)
		registered := fleet.Kiosk{Serial: k.Serial, Site: k.Site, Model: dayModel, Timezone: k.Timezone}
		if i < o.monthKiosks {
			registered.Model = monthModel
		}
		if _, err := repository.AddKiosk(ctx, registered, "bench", now); err != nil {
			return nil, err
		}
	}
	b.progress("queries: storing %d days of %d kiosks and one of %d", o.monthDays, o.monthKiosks, o.kiosks)
	began := time.Now()
	fill := &filler{stores: []telemetry.Store{inner}}
	lastDay := a.to.Add(-24 * time.Hour)
	for at := a.from; at.Before(lastDay); at = at.Add(o.monthPace) {
		if err := fill.add(ctx, kiosks.temperatures(at, o.monthKiosks, o.monthKiosks)); err != nil {
			return nil, err
		}
	}
	for at := lastDay; at.Before(a.to); at = at.Add(o.pace) {
		if err := fill.add(ctx, kiosks.temperatures(at, min(dayDevices, o.monthKiosks), o.kiosks)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(fill.flush(ctx), inner.Sync(ctx)); err != nil {
		return nil, err
	}
	a.Points, a.Fill = fill.readings, time.Since(began).Seconds()
	b.progress("queries: %d points stored in %.0f s; they are rolled up", a.Points, a.Fill)
	began = time.Now()
	rollups, err := rollup.Open(ctx, rollup.Config{Inner: inner, Repository: repository, Owner: "bench", Now: time.Now, History: askedRetention})
	if err != nil {
		return nil, err
	}
	if err := rollups.Work(ctx); err != nil {
		return nil, fmt.Errorf("roll up: %w", err)
	}
	a.RollUp = time.Since(began).Seconds()
	// The lease of the rollups goes to admin at once.
	if _, err := repository.LeaseRollups(ctx, "bench", time.Now(), time.Now()); err != nil {
		return nil, err
	}
	return a, nil
}

// temperatures are readings of n kiosks with the CPU temperature alone, as so many devices show it in turn.
func (d *devices) temperatures(at time.Time, devices, n int) []fleet.Reading {
	values := make([]fleet.Value, devices)
	d.sample(at, devices, func(i int, s device.Sample) {
		v, _ := s.Hardware["cpu_temp"].(float64)
		values[i] = fleet.Value{Metric: askedMetric, Value: v}
	})
	out := make([]fleet.Reading, n)
	for i := range out {
		k := i % devices
		out[i] = fleet.Reading{Serial: d.kiosks[i].Serial, Site: d.kiosks[i].Site, Time: at, Values: values[k : k+1 : k+1]}
	}
	return out
}
