// Package outbox keeps what kiosks have to say on disk until the broker has acknowledged it. A Log is
// one folder, shared by all kiosks of a process; a Box is one kiosk's part of it. What Add has taken
// survives the end of the process, however it ends. See docs/adr/0009-kiosk-outbox.md.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/filelock"
)

// Config describes a log. Dir is required.
type Config struct {
	Dir string
	// SegmentBytes is how large a segment grows before the next one begins; default 4 MiB.
	SegmentBytes int64
	Log          *slog.Logger
}

const (
	defaultSegmentBytes = 4 << 20
	// maxSegmentBytes bounds a segment whose successor cannot be made.
	maxSegmentBytes = 1 << 30
	// maxMemory bounds the payloads, in bytes, that wait in memory while the disk refuses them. Beyond
	// it a kiosk's oldest waiting reading is dropped.
	maxMemory = 8 << 20
	// maxKept bounds the payloads, in bytes, that are kept in memory besides on disk, so that a reading
	// that is sent at once is not read back.
	maxKept = 4 << 20
	// maxChunk bounds one write, in bytes, apart from a last record that exceeds it.
	maxChunk = 1 << 20

	doneDelay    = 100 * time.Millisecond // until ends are written at the latest
	syncInterval = time.Second
	retryDelay   = time.Second // after the disk refused a write
)

// ErrClosed is what a Log and its Boxes give after Close.
var ErrClosed = errors.New("the outbox is closed")

// ErrInUse is what Open gives while another process has the folder.
var ErrInUse = errors.New("it is in use by another process, or by another part of this one")

// Log is the outbox of all kiosks of a process: segments of records in one folder. Open it, run Run in
// the background, Close it in the end. Safe for concurrent use.
type Log struct {
	cfg  Config
	log  *slog.Logger
	lock *os.File
	open func(path string) (file, error) // tests replace it

	// work holds a token when Run has something to do.
	work chan struct{}

	mu    sync.Mutex // guards the rest, the boxes and the segments
	boxes map[string]*Box
	// segments are in order of age; the last one, the head, is written to.
	segments []*segment
	// pending holds encoded ends of items; to lose them means that something is sent again.
	pending []byte
	waiting []*Box // with something to write besides
	buffer  []byte // of flush
	places  []place
	memory  int64 // bytes of payloads that are in memory only
	kept    int64 // bytes of payloads that are in memory besides
	// failing says that the disk refused the last write; retryAt is when to try again.
	failing bool
	retryAt time.Time
	closed  bool
}

// Open opens the log of a folder, which it makes if there is none, and finds what was left in it. A torn
// end of the newest segment is cut off. A damaged record costs the rest of its segment, which is logged.
//
// Errors: the folder cannot be made, read or written, is in use (ErrInUse), or is of another version; they
// name it.
func Open(cfg Config) (*Log, error) { return open(cfg, openFile) }

func open(cfg Config, openFile func(string) (file, error)) (*Log, error) {
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = defaultSegmentBytes
	}
	cfg.SegmentBytes = min(cfg.SegmentBytes, maxSegmentBytes)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{
		cfg: cfg, log: cfg.Log.With("outbox", cfg.Dir), open: openFile,
		work: make(chan struct{}, 1), boxes: map[string]*Box{},
	}
	if err := l.start(); err != nil {
		l.release()
		return nil, fmt.Errorf("open the outbox %s: %w", cfg.Dir, err)
	}
	return l, nil
}

func (l *Log) start() error {
	if err := os.MkdirAll(l.cfg.Dir, 0o700); err != nil {
		return err
	}
	var err error
	l.lock, err = filelock.Try(filepath.Join(l.cfg.Dir, "lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return ErrInUse
	}
	if err != nil {
		return err
	}
	if err := l.recover(); err != nil {
		return err
	}
	if len(l.segments) == 0 || l.segments[len(l.segments)-1].sealed {
		// Not only when there is something to write: a folder that cannot be used is told now.
		return l.roll()
	}
	return nil
}

// release closes all files.
func (l *Log) release() {
	for _, s := range l.segments {
		if s.file != nil {
			_ = s.file.Close()
		}
	}
	if l.lock != nil {
		_ = l.lock.Close()
	}
}

// Run does the work that can wait, until ctx ends: it brings records to the platter about once a second,
// deletes and compacts segments, and tries again what the disk refused. Without it a log works but is
// not tidied. It returns nil.
func (l *Log) Run(ctx context.Context) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	synced := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.work:
		}
		pause.Reset(doneDelay)
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		l.mu.Lock()
		_ = l.flush() // logged there, and tried again
		l.mu.Unlock()
		l.tidy()
		if time.Since(synced) >= syncInterval {
			_ = l.sync() // logged there
			synced = time.Now()
		}
		if l.busy() {
			signal(l.work)
		}
	}
}

