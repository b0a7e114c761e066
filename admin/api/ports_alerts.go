package api

import (
	"context"
	"time"

	"kioskfleet/admin/fleet"
)

// The interfaces below are what the API needs to serve alerts, who is told of them and for how long kiosks could
// serve; admin/app connects them as it does those of ports.go. Their errors are those of fleet.

// Alerts keeps alerts and incidents, and does with them what people ask for.
type Alerts interface {
	AlertLists
	AlertCare
	IncidentCare
	Silencing
}

// AlertLists reads alerts and incidents. Lists are newest first; cursor and next are where a page begins and the
// one after it, empty for the first and after the last.
type AlertLists interface {
	Alert(ctx context.Context, id string) (fleet.Alert, error)
	Alerts(ctx context.Context, f fleet.AlertFilter, cursor string, limit int) (page []fleet.Alert, next string, err error)
	// AlertTimeline returns up to limit events with ids below before, or from the newest when it is 0.
	AlertTimeline(ctx context.Context, alert string, before int64, limit int) ([]fleet.AlertEvent, error)
	CountAlerts(ctx context.Context, f fleet.AlertFilter) (map[fleet.Severity]int, error)
	Incident(ctx context.Context, id string) (fleet.Incident, error)
	Incidents(ctx context.Context, f fleet.IncidentFilter, cursor string, limit int) (page []fleet.Incident, next string, err error)
	IncidentTimeline(ctx context.Context, incident string, before int64, limit int) ([]fleet.AlertEvent, error)
	AlertStatistics(ctx context.Context, from, to time.Time) (fleet.AlertStatistics, error)
}

// AlertCare is what people do to an alert; each method but Comment returns it as it is then.
type AlertCare interface {
	Acknowledge(ctx context.Context, id, comment, actor string) (fleet.Alert, error)
	Unacknowledge(ctx context.Context, id, actor string) (fleet.Alert, error)
	Assign(ctx context.Context, id, assignee, actor string) (fleet.Alert, error)
	// Snooze keeps it quiet until a time; the zero time wakes it.
	Snooze(ctx context.Context, id string, until time.Time, comment, actor string) (fleet.Alert, error)
	Comment(ctx context.Context, id, comment, actor string) error
	Resolve(ctx context.Context, id, comment, actor string) (fleet.Alert, error)
}

// IncidentCare is AlertCare for an incident as a whole.
type IncidentCare interface {
	AcknowledgeIncident(ctx context.Context, id, comment, actor string) (fleet.Incident, error)
	UnacknowledgeIncident(ctx context.Context, id, actor string) (fleet.Incident, error)
	AssignIncident(ctx context.Context, id, assignee, actor string) (fleet.Incident, error)
	SnoozeIncident(ctx context.Context, id string, until time.Time, comment, actor string) (fleet.Incident, error)
	CommentIncident(ctx context.Context, id, comment, actor string) error
	ResolveIncident(ctx context.Context, id, comment, actor string) (fleet.Incident, error)
}

// Silencing keeps alerts from being told: those that match a silence, and those of kiosks that are worked on.
type Silencing interface {
	// Silences returns those of a state, or all when it is empty.
	Silences(ctx context.Context, state fleet.SilenceState) ([]fleet.Silence, error)
	CreateSilence(ctx context.Context, s fleet.Silence, actor string) (fleet.Silence, error)
	EndSilence(ctx context.Context, id, actor string) (fleet.Silence, error)
	// Preview returns the open alerts that match, worst and newest first.
	Preview(ctx context.Context, matchers []fleet.Matcher) ([]fleet.Alert, error)
	// Maintenance returns the windows that have not ended, or all.
	Maintenance(ctx context.Context, all bool) ([]fleet.MaintenanceWindow, error)
	CreateMaintenance(ctx context.Context, w fleet.MaintenanceWindow, actor string) (fleet.MaintenanceWindow, error)
	DeleteMaintenance(ctx context.Context, id, actor string) error
}

// Rules keeps the alert rules. What is wrong with one comes as a *fleet.ValidationError whose reasons name the
// place in the expression.
type Rules interface {
	Rules(ctx context.Context) ([]fleet.Rule, error)
	Rule(ctx context.Context, name string) (fleet.Rule, error)
	// Versions returns every version of a rule, newest first.
	Versions(ctx context.Context, name string) ([]fleet.Rule, error)
	Create(ctx context.Context, r fleet.Rule, actor string) (fleet.Rule, error)
	// Change puts r in the place of version expected; fleet.ErrConflict when that is no longer the newest.
	Change(ctx context.Context, r fleet.Rule, expected int64, actor string) (fleet.Rule, error)
	Delete(ctx context.Context, name, actor string) error
	Switch(ctx context.Context, name string, enabled bool, actor string) (fleet.Rule, error)
	Check(r fleet.Rule) error
	Vocabulary() []Word
}

// Word is a name that conditions of rules may use.
type Word struct {
	Name  string
	Kind  string // number, text, list or truth
	Unit  string
	Text  string   // what it is
	Words []string // what a text can be; nil: anything
}

// Backtest says when a rule would have fired.
type Backtest interface {
	Backtest(ctx context.Context, r fleet.BacktestRequest) (fleet.BacktestResult, error)
}

// Notifications keeps who is told of what, and what became of it. Targets come without what is secret.
type Notifications interface {
	Targets() []fleet.NotificationTarget
	CreateTarget(ctx context.Context, t fleet.NotificationTarget, actor string) (fleet.NotificationTarget, error)
	ChangeTarget(ctx context.Context, id string, p fleet.NotificationTargetPatch, actor string) (fleet.NotificationTarget, error)
	DeleteTarget(ctx context.Context, id, actor string) error
	// Test sends a sample now. An error that is none of fleet's is what the other side said, without secrets.
	Test(ctx context.Context, t fleet.NotificationTarget) error
	Routes() fleet.NotificationRoutes
	// SetRoutes replaces the routes if they are still at that version.
	SetRoutes(ctx context.Context, routes []fleet.NotificationRoute, version int64, actor string) (fleet.NotificationRoutes, error)
	// Deliveries returns up to limit deliveries with ids below before, or from the newest when it is empty.
	Deliveries(ctx context.Context, f fleet.DeliveryFilter, before string, limit int) ([]fleet.Delivery, error)
	Replay(ctx context.Context, id, actor string) (fleet.Delivery, error)
}

// Availability says for how long kiosks could serve.
type Availability interface {
	Query(ctx context.Context, q fleet.AvailabilityQuery) ([]fleet.Availability, error)
}

// Forecasts says what runs out or fills up, and what to bring where.
type Forecasts interface {
	Forecasts(serial string) []fleet.Forecast
	// Visits says what is due within the horizon; an empty site stands for all.
	Visits(now time.Time, horizon time.Duration, site string, kiosks []*fleet.Kiosk, live func(serial string) *fleet.Live) []fleet.Visit
}
