package api

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// The types of this file are the JSON of openapi.yaml; internal/e2e holds every answer to it.

type page[T any] struct {
	Items      []T    `json:"items"`
	Total      *int   `json:"total,omitempty"`
	NextCursor string `json:"next_cursor,omitempty"`
}

type meView struct {
	Username string     `json:"username"`
	Role     fleet.Role `json:"role"`
	Kind     string     `json:"kind"`
}

func viewMe(p fleet.Principal) meView {
	if p.Token {
		return meView{Username: strings.TrimPrefix(p.Name, "token:"), Role: p.Role, Kind: "token"}
	}
	return meView{Username: p.Name, Role: p.Role, Kind: "user"}
}

type kioskView struct {
	Serial         string                `json:"serial"`
	KioskID        int64                 `json:"kiosk_id"`
	Site           string                `json:"site"`
	Tags           []string              `json:"tags"`
	Model          string                `json:"model"`
	Timezone       string                `json:"timezone"`
	Location       *fleet.Location       `json:"location,omitempty"`
	CreatedAt      time.Time             `json:"created_at"`
	RevokedAt      *time.Time            `json:"revoked_at,omitempty"`
	Presence       fleet.Presence        `json:"presence"`
	PresenceReason fleet.PresenceReason  `json:"presence_reason"`
	PresenceSince  *time.Time            `json:"presence_since,omitempty"`
	Status         string                `json:"status"`
	Verdict        fleet.Verdict         `json:"verdict"`
	VerdictSince   *time.Time            `json:"verdict_since,omitempty"`
	Reasons        []fleet.VerdictReason `json:"reasons"`
	AgentVersion   string                `json:"agent_version,omitempty"`
	Session        string                `json:"session,omitempty"`
	BootID         string                `json:"boot_id,omitempty"`
	BootedAt       *time.Time            `json:"booted_at,omitempty"`
	Capabilities   []string              `json:"capabilities,omitempty"`
	Commands       []string              `json:"commands,omitempty"`
	LastSeen       *time.Time            `json:"last_seen,omitempty"`
	SkewSeconds    *float64              `json:"clock_skew_seconds,omitempty"`
	Interval       *float64              `json:"interval_seconds,omitempty"`
	LastReading    readingView           `json:"last_reading,omitempty"`
	Ledger         *ledgerView           `json:"ledger,omitempty"` // only of one kiosk, because it takes a query
	Revision       uint64                `json:"revision"`
}

func viewKiosk(k *fleet.Kiosk, l *fleet.Live) kioskView {
	v := kioskView{
		Serial: k.Serial, KioskID: k.ID, Site: k.Site, Tags: k.Tags, Model: k.Model, Timezone: k.Timezone, Location: k.Location,
		CreatedAt: k.CreatedAt, RevokedAt: k.RevokedAt,
		Presence: l.Presence, PresenceReason: l.PresenceReason, PresenceSince: optional(l.PresenceSince), Status: l.Status,
		Verdict: l.Verdict, VerdictSince: optional(l.VerdictSince), Reasons: l.Reasons,
		AgentVersion: l.AgentVersion, Session: l.Session, BootID: l.BootID, BootedAt: optional(l.BootedAt),
		Capabilities: l.Capabilities, Commands: l.Commands, LastSeen: optional(l.LastSeen), Revision: l.Revision,
	}
	if v.Model == "" {
		v.Model = l.Model
	}
	if v.Tags == nil {
		v.Tags = []string{}
	}
	if v.Reasons == nil {
		v.Reasons = []fleet.VerdictReason{}
	}
	for i, r := range v.Reasons {
		if r.Since.IsZero() { // never seen, since it was registered
			v.Reasons = slices.Clone(v.Reasons)
			v.Reasons[i].Since = k.CreatedAt
		}
	}
	if l.LastReading != nil {
		v.LastReading = viewReading(l.LastReading)
		skew, interval := l.Skew.Seconds(), l.Interval.Seconds()
		v.SkewSeconds, v.Interval = &skew, &interval
	}
	return v
}

// readingView is a reading in the shape in which kiosks send it, its fields by group.
type readingView map[string]any

func viewReading(r *fleet.Reading) readingView {
	v := readingView{"timestamp": r.Time, "received_at": r.ReceivedAt}
	if r.Seq != 0 {
		v["seq"] = r.Seq
	}
	if r.Session != "" {
		v["session"] = r.Session
	}
	if r.Status != "" {
		v["status"] = r.Status
	}
	if r.ConfigVersion != 0 {
		v["config_version"] = r.ConfigVersion
	}
	set := func(metric string, value any) {
		group, field, _ := strings.Cut(metric, ".")
		fields, ok := v[group].(map[string]any)
		if !ok {
			fields = map[string]any{}
			v[group] = fields
		}
		fields[field] = value
	}
	for _, value := range r.Values {
		set(value.Metric, value.Value)
	}
	for _, text := range r.Texts {
		set(text.Metric, text.Text)
	}
	return v
}

