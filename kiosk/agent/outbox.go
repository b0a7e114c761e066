package agent

import "kioskfleet/internal/protocol"

// Batch is one MQTT message that an Outbox wants to be published.
type Batch struct {
	Channel  protocol.Channel
	Payload  []byte // one reading or ack, or an array of readings
	Readings int    // how many readings it holds; 0 for an ack
	Last     uint64 // the outbox's own mark for Done
}

// Item is something for an Outbox to keep: an encoded reading, or an encoded ack.
type Item struct {
	// AckKey names an ack's command and status; it is empty for a reading. An ack that still waits
	// under the same key is not kept twice.
	AckKey  string
	Payload []byte
}

// Outbox keeps readings and acks until the broker has acknowledged them. One goroutine adds, another
// takes and confirms.
type Outbox interface {
	// Add keeps an item. A full outbox drops its oldest reading and counts it; acks are never dropped.
	Add(Item) error
	// Next returns what to publish next, false when there is nothing: first acks and the readings
	// of this connection in the order they came, then what was left over from earlier connections,
	// oldest first and many in one message. It removes nothing; Done does.
	Next() (Batch, bool)
	// Done removes a batch that the broker has acknowledged.
	Done(Batch) error
	// Rewind is called when a new connection begins: readings that are still here become backlog.
	Rewind()
}

// Bounds of one message of backlog.
const (
	maxBatchReadings = 500
	maxBatchBytes    = 256 << 10
)
