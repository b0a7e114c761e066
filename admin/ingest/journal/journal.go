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

	"kioskfleet/internal/diskspace"
	"kioskfleet/internal/durablefile"
)

// Errors of Append. After each of them nothing was acknowledged and the record may be appended again later.
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
	// First is the number of a new journal's first record. The default comes from the clock, so that the
	// records of a journal made anew never have the numbers of an earlier one, which others remember.
	First uint64
	Free  func(dir string) (int64, error) // free bytes of the disk; default: what the system says
	Log   *slog.Logger                    // default: silence
}

func (c Config) withDefaults() Config {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = 10 << 30
	}
	c.SegmentBytes = max(c.SegmentBytes, minSegment)
	c.MaxBytes = max(c.MaxBytes, 2*c.SegmentBytes)
	if c.MinFreeBytes <= 0 {
		c.MinFreeBytes = 256 << 20
	}
	if c.KeepFor <= 0 {
		c.KeepFor = 3 * time.Hour
	}
	if c.Free == nil {
		c.Free = diskspace.Free
	}
	if c.First == 0 {
		c.First = uint64(time.Now().UnixMicro())
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// minSegment holds a block of the largest record.
const minSegment = MaxRecordBytes + 1024

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	cfg   Config
	codec *codec

	mu       sync.Mutex
	pending  *batch     // what the next flush takes
	room     *sync.Cond // a flush has taken what was pending
	spare    [][]byte   // memory of parts that were written, to be used again
	flushing bool
	closed   bool
	flushes  sync.WaitGroup

	// The flush that runs owns traffic, file, end and block; everything else here is guarded by mu.
	traffic  traffic
	file     *os.File   // newest segment, nil before the first append and after a failure
	end      int64      // where the next block goes in it
	block    []byte     // what is written next
	segments []*segment // oldest first, the newest last
	next     uint64     // number of the next record; records below it are on disk
	grown    chan struct{}
	readers  map[string]*Reader
	refusal  error // of the latest flush, nil when it succeeded
	commits  uint64
	spent    time.Duration // on all commits

	spaceChecked time.Time
	spaceLeft    bool
}

// batch is a group of records that shares one write and one sync.
type batch struct {
	parts []part
	size  int
	count uint64
	done  chan struct{}
	first uint64 // number of its first record; read after done
	err   error  // read after done
}

// part is what becomes one block.
type part struct {
	records []byte
	count   int
}

// maxBatch bounds the records that wait for a flush; more appends wait before they are taken in.
const maxBatch = 8 << 20

func newBatch() *batch { return &batch{done: make(chan struct{})} }

// add takes a record in and returns its index; room gives memory for another part.
func (b *batch) add(record []byte, room func() []byte) (index uint64) {
	if n := len(b.parts); n == 0 || len(b.parts[n-1].records) >= blockBytes {
		b.parts = append(b.parts, part{records: room()})
	}
	p := &b.parts[len(b.parts)-1]
	p.records = appendRecord(p.records, record)
	p.count++
	b.size += len(record)
	b.count++
	return b.count - 1
}

// maxSpare bounds the parts whose memory is kept: those of the batch that is written and of the next.
const maxSpare = 4

// takeSpare returns memory for a part. The lock is held.
func (j *Journal) takeSpare() []byte {
	n := len(j.spare)
	if n == 0 {
		return nil
	}
	room := j.spare[n-1]
	j.spare = j.spare[:n-1]
	return room
}

// keepSpare takes the memory of a batch that was written. The lock is held.
func (j *Journal) keepSpare(b *batch) {
	for i := range b.parts {
		if room := b.parts[i].records; len(j.spare) < maxSpare && cap(room) <= 2*blockBytes {
			j.spare = append(j.spare, room[:0])
		}
	}
	b.parts = nil
}

