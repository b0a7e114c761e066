// Package embedded keeps telemetry in a folder of the program itself, with the Prometheus TSDB: the
// default store, which needs no server.
//
// Each metric of a kiosk is a Prometheus series,
//
//	kiosk_hardware_cpu_temp_celsius{metric="hardware.cpu_temp",serial="K-1",site="hall-1"}
//
// with a name that PromQL accepts; the label metric carries the name as kiosks and people know it. A
// kiosk that moves to another site goes on in another series; Range puts them together. Texts are not
// kept here: their changes are events elsewhere.
//
// What Append took is in the TSDB's write-ahead logs, handed to the operating system: it survives the
// end of the process, not yet that of the machine. The caller keeps its own record until these logs
// were synced.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/compression"

	"kioskfleet/admin/telemetry"
)

// Defaults of a Config.
const (
	DefaultRetention        = 15 * 24 * time.Hour
	DefaultOutOfOrderWindow = 7 * 24 * time.Hour
)

// grace is added to the out-of-order window. Ingest judges the age of a reading when it arrives, by our
// clock; the TSDB when it is appended, by its newest point, which a kiosk's clock may have put minutes
// into the future. What ingest took must not be too old here.
const grace = time.Hour

// Config says where a store is and how much it keeps.
type Config struct {
	Dir string // created if it is missing

	// Retention is how long points are kept, behind the newest one; 0 means DefaultRetention.
	// RetentionBytes bounds the size of the data on disk, apart from the latest hours; 0 means no bound.
	Retention      time.Duration
	RetentionBytes int64

	// OutOfOrderWindow is how far behind the newest point of all kiosks a reading is still taken; 0
	// means DefaultOutOfOrderWindow, or Retention where that is shorter.
	OutOfOrderWindow time.Duration

	Logger     *slog.Logger          // nil for silence
	Registerer prometheus.Registerer // for the TSDB's own metrics; nil for none
}

// withDefaults fills in what was left out and returns an error that names a bad value.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("no folder was given")
	}
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if c.OutOfOrderWindow == 0 {
		c.OutOfOrderWindow = min(DefaultOutOfOrderWindow, c.Retention)
	}
	switch {
	case c.Retention < 0 || c.RetentionBytes < 0 || c.OutOfOrderWindow < 0:
		return c, fmt.Errorf("retention %v, retention bytes %d and out-of-order window %v must not be negative", c.Retention, c.RetentionBytes, c.OutOfOrderWindow)
	case c.OutOfOrderWindow > c.Retention:
		return c, fmt.Errorf("out-of-order window %v is longer than the retention %v: late readings would be deleted at once", c.OutOfOrderWindow, c.Retention)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// options returns the settings of the TSDB. Where they differ from its own defaults they follow the
// Prometheus server's.
func (c Config) options() *tsdb.Options {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = c.Retention.Milliseconds()
	o.MaxBytes = c.RetentionBytes
	o.OutOfOrderTimeWindow = (c.OutOfOrderWindow + grace).Milliseconds()
	// Blocks grow to a tenth of the retention: fewer of them to look into, and still fine steps in
	// which old data goes.
	o.MaxBlockDuration = max(o.MinBlockDuration, min(c.Retention/10, 31*24*time.Hour).Milliseconds())
	o.WALCompression = compression.Snappy
	// A query may see part of a batch that is being appended. Nobody minds, and isolation costs
	// memory in every series.
	o.IsolationDisabled = true
	o.NoLockfile = true // we hold the lock, see Open
	return o
}

// Store is a telemetry.Store in a folder.
type Store struct {
	db         *tsdb.DB
	cache      *seriesCache
	lock       *tsdbutil.DirLocker
	registered *registrations

	// mu is held for reading by every use of db, so that Close waits for them; it guards closed.
	mu     sync.RWMutex
	closed bool
}

var _ telemetry.Store = (*Store)(nil)

// Open opens the store in cfg.Dir, or begins a new one there, and starts its compaction. It returns
// when the write-ahead log was replayed, which may take a minute with a day's log of many kiosks;
// telemetry.NewLazy keeps the rest of the program from waiting for it. A log whose end was cut off by
// a crash is repaired.
//
// Errors: a bad Config; a folder that another process uses or that cannot be written.
func Open(cfg Config) (_ *Store, err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open embedded time series: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("open embedded time series: %w", err)
	}
	// The TSDB would lock the folder itself, but only after it has removed what looks like the rests
	// of a crash, and that could be the work in progress of the process that has the lock.
	lock, err := tsdbutil.NewDirLocker(cfg.Dir, "kioskfleet_tsdb", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, fmt.Errorf("open embedded time series in %s: %w", cfg.Dir, err)
	}
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("open embedded time series: another process uses the folder %s; stop it, or choose another data folder: %w", cfg.Dir, err)
	}
	s := &Store{cache: newSeriesCache(), lock: lock, registered: &registrations{to: cfg.Registerer}}
	defer func() {
		if err != nil {
			s.registered.undo()
			err = errors.Join(err, lock.Release())
		}
	}()

	options := cfg.options()
	options.SeriesLifecycleCallback = s.cache
	s.db, err = tsdb.Open(cfg.Dir, cfg.Logger, s.registered.registerer(), options, nil)
	if err != nil {
		return nil, fmt.Errorf("open embedded time series in %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// use keeps the store open until the function it returns is called.
func (s *Store) use() (release func(), err error) {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, telemetry.ErrClosed
	}
	return s.mu.RUnlock, nil
}

// Close waits for the calls in progress, stops the compaction, and writes everything out. Closing
// again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := errors.Join(s.db.Close(), s.lock.Release())
	s.registered.undo()
	if err != nil {
		return fmt.Errorf("close embedded time series in %s: %w", s.db.Dir(), err)
	}
	return nil
}