type liveReadingView struct {
	Serial  string      `json:"serial"`
	Reading readingView `json:"reading"`
}

type summaryView struct {
	Total     int                    `json:"total"`
	Verdicts  map[fleet.Verdict]int  `json:"verdicts"`
	Presences map[fleet.Presence]int `json:"presences"`
}

type siteView struct {
	Name   string `json:"name"`
	Kiosks int    `json:"kiosks"`
}

type metricView struct {
	Name        string   `json:"name"`
	Unit        string   `json:"unit"`
	Kind        string   `json:"kind"`
	Description string   `json:"description"`
	Min         *float64 `json:"min,omitempty"`
	Max         *float64 `json:"max,omitempty"`
}

// seriesView is followed by its points.
type seriesView struct {
	Serial string `json:"serial"`
	Metric string `json:"metric"`
	Unit   string `json:"unit"`
	Step   string `json:"step,omitempty"`
	Agg    string `json:"agg,omitempty"`
	TZ     string `json:"tz,omitempty"`
	Source string `json:"source"`
}

type stepView struct {
	Status fleet.CommandStatus `json:"status"`
	Time   time.Time           `json:"time"`
	Note   string              `json:"note,omitempty"`
}

type commandView struct {
	ID        string              `json:"id"`
	Serial    string              `json:"serial"`
	Name      string              `json:"name"`
	Params    json.RawMessage     `json:"params,omitempty"`
	Status    fleet.CommandStatus `json:"status"`
	Error     string              `json:"error,omitempty"`
	Result    json.RawMessage     `json:"result,omitempty"`
	Actor     string              `json:"actor"`
	CreatedAt time.Time           `json:"created_at"`
	ExpiresAt time.Time           `json:"expires_at"`
	Steps     []stepView          `json:"steps"`
}

func viewCommand(c fleet.Command) commandView {
	v := commandView{
		ID: c.ID, Serial: c.Serial, Name: string(c.Name), Params: c.Params, Status: c.Status, Error: c.Error, Result: c.Result,
		Actor: c.Actor, CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt, Steps: make([]stepView, len(c.Steps)),
	}
	for i, s := range c.Steps {
		v.Steps[i] = stepView{s.Status, s.At, s.Note}
	}
	return v
}

type eventView struct {
	ID      string          `json:"id"`
	Serial  string          `json:"serial"`
	Time    time.Time       `json:"time"`
	Kind    fleet.EventKind `json:"kind"`
	Subject string          `json:"subject,omitempty"`
	From    string          `json:"from,omitempty"`
	To      string          `json:"to,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Actor   string          `json:"actor,omitempty"`
}

func viewEvent(e fleet.Event) eventView {
	return eventView{strconv.FormatInt(e.ID, 10), e.Serial, e.At, e.Kind, e.Subject, e.From, e.To, e.Reason, e.Actor}
}

type enrollmentTokenView struct {
	ID            string    `json:"id"`
	SerialPattern string    `json:"serial_pattern"`
	MaxUses       int       `json:"max_uses"`
	Uses          int       `json:"uses"`
	MayRegister   bool      `json:"may_register"`
	CreatedAt     time.Time `json:"created_at"`
	ExpiresAt     time.Time `json:"expires_at"`
}

func viewEnrollmentToken(t fleet.EnrollmentToken) enrollmentTokenView {
	return enrollmentTokenView{t.ID, t.SerialPattern, t.MaxUses, t.Uses, t.MayRegister, t.CreatedAt, t.ExpiresAt}
}

type createdEnrollmentTokenView struct {
	ID            string    `json:"id"`
	Token         string    `json:"token"`
	SerialPattern string    `json:"serial_pattern"`
	MaxUses       int       `json:"max_uses"`
	ExpiresAt     time.Time `json:"expires_at"`
}

type tokenView struct {
	ID         string      `json:"id"`
	Token      string      `json:"token,omitempty"` // only in the answer to its creation
	Name       string      `json:"name"`
	Scope      fleet.Scope `json:"scope"`
	CreatedAt  time.Time   `json:"created_at"`
	ExpiresAt  *time.Time  `json:"expires_at,omitempty"`
	LastUsedAt *time.Time  `json:"last_used_at,omitempty"`
}

func viewToken(t fleet.APIToken) tokenView {
	return tokenView{ID: t.ID, Name: t.Name, Scope: t.Scope, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
