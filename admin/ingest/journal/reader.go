package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kioskfleet/internal/durablefile"
)

// Reader reads the journal from its own durable position. Next and Commit are for one goroutine.
type Reader struct {
	journal   *Journal
	name      string
	committed uint64 // guarded by journal.mu: everything before it is done

	number uint64 // of the next record
	file   *os.File
	buf    *bufio.Reader
	at     int64  // where the next record is in the open segment
	limit  uint64 // number after the open segment's last record, as far as it is known
	record []byte
}

const cursorSuffix = ".cursor"

// Reader returns the reader of that name, at the position it last committed; a new one begins with the
// oldest record that is kept.
func (j *Journal) Reader(name string) (*Reader, error) {
	text, err := os.ReadFile(filepath.Join(j.cfg.Dir, name+cursorSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("journal reader %s: %w", name, err)
	}
	var number uint64
	if err == nil {
		if number, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return nil, fmt.Errorf("journal reader %s: its position %q is no number; without the file %s it begins anew", name, text, name+cursorSuffix)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if number > j.next {
		return nil, fmt.Errorf("journal reader %s: its position %d is behind the journal's end %d: the journal lost records or is another one; without the file %s it begins anew", name, number, j.next, name+cursorSuffix)
	}
	oldest := j.next
	if len(j.segments) > 0 {
		oldest = j.segments[0].first
	}
	if number > 0 && number < oldest {
		j.cfg.Log.Error("journal lost records before a reader had them", "reader", name, "first", number, "records", oldest-number)
	}
	number = max(number, oldest)
	r := &Reader{journal: j, name: name, committed: number, number: number}
	j.readers[name] = r
	return r, nil
}

// Ready reports whether Next would return a record without waiting.
func (r *Reader) Ready() bool {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return r.number < r.journal.next
}

// Next waits for the next record and returns it with its number. The record is good until the next
// call. Errors: ErrClosed, ctx's, or what reading the disk says. A damaged record is skipped with the
// rest of its segment, because nothing after it can be found, and that is logged as an error.
func (r *Reader) Next(ctx context.Context) (record []byte, number uint64, err error) {
	for {
		if err := r.await(ctx); err != nil {
			return nil, 0, err
		}
		if r.file == nil || r.number >= r.limit {
			switch err := r.open(); {
			case errors.Is(err, errCorrupt), errors.Is(err, errEnd):
				r.skipDamaged()
				continue
			case err != nil:
				return nil, 0, fmt.Errorf("journal reader %s at %d: %w", r.name, r.number, err)
			}
		}
		r.record, err = readRecord(r.buf, r.number, r.record)
		switch {
		case err == nil:
			r.number++
			r.at += headerBytes + int64(len(r.record))
			return r.record, r.number - 1, nil
		case errors.Is(err, errCorrupt), errors.Is(err, errEnd):
			r.skipDamaged()
		default:
			return nil, 0, fmt.Errorf("journal reader %s at %d: %w", r.name, r.number, err)
		}
	}
}

// await returns once there is a record to read.
func (r *Reader) await(ctx context.Context) error {
	for {
		j := r.journal
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

// open goes to the reader's number: in the segment that holds it, or in the open one, which has grown.
func (r *Reader) open() error {
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
		return errors.New("its segment is gone")
	}
	if r.file != nil && r.file.Name() == s.path {
		// What was read ahead is from before the segment grew.
		if _, err := r.file.Seek(r.at, io.SeekStart); err != nil {
			return err
		}
		r.buf.Reset(r.file)
		r.limit = s.first + s.count
		return nil
	}
	r.close()
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	r.file, r.buf, r.at, r.limit = f, bufio.NewReaderSize(f, scanBuffer), 0, s.first+s.count
	for number := s.first; number < r.number; number++ {
		if r.record, err = readRecord(r.buf, number, r.record); err != nil {
			return fmt.Errorf("record %d: %w", number, err)
		}
		r.at += headerBytes + int64(len(r.record))
	}
	return nil
}

// skipDamaged goes on with the next segment.
func (r *Reader) skipDamaged() {
	j := r.journal
	j.mu.Lock()
	next := j.next
	for _, s := range j.segments {
		if s.first > r.number {
			next = s.first
			break
		}
	}
	j.mu.Unlock()
	j.cfg.Log.Error("journal is damaged, records are lost", "reader", r.name, "segment", r.file.Name(), "first", r.number, "records", next-r.number)
	r.close()
	r.number = next
}

// Commit says that everything up to and including the record with that number is done; the position
// is on disk when it returns.
func (r *Reader) Commit(number uint64) error {
	path := filepath.Join(r.journal.cfg.Dir, r.name+cursorSuffix)
	if err := durablefile.Write(path, []byte(strconv.FormatUint(number+1, 10)+"\n"), 0o600); err != nil {
		return fmt.Errorf("journal reader %s: %w", r.name, err)
	}
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	r.committed = max(r.committed, number+1)
	return nil
}

// Close lets go of the reader's file; its position stays.
func (r *Reader) Close() { r.close() }

func (r *Reader) close() {
	if r.file != nil {
		_ = r.file.Close()
		r.file = nil
	}
}