// Open opens the journal in a folder, making it if needed. A torn write at the end, from a crash in the
// middle of it, is cut off: it was never acknowledged. Damaged blocks with good ones behind them are
// passed over and logged as errors.
func Open(cfg Config) (*Journal, error) {
	cfg = cfg.withDefaults()
	fail := func(err error) (*Journal, error) { return nil, fmt.Errorf("open the journal: %w", err) }
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fail(err)
	}
	codec, err := newCodec()
	if err != nil {
		return fail(err)
	}
	segments, err := listSegments(cfg.Dir)
	if err != nil {
		return fail(err)
	}
	j := &Journal{
		cfg: cfg, codec: codec, pending: newBatch(), segments: segments, next: cfg.First,
		grown: make(chan struct{}), readers: map[string]*Reader{},
	}
	j.room = sync.NewCond(&j.mu)
	for i, s := range segments {
		if i+1 < len(segments) {
			s.count = segments[i+1].first - s.first
			continue
		}
		if err := j.recoverTail(s); err != nil {
			return fail(err)
		}
	}
	beyond, err := newestPosition(cfg.Dir)
	if err != nil {
		return fail(err)
	}
	if beyond > j.next && len(segments) > 0 {
		cfg.Log.Error("journal has lost records that its readers had already", "first", j.next, "records", beyond-j.next)
	}
	if beyond > j.next {
		// Numbers are never used twice. The next segment begins with the right one, and readers pass over
		// those that are gone.
		if n := len(segments); n > 0 {
			segments[n-1].count = beyond - segments[n-1].first
		}
		j.next = beyond
		j.abandon()
	}
	return j, nil
}

