// Package truth is the record of what really happened to simulated kiosks, against which a test can
// hold what a platform believes.
package truth

import (
	"encoding/json"
	"time"

	"kioskfleet/kiosk/fault"
)

// Kind says what an event tells.
type Kind string

// The kinds of events.
const (
	FaultStart Kind = "fault_start"
	FaultEnd   Kind = "fault_end"
	Session    Kind = "session" // a customer's; told when it has ended
	Command    Kind = "command" // one got its final answer
	Boot       Kind = "boot"    // the agent has started
)

// Event is one line of a truth log. Fault events have ID, Fault and Params; the others have the part
// that is called like them.
type Event struct {
	// Time is the kiosk's own, without a skew of its clock: when it happened, for a session its begin.
	Time   time.Time `json:"time"`
	Serial string    `json:"serial"`
	Event  Kind      `json:"event"`

	ID     string       `json:"id,omitempty"` // ties the end of a fault to its start
	Fault  fault.Kind   `json:"fault,omitempty"`
	Params fault.Params `json:"params,omitempty"`

	Session *CustomerSession `json:"session,omitempty"`
	Command *CommandEvent    `json:"command,omitempty"`
	Boot    *BootEvent       `json:"boot,omitempty"`
}

// Outcomes of a customer's session.
const (
	Served      = "served"
	Interrupted = "interrupted" // by a restart or a fault
	TurnedAway  = "turned_away" // the kiosk could not serve; it has no end of its own
	LeftQueue   = "left_queue"  // the customer did not want to wait any longer
)

// CustomerSession is what one customer did.
type CustomerSession struct {
	Arrived time.Time `json:"arrived"`
	Ended   time.Time `json:"ended"`
	Outcome string    `json:"outcome"`
	Paid    string    `json:"paid,omitempty"`    // card, cash, or empty: nothing to pay
	Printed int       `json:"printed,omitempty"` // pages
}

// CommandEvent is a command that got its final answer.
type CommandEvent struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Params   json.RawMessage `json:"params,omitempty"`
	Status   string          `json:"status"`   // that of the answer: succeeded, failed or rejected
	Executed bool            `json:"executed"` // it had its effect, whatever the answer says
	Error    string          `json:"error,omitempty"`
}

// BootEvent is a start of the agent.
type BootEvent struct {
	ID      string `json:"id"`
	Version string `json:"version"`
}
