package outbox

import (
	"errors"
	"fmt"
	"io"
)

// tidy deletes the oldest segments that hold nothing live. While the folder is larger than twice what is
// live and two segments more, it also copies what is live in the oldest one to the head. Segments go in
// order of age only, so that an end of an item is never deleted before the item.
func (l *Log) tidy() {
	var last *segment
	for {
		l.mu.Lock()
		gone := l.cutDead()
		oldest := l.toCompact()
		l.mu.Unlock()
		for _, s := range gone {
			if err := s.remove(); err != nil {
				l.log.Error("delete a segment of the outbox", "error", err)
			}
		}
		if oldest == nil || oldest == last {
			return // the same again would go wrong again
		}
		last = oldest
		if err := l.compact(oldest); err != nil {
			l.log.Warn("the outbox is not compacted now", "segment", oldest.path, "error", err)
			return
		}
	}
}

// cutDead takes the oldest segments without live records off the list and returns them.
func (l *Log) cutDead() (gone []*segment) {
	for len(l.segments) > 1 && l.segments[0].live == 0 && !l.segments[0].held && !l.closed {
		gone = append(gone, l.segments[0])
		l.segments = l.segments[1:]
	}
	return gone
}

// toCompact returns the oldest segment if it holds back too much, nil otherwise.
func (l *Log) toCompact() *segment {
	if len(l.segments) < 2 || l.failing || l.closed {
		return nil
	}
	var size, live int64
	for _, s := range l.segments {
		size += s.size
		live += s.live
	}
	if size <= 2*live+2*l.cfg.SegmentBytes {
		return nil
	}
	return l.segments[0]
}

// copyChunk is how many bytes are copied before others get the lock.
const copyChunk = 256 << 10

// compact copies the live records of a segment, which is not the head, to the head, and brings them to
// disk: afterwards the segment may be deleted.
func (l *Log) compact(s *segment) error {
	hold := func(held bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		s.held = held
	}
	hold(true)
	data := make([]byte, s.size)
	if n, err := s.file.ReadAt(data, 0); err != nil && (!errors.Is(err, io.EOF) || n != len(data)) {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	var chunk []*copied
	bytes := 0
	move := func() error {
		err := l.move(s, data, chunk)
		chunk, bytes = chunk[:0], 0
		return err
	}
	var failed error
	_, bad := scan(data, func(r *record, offset int64, size int) {
		if failed != nil {
			return
		}
		chunk = append(chunk, &copied{*r, offset, size})
		if bytes += size; bytes >= copyChunk {
			failed = move()
		}
	})
	if failed == nil {
		failed = move()
	}
	if failed != nil {
		return failed
	}
	if bad != nil && !errors.Is(bad, errBadRecord) {
		return bad
	}
	l.abandon(s, bad)
	if err := l.sync(); err != nil {
		return err // the copies may not be on disk: the segment stays
	}
	hold(false)
	return nil
}

// copied is a record of a segment that is being compacted.
type copied struct {
	record
	offset int64
	size   int
}

// move writes those of the records that are still live to the head.
func (l *Log) move(from *segment, data []byte, records []*copied) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.buffer, l.places = l.buffer[:0], l.places[:0]
	for _, r := range records {
		b := l.boxes[string(r.serial)]
		if b == nil {
			continue
		}
		if r.kind == kindRanges {
			if b.losses != nil && b.losses.segment == from {
				b.losses.unwritten = true
				l.wait(b)
			}
			continue
		}
		e := b.entry(r.kind, r.mark)
		if e == nil || e.segment != from || int64(e.offset) != r.offset {
			continue
		}
		l.places = append(l.places, place{b, e, int64(len(l.buffer)), r.size})
		l.buffer = append(l.buffer, data[r.offset:r.offset+int64(r.size)]...)
	}
	if len(l.buffer) > 0 {
		s, base, err := l.write(l.buffer)
		l.outcome(err)
		if err != nil {
			return err
		}
		for _, p := range l.places {
			p.entry.segment, p.entry.offset = s, uint32(base+p.offset)
			s.live += int64(p.size)
			from.live -= int64(p.size)
		}
	}
	return l.flush()
}

// entry returns the entry of an item, nil if it is done.
func (b *Box) entry(kind recordKind, mark uint64) *entry {
	for _, list := range [][]entry{b.fresh, b.backlog} {
		if i, ok := find(list, mark); ok && list[i].kind == kind {
			return &list[i]
		}
	}
	return nil
}

// abandon gives up what is left in a segment after all its good records have moved: it has become
// unreadable since it was written.
func (l *Log) abandon(s *segment, why error) {
	if why == nil {
		why = errDamaged
	}
	l.mu.Lock()
	if s.live == 0 {
		l.mu.Unlock()
		return
	}
	type item struct {
		box  *Box
		mark uint64
	}
	var left []item
	for _, b := range l.boxes {
		if b.losses != nil && b.losses.segment == s {
			b.losses.unwritten = true
			l.wait(b)
		}
		for _, list := range [][]entry{b.fresh, b.backlog} {
			for i := range list {
				if list[i].segment == s {
					left = append(left, item{b, list[i].mark})
				}
			}
		}
	}
	_ = l.flush() // logged there
	l.mu.Unlock()
	for _, i := range left {
		i.box.damaged(i.mark, fmt.Errorf("%s: %w", s.path, why))
	}
}
