package protocol

import (
	"encoding/json"
	"time"
)

// State is what a kiosk says about itself in each reading.
type State string

// The states a kiosk reports.
const (
	StateOnline      State = "online"
	StateBlocked     State = "blocked"
	StateMaintenance State = "maintenance"
	StateRestarting  State = "restarting"
	StateUpdating    State = "updating"
)

// States lists every state a kiosk may report.
func States() []State {
	return []State{StateOnline, StateBlocked, StateMaintenance, StateRestarting, StateUpdating}
}

// Group is one open group of a reading: field name to number, boolean or short string.
type Group map[string]any

// Reading is one telemetry sample of a kiosk, the message on kiosks/<serial>/telemetry. Units of the
// known fields are in the catalogue (Metrics). Seq counts 1, 2, 3, … in each session, so that missing
// readings show; serial, session and seq together name a reading.
type Reading struct {
	Timestamp     time.Time `json:"timestamp"`
	KioskID       int64     `json:"kiosk_id,omitempty"`
	Serial        string    `json:"serial"`
	Seq           uint64    `json:"seq,omitempty"`
	Session       string    `json:"session,omitempty"`
	Status        State     `json:"status,omitempty"`
	ConfigVersion int64     `json:"config_version,omitempty"`
	Environmental Group     `json:"environmental,omitempty"`
	Hardware      Group     `json:"hardware,omitempty"`
	Peripherals   Group     `json:"peripherals,omitempty"`
	Location      Group     `json:"location,omitempty"`
	Network       Group     `json:"network,omitempty"`
	Custom        Group     `json:"custom,omitempty"`
	// Dropped lists readings that the kiosk's outbox had to give up for want of room. A reading that has
	// it and no group only reports that; it has no seq of its own.
	Dropped []SeqRange `json:"dropped,omitempty"`
}

// SeqRange is a run of readings of one session, both ends included.
type SeqRange struct {
	Session string `json:"session"`
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
}

// Join announces a kiosk after each connection, on kiosks/<serial>/join. BootID changes with each
// start of the agent, Session with each connection.
type Join struct {
	Serial        string    `json:"serial"`
	KioskID       int64     `json:"kiosk_id,omitempty"`
	Session       string    `json:"session"`
	BootID        string    `json:"boot_id"`
	AgentVersion  string    `json:"agent_version"`
	Model         string    `json:"model,omitempty"`
	Capabilities  []string  `json:"capabilities"`
	Commands      []string  `json:"commands,omitempty"`
	ConfigVersion int64     `json:"config_version,omitempty"`
	Time          time.Time `json:"time"`
}

// Reasons of a Bye.
const (
	ByeStopped        = "stopped"         // the agent was told to stop
	ByeRestarting     = "restarting"      // it comes back by itself
	ByeConnectionLost = "connection_lost" // the will: the broker says so for the kiosk
)

// Bye ends a session, on kiosks/<serial>/bye; it is also the kiosk's will.
type Bye struct {
	Session string `json:"session"`
	Reason  string `json:"reason"`
}

// CommandName names something a kiosk can be told to do.
type CommandName string

// The commands every kiosk knows.
const (
	CommandBlock       CommandName = "block"
	CommandUnblock     CommandName = "unblock"
	CommandRestart     CommandName = "restart"
	CommandUpdate      CommandName = "update"      // params: version (string, optional)
	CommandMaintenance CommandName = "maintenance" // params: enabled (bool)
	CommandPing        CommandName = "ping"
)

// CommandNames lists the known commands in the order operators meet them.
func CommandNames() []CommandName {
	return []CommandName{CommandBlock, CommandUnblock, CommandRestart, CommandUpdate, CommandMaintenance, CommandPing}
}

// Command is the message on kiosks/<serial>/cmd. TTLSeconds is what was left of the command's
// lifetime when it was sent: a duration, because a kiosk's clock may lie. 0 means no limit.
type Command struct {
	ID         string          `json:"id"`
	Name       CommandName     `json:"name"`
	Params     json.RawMessage `json:"params,omitempty"`
	IssuedAt   time.Time       `json:"issued_at"`
	TTLSeconds float64         `json:"ttl_seconds,omitempty"`
}

// AckStatus is how far a kiosk has got with a command.
type AckStatus string

// The statuses a kiosk acknowledges with. Succeeded, failed and rejected are final.
const (
	AckReceived  AckStatus = "received"
	AckRunning   AckStatus = "running"
	AckSucceeded AckStatus = "succeeded"
	AckFailed    AckStatus = "failed"
	AckRejected  AckStatus = "rejected" // not understood or not allowed; nothing was done
)

// Ack is the message on kiosks/<serial>/ack.
type Ack struct {
	ID     string          `json:"id"`
	Status AckStatus       `json:"status"`
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Time   time.Time       `json:"time"`
}

// Status is the retained message on kiosks/<serial>/status: what the platform holds true of a kiosk.
type Status struct {
	Serial       string    `json:"serial"`
	Presence     string    `json:"presence"`
	PresenceWhy  string    `json:"presence_reason,omitempty"`
	Status       string    `json:"status"`
	Verdict      string    `json:"verdict"`
	Reasons      []string  `json:"reasons,omitempty"`
	Since        time.Time `json:"since"`
	AgentVersion string    `json:"agent_version,omitempty"`
	Session      string    `json:"session,omitempty"`
}

// Admission is the retained message on an admission topic; an empty payload withdraws it.
type Admission struct {
	Serial string `json:"serial"`
	// Generation is the lowest that the kiosk's certificate may carry; earlier ones are revoked.
	Generation int64 `json:"generation"`
}
