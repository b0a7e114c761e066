package outbox

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"kioskfleet/internal/protocol"
)

// Next returns what to publish next, false when there is nothing: first acks and the readings of this
// connection in the order they came, then word of dropped readings, then what was left over from earlier
// connections, oldest first and many in one message. It removes nothing; Done does.
func (b *Box) Next() (Batch, bool) {
	for {
		batch, ok, err := b.next()
		var bad *damage
		switch {
		case errors.As(err, &bad):
			b.damaged(bad.mark, bad.err)
		case err != nil:
			// Tidied meanwhile: what we wanted stands elsewhere now.
		default:
			return batch, ok
		}
	}
}

// damage is an item that cannot be read back.
type damage struct {
	mark uint64
	err  error
}

func (d *damage) Error() string { return fmt.Sprintf("item %d: %v", d.mark, d.err) }

func (d *damage) Unwrap() error { return d.err }

// next returns a batch, or an error that calls for another try: a damage, or os.ErrClosed.
func (b *Box) next() (Batch, bool, error) {
	l := b.log
	l.mu.Lock()
	var entries []entry
	batch := Batch{Channel: protocol.ChannelTelemetry, Readings: 1}
	switch {
	case l.closed:
		l.mu.Unlock()
		return Batch{}, false, nil
	case len(b.fresh) > 0:
		entries = []entry{b.fresh[0]}
		if entries[0].kind == kindAck {
			batch.Channel, batch.Readings = protocol.ChannelAck, 0
		}
	case b.stamped && b.losses != nil && len(b.losses.ranges) > 0:
		// Not before this process has told a time: that of an earlier one may be long past.
		batch, err := b.report()
		l.mu.Unlock()
		return batch, err == nil, nil
	case len(b.backlog) > 0:
		entries = append(entries, b.backlog[:batchLength(b.backlog)]...)
		batch.origin, batch.Readings = fromBacklog, len(entries)
	default:
		l.mu.Unlock()
		return Batch{}, false, nil
	}
	l.mu.Unlock()

	// Files are read without the lock; a segment that is deleted meanwhile is closed.
	var buf []byte
	var err error
	batch.last = entries[len(entries)-1].mark
	if len(entries) == 1 {
		batch.Payload, err = b.payload(&entries[0], &buf)
		return batch, true, err
	}
	size := 1
	for i := range entries {
		size += int(entries[i].length) + 1
	}
	batch.Payload = make([]byte, 0, size)
	separator := byte('[')
	for i := range entries {
		payload, err := b.payload(&entries[i], &buf)
		if err != nil {
			return Batch{}, false, err
		}
		batch.Payload = append(append(batch.Payload, separator), payload...)
		separator = ','
	}
	batch.Payload = append(batch.Payload, ']')
	return batch, true, nil
}

// batchLength is how many entries at the front of the backlog go into one message.
func batchLength(list []entry) int {
	size, n := 1, 0 // the closing bracket; each reading brings a bracket or a comma
	for n < len(list) && n < MaxBatchReadings {
		size += int(list[n].length) + 1
		if n > 0 && size > MaxBatchBytes {
			break
		}
		n++
	}
	return n
}

// payload returns an entry's payload, which it reads into buf if it is not in memory.
//
// Errors: os.ErrClosed, wrapped; a damage.
func (b *Box) payload(e *entry, buf *[]byte) ([]byte, error) {
	if e.held != nil {
		return e.held.payload, nil
	}
	r, err := b.read(e, buf)
	return r.payload, err
}

// read reads an entry's record from disk into buf.
//
// Errors: os.ErrClosed, wrapped; a damage.
func (b *Box) read(e *entry, buf *[]byte) (record, error) {
	*buf = slices.Grow((*buf)[:0], int(e.size))[:e.size]
	data := *buf
	if _, err := e.segment.file.ReadAt(data, int64(e.offset)); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return record{}, err
		}
		return record{}, &damage{e.mark, err}
	}
	r, _, err := decodeRecord(data)
	if err == nil && (r.mark != e.mark || r.kind != e.kind || string(r.serial) != b.serial) {
		err = errDamaged
	}
	if err != nil {
		return record{}, &damage{e.mark, err}
	}
	return r, nil
}
