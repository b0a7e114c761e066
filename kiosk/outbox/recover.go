package outbox

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"kioskfleet/internal/protocol"
)

// found is what the segments say about one kiosk.
type found struct {
	readings, acks         []entry
	readingsDone, acksDone []run
	ranges                 []protocol.SeqRange
	rangesIn               *segment
	rangesSize             int
	newest                 int64
	mark                   uint64
}

// run is a run of marks, both ends included.
type run struct{ from, to uint64 }

// recover reads all segments and fills the boxes.
func (l *Log) recover() error {
	segments, err := listSegments(l.cfg.Dir)
	if err != nil {
		return err
	}
	kiosks := map[string]*found{}
	var data []byte
	for i, s := range segments {
		if s.file, err = l.open(s.path); err != nil {
			return err
		}
		l.segments = append(l.segments, s)
		data = slices.Grow(data[:0], int(s.size))[:s.size]
		if n, err := s.file.ReadAt(data, 0); err != nil && (!errors.Is(err, io.EOF) || n != len(data)) {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		end, err := scan(data, func(r *record, offset int64, size int) {
			k := kiosks[string(r.serial)]
			if k == nil {
				k = &found{}
				kiosks[string(r.serial)] = k
			}
			k.add(r, s, offset, size)
		})
		if err := l.cutOff(s, end, err, i == len(segments)-1); err != nil {
			return err
		}
	}
	for serial, k := range kiosks {
		k.fill(l.box(serial))
	}
	return nil
}

// cutOff deals with what follows the good records of a segment. At the end of the newest one that is a
// write that the end of a process or of power has torn; elsewhere it is damage.
func (l *Log) cutOff(s *segment, end int64, err error, newest bool) error {
	lost := s.size - end
	s.size = end
	switch {
	case errors.Is(err, errVersion):
		return fmt.Errorf("%s %w", s.path, err)
	case err == nil:
		return nil
	case newest:
		l.log.Warn("the end of the outbox is torn and cut off", "segment", s.path, "bytes", lost, "error", err)
		if errors.Is(err, errNoHeader) {
			s.sealed = true
			return nil
		}
		if err := s.file.Truncate(end); err != nil {
			return fmt.Errorf("cut off the torn end of %s: %w", s.path, err)
		}
	default:
		l.log.Error("a part of the outbox is damaged and lost", "segment", s.path, "bytes", lost, "error", err)
		s.sealed = true
	}
	return nil
}

// add notes one record. Items that tidying has copied come twice.
func (k *found) add(r *record, s *segment, offset int64, size int) {
	k.mark = max(k.mark, r.mark, r.to)
	switch r.kind {
	case kindReading:
		var session string
		if n := len(k.readings); n > 0 && k.readings[n-1].name == string(r.session) {
			session = k.readings[n-1].name // one string for the whole session
		} else {
			session = string(r.session)
		}
		k.newest = max(k.newest, r.millis)
		k.readings = append(k.readings, entry{
			segment: s, offset: uint32(offset), size: uint32(size), length: uint32(len(r.payload)),
			kind: r.kind, mark: r.mark, seq: r.seq, name: session,
		})
	case kindAck:
		k.acks = append(k.acks, entry{
			segment: s, offset: uint32(offset), size: uint32(size), length: uint32(len(r.payload)),
			kind: r.kind, mark: r.mark, name: string(r.key),
		})
	case kindReadingsDone:
		k.readingsDone = addRun(k.readingsDone, run{r.from, r.to})
	case kindAcksDone:
		k.acksDone = addRun(k.acksDone, run{r.from, r.to})
	case kindRanges:
		k.ranges, k.rangesIn, k.rangesSize = r.ranges, s, size
	}
}

// addRun adds a run to a list; one that begins where the last one ends extends it.
func addRun(list []run, r run) []run {
	if n := len(list); n > 0 && list[n-1].to+1 == r.from {
		list[n-1].to = r.to
		return list
	}
	return append(list, r)
}

// fill makes a box of what was found: the readings as backlog, the acks to go first.
func (k *found) fill(b *Box) {
	b.mark, b.newest = k.mark, k.newest
	b.backlog, b.fresh = alive(k.readings, k.readingsDone), alive(k.acks, k.acksDone)
	b.stored = len(b.backlog)
	for i := range b.backlog {
		b.bytes += int64(b.backlog[i].length)
	}
	if len(k.ranges) > 0 {
		b.losses = &losses{ranges: k.ranges}
		b.losses.move(k.rangesIn, k.rangesSize)
	}
}

// alive returns the entries that no run ends, by mark, and counts them as live. A mark is never given
// again while an end of it can be read, so it does not matter which stands before which. Of two entries
// with one mark the later one counts: it is a copy.
func alive(entries []entry, done []run) []entry {
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.mark, b.mark) })
	slices.SortFunc(done, func(a, b run) int { return cmp.Compare(a.from, b.from) })
	out := entries[:0]
	next := 0
	covered := uint64(0) // marks up to this one that a run covers, runs before next
	for i := range entries {
		e := entries[i]
		for next < len(done) && done[next].from <= e.mark {
			covered = max(covered, done[next].to)
			next++
		}
		if e.mark <= covered || i+1 < len(entries) && entries[i+1].mark == e.mark {
			continue
		}
		e.segment.live += int64(e.size)
		out = append(out, e)
	}
	if len(out) == 0 {
		return nil
	}
	return slices.Clone(out)
}
