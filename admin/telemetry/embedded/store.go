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
	"cmp"
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
	"kioskfleet/internal/diskspace"
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

	// MinFreeBytes is how much of the disk must be free: below it Check asks to close the store, and below
	// twice of it Open waits. The TSDB ends the process when it cannot write a chunk. 0 means no bound.
	MinFreeBytes int64

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
	gate       *gate
	cache      *seriesCache
	lock       *tsdbutil.DirLocker
	registered *registrations
	minFree    int64
	lost       string
	closing    chan struct{} // closed when Close begins
	closeOnce  sync.Once     // of closing

	// mu is held for reading by every use of db, so that Close waits for them; it guards closed.
	mu     sync.RWMutex
	closed bool
}

var _ telemetry.Fragile = (*Store)(nil)

// Open opens the store in cfg.Dir, or begins a new one there; its compaction starts with the readings. It returns
// when the write-ahead log was replayed, which may take a minute with a day's log of many kiosks;
// telemetry.NewLazy keeps the rest of the program from waiting for it. A log that is damaged is repaired,
// or set aside where that is not possible; Lost then says whether something is missing.
//
// Errors: a bad Config; a folder that another process uses or that cannot be written; a
// *telemetry.RetryAfterError while the disk is too full.
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
	s := &Store{cache: newSeriesCache(), lock: lock, registered: &registrations{to: cfg.Registerer}, minFree: cfg.MinFreeBytes, closing: make(chan struct{})}
	defer func() {
		if err != nil {
			s.registered.undo()
			err = errors.Join(err, lock.Release())
		}
	}()
	if err := awaitRoom(cfg.Dir, cfg.MinFreeBytes, diskspace.Free); err != nil {
		return nil, err
	}
	if err := s.open(cfg); err != nil {
		return nil, fmt.Errorf("open embedded time series in %s: %w", cfg.Dir, err)
	}
	go s.openGate()
	return s, nil
}

// open opens the TSDB and finds out what it has lost.
func (s *Store) open(cfg Config) (err error) {
	before, known := readMarks(cfg.Dir)
	if !known {
		s.lost = "it is new"
	} else {
		s.lost = before.missing(cfg.Dir) // now: opening and repairing fills files up
	}
	// A loss that is found now may be repaired, and not to be seen again, before anybody has made up for it.
	// Until the next Sync there are marks only of a store that has lost nothing.
	if err := before.remove(cfg.Dir); err != nil {
		return err
	}
	defer func() {
		if err == nil && known && s.lost == "" {
			err = before.write(cfg.Dir)
		}
	}()
	found, err := s.openTSDB(cfg)
	if err != nil {
		// What the TSDB cannot repair by itself is in the logs of its latest hours. Without them it has
		// its blocks, and whoever keeps the readings brings the rest again.
		aside, moved := setLogsAside(cfg.Dir)
		if !moved {
			return err
		}
		if _, again := s.openTSDB(cfg); again != nil {
			return errors.Join(err, again)
		}
		cfg.Logger.Error("embedded time series: damaged logs were set aside", "to", aside, "error", err)
		s.lost = "its logs could not be read"
		return nil
	}
	if found != nil {
		// It has repaired a log, but read no further, nor the other one; and what it makes of the rest may
		// lack late points.
		if err := s.closeDB(); err != nil {
			return err
		}
		s.registered.undo()
		if _, err := s.openTSDB(cfg); err != nil {
			return err
		}
		s.lost = cmp.Or(s.lost, found.Error())
	}
	if known && s.lost != "" {
		cfg.Logger.Warn("embedded time series: points of the latest hours are lost here", "why", s.lost)
	}
	return nil
}

// openTSDB opens the TSDB and returns the first damage that it met and got over by itself.
func (s *Store) openTSDB(cfg Config) (found, err error) {
	options := cfg.options()
	options.SeriesLifecycleCallback = s.cache
	met := &damage{}
	s.gate = newGate(cfg.Dir)
	s.db, err = tsdb.Open(cfg.Dir, slog.New(&damageHandler{cfg.Logger.Handler(), met}), s.registered.registerer(), options, nil)
	if err != nil {
		s.registered.undo()
		return met.end(), err
	}
	s.db.DisableCompactions() // until the gate opens; without a reading it has had no reason to begin one
	return met.end(), nil
}

// Lost implements telemetry.Fragile.
func (s *Store) Lost() string { return s.lost }

// Check implements telemetry.Fragile.
func (s *Store) Check() error {
	if s.minFree <= 0 {
		return nil
	}
	free, err := diskspace.Free(s.dir())
	if err != nil || free >= s.minFree {
		return nil //nolint:nilerr // a disk that does not say how full it is shows it by failing writes
	}
	return fmt.Errorf("the disk of %s has only %d MB left", s.dir(), free>>20)
}

func (s *Store) dir() string { return s.db.Dir() }

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
	s.closeOnce.Do(func() { close(s.closing) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := errors.Join(s.closeDB(), s.lock.Release())
	s.registered.undo()
	if err != nil {
		return fmt.Errorf("close embedded time series in %s: %w", s.db.Dir(), err)
	}
	return nil
}

// closeDB closes the TSDB, which panics when it finds no room for what it still has to write. That is in
// its log as well, so nothing is lost.
func (s *Store) closeDB() (err error) {
	defer recovered(&err)
	return s.db.Close()
}

// recovered turns a panic of the TSDB into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &telemetry.BrokenError{Err: fmt.Errorf("panic: %v", p)}
	}
}
