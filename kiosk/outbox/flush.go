package outbox

import (
	"slices"
	"time"
)

// place is where a record of a flush will stand.
type place struct {
	box    *Box
	entry  *entry // nil: the box's ranges
	offset int64  // from the beginning of the write
	size   int
}

// flush writes what is in memory only: ranges, ends and items. After a refusal it keeps everything and
// does nothing until retryAt, so that nobody waits for a full disk. The lock is held.
func (l *Log) flush() error {
	if len(l.waiting) == 0 && len(l.pending) == 0 {
		return nil
	}
	if l.failing && time.Now().Before(l.retryAt) {
		return nil
	}
	err := l.flushWaiting()
	if err == nil && len(l.pending) > 0 {
		// Last: the ranges that tell of a dropped reading come before its end.
		if _, _, err = l.write(l.pending); err == nil {
			l.pending = l.pending[:0]
		}
	}
	l.outcome(err)
	return err
}

// outcome notes how a write went, and logs when that has changed.
func (l *Log) outcome(err error) {
	switch {
	case err != nil && !l.failing:
		l.log.Error("the disk refuses the outbox; readings are kept in memory until it takes them", "error", err)
	case err == nil && l.failing:
		l.log.Info("the disk takes the outbox again")
	}
	l.failing = err != nil
	if err != nil {
		l.retryAt = time.Now().Add(retryDelay)
		signal(l.work)
	}
}

// flushWaiting writes what boxes have in memory only. With the last of it go the pending ends, so that
// an Add needs one write.
func (l *Log) flushWaiting() error {
	for done := 0; done < len(l.waiting); {
		l.buffer, l.places = l.buffer[:0], l.places[:0]
		n := done
		for n < len(l.waiting) && len(l.buffer) < maxChunk {
			if !l.gather(l.waiting[n]) {
				break // the rest of this box goes with the next write
			}
			n++
		}
		all := n == len(l.waiting)
		if all {
			l.buffer = append(l.buffer, l.pending...)
		}
		if err := l.writePlaces(); err != nil {
			l.waiting = slices.Delete(l.waiting, 0, done)
			return err
		}
		if all {
			l.pending = l.pending[:0]
		}
		for _, b := range l.waiting[done:n] {
			b.waiting = false
		}
		done = n
	}
	clear(l.waiting)
	l.waiting = l.waiting[:0]
	if cap(l.buffer) > maxChunk/4 {
		l.buffer, l.places = nil, nil
	}
	return nil
}

// gather encodes what a box has in memory only, and reports whether that was all of it.
func (l *Log) gather(b *Box) bool {
	if b.losses != nil && b.losses.unwritten {
		at := len(l.buffer)
		l.buffer = appendRanges(l.buffer, b.serial, b.losses.ranges)
		l.places = append(l.places, place{b, nil, int64(at), len(l.buffer) - at})
	}
	if b.unwritten == 0 {
		return true
	}
	// They are the youngest, because all are written together; but not all fit into one write.
	for _, list := range [][]entry{b.backlog, b.fresh} {
		for i := firstUnwritten(list); i < len(list); i++ {
			if len(l.buffer) >= maxChunk {
				return false
			}
			e := &list[i]
			if e.segment != nil {
				continue
			}
			at := len(l.buffer)
			if e.kind == kindReading {
				l.buffer = appendReading(l.buffer, b.serial, e.mark, e.held.millis, e.name, e.seq, e.held.payload)
			} else {
				l.buffer = appendAck(l.buffer, b.serial, e.mark, e.name, e.held.payload)
			}
			l.places = append(l.places, place{b, e, int64(at), len(l.buffer) - at})
		}
	}
	return true
}

// firstUnwritten returns the index of the first entry of the run at the end of a list that is in memory
// only.
func firstUnwritten(list []entry) int {
	i := len(list)
	for i > 0 && list[i-1].segment == nil {
		i--
	}
	return i
}

// writePlaces writes the buffer and tells everything in it where it stands.
func (l *Log) writePlaces() error {
	if len(l.buffer) == 0 {
		return nil
	}
	s, base, err := l.write(l.buffer)
	if err != nil {
		return err
	}
	for _, p := range l.places {
		if p.entry == nil {
			p.box.losses.move(s, p.size)
			continue
		}
		e := p.entry
		e.segment, e.offset, e.size = s, uint32(base+p.offset), uint32(p.size)
		s.live += int64(p.size)
		p.box.unwritten--
		n := int64(len(e.held.payload))
		l.memory -= n
		if l.kept+n > maxKept {
			e.held = nil
		} else {
			l.kept += n
		}
	}
	return nil
}

// wait notes that a box has something to write.
func (l *Log) wait(b *Box) {
	if !b.waiting {
		b.waiting = true
		l.waiting = append(l.waiting, b)
	}
}
