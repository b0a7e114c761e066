// Package journal is an append-only log on disk in front of everything that works on readings: a record
// is on disk when Append returns, whoever was waiting shares the sync, and each consumer reads at its
// own pace from its own durable position. See docs/adr/0007-journal.md.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"kioskfleet/internal/durablefile"
)

// Errors of Append. After each of them nothing was stored and the record may be appended again later.
var (
	ErrFull   = errors.New("the journal is full: a consumer is behind")
	ErrSpace  = errors.New("the disk is too full for the journal")
	ErrClosed = errors.New("the journal is closed")
)

// MaxRecordBytes bounds one record.
const MaxRecordBytes = 1 << 20

// Config says how to keep a journal. Only Dir is required.
type Config struct {
	Dir          string
	SegmentBytes int64         // size of a file; default 64 MiB
	MaxBytes     int64         // all files together, at least two segments; default 10 GiB
	MinFreeBytes int64         // refuse below this much free disk; default 256 MiB
	KeepFor      time.Duration // keep what all consumers have read for as long; default 3 h
	Log          *slog.Logger  // default: silence
}

func (c Config) withDefaults() Config {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 10 << 30
	}
	c.SegmentBytes = max(c.SegmentBytes, MaxRecordBytes+headerBytes)
	c.MaxBytes = max(c.MaxBytes, 2*c.SegmentBytes)
	if c.MinFreeBytes <= 0 {
		c.MinFreeBytes = 256 << 20
	}
	if c.KeepFor <= 0 {
		c.KeepFor = 3 * time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	cfg Config

	mu       sync.Mutex
	pending  *batch // what the next flush takes
	flushing bool
	closed   bool
	flushes  sync.WaitGroup

	// The flush that runs owns file and end; everything else here is guarded by mu.
	file     *os.File   // newest segment, nil before the first append and after a failure
	end      int64      // where the next record goes in it
	segments []*segment // oldest first, the newest last
	next     uint64     // number of the next record; records below it are on disk
	grown    chan struct{}
	readers  map[string]*Reader

	spaceChecked time.Time
	spaceLeft    bool
}

// segment is one file; it holds the records [first, first+count).
type segment struct {
	path    string
	first   uint64
	count   uint64
	lastAt  time.Time // of its newest record
	written int64     // bytes of records; the file itself is preallocated
}

