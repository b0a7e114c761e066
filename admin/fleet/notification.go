package fleet

import (
	"encoding/json"
	"time"
)

// TargetKind says how a target is reached.
type TargetKind string

// The kinds of targets.
const (
	TargetMQTT         TargetKind = "mqtt"         // the topics alerts/# and incidents/#
	TargetWebhook      TargetKind = "webhook"      // HTTP POST, signed
	TargetShoutrrr     TargetKind = "shoutrrr"     // mail, chat and others by an address of shoutrrr
	TargetAlertmanager TargetKind = "alertmanager" // its API v2
)

// NotificationTarget is somebody to tell.
type NotificationTarget struct {
	ID       string
	Name     string
	Kind     TargetKind
	URL      string // may hold secrets: the API shows it without
	Secret   string // key of a webhook's signature; never shown again
	Disabled bool
	// Problem is why the last delivery failed, empty when it did not; Since when deliveries fail.
	Problem   string
	Since     *time.Time
	UpdatedAt time.Time
}

// Escalation tells more targets when nobody has acknowledged for some time.
type Escalation struct {
	After   time.Duration
	Targets []string // names
}

// NotificationRoute says who is told of which alerts. Routes are tried in order; the first that matches
// decides, unless it goes on.
type NotificationRoute struct {
	Name       string
	Severities []Severity // empty: all
	Sites      []string   // globs; empty: all
	Matchers   []Matcher
	Schedule   *Schedule // when it holds, by the kiosk's clock; nil: always
	Targets    []string  // names; empty: nobody is told
	GroupBy    []string  // labels whose alerts go into one message; empty: one message each
	// GroupWait is how long a first message waits for others, GroupInterval the least time between messages of
	// a group, RepeatInterval after what time an open alert is told again (0: never).
	GroupWait      time.Duration
	GroupInterval  time.Duration
	RepeatInterval time.Duration
	Resolved       bool // tell the end, too
	Escalations    []Escalation
	Continue       bool // try the routes after it as well
}

// DeliveryStatus says what became of a message to a target.
type DeliveryStatus string

// The statuses of deliveries.
const (
	DeliveryPending   DeliveryStatus = "pending" // not yet, or it failed and is tried again
	DeliveryDelivered DeliveryStatus = "delivered"
	DeliveryGaveUp    DeliveryStatus = "gave_up"
)

// Delivery is one message to one target and what became of it.
type Delivery struct {
	ID         string // sent along, so that a receiver can tell a repeat
	Target     string // name
	Route      string
	Status     DeliveryStatus
	Attempts   int
	Error      string // of the last attempt
	CreatedAt  time.Time
	UpdatedAt  time.Time
	NextAt     *time.Time // of the next attempt
	GiveUpAt   time.Time  // when no further attempt is made
	Group      string     // messages of one group reach a target in order
	IncidentID string
	AlertIDs   []string
	Payload    json.RawMessage
}

// DeliveryFilter picks deliveries; empty fields pick all.
type DeliveryFilter struct {
	Target  string
	Status  DeliveryStatus
	AlertID string
}

// NotificationTargetPatch changes those fields of a target that are not nil.
type NotificationTargetPatch struct {
	URL      *string
	Secret   *string
	Disabled *bool
}

// NotificationRoutes is the list of routes as a whole: it is changed as one, and Version grows with each change.
type NotificationRoutes struct {
	Version   int64
	Routes    []NotificationRoute
	UpdatedAt time.Time
	UpdatedBy string
}

// NotificationGroup is what is kept of alerts that are told together, packed by who tells them.
type NotificationGroup struct {
	Key  string
	Data []byte // empty: nothing is kept of it any more
}

// NotificationStep is one step of telling: how far the alert events were worked off and everything that this led
// to. It is written as a whole, so that nothing is told twice or forgotten.
type NotificationStep struct {
	Cursor     int64 // id of the last alert event worked off
	Groups     []NotificationGroup
	Deliveries []Delivery
	Events     []AlertEvent // without ids
}

// DeliveryOutcome is what became of an attempt, with what it means for its target and for the alerts' stories.
type DeliveryOutcome struct {
	Delivery Delivery
	TargetID string
	Problem  string     // of the target now; empty: none
	Since    *time.Time // when it began
	Events   []AlertEvent
}