// recoverTail finds the end of the newest segment and makes it ready for more.
func (j *Journal) recoverTail(s *segment) error {
	found, err := scanSegment(s.path, s.first)
	if err != nil {
		return err
	}
	if found.damaged > 0 {
		j.cfg.Log.Error("journal is damaged, records are lost", "segment", s.path, "places", found.damaged, "records", found.lost)
	}
	s.count, s.written, s.lastAt = found.next-s.first, found.end, time.Now()
	j.next = found.next
	f, err := os.OpenFile(s.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	// Cut what follows: a later crash must not find an old block behind a new one.
	if err = f.Truncate(found.end); err == nil {
		if err = preallocate(f, j.cfg.SegmentBytes); err == nil {
			if _, err = f.WriteAt(magic, 0); err == nil {
				err = f.Sync()
			}
		}
	}
	if err != nil {
		// No room to go on in this file; the next append begins another one.
		j.cfg.Log.Warn("journal segment cannot be continued", "segment", s.path, "error", err)
		return f.Close()
	}
	j.file, j.end, s.size = f, found.end, j.cfg.SegmentBytes
	return nil
}

// Append stores a record and returns its number once it is on disk.
func (j *Journal) Append(record []byte) (number uint64, err error) {
	if len(record) == 0 || len(record) > MaxRecordBytes {
		return 0, fmt.Errorf("journal: a record of %d bytes; 1 to %d are allowed", len(record), MaxRecordBytes)
	}
	j.mu.Lock()
	for j.pending.size >= maxBatch && !j.closed {
		j.room.Wait()
	}
	if j.closed {
		j.mu.Unlock()
		return 0, ErrClosed
	}
	b := j.pending
	index := b.add(record, j.takeSpare)
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
		if j.pending.count == 0 {
			j.flushing = false
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		gathered := j.gather()
		j.mu.Lock()
		b := j.pending
		j.pending = newBatch()
		j.room.Broadcast()
		first := j.next
		j.mu.Unlock()

		began := time.Now()
		j.traffic.note(b.count, gathered, began)
		b.first, b.err = first, j.write(b, first)
		j.mu.Lock()
		j.keepSpare(b)
		j.refusal = b.err
		if b.err == nil {
			j.commits++
			j.spent += time.Since(began)
			j.next += b.count
			s := j.segments[len(j.segments)-1]
			s.count, s.written, s.lastAt = j.next-s.first, j.end, time.Now()
			close(j.grown)
			j.grown = make(chan struct{})
		}
		j.mu.Unlock()
		close(b.done)
	}
}

// maxKeptBlock bounds the buffer that is kept from one flush to the next.
const maxKeptBlock = 4 << 20

// write brings a batch to disk. After a failed write or sync the file is never trusted again: the next
// batch begins a new one, and readers take no more from the old one than was acknowledged.
func (j *Journal) write(b *batch, first uint64) error {
	if !j.hasSpace() {
		return ErrSpace
	}
	if cap(j.block) > maxKeptBlock {
		j.block = nil
	}
	j.block = j.block[:0]
	number := first
	for _, p := range b.parts {
		j.block = j.codec.appendBlock(j.block, p.records, number, p.count)
		number += uint64(p.count)
	}
	if j.file == nil || j.end+int64(len(j.block)) > j.cfg.SegmentBytes {
		if err := j.rotate(first); err != nil {
			return err
		}
	}
	_, err := j.file.WriteAt(j.block, j.end)
	if err == nil {
		err = datasync(j.file)
	}
	if err != nil {
		j.cfg.Log.Error("journal segment failed, going on in another", "error", err)
		j.abandon()
		return fmt.Errorf("%w: %w", ErrSpace, err)
	}
	j.end += int64(len(j.block))
	return nil
}

// abandon lets go of the newest segment; what it holds stays readable.
func (j *Journal) abandon() {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
}

// rotate begins a new segment for the record with that number.
func (j *Journal) rotate(first uint64) error {
	j.mu.Lock()
	j.dropRead(false)
	full := j.bytes()+j.cfg.SegmentBytes > j.cfg.MaxBytes
	j.mu.Unlock()
	if full {
		return ErrFull
	}
	path := segmentPath(j.cfg.Dir, first)
	// One batch may be larger than a segment usually is.
	size := max(j.cfg.SegmentBytes, int64(len(magic)+len(j.block)))
	f, err := createSegment(path, size)
	if err == nil {
		if err = durablefile.SyncDir(j.cfg.Dir); err != nil {
			_ = f.Close()
			_ = os.Remove(path)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpace, err)
	}
	j.seal()
	j.file, j.end = f, int64(len(magic))
	j.mu.Lock()
	defer j.mu.Unlock()
	// A segment that failed before its first record has the same number and is this file now.
	j.segments = slices.DeleteFunc(j.segments, func(s *segment) bool { return s.first == first })
	j.segments = append(j.segments, &segment{path: path, first: first, lastAt: time.Now(), written: j.end, size: size})
	return nil
}

// seal gives back what the newest segment was preallocated and does not need.
func (j *Journal) seal() {
	if j.file == nil {
		return
	}
	err := j.file.Truncate(j.end)
	j.abandon()
	if err != nil {
		return // it only takes more room than it needs
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments[len(j.segments)-1].size = j.end
}

// spaceEvery spaces the looks at the disk's free space.
const spaceEvery = 200 * time.Millisecond

func (j *Journal) hasSpace() bool {
	if now := time.Now(); now.Sub(j.spaceChecked) > spaceEvery {
		j.spaceChecked = now
		if j.spaceLeft = j.enoughFree(); !j.spaceLeft {
			// What was read is kept only where there is room for it.
			j.mu.Lock()
			dropped := j.dropRead(true)
			j.mu.Unlock()
			j.spaceLeft = dropped && j.enoughFree()
		}
	}
	return j.spaceLeft
}

func (j *Journal) enoughFree() bool {
	free, err := j.cfg.Free(j.cfg.Dir)
	return err != nil || free >= j.cfg.MinFreeBytes
}

// bytes is what all segments take on disk. The lock is held.
func (j *Journal) bytes() (sum int64) {
	for _, s := range j.segments {
		sum += s.size
	}
	return sum
}

// dropRead removes the oldest segments that every reader is past, once they are KeepFor old, or when the
// journal or the disk needs their room. It reports whether there were any. The lock is held.
func (j *Journal) dropRead(need bool) (dropped bool) {
	oldest := j.next
	for _, r := range j.readers {
		oldest = min(oldest, r.committed)
	}
	for len(j.segments) > 1 {
		s := j.segments[0]
		tight := need || j.bytes()+j.cfg.SegmentBytes > j.cfg.MaxBytes/2
		if j.segments[1].first > oldest || !tight && time.Since(s.lastAt) < j.cfg.KeepFor {
			break
		}
		if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			j.cfg.Log.Error("journal segment not removed", "segment", s.path, "error", err)
			break
		}
		j.segments = j.segments[1:]
		dropped = true
	}
	return dropped
}

// Stats says how the journal does.
type Stats struct {
	First, Next uint64            // numbers of the oldest record and of the next one
	Bytes       int64             // on disk, with what is preallocated
	Used        int64             // of them, that hold records
	MaxBytes    int64             // allowed
	Behind      map[string]uint64 // records that each reader has not committed
	Refusal     error             // why the latest append was refused; nil when it was taken
	Commits     uint64            // since the journal was opened
	CommitTime  time.Duration     // of all of them
}

// Stats returns the journal's present state.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{First: j.next, Next: j.next, Bytes: j.bytes(), MaxBytes: j.cfg.MaxBytes, Behind: map[string]uint64{}, Refusal: j.refusal, Commits: j.commits, CommitTime: j.spent}
	if len(j.segments) > 0 {
		s.First = j.segments[0].first
	}
	for _, one := range j.segments {
		s.Used += one.written
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
	j.room.Broadcast()
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
