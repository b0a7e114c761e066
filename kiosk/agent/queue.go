package agent

import (
	"slices"
	"sync"

	"kioskfleet/internal/protocol"
)

// Queue is an Outbox in memory: it survives a lost connection, not the end of the process.
type Queue struct {
	limit   int
	dropped func(n int) // counts readings that were dropped

	mu sync.Mutex // guards the rest
	// fresh holds acks and the readings of this connection, backlog the readings of earlier ones.
	// Marks grow along each of them.
	fresh   []entry
	backlog []entry
	mark    uint64 // of the youngest entry
	stored  int    // readings in both
}

type entry struct {
	Item
	mark uint64
}

func (e entry) reading() bool { return e.AckKey == "" }

// NewQueue returns an empty queue for at most limit readings. When it is full the oldest reading
// makes room, and dropped, which may be nil, is called.
func NewQueue(limit int, dropped func(n int)) *Queue {
	if dropped == nil {
		dropped = func(int) {}
	}
	return &Queue{limit: max(limit, 1), dropped: dropped}
}

// Add implements Outbox; it never fails.
func (q *Queue) Add(item Item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := entry{Item: item, mark: q.mark + 1}
	switch {
	case e.reading():
		if q.stored >= q.limit {
			q.dropOldest()
		}
		q.stored++
	case slices.ContainsFunc(q.fresh, func(f entry) bool { return f.AckKey == item.AckKey }):
		return nil
	}
	q.mark = e.mark
	q.fresh = append(q.fresh, e)
	return nil
}

func (q *Queue) dropOldest() {
	if len(q.backlog) > 0 {
		q.backlog = shift(q.backlog, 1)
	} else {
		// There is one: stored readings are in one of the two lists.
		i := slices.IndexFunc(q.fresh, entry.reading)
		q.fresh = slices.Delete(q.fresh, i, i+1)
	}
	q.stored--
	q.dropped(1)
}

// Next implements Outbox.
func (q *Queue) Next() (Batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.fresh) > 0 && q.fresh[0].reading():
		return Batch{protocol.ChannelTelemetry, q.fresh[0].Payload, 1, q.fresh[0].mark}, true
	case len(q.fresh) > 0:
		return Batch{protocol.ChannelAck, q.fresh[0].Payload, 0, q.fresh[0].mark}, true
	case len(q.backlog) == 1:
		return Batch{protocol.ChannelTelemetry, q.backlog[0].Payload, 1, q.backlog[0].mark}, true
	case len(q.backlog) > 1:
		return q.array(), true
	}
	return Batch{}, false
}

// array packs the oldest backlog into one message.
func (q *Queue) array() Batch {
	size, n := 1, 0 // the closing bracket; each reading brings a bracket or a comma
	for _, e := range q.backlog {
		if n == maxBatchReadings || n > 0 && size+len(e.Payload)+1 > maxBatchBytes {
			break
		}
		size += len(e.Payload) + 1
		n++
	}
	payload := make([]byte, 0, size)
	separator := byte('[')
	for _, e := range q.backlog[:n] {
		payload = append(append(payload, separator), e.Payload...)
		separator = ','
	}
	return Batch{protocol.ChannelTelemetry, append(payload, ']'), n, q.backlog[n-1].mark}
}

// Done implements Outbox; it never fails. What was dropped meanwhile is no longer here, and that is
// no fault.
func (q *Queue) Done(b Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.Readings == 0 {
		if len(q.fresh) > 0 && q.fresh[0].mark == b.Last {
			q.fresh = shift(q.fresh, 1)
		}
		return nil
	}
	if len(q.fresh) > 0 && q.fresh[0].mark == b.Last {
		q.fresh = shift(q.fresh, 1)
		q.stored--
		return nil
	}
	n := 0
	for n < len(q.backlog) && q.backlog[n].mark <= b.Last {
		n++
	}
	q.backlog = shift(q.backlog, n)
	q.stored -= n
	return nil
}

// Rewind implements Outbox.
func (q *Queue) Rewind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	var acks []entry
	for _, e := range q.fresh {
		if e.reading() {
			q.backlog = append(q.backlog, e)
		} else {
			acks = append(acks, e)
		}
	}
	q.fresh = acks
}

// shift removes the first n entries. An emptied list gives its memory back: it may have grown large
// during an outage.
func shift(list []entry, n int) []entry {
	clear(list[:n])
	if n == len(list) {
		if cap(list) > 16 {
			return nil
		}
		return list[:0]
	}
	return list[n:]
}
