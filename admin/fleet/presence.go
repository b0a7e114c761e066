package fleet

import (
	"time"

	"kioskfleet/internal/protocol"
)

// Presence says whether a kiosk is there.
type Presence string

// The presences of a kiosk.
const (
	PresenceOnline  Presence = "online"  // connected and reporting
	PresenceStale   Presence = "stale"   // connected but silent for several intervals
	PresenceOffline Presence = "offline" // not connected
	PresenceNever   Presence = "never"   // registered, not seen yet
)

// Presences lists every presence.
func Presences() []Presence {
	return []Presence{PresenceOnline, PresenceStale, PresenceOffline, PresenceNever}
}

// PresenceReason says why a presence is what it is.
type PresenceReason string

// The reasons of a presence.
const (
	ReasonReporting       PresenceReason = "reporting"
	ReasonNeverSeen       PresenceReason = "never_seen"
	ReasonCleanDisconnect PresenceReason = "clean_disconnect" // it said goodbye
	ReasonConnectionLost  PresenceReason = "connection_lost"  // the broker sent its will
	ReasonNoData          PresenceReason = "no_data"          // silent for several intervals
	ReasonTakenOver       PresenceReason = "taken_over"       // another connection of the same serial replaced it
	ReasonRevoked         PresenceReason = "revoked"
	ReasonAdminRestart    PresenceReason = "admin_restart" // the platform restarted; it has not come back yet
)

// Verdict answers: can it serve customers?
type Verdict string

// The verdicts, worst first as lists show them.
const (
	VerdictCannotServe Verdict = "cannot_serve"
	VerdictDegraded    Verdict = "degraded"
	VerdictUnknown     Verdict = "unknown" // offline, stale or never seen
	VerdictCanServe    Verdict = "can_serve"
)

// Verdicts lists every verdict, worst first.
func Verdicts() []Verdict {
	return []Verdict{VerdictCannotServe, VerdictDegraded, VerdictUnknown, VerdictCanServe}
}

// Severity orders verdicts: 0 is the worst.
func (v Verdict) Severity() int {
	for i, w := range Verdicts() {
		if v == w {
			return i
		}
	}
	return len(Verdicts())
}

// VerdictReason is one cause of a verdict. Code is stable and the page translates it, Subject is
// the metric or state it is about, Since when it began.
type VerdictReason struct {
	Code    string    `json:"code"`
	Subject string    `json:"subject,omitempty"`
	Value   string    `json:"value,omitempty"`
	Text    string    `json:"text"`
	Since   time.Time `json:"since"`
}

// Status values that the platform adds to those kiosks report.
const (
	StatusOffline = "offline"
	StatusStale   = "stale"
	StatusUnknown = "unknown"
)

// Live is what the platform knows of a kiosk right now.
type Live struct {
	Serial         string
	Presence       Presence
	PresenceReason PresenceReason
	PresenceSince  time.Time
	Status         string // as reported, or offline, stale, unknown
	Verdict        Verdict
	Reasons        []VerdictReason
	VerdictSince   time.Time
	Session        string
	BootID         string
	AgentVersion   string
	Model          string
	Capabilities   []string
	Commands       []string
	BootedAt       time.Time     // when this boot id was first seen
	LastSeen       time.Time     // our clock, any message
	LastReading    *Reading      // newest by device time
	Skew           time.Duration // kiosk's clock minus ours, at its last fresh reading
	Interval       time.Duration // observed reporting interval
	Remote         string        // address that its latest connection came from, without the port; empty behind an external broker
	Revision       uint64        // grows with each change of this kiosk
}

// ConnectionEvent is a connection of a kiosk beginning or ending, as the broker saw it.
type ConnectionEvent struct {
	Serial       string
	ConnectionID string
	Connected    bool
	Clean        bool // it ended with DISCONNECT
	TakenOver    bool
	Remote       string
	At           time.Time
	Source       Source // in the journal
}

// Origin says where a kiosk's message came from.
type Origin struct {
	Serial       string
	ConnectionID string // empty behind an external broker
	At           time.Time
	Source       Source // in the journal
}

// LiveState is what is kept of a kiosk's live state over a restart: with the place in the journal up to
// which it was brought, so that nothing before it is worked on twice.
type LiveState struct {
	Live
	Source      Source
	Ledger      Ledger
	Connections []string  `json:",omitempty"` // ids of those that stood
	Ended       string    `json:",omitempty"` // session of the last goodbye
	LastArrival time.Time `json:",omitzero"`  // of a fresh reading
}

// Uptime returns how long the kiosk's agent has run, 0 when unknown.
func (l *Live) Uptime(now time.Time) time.Duration {
	if l.BootedAt.IsZero() {
		return 0
	}
	return now.Sub(l.BootedAt)
}

// ReportedState returns the state of the last reading, or empty. That a kiosk was restarting or
// updating is over once it has come back with a new session.
func (l *Live) ReportedState() protocol.State {
	r := l.LastReading
	if r == nil {
		return ""
	}
	passing := r.Status == protocol.StateRestarting || r.Status == protocol.StateUpdating
	if passing && l.Session != "" && r.Session != l.Session {
		return protocol.StateOnline
	}
	return r.Status
}
