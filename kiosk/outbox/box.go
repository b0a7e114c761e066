package outbox

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"kioskfleet/internal/protocol"
)

const (
	// MaxPayload bounds one item's payload, in bytes; the platform takes no larger message.
	MaxPayload = 256 << 10
	// MaxBatchReadings bounds one message of backlog.
	MaxBatchReadings = 500
	// MaxBatchBytes bounds it in bytes.
	MaxBatchBytes = 256 << 10
	// maxAcks bounds the acks of one box.
	maxAcks = 1000
	// maxName bounds a session id, and an ack's key, in bytes.
	maxName = 512
)

// Item is something to keep: an encoded reading, or an encoded ack.
type Item struct {
	// AckKey names an ack's command and status; it is empty for a reading. An ack that still waits
	// under the same key is not kept twice.
	AckKey string
	// Session, Seq and Time identify a reading. Time is as Stamp gave it.
	Session string
	Seq     uint64
	Time    time.Time
	Payload []byte // the outbox's from now on
}

// Batch is one MQTT message that is to be published.
type Batch struct {
	Channel  protocol.Channel
	Payload  []byte // one reading or ack, or an array of readings
	Readings int    // how many readings it holds; 0 for an ack, and for a report of dropped ones

	origin origin
	last   uint64 // mark of its youngest item
}

// Backlog reports whether the readings are left over from earlier connections.
func (b Batch) Backlog() bool { return b.origin == fromBacklog }

// origin is the part of a box that a batch comes from.
type origin byte

const (
	fromFresh origin = iota
	fromLosses
	fromBacklog
)

// Limits bound one box. The zero value of a bound means no bound.
type Limits struct {
	MaxReadings int
	MaxBytes    int64       // of the readings' payloads
	Dropped     func(n int) // called with how many readings a full box has dropped; may be nil
}

// DefaultMaxBytes is what the payloads of one kiosk's readings may take.
const DefaultMaxBytes = 16 << 20

const (
	defaultSpan     = 12 * time.Hour
	defaultReadings = 10_000
)

// DefaultMaxReadings is how many readings one kiosk keeps unless its configuration says otherwise: those
// of 12 hours at that interval, at most 10,000.
func DefaultMaxReadings(interval time.Duration) int {
	return min(int(defaultSpan/interval)+1, defaultReadings)
}

// Box is one kiosk's outbox. One goroutine adds, another takes and confirms.
type Box struct {
	log    *Log
	serial string
	limits Limits

	// The log's lock guards the rest.

	// fresh holds acks and the readings of this connection, backlog the readings of earlier ones. Marks
	// grow along each of them, and every reading of fresh is younger than the backlog.
	fresh   []entry
	backlog []entry
	losses  *losses // nil: nothing was dropped
	mark    uint64  // of the youngest item ever
	bytes   int64   // of the readings' payloads
	newest  int64   // the youngest time given, Unix milliseconds

	stored    int  // readings in both lists
	unwritten int  // entries in both that are in memory only
	waiting   bool // is in the log's list of boxes with something to write
	taken     bool // has an owner
	stamped   bool // this process has given a time
}

// entry is an item without its payload, which is on disk.
type entry struct {
	segment *segment // nil: in memory only
	offset  uint32
	size    uint32 // of the record
	length  uint32 // of the payload
	kind    recordKind
	mark    uint64
	seq     uint64
	name    string // session of a reading, key of an ack
	held    *held  // nil: on disk only
}

// held is what is in memory of an item.
type held struct {
	millis  int64
	payload []byte
}

// Box returns the box of a kiosk, with what earlier processes left in it as backlog. Each kiosk has one
// owner for the life of the log.
//
// Errors: ErrClosed; the serial is not valid, or its box was given out already.
func (l *Log) Box(serial string, limits Limits) (*Box, error) {
	if err := protocol.CheckSerial(serial); err != nil {
		return nil, fmt.Errorf("open the outbox of %s: %w", serial, err)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, ErrClosed
	}
	b := l.box(serial)
	if b.taken {
		l.mu.Unlock()
		return nil, fmt.Errorf("open the outbox of %s: it is open already", serial)
	}
	b.taken, b.limits = true, limits
	dropped := b.makeRoom(0, 0)
	_ = l.flush() // logged there
	l.mu.Unlock()
	b.tell(dropped)
	return b, nil
}

// box returns the box of a serial, new if need be.
func (l *Log) box(serial string) *Box {
	b := l.boxes[serial]
	if b == nil {
		b = &Box{log: l, serial: serial}
		l.boxes[serial] = b
	}
	return b
}

// Stamp returns the time for a reading taken at now, in UTC and whole milliseconds: later than every
// time that it gave before, also to earlier processes as far as their readings are still here.
func (b *Box) Stamp(now time.Time) time.Time {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	return b.stamp(now.UnixMilli())
}

func (b *Box) stamp(millis int64) time.Time {
	// The clock was set back, or two fall into one millisecond.
	b.newest, b.stamped = max(millis, b.newest+1), true
	return time.UnixMilli(b.newest).UTC()
}

// Newest returns the youngest time that Stamp gave, the zero time if it gave none.
func (b *Box) Newest() time.Time {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	if b.newest == 0 {
		return time.Time{}
	}
	return time.UnixMilli(b.newest).UTC()
}

