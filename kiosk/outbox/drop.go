package outbox

import (
	"encoding/json"
	"slices"

	"kioskfleet/internal/protocol"
)

// losses are the readings that a box had to drop and has not reported yet.
type losses struct {
	ranges []protocol.SeqRange
	told   []protocol.SeqRange // what the report under way says
	// segment and size are where the list is on disk; nil: it is not, or it is empty.
	segment   *segment
	size      int
	unwritten bool // ranges have changed since
}

// move notes where the list is on disk now.
func (ls *losses) move(s *segment, size int) {
	if ls.segment != nil {
		ls.segment.live -= int64(ls.size)
	}
	ls.segment, ls.size, ls.unwritten = nil, 0, false
	if len(ls.ranges) > 0 {
		ls.segment, ls.size = s, size
		s.live += int64(size)
	}
}

// makeRoom drops the oldest readings until so many more of so many bytes fit. It returns how many.
func (b *Box) makeRoom(readings, bytes int) (dropped int) {
	for b.stored > 0 &&
		(b.limits.MaxReadings > 0 && b.stored+readings > b.limits.MaxReadings ||
			b.limits.MaxBytes > 0 && b.bytes+int64(bytes) > b.limits.MaxBytes) {
		b.dropOldest()
		dropped++
	}
	return dropped
}

func (b *Box) dropOldest() {
	if len(b.backlog) > 0 {
		b.drop(b.backlog[:1])
		b.backlog = shift(b.backlog, 1)
		return
	}
	// There is one: stored readings are in one of the two lists.
	i := slices.IndexFunc(b.fresh, func(e entry) bool { return e.kind == kindReading })
	b.drop(b.fresh[i : i+1])
	b.fresh = cut(b.fresh, i)
}

// boundMemory drops the oldest readings that are in memory only, while there are too many bytes of such.
// It returns how many.
func (b *Box) boundMemory() (dropped int) {
	unwritten := func(e entry) bool { return e.kind == kindReading && e.segment == nil }
	for _, list := range []*[]entry{&b.backlog, &b.fresh} {
		for b.log.memory > maxMemory {
			i := slices.IndexFunc(*list, unwritten)
			if i < 0 {
				break
			}
			b.drop((*list)[i : i+1])
			*list = cut(*list, i)
			dropped++
		}
	}
	return dropped
}

// drop ends readings, which leave their list, and remembers that they are lost.
func (b *Box) drop(entries []entry) {
	b.end(entries)
	for i := range entries {
		b.lose(&entries[i])
	}
}

func (b *Box) lose(e *entry) {
	if e.seq == 0 {
		return // it has no number that anybody could miss
	}
	if b.losses == nil {
		b.losses = &losses{}
	}
	var forgotten int
	b.losses.ranges, forgotten = addDropped(b.losses.ranges, e.name, e.seq)
	if forgotten > 0 {
		b.log.log.Warn("too many dropped ranges wait to be reported; the oldest is forgotten", "serial", b.serial)
	}
	b.losses.unwritten = true
	b.log.wait(b)
}

// boundAcks drops the oldest ack when there are too many for another one.
func (b *Box) boundAcks() {
	acks, oldest := 0, -1
	for i := range b.fresh {
		if b.fresh[i].kind == kindAck {
			acks++
			if oldest < 0 {
				oldest = i
			}
		}
	}
	if acks < maxAcks {
		return
	}
	b.log.log.Warn("too many acks wait; the oldest is dropped", "serial", b.serial, "ack", b.fresh[oldest].name)
	b.end(b.fresh[oldest : oldest+1])
	b.fresh = cut(b.fresh, oldest)
}

// report returns the message that tells of dropped readings: a reading without a sample.
func (b *Box) report() (Batch, error) {
	b.losses.told = b.losses.ranges
	payload, err := json.Marshal(protocol.Reading{Timestamp: b.stamp(b.newest), Serial: b.serial, Dropped: b.losses.told})
	return Batch{Channel: protocol.ChannelTelemetry, Payload: payload, origin: fromLosses}, err
}

// reported forgets what the report under way has told.
func (b *Box) reported() {
	if b.losses == nil {
		return
	}
	b.losses.ranges = subtractRanges(b.losses.ranges, b.losses.told)
	b.losses.told = nil
	b.losses.unwritten = true
	b.log.wait(b)
}

// damaged drops an item that cannot be read back.
func (b *Box) damaged(mark uint64, err error) {
	l := b.log
	l.mu.Lock()
	dropped := 0
	for _, list := range []*[]entry{&b.fresh, &b.backlog} {
		i, found := find(*list, mark)
		if !found {
			continue
		}
		e := (*list)[i]
		l.log.Error("an item of the outbox is damaged and lost", "serial", b.serial, "seq", e.seq, "error", err)
		if e.kind == kindReading {
			b.drop((*list)[i : i+1])
			dropped = 1
		} else {
			b.end((*list)[i : i+1])
		}
		*list = cut(*list, i)
	}
	l.mu.Unlock()
	b.tell(dropped)
}
