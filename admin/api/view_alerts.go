package api

import (
	"math"
	"strconv"
	"time"

	"kioskfleet/admin/fleet"
)

// listed makes an empty list of none, so that clients need not tell null from it.
func listed[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func labelled(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

type valueView struct {
	Metric string  `json:"metric"`
	Value  float64 `json:"value"`
}

// careView is what people have done about an alert or an incident.
type careView struct {
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"`
	AcknowledgedBy string     `json:"acknowledged_by,omitempty"`
	Assignee       string     `json:"assignee,omitempty"`
	SnoozedUntil   *time.Time `json:"snoozed_until,omitempty"`
}

type alertView struct {
	ID            string            `json:"id"`
	Rule          string            `json:"rule"`
	RuleVersion   int64             `json:"rule_version"`
	Serial        string            `json:"serial"`
	Site          string            `json:"site"`
	Model         string            `json:"model"`
	Tags          []string          `json:"tags"`
	Severity      fleet.Severity    `json:"severity"`
	Labels        map[string]string `json:"labels"`
	State         fleet.AlertState  `json:"state"`
	Reason        string            `json:"reason"`
	NoData        bool              `json:"no_data"`
	Flapping      bool              `json:"flapping"`
	Since         time.Time         `json:"since"`
	OpenedAt      time.Time         `json:"opened_at"`
	ResolvedAt    *time.Time        `json:"resolved_at,omitempty"`
	ResolvedWhy   string            `json:"resolved_why,omitempty"`
	Values        []valueView       `json:"values"`
	AboutPresence bool              `json:"about_presence"`
	Security      bool              `json:"security"`
	AgentVersion  string            `json:"agent_version,omitempty"`
	Network       string            `json:"network,omitempty"`
	careView
	IncidentID string    `json:"incident_id,omitempty"`
	Suppressed string    `json:"suppressed,omitempty"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func viewAlert(a fleet.Alert) alertView {
	v := alertView{
		ID: a.ID, Rule: a.Rule, RuleVersion: a.RuleVersion, Serial: a.Serial, Site: a.Site, Model: a.Model, Tags: listed(a.Tags),
		Severity: a.Severity, Labels: labelled(a.Labels), State: a.State, Reason: a.Reason, NoData: a.NoData, Flapping: a.Flapping,
		Since: a.Since, OpenedAt: a.OpenedAt, ResolvedAt: a.ResolvedAt, ResolvedWhy: a.ResolvedWhy, Values: []valueView{},
		AboutPresence: a.AboutPresence, Security: a.Security, AgentVersion: a.AgentVersion, Network: a.Network,
		careView: careView(a.Care), IncidentID: a.IncidentID, Suppressed: a.Suppressed, UpdatedAt: a.UpdatedAt,
	}
	for _, value := range a.Values {
		if finite(value.Value) != nil { // a forecast may be infinite, which JSON cannot say
			v.Values = append(v.Values, valueView(value))
		}
	}
	return v
}

// finite returns a number that JSON can hold, or nil.
func finite(f float64) *float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil
	}
	return &f
}

type incidentView struct {
	ID         string             `json:"id"`
	Kind       fleet.IncidentKind `json:"kind"`
	Key        string             `json:"key"`
	Site       string             `json:"site"`
	Rule       string             `json:"rule"`
	Severity   fleet.Severity     `json:"severity"`
	State      fleet.AlertState   `json:"state"`
	Title      string             `json:"title"`
	Kiosks     int                `json:"kiosks"`
	OfKiosks   int                `json:"of_kiosks"`
	Open       int                `json:"open"`
	OpenedAt   time.Time          `json:"opened_at"`
	ResolvedAt *time.Time         `json:"resolved_at,omitempty"`
	careView
	Suppressed string    `json:"suppressed,omitempty"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func viewIncident(i fleet.Incident) incidentView {
	return incidentView{
		ID: i.ID, Kind: i.Kind, Key: i.Key, Site: i.Site, Rule: i.Rule, Severity: i.Severity, State: i.State, Title: i.Title,
		Kiosks: i.Kiosks, OfKiosks: i.OfKiosks, Open: i.Open, OpenedAt: i.OpenedAt, ResolvedAt: i.ResolvedAt,
		careView: careView(i.Care), Suppressed: i.Suppressed, UpdatedAt: i.UpdatedAt,
	}
}

type alertEventView struct {
	ID         string               `json:"id"`
	Time       time.Time            `json:"time"`
	Kind       fleet.AlertEventKind `json:"kind"`
	AlertID    string               `json:"alert_id,omitempty"`
	IncidentID string               `json:"incident_id,omitempty"`
	Actor      string               `json:"actor,omitempty"`
	Text       string               `json:"text,omitempty"`
}

func viewAlertEvent(e fleet.AlertEvent) alertEventView {
	return alertEventView{strconv.FormatInt(e.ID, 10), e.At, e.Kind, e.AlertID, e.IncidentID, e.Actor, e.Text}
}

type countsView struct {
	Critical int `json:"critical"`
	Warning  int `json:"warning"`
	Info     int `json:"info"`
}

func viewCounts(n map[fleet.Severity]int) countsView {
	return countsView{n[fleet.SeverityCritical], n[fleet.SeverityWarning], n[fleet.SeverityInfo]}
}

type alertSummaryView struct {
	Open           countsView `json:"open"`
	Unacknowledged countsView `json:"unacknowledged"`
}

type statisticsView struct {
	From         time.Time          `json:"from"`
	To           time.Time          `json:"to"`
	Opened       int                `json:"opened"`
	Acknowledged int                `json:"acknowledged"`
	Resolved     int                `json:"resolved"`
	MTTA         float64            `json:"mtta_seconds"`
	MTTR         float64            `json:"mttr_seconds"`
	ByRule       []fleet.AlertCount `json:"by_rule"`
	BySite       []fleet.AlertCount `json:"by_site"`
}

func viewStatistics(s fleet.AlertStatistics) statisticsView {
	return statisticsView{s.From, s.To, s.Opened, s.Acknowledged, s.Resolved, s.MTTA.Seconds(), s.MTTR.Seconds(), listed(s.ByRule), listed(s.BySite)}
}