// Add keeps an item: once it returns nil, the item survives the end of the process, unless the disk
// refuses it; then it is kept in memory until the disk takes it. A full box drops its oldest readings and
// remembers which they were. Of too many acks the oldest goes.
//
// Errors: ErrClosed; the item is too large.
func (b *Box) Add(item Item) error {
	if len(item.Payload) > MaxPayload || len(item.Session) > maxName || len(item.AckKey) > maxName {
		return fmt.Errorf("keep %d bytes in the outbox: at most %d, and %d bytes of names, are allowed", len(item.Payload), MaxPayload, maxName)
	}
	l := b.log
	l.mu.Lock()
	dropped, err := b.add(item)
	l.mu.Unlock()
	b.tell(dropped)
	return err
}

func (b *Box) add(item Item) (dropped int, err error) {
	l := b.log
	if l.closed {
		return 0, ErrClosed
	}
	e := entry{mark: b.mark + 1, length: uint32(len(item.Payload)), held: &held{payload: item.Payload}}
	if item.AckKey != "" {
		if slices.ContainsFunc(b.fresh, func(f entry) bool { return f.kind == kindAck && f.name == item.AckKey }) {
			return 0, nil
		}
		b.boundAcks()
		e.kind, e.name = kindAck, item.AckKey
	} else {
		dropped = b.makeRoom(1, len(item.Payload))
		e.kind, e.name, e.seq, e.held.millis = kindReading, item.Session, item.Seq, item.Time.UnixMilli()
		b.stored++
		b.bytes += int64(len(item.Payload))
	}
	b.mark = e.mark
	b.fresh = append(b.fresh, e)
	b.unwritten++
	l.memory += int64(len(item.Payload))
	l.wait(b)
	// A refusal is no error here: the item waits in memory.
	if l.flush() != nil || l.failing {
		dropped += b.boundMemory()
	}
	signal(l.work)
	return dropped, nil
}

// tell tells the owner of readings that were dropped. The lock is not held.
func (b *Box) tell(dropped int) {
	if dropped > 0 && b.limits.Dropped != nil {
		b.limits.Dropped(dropped)
	}
}

// Rewind is called when a new connection begins: readings that are still here become backlog.
func (b *Box) Rewind() {
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	var acks []entry
	for i := range b.fresh {
		e := &b.fresh[i]
		b.forgetPayload(e)
		if e.kind == kindReading {
			b.backlog = append(b.backlog, *e)
		} else {
			acks = append(acks, *e)
		}
	}
	b.fresh = acks
}

// forgetPayload frees the payload of an entry that is on disk.
func (b *Box) forgetPayload(e *entry) {
	if e.segment != nil && e.held != nil {
		b.log.kept -= int64(len(e.held.payload))
		e.held = nil
	}
}

// Done removes a batch that the broker has acknowledged. What was dropped meanwhile is no longer here,
// and that is no fault. The removal is on disk within about 100 ms; if it is lost, the batch is sent
// again.
//
// Errors: ErrClosed.
func (b *Box) Done(batch Batch) error {
	l := b.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	switch batch.origin {
	case fromLosses:
		b.reported()
	case fromFresh:
		// It is the first one, unless it was dropped or the connection has changed.
		for _, list := range []*[]entry{&b.fresh, &b.backlog} {
			if i, found := find(*list, batch.last); found {
				b.end((*list)[i : i+1])
				*list = cut(*list, i)
				break
			}
		}
	case fromBacklog:
		n, found := find(b.backlog, batch.last)
		if found {
			n++
		}
		b.end(b.backlog[:n])
		b.backlog = shift(b.backlog, n)
	}
	if len(l.pending) >= maxChunk {
		_ = l.flush() // logged there
	}
	signal(l.work)
	return nil
}

// find returns where an entry with that mark is in a list, or would be.
func find(list []entry, mark uint64) (int, bool) {
	return slices.BinarySearchFunc(list, mark, func(e entry, m uint64) int { return cmp.Compare(e.mark, m) })
}

// end accounts for entries that leave their list, and notes their end for the next write. They are all
// entries of their kind between the first and the last.
func (b *Box) end(entries []entry) {
	if len(entries) == 0 {
		return
	}
	l := b.log
	onDisk := false
	for i := range entries {
		e := &entries[i]
		if e.segment != nil {
			onDisk = true
			e.segment.live -= int64(e.size)
			b.forgetPayload(e)
		} else {
			b.unwritten--
			l.memory -= int64(e.length)
		}
		if e.kind == kindReading {
			b.stored--
			b.bytes -= int64(e.length)
		}
	}
	if !onDisk {
		return
	}
	kind := kindAcksDone
	if entries[0].kind == kindReading {
		kind = kindReadingsDone
	}
	l.pending = appendDone(l.pending, kind, b.serial, entries[0].mark, entries[len(entries)-1].mark)
}

// smallList is the capacity that an emptied list keeps; more was an outage.
const smallList = 4

// shift removes the first n entries.
func shift(list []entry, n int) []entry {
	clear(list[:n])
	if n < len(list) {
		return list[n:]
	}
	if cap(list) > smallList {
		return nil
	}
	return list[:0]
}

// cut removes one entry.
func cut(list []entry, i int) []entry {
	if i == 0 {
		return shift(list, 1)
	}
	return slices.Delete(list, i, i+1)
}

// errDamaged is a record that cannot be read back.
var errDamaged = errors.New("record cannot be read back")
