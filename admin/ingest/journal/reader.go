package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kioskfleet/internal/durablefile"
)

// Reader reads the journal from its own durable position. Its methods are for one goroutine.
type Reader struct {
	journal   *Journal
	name      string
	committed uint64 // guarded by journal.mu: everything before it is done

	number  uint64 // of the next record
	records []byte // what is left of the block that was read last
	buf     []byte // holds the records

	file     *os.File
	at       int64  // where the next block is in the file
	window   []byte // bytes of the file that were read ahead
	windowAt int64  // where they are in the file
}

const cursorSuffix = ".cursor"

func cursorPath(dir, name string) string { return filepath.Join(dir, name+cursorSuffix) }

// position reads a position file. A file that holds no number is taken for none: then the reader begins
// with the oldest record, and since all work on records may be repeated, no harm is done.
func position(path string) (number uint64, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	number, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, nil //nolint:nilerr // see above
	}
	return number, nil
}

// newestPosition returns the largest position of all readers that ever were.
func newestPosition(dir string) (newest uint64, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+cursorSuffix))
	if err != nil {
		return 0, err
	}
	for _, path := range files {
		number, err := position(path)
		if err != nil {
			return 0, err
		}
		newest = max(newest, number)
	}
	return newest, nil
}

// Reader returns the reader of that name, at the position it last committed; a new one begins with the
// oldest record that is kept.
func (j *Journal) Reader(name string) (*Reader, error) {
	number, err := position(cursorPath(j.cfg.Dir, name))
	if err != nil {
		return nil, fmt.Errorf("journal reader %s: %w", name, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.oldest()
	if number > 0 && number < oldest {
		j.cfg.Log.Error("journal lost records before a reader had them", "reader", name, "first", number, "records", oldest-number)
	}
	number = min(max(number, oldest), j.next)
	r := &Reader{journal: j, name: name, committed: number, number: number}
	j.readers[name] = r
	return r, nil
}

// oldest is the number of the oldest record. The lock is held.
func (j *Journal) oldest() uint64 {
	if len(j.segments) > 0 {
		return j.segments[0].first
	}
	return j.next
}

// Browse returns a reader for whoever only looks: it has no position on disk, keeps nothing from being dropped and
// must not commit. It begins with the first record that may have come at or after a time, or earlier; what is
// dropped before it gets there is an error of Next.
func (j *Journal) Browse(name string, since time.Time) *Reader {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &Reader{journal: j, name: name, number: j.next}
	for i, s := range j.segments {
		if i == len(j.segments)-1 || !s.lastAt.Before(since) {
			r.number = s.first
			break
		}
	}
	return r
}

// Position returns the number of the record that Next returns next.
func (r *Reader) Position() uint64 { return r.number }

// Ready returns how many records Next would return without waiting.
func (r *Reader) Ready() uint64 {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.journal.next - r.number
}

// Next waits for the next record and returns it with its number. The record is good until the next
// call. Errors: ErrClosed, ctx's, or what reading the disk says. A damaged block is passed over with its
// records, and that is logged as an error.
func (r *Reader) Next(ctx context.Context) (record []byte, number uint64, err error) {
	for {
		if err := r.await(ctx); err != nil {
			return nil, 0, err
		}
		if len(r.records) == 0 {
			if err := r.load(); err != nil {
				return nil, 0, fmt.Errorf("journal reader %s at %d: %w", r.name, r.number, err)
			}
			continue // what was skipped may have been all
		}
		if record, r.records, err = nextRecord(r.records); err != nil {
			return nil, 0, fmt.Errorf("journal reader %s at %d: %w", r.name, r.number, err)
		}
		r.number++
		return record, r.number - 1, nil
	}
}

// await returns once there is a record to read.
func (r *Reader) await(ctx context.Context) error {
	j := r.journal
	for {
		j.mu.Lock()
		ready, closed, grown := r.number < j.next, j.closed, j.grown
		j.mu.Unlock()
		switch {
		case ready:
			return nil
		case closed:
			return ErrClosed
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// load reads the block that holds the reader's number, or moves the number on to where there is one.
func (r *Reader) load() error {
	s, err := r.enter()
	if err != nil {
		return err
	}
	for {
		if r.at >= s.written {
			r.skipTo(s.first + s.count)
			return nil
		}
		block, err := r.ahead(blockHeader, s.written)
		var h header
		if err == nil {
			h, err = parseHeader(block)
		}
		if err == nil && h.first >= s.first+s.count {
			// Written, but its sync failed: the next segment begins with that number.
			r.at = s.written
			continue
		}
		if err == nil {
			if block, err = r.ahead(h.size(), s.written); err == nil {
				if err = h.check(block); err == nil && h.first+uint64(h.count) <= r.number {
					r.at += int64(h.size())
					continue
				}
			}
		}
		if err == nil {
			r.buf, err = r.journal.codec.records(h, block, r.buf)
		}
		switch {
		case err == nil:
			r.at += int64(h.size())
			r.skipTo(h.first)
			r.records = r.buf
			for number := h.first; number < r.number; number++ {
				if _, r.records, err = nextRecord(r.records); err != nil {
					return err
				}
			}
			return nil
		case errors.Is(err, errCorrupt), errors.Is(err, errEnd):
			if err := r.passDamage(s.written); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// enter opens the segment that holds the reader's number, unless it is open, and returns its bounds.
func (r *Reader) enter() (segment, error) {
	j := r.journal
	j.mu.Lock()
	var s segment
	for _, candidate := range j.segments {
		if candidate.first <= r.number {
			s = *candidate
		}
	}
	j.mu.Unlock()
	if s.path == "" {
		return s, errors.New("its segment is gone")
	}
	if r.file != nil && r.file.Name() == s.path {
		return s, nil
	}
	r.Close()
	f, err := os.Open(s.path)
	if err != nil {
		return s, err
	}
	r.file, r.at = f, int64(len(magic))
	return s, nil
}

// readAhead is how much of a segment is read at a time.
const readAhead = 256 << 10

// ahead returns the next n bytes of the segment, of which end bytes are written. They are good until the
// next call.
func (r *Reader) ahead(n int, end int64) ([]byte, error) {
	if have := r.windowAt + int64(len(r.window)) - r.at; r.at < r.windowAt || have < int64(n) {
		want := min(max(int64(n), readAhead), end-r.at)
		if want < int64(n) {
			return nil, errCorrupt // a length that reaches beyond what was written
		}
		r.window = slices.Grow(r.window[:0], int(want))[:want]
		r.windowAt = r.at
		read, err := r.file.ReadAt(r.window, r.at)
		r.window = r.window[:read]
		if read < n {
			if errors.Is(err, io.EOF) {
				err = errCorrupt // the file was cut
			}
			return nil, err
		}
	}
	return r.window[r.at-r.windowAt:], nil
}

// passDamage goes on with the next good block of the segment, or to its end.
func (r *Reader) passDamage(end int64) error {
	rest := make([]byte, end-r.at)
	n, err := r.file.ReadAt(rest, r.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	skip := findBlock(rest[:n], r.number)
	if skip < 0 {
		r.at = end
		return nil
	}
	r.at += int64(skip)
	return nil
}

// skipTo passes over records that are not there.
func (r *Reader) skipTo(number uint64) {
	if number > r.number {
		r.journal.cfg.Log.Error("journal is damaged, records are lost", "reader", r.name, "segment", r.file.Name(), "first", r.number, "records", number-r.number)
		r.number = number
	}
}

// Commit says that everything up to and including the record with that number is done; the position
// is on disk when it returns.
func (r *Reader) Commit(number uint64) error {
	if err := r.store(number + 1); err != nil {
		return err
	}
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	r.committed = max(r.committed, number+1)
	return nil
}

// Return goes back to the committed position.
func (r *Reader) Return() {
	r.journal.mu.Lock()
	number := r.committed
	r.journal.mu.Unlock()
	r.Close()
	r.number = number
}

// Rewind goes back to the oldest record that is kept, in any case; without an error the new position is on
// disk when it returns.
func (r *Reader) Rewind() error {
	j := r.journal
	j.mu.Lock()
	r.committed = j.oldest() // from here on nothing more is dropped
	j.mu.Unlock()
	r.Return()
	return r.Keep()
}

// Keep stores the committed position again, for a Rewind that could not.
func (r *Reader) Keep() error {
	r.journal.mu.Lock()
	number := r.committed
	r.journal.mu.Unlock()
	return r.store(number)
}

func (r *Reader) store(number uint64) error {
	if err := durablefile.Write(cursorPath(r.journal.cfg.Dir, r.name), []byte(strconv.FormatUint(number, 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("journal reader %s: %w", r.name, err)
	}
	return nil
}

// Close lets go of the reader's file; its position stays.
func (r *Reader) Close() {
	r.records, r.window, r.windowAt = nil, nil, 0
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}
