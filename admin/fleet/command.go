package fleet

import (
	"encoding/json"
	"time"

	"kioskfleet/internal/protocol"
)

// CommandStatus is a rung of the delivery ladder.
type CommandStatus string

// The ladder: queued → sent → received → running → succeeded | failed | rejected | expired, then
// verified | unverified by what the kiosk's own reports show.
const (
	CommandQueued     CommandStatus = "queued"
	CommandSent       CommandStatus = "sent"
	CommandReceived   CommandStatus = "received"
	CommandRunning    CommandStatus = "running"
	CommandSucceeded  CommandStatus = "succeeded"
	CommandFailed     CommandStatus = "failed"
	CommandRejected   CommandStatus = "rejected"
	CommandExpired    CommandStatus = "expired"
	CommandVerified   CommandStatus = "verified"
	CommandUnverified CommandStatus = "unverified"
)

// rank orders the statuses along the ladder; a command never steps down.
func (s CommandStatus) rank() int {
	switch s {
	case CommandQueued:
		return 0
	case CommandSent:
		return 1
	case CommandReceived:
		return 2
	case CommandRunning:
		return 3
	case CommandSucceeded, CommandFailed, CommandRejected, CommandExpired:
		return 4
	case CommandVerified, CommandUnverified:
		return 5
	}
	return -1
}

// CanFollow reports whether a command in status from may step to s: only up the ladder, and past
// success only to verified or unverified. Late and repeated acks are thereby harmless.
func (s CommandStatus) CanFollow(from CommandStatus) bool {
	switch {
	case s.rank() == 5:
		return from == CommandSucceeded
	case from.rank() >= 4:
		// A kiosk that was cut off may still prove that it did what had expired here.
		return from == CommandExpired && (s == CommandSucceeded || s == CommandFailed || s == CommandRejected)
	}
	return s.rank() > from.rank()
}

// Open reports whether the kiosk has not yet given a final answer.
func (s CommandStatus) Open() bool { return s.rank() < 4 }

// CommandStep is one rung that a command reached.
type CommandStep struct {
	Status CommandStatus
	At     time.Time
	Note   string // an error, or the evidence of a verification
}

// Command is an order to one kiosk and what became of it.
type Command struct {
	ID        string // UUIDv7
	Serial    string
	Name      protocol.CommandName
	Params    json.RawMessage
	Status    CommandStatus
	Error     string
	Result    json.RawMessage
	Actor     string // who asked: user or token name
	CreatedAt time.Time
	ExpiresAt time.Time
	UpdatedAt time.Time
	// BootID is the kiosk's boot id when the command was sent; a restart is verified by another one.
	BootID string
	Steps  []CommandStep
}
