package fleet

import "time"

// AlertBatch is what becomes true of alerts and incidents at one moment. All of it is stored, or nothing.
type AlertBatch struct {
	States         []AlertEngineState
	Alerts         []Alert    // new or changed, as they are now
	Incidents      []Incident // new or changed, as they are now
	Events         []AlertEvent
	Silences       []Silence // new or changed
	Windows        []MaintenanceWindow
	RemovedWindows []string // ids
	Audit          []AuditEntry
}

// AuditEntry says that somebody did something to something.
type AuditEntry struct {
	At     time.Time
	Actor  string
	Action string // such as alert.acknowledge
	Target string
	Detail string
}

// SilenceState says where a silence stands in time.
type SilenceState string

// The states of silences.
const (
	SilencePending SilenceState = "pending"
	SilenceActive  SilenceState = "active"
	SilenceExpired SilenceState = "expired" // or ended by somebody
)

// State returns where the silence stands at a time.
func (s *Silence) State(at time.Time) SilenceState {
	switch {
	case s.Active(at):
		return SilenceActive
	case at.Before(s.From) && s.From.Before(s.Until):
		return SilencePending
	}
	return SilenceExpired
}
