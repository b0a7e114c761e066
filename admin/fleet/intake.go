package fleet

import (
	"time"

	"kioskfleet/internal/protocol"
)

// DeadLetter is a message, or one reading of a message, that could not be used. It is kept so that
// people can see what was wrong, and use it after all once that is mended.
type DeadLetter struct {
	ID         int64
	Source     Source // of the journal; two letters never have the same
	Serial     string
	Site       string
	Channel    protocol.Channel
	Reason     string // stable word, such as malformed or conflict
	Detail     string // what exactly is wrong
	Payload    []byte // as the kiosk sent it; of an array only the one reading
	Size       int    // of the payload as the kiosk sent it, in bytes; 0: Payload is all of it
	Truncated  bool   // the payload was too large to be kept whole, so it cannot be replayed
	ReceivedAt time.Time
}

// DeadLetterFilter picks dead letters; an empty field picks all.
type DeadLetterFilter struct {
	Serial string
	Reason string
	// Through leaves out letters with higher ids: those that came after somebody looked.
	Through int64
}

// IntakeStatus says how far what kiosks send has got: into the journal, and out of it.
type IntakeStatus struct {
	Accepting    bool
	Refusal      string // why messages are refused right now; empty while they are accepted
	JournalBytes int64  // on disk
	JournalMax   int64  // where the journal begins to refuse
	Consumers    []ConsumerStatus
}

// ConsumerStatus is how one reader of the journal does.
type ConsumerStatus struct {
	Name    string
	Behind  uint64        // records that it has not finished
	Lag     time.Duration // age of the oldest of them
	Problem string        // why it does not get on; empty while it does
	Since   time.Time     // of the problem
}

// Refusals is how many of a kiosk's messages and readings were refused for one reason.
type Refusals struct {
	Reason string
	Count  uint64
	LastAt time.Time
}
