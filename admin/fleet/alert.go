package fleet

import "time"

// AlertState says whether an alert still stands.
type AlertState string

// The states of alerts and of incidents. That somebody has acknowledged one does not change its state.
const (
	AlertOpen     AlertState = "open"
	AlertResolved AlertState = "resolved"
)

// Why an alert was resolved other than by its clearing condition.
const (
	ResolvedCleared = "cleared"       // what it was about is over
	ResolvedRule    = "rule_removed"  // its rule was removed, switched off or no longer covers the kiosk
	ResolvedKiosk   = "kiosk_removed" // its kiosk is no longer registered
	ResolvedPerson  = "by_hand"
)

// Care is what people have done about an alert or an incident.
type Care struct {
	AcknowledgedAt *time.Time
	AcknowledgedBy string
	Assignee       string
	SnoozedUntil   *time.Time
}

// Alert is one rule that holds for one kiosk, from when it began to when it ended. There is at most one open
// alert of a rule and a kiosk.
type Alert struct {
	ID          string // made of rule, serial and OpenedAt: the same input gives the same id
	Rule        string
	RuleVersion int64
	Serial      string
	Site        string // of the kiosk when it opened
	Model       string
	Tags        []string
	Severity    Severity
	Labels      map[string]string
	State       AlertState
	Reason      string // in words, with the values of the moment
	NoData      bool   // it opened because a value does not come
	Flapping    bool   // it came and went so often that it is held open
	Since       time.Time
	OpenedAt    time.Time // Since and the rule's For
	ResolvedAt  *time.Time
	ResolvedWhy string
	// Values are what the condition looked at when it opened, numbers only.
	Values []Value
	// AboutPresence says that the rule looks at presence itself, so that absence does not suppress it; Security
	// that maintenance does not.
	AboutPresence bool
	Security      bool
	AgentVersion  string // of the kiosk when it opened
	Network       string // its network path then, empty when unknown

	Care
	IncidentID string
	// Suppressed says why nobody is told: offline (what follows from a kiosk that is gone), maintenance, or
	// silence:<id>. Empty: somebody is.
	Suppressed string
	UpdatedAt  time.Time // grows with each change
}

// Suppression reasons of Alert.Suppressed; a silence's is SuppressedSilence and its id.
const (
	SuppressedOffline     = "offline"
	SuppressedMaintenance = "maintenance"
	SuppressedSilence     = "silence:"
)

// Open reports whether the alert still stands.
func (a *Alert) Open() bool { return a.State == AlertOpen }

// AlertFilter picks alerts; empty fields pick all.
type AlertFilter struct {
	State        AlertState
	Severities   []Severity
	Serial, Site string
	Rule         string
	IncidentID   string
	Assignee     string
	Acknowledged *bool
	Suppressed   *bool
	Alone        bool      // only those in no incident
	From, To     time.Time // opened in [From, To)
	// WorstFirst puts the worst first and of equals the newest; otherwise the newest are first.
	WorstFirst bool
}

// AlertEventKind says what happened to an alert or incident.
type AlertEventKind string

// The kinds of alert events.
const (
	AlertEventOpened         AlertEventKind = "opened"
	AlertEventResolved       AlertEventKind = "resolved"
	AlertEventReason         AlertEventKind = "reason"   // its text or severity changed
	AlertEventFlapping       AlertEventKind = "flapping" // it is held open
	AlertEventAcknowledged   AlertEventKind = "acknowledged"
	AlertEventUnacknowledged AlertEventKind = "unacknowledged"
	AlertEventAssigned       AlertEventKind = "assigned"
	AlertEventSnoozed        AlertEventKind = "snoozed"
	AlertEventAwake          AlertEventKind = "awake" // a snooze is over
	AlertEventCommented      AlertEventKind = "commented"
	AlertEventSuppressed     AlertEventKind = "suppressed"
	AlertEventReleased       AlertEventKind = "released" // suppressed no longer
	AlertEventJoined         AlertEventKind = "joined"   // an alert became part of an incident
	AlertEventNotified       AlertEventKind = "notified"
	AlertEventNotNotified    AlertEventKind = "not_notified" // a target gave up
	AlertEventEscalated      AlertEventKind = "escalated"
)