// During calls work with Run in the background, and closes the log when work has returned.
//
// Errors: that of work, and that of Close.
func (l *Log) During(work func() error) error {
	ctx, stop := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { _ = l.Run(ctx) })
	err := work()
	stop()
	background.Wait()
	return errors.Join(err, l.Close())
}

// busy reports whether there is work left that no further Add or Done has to announce.
func (l *Log) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failing || len(l.toSync()) > 0
}

// Close writes what is in memory, brings it to disk, and gives the folder free. End Run before.
//
// Errors: something could not be written; it is lost.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.retryAt = time.Time{}
	err := l.flush()
	l.closed = true
	l.mu.Unlock()
	if err == nil {
		err = l.sync()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
	if err != nil {
		return fmt.Errorf("close the outbox %s: %w", l.cfg.Dir, err)
	}
	return nil
}

// head returns the segment to write to, nil if there is none.
func (l *Log) head() *segment {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

// roll begins a new segment.
func (l *Log) roll() error {
	number := uint64(1)
	if h := l.head(); h != nil {
		number = h.number + 1
	}
	s, err := newSegment(l.cfg.Dir, number, l.open)
	if err != nil {
		return fmt.Errorf("make a segment: %w", err)
	}
	l.segments = append(l.segments, s)
	return nil
}

// write appends encoded records to the head and returns where they begin.
func (l *Log) write(data []byte) (*segment, int64, error) {
	h := l.head()
	if h == nil || h.sealed || h.size >= l.cfg.SegmentBytes {
		if err := l.roll(); err != nil && (h == nil || h.sealed || h.size >= maxSegmentBytes) {
			return nil, 0, err
		}
		h = l.head()
	}
	if _, err := h.file.WriteAt(data, h.size); err != nil {
		// A part may be there; records must not begin behind it.
		h.sealed = h.file.Truncate(h.size) != nil
		return nil, 0, err
	}
	at := h.size
	h.size += int64(len(data))
	h.unsynced = true
	return h, at, nil
}

// toSync returns the segments that a loss of power would harm. Those that hold nothing live do not
// matter: while everything is acknowledged at once, nothing is ever synced.
func (l *Log) toSync() (list []*segment) {
	for _, s := range l.segments {
		if s.unsynced && s.live > 0 {
			list = append(list, s)
		}
	}
	return list
}

// sync brings live records to disk. A segment that fails to sync is not written to again; its records
// are checked when they are read.
func (l *Log) sync() error {
	l.mu.Lock()
	list := l.toSync()
	unlisted := false
	for _, s := range list {
		s.unsynced = false
		unlisted = unlisted || s.unlisted
	}
	l.mu.Unlock()
	var failed error
	for _, s := range list {
		err := s.file.Sync()
		if err == nil || errors.Is(err, os.ErrClosed) { // closed: tidied meanwhile
			continue
		}
		failed = errors.Join(failed, fmt.Errorf("sync %s: %w", s.path, err))
		l.mu.Lock()
		s.sealed = true
		l.mu.Unlock()
	}
	if unlisted {
		err := durablefile.SyncDir(l.cfg.Dir)
		failed = errors.Join(failed, err)
		l.mu.Lock()
		for _, s := range list {
			s.unlisted = err != nil
		}
		l.mu.Unlock()
	}
	if failed != nil {
		l.log.Error("the outbox could not be synced; a loss of power may cost what it holds", "error", failed)
	}
	return failed
}

// signal leaves a token in a channel that holds at most one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
