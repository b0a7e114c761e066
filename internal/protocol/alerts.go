package protocol

import (
	"strings"
	"time"
)

const (
	alertRoot    = "alerts/"
	incidentRoot = "incidents/"
	// What stands for a serial or a site that there is none of. Serials cannot begin so, and sites that do are
	// escaped.
	platformSegment = "_platform"
	severalSegment  = "_several"
)

// AlertTopic returns the topic of a kiosk's alerts, such as alerts/critical/K-1. An empty serial stands for the
// platform itself.
func AlertTopic(severity, serial string) string {
	if serial == "" {
		serial = platformSegment
	}
	return alertRoot + severity + "/" + serial
}

// IncidentTopic returns the topic of a site's incidents, such as incidents/Hall 1. An empty site stands for
// incidents of several sites.
func IncidentTopic(site string) string { return incidentRoot + SiteSegment(site) }

// SiteSegment returns how a site is written in a topic: / + # and % are escaped as in a URL, and so is a first _,
// with which names of ours begin. url.PathUnescape gives the site back.
func SiteSegment(site string) string {
	if site == "" {
		return severalSegment
	}
	out := siteEscapes.Replace(site)
	if out[0] == '_' {
		out = "%5F" + out[1:]
	}
	return out
}

var siteEscapes = strings.NewReplacer("%", "%25", "/", "%2F", "+", "%2B", "#", "%23")

// What a message about an alert or incident tells.
const (
	AlertOpened       = "opened"
	AlertAcknowledged = "acknowledged"
	AlertResolved     = "resolved"
	AlertTest         = "test" // of a target; there is no such alert
)

// AlertMessage is the message on alerts/<severity>/<serial>. An alert whose severity has changed ends on another
// topic than it began; its id stays.
type AlertMessage struct {
	Event          string            `json:"event,omitempty"`
	EventID        int64             `json:"event_id,omitempty"` // grows; the same id is the same message, sent again
	Time           time.Time         `json:"time"`               // of the event
	ID             string            `json:"id"`
	Rule           string            `json:"rule"`
	Serial         string            `json:"serial"` // empty: of the platform itself
	Site           string            `json:"site,omitempty"`
	Model          string            `json:"model,omitempty"`
	Tags           []string          `json:"tags,omitempty"`
	Severity       string            `json:"severity"`
	Labels         map[string]string `json:"labels,omitempty"`
	State          string            `json:"state"`
	Reason         string            `json:"reason"`
	NoData         bool              `json:"no_data,omitempty"`
	Flapping       bool              `json:"flapping,omitempty"`
	Since          time.Time         `json:"since"`
	OpenedAt       time.Time         `json:"opened_at"`
	AcknowledgedAt *time.Time        `json:"acknowledged_at,omitempty"`
	AcknowledgedBy string            `json:"acknowledged_by,omitempty"`
	ResolvedAt     *time.Time        `json:"resolved_at,omitempty"`
	ResolvedWhy    string            `json:"resolved_why,omitempty"`
	IncidentID     string            `json:"incident_id,omitempty"` // it is part of that incident
}

// IncidentMessage is the message on incidents/<site>.
type IncidentMessage struct {
	Event          string     `json:"event,omitempty"`
	EventID        int64      `json:"event_id,omitempty"` // as of AlertMessage
	Time           time.Time  `json:"time"`
	ID             string     `json:"id"`
	Kind           string     `json:"kind"` // site, network or version
	Key            string     `json:"key"`  // which one
	Site           string     `json:"site,omitempty"`
	Rule           string     `json:"rule"`
	Severity       string     `json:"severity"`
	State          string     `json:"state"`
	Title          string     `json:"title"`
	Kiosks         int        `json:"kiosks"`
	OfKiosks       int        `json:"of_kiosks"`
	Open           int        `json:"open"` // alerts that still stand
	OpenedAt       time.Time  `json:"opened_at"`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"`
	AcknowledgedBy string     `json:"acknowledged_by,omitempty"`
	ResolvedAt     *time.Time `json:"resolved_at,omitempty"`
}

// What a notification tells; one may tell several things, then it is the most pressing.
const (
	NotificationOpened    = "opened"
	NotificationWorse     = "worse"     // the severity has risen
	NotificationEscalated = "escalated" // nobody has acknowledged
	NotificationRepeated  = "repeated"  // it still stands
	NotificationResolved  = "resolved"
	NotificationTest      = "test"
)

// Notification is what a webhook receives: one message to people about the alerts of a group or about an
// incident.
type Notification struct {
	ID       string            `json:"id"` // of the delivery; a repeated attempt has the same
	Event    string            `json:"event"`
	Time     time.Time         `json:"time"`
	Route    string            `json:"route"`
	Group    map[string]string `json:"group,omitempty"` // the labels that its alerts share
	Title    string            `json:"title"`
	Text     string            `json:"text"`
	URL      string            `json:"url,omitempty"` // of the page about it
	Incident *IncidentMessage  `json:"incident,omitempty"`
	// Alerts are those told of, worst first; of an incident its alerts. More is how many are left out.
	Alerts []AlertMessage `json:"alerts"`
	More   int            `json:"more,omitempty"`
}
