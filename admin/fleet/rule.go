package fleet

import (
	"time"
)

// Severity says how much an alert matters.
type Severity string

// The severities, worst first as lists show them.
const (
	SeverityCritical Severity = "critical" // somebody must go now: customers or property suffer
	SeverityWarning  Severity = "warning"  // somebody must look today
	SeverityInfo     Severity = "info"     // worth knowing, nobody is called
)

// Severities lists every severity, worst first.
func Severities() []Severity { return []Severity{SeverityCritical, SeverityWarning, SeverityInfo} }

// Rank orders severities: 0 is the worst.
func (s Severity) Rank() int {
	for i, t := range Severities() {
		if s == t {
			return i
		}
	}
	return len(Severities())
}

// Worse returns the worse of two severities.
func (s Severity) Worse(t Severity) Severity {
	if t.Rank() < s.Rank() {
		return t
	}
	return s
}

// RuleOrigin says where a rule comes from.
type RuleOrigin string

// The origins of rules. Those of files are changed in their file; the API only switches them on and off.
const (
	OriginShipped RuleOrigin = "shipped" // configs/alerts.yaml, built into the program
	OriginFile    RuleOrigin = "file"    // the file of alerts.rules
	OriginUser    RuleOrigin = "user"    // made by API or page
)

// RuleScope limits a rule to some kiosks. Each list holds globs such as "terminal-*"; an empty list is for
// all, a kiosk must match every list, and one entry of it is enough.
type RuleScope struct {
	Serials []string `json:"serials,omitempty"`
	Sites   []string `json:"sites,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Models  []string `json:"models,omitempty"`
}

// Schedule is a time of the week, by the kiosk's own clock on the wall. From after To goes over midnight.
type Schedule struct {
	Days []string `json:"days,omitempty"` // mon, tue, wed, thu, fri, sat, sun; empty: every day
	From string   `json:"from,omitempty"` // 15:04; empty: the start of the day
	To   string   `json:"to,omitempty"`   // 15:04, exclusive; empty: the end of the day
}

// Rule says when a kiosk is worth an alert.
type Rule struct {
	Name     string // stable: it names the rule's alerts; lower-case letters, digits and _
	Summary  string // one line for people: what is wrong when it fires
	Severity Severity
	// Condition opens an alert and Clear closes it; both are expressions of docs/alerts.md. Without Clear
	// the alert closes when Condition no longer holds.
	Condition string
	Clear     string
	For       time.Duration // Condition must hold for so long
	ClearFor  time.Duration // and what closes it, too
	// NoData, if not 0, opens an alert as well when a value that Condition needs has not come for so long
	// from a kiosk that is there.
	NoData   time.Duration
	Text     string // template of the alert's reason; empty: Summary
	Labels   map[string]string
	Scope    RuleScope
	Schedule *Schedule // nil: always
	Security bool      // it alerts in maintenance, too
	Disabled bool

	Origin    RuleOrigin
	Version   int64 // grows with each change
	UpdatedAt time.Time
	UpdatedBy string
}