// AlertEvent is one entry in the story of an alert or an incident. Ids grow; whoever tells others of what
// happens reads on from the last id that it has worked off.
type AlertEvent struct {
	ID         int64
	At         time.Time
	Kind       AlertEventKind
	AlertID    string // empty: of the incident as a whole
	IncidentID string
	Actor      string // who did it; empty: the platform
	Text       string
}

// IncidentKind says what the kiosks of an incident have in common.
type IncidentKind string

// The kinds of incidents.
const (
	IncidentSite    IncidentKind = "site"
	IncidentNetwork IncidentKind = "network" // the same network path
	IncidentVersion IncidentKind = "version" // the same agent version
)

// Incident is many alerts with one cause: it is told once and closes with its last alert.
type Incident struct {
	ID         string
	Kind       IncidentKind
	Key        string   // site, network or version
	Site       string   // empty when they are of several
	Rule       string   // of most of its alerts
	Severity   Severity // the worst of its alerts'
	State      AlertState
	Title      string // in words: what, where, how many of how many
	Kiosks     int    // that have or had an alert in it
	OfKiosks   int    // registered with that key when it opened
	Open       int    // alerts that still stand
	OpenedAt   time.Time
	ResolvedAt *time.Time

	Care
	Suppressed string // as of alerts, when all of its alerts are
	UpdatedAt  time.Time
}

// IncidentFilter picks incidents; empty fields pick all.
type IncidentFilter struct {
	State AlertState
	Site  string
}

// Matcher is one condition on a label of an alert. Labels are rule, severity, serial, site, model, tag (any of
// the kiosk's) and those of the rule.
type Matcher struct {
	Name  string `json:"name"`
	Op    string `json:"op"` // = != =~ !~ ; regular expressions match the whole value
	Value string `json:"value"`
}

// Silence keeps alerts that match all its matchers from being told.
type Silence struct {
	ID        string
	Matchers  []Matcher
	From      time.Time
	Until     time.Time
	Comment   string
	CreatedBy string
	CreatedAt time.Time
	EndedBy   string // who ended it before Until
}

// Active reports whether the silence holds at a time.
func (s *Silence) Active(at time.Time) bool { return !at.Before(s.From) && at.Before(s.Until) }

// MaintenanceWindow is a time in which kiosks are worked on: they raise nothing but security alerts. A kiosk
// that itself reports maintenance needs none.
type MaintenanceWindow struct {
	ID        string
	Scope     RuleScope
	From      time.Time
	Until     time.Time
	Schedule  *Schedule // only at these times between From and Until; nil: all the time
	Comment   string
	CreatedBy string
	CreatedAt time.Time
}

// AlertStatistics says how alerts were dealt with in a time.
type AlertStatistics struct {
	From, To     time.Time
	Opened       int
	Acknowledged int
	Resolved     int
	// MTTA is the mean time from opening to acknowledgement, MTTR to resolution, of those that were; 0 when none.
	MTTA, MTTR time.Duration
	ByRule     []AlertCount // most first
	BySite     []AlertCount
}

// AlertCount is how many alerts opened for one rule or site.
type AlertCount struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
	// MTTASeconds and MTTRSeconds are as of AlertStatistics, of these alerts.
	MTTASeconds float64 `json:"mtta_seconds"`
	MTTRSeconds float64 `json:"mttr_seconds"`
}

// AlertChange is what the alert engine found out about one rule and one kiosk. Kind is opened, resolved, reason
// or flapping; Alert holds what the engine knows of it, nothing of what people did.
type AlertChange struct {
	Kind  AlertEventKind
	At    time.Time
	Alert Alert
}

// AlertEngineState is what the alert engine keeps of a kiosk for the next start: with the place in the journal
// up to which it was brought, so that nothing before it is worked on twice.
type AlertEngineState struct {
	Serial string // empty: of the platform itself
	Source Source
	Data   []byte
}
