package agent

import (
	"sync"
	"time"

	"kioskfleet/internal/protocol"
)

// maxInbox bounds what waits between the link and the loop. A full inbox refuses the message, which
// leaves it unacknowledged on the broker.
const maxInbox = 256

// inbox hands messages of the platform from the link's goroutine to the loop.
type inbox struct {
	ready chan struct{} // holds a token while there is something to take

	mu       sync.Mutex // guards messages
	messages []inboxMessage
}

type inboxMessage struct {
	channel protocol.Channel
	payload []byte
	came    time.Time
}

func (b *inbox) put(ch protocol.Channel, payload []byte) error {
	b.mu.Lock()
	full := len(b.messages) >= maxInbox
	if !full {
		b.messages = append(b.messages, inboxMessage{ch, payload, time.Now()})
	}
	b.mu.Unlock()
	if full {
		return errInboxFull
	}
	signal(b.ready)
	return nil
}

// take empties the inbox.
func (b *inbox) take() []inboxMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.messages
	b.messages = nil
	return all
}
