package agent

import (
	"time"

	"kioskfleet/kiosk/outbox"
)

// Outbox keeps readings and acks until the broker has acknowledged them; *outbox.Box is one. One
// goroutine stamps and adds, another takes and confirms.
type Outbox interface {
	// Stamp returns the time for a reading taken at now: later than that of every reading before it,
	// also of those that an earlier process left.
	Stamp(now time.Time) time.Time
	// Add keeps an item, across the end of the process. A full outbox drops its oldest reading.
	Add(outbox.Item) error
	// Next returns what to publish next, false when there is nothing: first acks and the readings
	// of this connection in the order they came, then what was left over from earlier connections,
	// oldest first and many in one message. It removes nothing; Done does.
	Next() (outbox.Batch, bool)
	// Done removes a batch that the broker has acknowledged.
	Done(outbox.Batch) error
	// Rewind is called when a new connection begins: readings that are still here become backlog.
	Rewind()
}
