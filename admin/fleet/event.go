package fleet

import "time"

// EventKind says what happened to a kiosk.
type EventKind string

// The kinds of events.
const (
	EventRegistered EventKind = "registered"
	EventChanged    EventKind = "changed"
	EventEnrolled   EventKind = "enrolled"
	EventRevoked    EventKind = "revoked"
	EventJoined     EventKind = "joined"     // announced itself after connecting
	EventPresence   EventKind = "presence"   // from, to: presences
	EventStatus     EventKind = "status"     // from, to: states the kiosk reports
	EventVerdict    EventKind = "verdict"    // from, to: verdicts
	EventPeripheral EventKind = "peripheral" // subject: metric; from, to: its texts
	EventCommand    EventKind = "command"    // subject: name; to: final status
)

// Event is one entry of a kiosk's history; state changes are written only when something changed.
type Event struct {
	ID      int64
	Serial  string
	At      time.Time
	Kind    EventKind
	Subject string
	From    string
	To      string
	Reason  string
	Actor   string
}