// batch is a group of records that shares one write and one sync.
type batch struct {
	buf   []byte
	count uint64
	done  chan struct{}
	first uint64 // number of its first record; read after done
	err   error  // read after done
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// Open opens the journal in a folder, making it if needed. A torn record at the end, from a crash in
// the middle of a write, is cut off: it was never acknowledged.
func Open(cfg Config) (*Journal, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	segments, err := listSegments(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &Journal{cfg: cfg, pending: newBatch(), segments: segments, next: 1, grown: make(chan struct{}), readers: map[string]*Reader{}}
	for i, s := range segments {
		if i+1 < len(segments) {
			s.count = segments[i+1].first - s.first
			continue
		}
		if err := j.recoverTail(s); err != nil {
			return nil, fmt.Errorf("open the journal: %w", err)
		}
	}
	return j, nil
}

// recoverTail finds the end of the newest segment and makes it ready for more.
func (j *Journal) recoverTail(s *segment) error {
	count, end, err := scanSegment(s.path, s.first)
	if err != nil {
		return err
	}
	s.count, s.written, s.lastAt = count, end, time.Now()
	j.next = s.first + count
	f, err := os.OpenFile(s.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	// Cut what follows: a later crash must not find an old record behind a new one.
	if err = f.Truncate(end); err == nil {
		if err = preallocate(f, j.cfg.SegmentBytes); err == nil {
			err = f.Sync()
		}
	}
	if err != nil {
		// No room to go on in this file; the next append begins another one.
		j.cfg.Log.Warn("journal segment cannot be continued", "segment", s.path, "error", err)
		return f.Close()
	}
	j.file, j.end = f, end
	return nil
}

// Append stores a record and returns its number once it is on disk.
func (j *Journal) Append(record []byte) (number uint64, err error) {
	if len(record) == 0 || len(record) > MaxRecordBytes {
		return 0, fmt.Errorf("journal: a record of %d bytes; 1 to %d are allowed", len(record), MaxRecordBytes)
	}
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return 0, ErrClosed
	}
	b := j.pending
	index := b.count
	b.buf = appendRecord(b.buf, record)
	b.count++
	if !j.flushing {
		j.flushing = true
		j.flushes.Go(j.flush)
	}
	j.mu.Unlock()
	<-b.done
	if b.err != nil {
		return 0, b.err
	}
	return b.first + index, nil
}

// flush writes batches until nothing waits.
func (j *Journal) flush() {
	for {
		j.mu.Lock()
		b := j.pending
		if b.count == 0 {
			j.flushing = false
			j.mu.Unlock()
			return
		}
		j.pending = newBatch()
		first := j.next
		j.mu.Unlock()

		seal(b.buf, first)
		b.first, b.err = first, j.write(b, first)
		if b.err == nil {
			j.mu.Lock()
			j.next += b.count
			s := j.segments[len(j.segments)-1]
			s.count, s.written, s.lastAt = s.count+b.count, j.end, time.Now()
			grown := j.grown
			j.grown = make(chan struct{})
			j.mu.Unlock()
			close(grown)
		}
		close(b.done)
	}
}

// write brings a batch to disk. After a failed write or sync the file is never trusted again: the next
// batch begins a new one, and readers take no more from the old one than was acknowledged.
func (j *Journal) write(b *batch, first uint64) error {
	if !j.hasSpace() {
		return ErrSpace
	}
	if j.file == nil || j.end+int64(len(b.buf)) > j.cfg.SegmentBytes {
		if err := j.rotate(first); err != nil {
			return err
		}
	}
	_, err := j.file.WriteAt(b.buf, j.end)
	if err == nil {
		err = datasync(j.file)
	}
	if err != nil {
		j.cfg.Log.Error("journal segment failed, going on in another", "error", err)
		_ = j.file.Close()
		j.file = nil
		return fmt.Errorf("%w: %w", ErrSpace, err)
	}
	j.end += int64(len(b.buf))
	return nil
}

// rotate begins a new segment for the record with that number.
func (j *Journal) rotate(first uint64) error {
	j.mu.Lock()
	j.dropRead()
	full := int64(len(j.segments)+1)*j.cfg.SegmentBytes > j.cfg.MaxBytes
	j.mu.Unlock()
	if full {
		return ErrFull
	}
	path := segmentPath(j.cfg.Dir, first)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpace, err)
	}
	if err = preallocate(f, j.cfg.SegmentBytes); err == nil {
		if err = f.Sync(); err == nil {
			err = durablefile.SyncDir(j.cfg.Dir)
		}
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return fmt.Errorf("%w: %w", ErrSpace, err)
	}
	if j.file != nil {
		_ = j.file.Close()
	}
	j.file, j.end = f, 0
	j.mu.Lock()
	defer j.mu.Unlock()
	// A segment that failed before its first record has the same number and is this file now.
	j.segments = slices.DeleteFunc(j.segments, func(s *segment) bool { return s.first == first })
	j.segments = append(j.segments, &segment{path: path, first: first, lastAt: time.Now()})
	return nil
}

// spaceEvery spaces the looks at the disk's free space.
const spaceEvery = time.Second

func (j *Journal) hasSpace() bool {
	if now := time.Now(); now.Sub(j.spaceChecked) > spaceEvery {
		free, err := freeBytes(j.cfg.Dir)
		j.spaceLeft, j.spaceChecked = err != nil || free >= j.cfg.MinFreeBytes, now
	}
	return j.spaceLeft
}

// dropRead removes the oldest segments that every reader is past, once they are KeepFor old or when
// the journal needs their room. The lock is held.
func (j *Journal) dropRead() {
	oldest := j.next
	for _, r := range j.readers {
		oldest = min(oldest, r.committed)
	}
	for len(j.segments) > 1 {
		s := j.segments[0]
		tight := int64(len(j.segments)+1)*j.cfg.SegmentBytes > j.cfg.MaxBytes/2
		if j.segments[1].first > oldest || !tight && time.Since(s.lastAt) < j.cfg.KeepFor {
			return
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			j.cfg.Log.Error("journal segment not removed", "segment", s.path, "error", err)
			return
		}
		j.segments = j.segments[1:]
	}
}

// Stats says how the journal does.
type Stats struct {
	First, Next uint64            // numbers of the oldest record and of the next one
	Bytes       int64             // on disk
	MaxBytes    int64             // allowed
	Behind      map[string]uint64 // records that each reader has not committed
}

// Stats returns the journal's present state.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{First: j.next, Next: j.next, Bytes: int64(len(j.segments)) * j.cfg.SegmentBytes, MaxBytes: j.cfg.MaxBytes, Behind: map[string]uint64{}}
	if len(j.segments) > 0 {
		s.First = j.segments[0].first
	}
	for name, r := range j.readers {
		s.Behind[name] = j.next - r.committed
	}
	return s
}

// Close waits for the appends under way and closes the journal. Readers end with ErrClosed.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	j.flushes.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.grown)
	if j.file != nil {
		return j.file.Close()
	}
	return nil
}
