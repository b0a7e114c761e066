package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/rollup"
)

// onDisk is what a day of simulated kiosks takes on disk.
type onDisk struct {
	Kiosks   int     `json:"kiosks"`
	Interval float64 `json:"interval_seconds"`
	Readings int     `json:"readings"`
	Metrics  int     `json:"metrics_per_reading"`
	// Embedded are the bytes of a reading's numbers in the TSDB's blocks; Blocks is how much of the day is in blocks,
	// the rest is still in the write-ahead log.
	Embedded float64 `json:"embedded_bytes_per_reading"`
	Blocks   float64 `json:"embedded_hours_in_blocks"`
	// Influx are the bytes of a reading's numbers and texts in InfluxDB's files; 0 without one.
	Influx float64 `json:"influxdb_bytes_per_reading,omitempty"`
	// Rollups are the bytes that a kiosk's day of five-minute summaries of all metrics adds to the database.
	Rollups float64 `json:"rollup_bytes_per_kiosk_and_day"`
}

// onDiskHours is how much of a simulated day is stored.
const onDiskHours = 24

// onDisk stores the day in both backends, and rolls it up.
func (b *bench) onDisk(ctx context.Context, o seriesOptions, out *seriesRun) (err error) {
	day := time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)
	end := day.Add(onDiskHours * time.Hour)
	d := &onDisk{Kiosks: o.diskKiosks, Interval: o.diskInterval.Seconds()}
	dir := filepath.Join(b.dir, "disk-embedded")
	local, err := embedded.Open(embedded.Config{Dir: dir, Retention: 30 * 24 * time.Hour})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	stores := []telemetry.Store{local}
	server, remote, stop, err := b.openInflux(ctx, "disk-influxdb", true, "bytes on disk in InfluxDB", out)
	if err != nil {
		return err
	}
	if server != nil {
		defer stop()
		stores = append(stores, remote)
	}

	b.progress("disk: a day of %d simulated kiosks", o.diskKiosks)
	kiosks := newDevices(o.diskKiosks)
	fill := &filler{stores: stores}
	for at := day; at.Before(end); at = at.Add(o.diskInterval) {
		readings := kiosks.readings(at)
		d.Metrics = len(readings[0].Values) + len(readings[0].Texts)
		if err := fill.add(ctx, readings); err != nil {
			return err
		}
	}
	if err := fill.flush(ctx); err != nil {
		return err
	}
	d.Readings = fill.readings
	if err := d.blocks(ctx, dir, end); err != nil {
		return fmt.Errorf("blocks of the embedded store: %w", err)
	}
	if server != nil {
		bytes, err := server.awaitCompacted(ctx)
		if err != nil {
			return fmt.Errorf("influxd: %w", err)
		}
		d.Influx = float64(bytes) / float64(d.Readings)
	}
	b.progress("disk: the day is rolled up")
	if err := d.rollUp(ctx, local, filepath.Join(b.dir, "disk.db"), day, end); err != nil {
		return fmt.Errorf("roll up: %w", err)
	}
	out.Disk = d
	return nil
}

// filler collects readings of several instants for one append.
type filler struct {
	stores   []telemetry.Store
	batch    []fleet.Reading
	readings int
}

func (f *filler) add(ctx context.Context, readings []fleet.Reading) error {
	f.batch = append(f.batch, readings...)
	if len(f.batch) < storingBatch {
		return nil
	}
	return f.flush(ctx)
}

func (f *filler) flush(ctx context.Context) error {
	for _, s := range f.stores {
		if err := s.Append(ctx, f.batch); err != nil {
			return err
		}
	}
	f.readings += len(f.batch)
	f.batch = f.batch[:0]
	return nil
}

// blockMeta is what is used of a block's meta.json.
type blockMeta struct {
	MinTime, MaxTime int64
	Stats            struct{ NumSamples int64 }
}

// blocks waits until the TSDB has nothing left to compact and measures its blocks. It compacts by itself after an
// append: first the oldest two hours out of memory while it holds more than three, then blocks into larger ones.
func (d *onDisk) blocks(ctx context.Context, dir string, end time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, compactionPatience)
	defer cancel()
	const quiet, newest = 4, 3 * time.Hour
	last, same := int64(-1), 0
	return poll(ctx, "compact", 500*time.Millisecond, func() (bool, error) {
		metas, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
		if err != nil {
			return false, err
		}
		var bytes, samples, first, until int64
		for _, file := range metas {
			text, err := os.ReadFile(file)
			if err != nil {
				return false, err // a block that was compacted away
			}
			var m blockMeta
			if err := json.Unmarshal(text, &m); err != nil {
				return false, err
			}
			size, err := folderSize(filepath.Dir(file), func(string) bool { return true })
			if err != nil {
				return false, err
			}
			bytes, samples, until = bytes+size, samples+m.Stats.NumSamples, max(until, m.MaxTime)
			if first == 0 || m.MinTime < first {
				first = m.MinTime
			}
		}
		if bytes != last {
			last, same = bytes, 0
			return false, nil
		}
		same++
		if same < quiet || samples == 0 || time.UnixMilli(until).Before(end.Add(-newest)) {
			return false, nil
		}
		d.Embedded = float64(bytes) / float64(samples) * float64(d.Metrics-textMetrics)
		d.Blocks = time.UnixMilli(until).Sub(time.UnixMilli(first)).Hours()
		return true, nil
	})
}

// textMetrics is how many of a simulated reading's metrics are texts, which the embedded store does not keep.
const textMetrics = 3

// rollUp makes the rollups of the day as admin does and measures by how much the database grows.
func (d *onDisk) rollUp(ctx context.Context, inner telemetry.Store, file string, day, end time.Time) error {
	size := func(work func(*store.Store) error) (int64, error) {
		s, err := store.Open(ctx, file)
		if err != nil {
			return 0, err
		}
		if err := errors.Join(work(s), s.Close()); err != nil {
			return 0, err
		}
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	before, err := size(func(*store.Store) error { return nil })
	if err != nil {
		return err
	}
	after, err := size(func(s *store.Store) error {
		now := end.Add(time.Hour)
		r, err := rollup.Open(ctx, rollup.Config{Inner: inner, Repository: s, Owner: "bench", Now: func() time.Time { return now }, History: now.Sub(day)})
		if err != nil {
			return err
		}
		return r.Work(ctx)
	})
	if err != nil {
		return err
	}
	d.Rollups = float64(after-before) / float64(d.Kiosks)
	return nil
}

// folderSize adds up the files of a folder that count.
func folderSize(dir string, counts func(name string) bool) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while we looked
		}
		if err != nil || e.IsDir() || !counts(e.Name()) {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}
