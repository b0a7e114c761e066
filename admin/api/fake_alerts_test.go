package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// watched is what a world knows of alerts and of what belongs to them.
type watched struct {
	alerts     []fleet.Alert // newest first, as everything of the next lines
	incidents  []fleet.Incident
	timeline   []fleet.AlertEvent
	silences   []fleet.Silence
	windows    []fleet.MaintenanceWindow
	rules      []fleet.Rule
	checks     error // what is wrong with every rule
	targets    []fleet.NotificationTarget
	tells      error // what every target answers to a test
	routes     fleet.NotificationRoutes
	deliveries []fleet.Delivery
	rows       []fleet.Availability
	visits     []fleet.Visit
	forecasts  []fleet.Forecast
	result     fleet.BacktestResult

	filter     fleet.AlertFilter // of the last list
	filters    []fleet.AlertFilter
	given      fleet.Rule
	silence    fleet.Silence
	window     fleet.MaintenanceWindow
	query      fleet.AvailabilityQuery
	horizon    time.Duration
	backtested fleet.BacktestRequest
	tested     fleet.NotificationTarget
	patch      fleet.NotificationTargetPatch
}

// someAlerts is a platform in which there is one of everything.
func someAlerts() watched {
	at, until := start.Add(time.Minute), start.Add(time.Hour)
	return watched{
		alerts: []fleet.Alert{{
			ID: "a1", Rule: "cpu_temp_high", RuleVersion: 2, Serial: "K-1", Site: "Hall", Severity: fleet.SeverityWarning, State: fleet.AlertOpen,
			Reason: "91 °C", Since: start, OpenedAt: at, UpdatedAt: at, Values: []fleet.Value{{Metric: "hardware.cpu_temp", Value: 91}},
		}},
		incidents: []fleet.Incident{{ID: "i1", Kind: fleet.IncidentSite, Key: "Hall", Site: "Hall", Rule: "offline", Severity: fleet.SeverityCritical,
			State: fleet.AlertOpen, Title: "30 of 30 kiosks of Hall are offline", Kiosks: 30, OfKiosks: 30, Open: 30, OpenedAt: at, UpdatedAt: at}},
		timeline: []fleet.AlertEvent{{ID: 7, At: at, Kind: fleet.AlertEventOpened, AlertID: "a1", Text: "91 °C"}},
		silences: []fleet.Silence{{ID: "s1", Matchers: []fleet.Matcher{{Name: "site", Op: "=", Value: "Hall"}}, From: start, Until: until, Comment: "works", CreatedBy: "ann", CreatedAt: start}},
		windows:  []fleet.MaintenanceWindow{{ID: "w1", Scope: fleet.RuleScope{Sites: []string{"Hall"}}, From: start, Until: until, CreatedBy: "ann", CreatedAt: start}},
		rules: []fleet.Rule{{Name: "cpu_temp_high", Summary: "too hot", Severity: fleet.SeverityWarning, Condition: "hardware.cpu_temp > 85",
			For: 5 * time.Minute, NoData: 90 * time.Minute, Origin: fleet.OriginUser, Version: 2, UpdatedAt: start, UpdatedBy: "ann"}},
		targets: []fleet.NotificationTarget{{ID: "t1", Name: "desk", Kind: fleet.TargetWebhook, URL: "https://desk.example/…", UpdatedAt: start}},
		routes: fleet.NotificationRoutes{Version: 3, UpdatedAt: start, UpdatedBy: "ann", Routes: []fleet.NotificationRoute{{
			Name: "all", Targets: []string{"desk"}, GroupWait: 30 * time.Second, RepeatInterval: 4 * time.Hour,
			Escalations: []fleet.Escalation{{After: 15 * time.Minute, Targets: []string{"boss"}}},
		}}},
		deliveries: []fleet.Delivery{{ID: "d1", Target: "desk", Route: "all", Status: fleet.DeliveryGaveUp, Attempts: 9, Error: "503", CreatedAt: start, UpdatedAt: at,
			GiveUpAt: until, AlertIDs: []string{"a1"}, Payload: []byte(`{"id":"d1"}`)}},
		rows: []fleet.Availability{{Scope: "site", Name: "Hall", From: start, To: until, Kiosks: 2, Maintenance: 60,
			Seconds: map[fleet.Verdict]float64{fleet.VerdictCanServe: 6000, fleet.VerdictDegraded: 600, fleet.VerdictCannotServe: 540}}},
		visits:    []fleet.Visit{{Site: "Hall", Due: at, Items: []fleet.VisitItem{{Serial: "K-1", Metric: "peripherals.printer_paper_level", Need: "paper", Level: 7, Due: at, Text: "bring a paper roll"}}}},
		forecasts: []fleet.Forecast{{Serial: "K-1", Metric: "hardware.disk_usage", Level: 70, Limit: 100, PerHour: 0.5, Hours: 60, Earliest: 50, Latest: 80, At: start}},
		result:    fleet.BacktestResult{From: start, To: until, Source: "journal", Kiosks: 1, Readings: 9},
	}
}

// watch is everything about alerts of a world.
type watch struct{ w *world }

// done notes a change and says whether it fails.
func (h watch) done(format string, args ...any) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.w.called(format, args...)
}

func find[T any](items []T, failing error, is func(T) bool) (T, error) {
	i := slices.IndexFunc(items, is)
	if i < 0 || failing != nil {
		var none T
		return none, cmp.Or(failing, fleet.ErrNotFound)
	}
	return items[i], nil
}

func (h watch) Alert(_ context.Context, id string) (fleet.Alert, error) {
	return find(h.w.alerts, h.w.failing, func(a fleet.Alert) bool { return a.ID == id })
}

func (h watch) Incident(_ context.Context, id string) (fleet.Incident, error) {
	return find(h.w.incidents, h.w.failing, func(i fleet.Incident) bool { return i.ID == id })
}

// pageFrom cuts a page; its cursors are numbers.
func pageFrom[T any](items []T, cursor string, limit int) ([]T, string, error) {
	at := 0
	if cursor != "" {
		var err error
		if at, err = strconv.Atoi(cursor); err != nil {
			return nil, "", fleet.Invalid("cursor", "%q is none", cursor)
		}
	}
	items = items[min(at, len(items)):]
	if len(items) > limit {
		return items[:limit], strconv.Itoa(at + limit), nil
	}
	return items, "", nil
}

func (h watch) Alerts(_ context.Context, f fleet.AlertFilter, cursor string, limit int) ([]fleet.Alert, string, error) {
	h.w.filter = f
	if h.w.failing != nil {
		return nil, "", h.w.failing
	}
	return pageFrom(h.w.alerts, cursor, limit)
}

func (h watch) Incidents(_ context.Context, f fleet.IncidentFilter, cursor string, limit int) ([]fleet.Incident, string, error) {
	h.w.filter = fleet.AlertFilter{State: f.State, Site: f.Site}
	if h.w.failing != nil {
		return nil, "", h.w.failing
	}
	return pageFrom(h.w.incidents, cursor, limit)
}

func (h watch) CountAlerts(_ context.Context, f fleet.AlertFilter) (map[fleet.Severity]int, error) {
	h.w.filters = append(h.w.filters, f)
	n := map[fleet.Severity]int{}
	for _, a := range h.w.alerts {
		if f.Acknowledged == nil || *f.Acknowledged == (a.AcknowledgedAt != nil) {
			n[a.Severity]++
		}
	}
	return n, h.w.failing
}

func (h watch) story(known bool, before int64, limit int) ([]fleet.AlertEvent, error) {
	if !known {
		return nil, fleet.ErrNotFound
	}
	var out []fleet.AlertEvent
	for _, e := range h.w.timeline {
		if (before == 0 || e.ID < before) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, h.w.failing
}

func (h watch) AlertTimeline(_ context.Context, id string, before int64, limit int) ([]fleet.AlertEvent, error) {
	return h.story(id == "a1", before, limit)
}

func (h watch) IncidentTimeline(_ context.Context, id string, before int64, limit int) ([]fleet.AlertEvent, error) {
	return h.story(id == "i1", before, limit)
}

func (h watch) AlertStatistics(_ context.Context, from, to time.Time) (fleet.AlertStatistics, error) {
	return fleet.AlertStatistics{From: from, To: to, Opened: 3, Acknowledged: 2, Resolved: 1, MTTA: 90 * time.Second, MTTR: time.Hour,
		ByRule: []fleet.AlertCount{{Name: "cpu_temp_high", Count: 3, MTTASeconds: 90}}}, h.w.failing
}

// cared notes what was done to an alert, if there is one.
func (h watch) cared(id, what string) (fleet.Alert, error) {
	a, err := h.Alert(context.Background(), id)
	if err != nil {
		return a, err
	}
	return a, h.done("%s", what)
}

func (h watch) caredFor(id, what string) (fleet.Incident, error) {
	i, err := h.Incident(context.Background(), id)
	if err != nil {
		return i, err
	}
	return i, h.done("%s", what)
}

func words(parts ...string) string { return strings.Join(parts, " ") }

func untilText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}

func (h watch) Acknowledge(_ context.Context, id, comment, actor string) (fleet.Alert, error) {
	return h.cared(id, words("acknowledge", id, comment, actor))
}

func (h watch) Unacknowledge(_ context.Context, id, actor string) (fleet.Alert, error) {
	return h.cared(id, words("unacknowledge", id, actor))
}

func (h watch) Assign(_ context.Context, id, assignee, actor string) (fleet.Alert, error) {
	return h.cared(id, words("assign", id, assignee, actor))
}

func (h watch) Snooze(_ context.Context, id string, until time.Time, comment, actor string) (fleet.Alert, error) {
	return h.cared(id, words("snooze", id, untilText(until), comment, actor))
}

func (h watch) Comment(_ context.Context, id, comment, actor string) error {
	_, err := h.cared(id, words("comment", id, comment, actor))
	return err
}

func (h watch) Resolve(_ context.Context, id, comment, actor string) (fleet.Alert, error) {
	return h.cared(id, words("resolve", id, comment, actor))
}

func (h watch) AcknowledgeIncident(_ context.Context, id, comment, actor string) (fleet.Incident, error) {
	return h.caredFor(id, words("acknowledge", id, comment, actor))
}

func (h watch) UnacknowledgeIncident(_ context.Context, id, actor string) (fleet.Incident, error) {
	return h.caredFor(id, words("unacknowledge", id, actor))
}

func (h watch) AssignIncident(_ context.Context, id, assignee, actor string) (fleet.Incident, error) {
	return h.caredFor(id, words("assign", id, assignee, actor))
}

func (h watch) SnoozeIncident(_ context.Context, id string, until time.Time, comment, actor string) (fleet.Incident, error) {
	return h.caredFor(id, words("snooze", id, untilText(until), comment, actor))
}

func (h watch) CommentIncident(_ context.Context, id, comment, actor string) error {
	_, err := h.caredFor(id, words("comment", id, comment, actor))
	return err
}

func (h watch) ResolveIncident(_ context.Context, id, comment, actor string) (fleet.Incident, error) {
	return h.caredFor(id, words("resolve", id, comment, actor))
}

func (h watch) Silences(_ context.Context, state fleet.SilenceState) ([]fleet.Silence, error) {
	var out []fleet.Silence
	for _, s := range h.w.silences {
		if state == "" || s.State(start) == state {
			out = append(out, s)
		}
	}
	return out, h.w.failing
}

func (h watch) CreateSilence(_ context.Context, s fleet.Silence, actor string) (fleet.Silence, error) {
	h.w.silence = s
	s.ID, s.CreatedBy, s.CreatedAt = "s2", actor, start
	return s, h.done("silence %s", actor)
}

func (h watch) EndSilence(_ context.Context, id, actor string) (fleet.Silence, error) {
	s, err := find(h.w.silences, h.w.failing, func(s fleet.Silence) bool { return s.ID == id })
	if err != nil {
		return s, err
	}
	s.Until, s.EndedBy = start, actor
	return s, h.done("end %s %s", id, actor)
}

func (h watch) Preview(context.Context, []fleet.Matcher) ([]fleet.Alert, error) {
	return h.w.alerts, h.w.failing
}

func (h watch) Maintenance(_ context.Context, all bool) ([]fleet.MaintenanceWindow, error) {
	if !all {
		return nil, h.w.failing
	}
	return h.w.windows, h.w.failing
}

func (h watch) CreateMaintenance(_ context.Context, m fleet.MaintenanceWindow, actor string) (fleet.MaintenanceWindow, error) {
	h.w.window = m
	m.ID, m.CreatedBy, m.CreatedAt = "w2", actor, start
	return m, h.done("maintenance %s", actor)
}

func (h watch) DeleteMaintenance(_ context.Context, id, actor string) error {
	if _, err := find(h.w.windows, h.w.failing, func(m fleet.MaintenanceWindow) bool { return m.ID == id }); err != nil {
		return err
	}
	return h.done("delete maintenance %s %s", id, actor)
}

// ruleBook is the Rules of a world.
type ruleBook struct{ watch }

func (h ruleBook) Rules(context.Context) ([]fleet.Rule, error) { return h.w.rules, h.w.failing }

func (h ruleBook) Rule(_ context.Context, name string) (fleet.Rule, error) {
	return find(h.w.rules, h.w.failing, func(r fleet.Rule) bool { return r.Name == name })
}

func (h ruleBook) Versions(ctx context.Context, name string) ([]fleet.Rule, error) {
	r, err := h.Rule(ctx, name)
	if err != nil {
		return nil, err
	}
	older := r
	older.Version--
	return []fleet.Rule{r, older}, nil
}

func (h ruleBook) Create(_ context.Context, r fleet.Rule, actor string) (fleet.Rule, error) {
	h.w.given = r
	if h.w.checks != nil {
		return fleet.Rule{}, h.w.checks
	}
	if slices.ContainsFunc(h.w.rules, func(old fleet.Rule) bool { return old.Name == r.Name }) {
		return fleet.Rule{}, fleet.ErrExists
	}
	r.Version = 1
	return r, h.done("create rule %s %s", r.Name, actor)
}

func (h ruleBook) Change(ctx context.Context, r fleet.Rule, expected int64, actor string) (fleet.Rule, error) {
	h.w.given = r
	old, err := h.Rule(ctx, r.Name)
	switch {
	case err != nil:
		return old, err
	case h.w.checks != nil:
		return old, h.w.checks
	case old.Version != expected:
		return old, fmt.Errorf("rule %s is version %d: %w", r.Name, old.Version, fleet.ErrConflict)
	}
	r.Version = expected + 1
	return r, h.done("change rule %s %d %s", r.Name, expected, actor)
}

func (h ruleBook) Delete(ctx context.Context, name, actor string) error {
	if _, err := h.Rule(ctx, name); err != nil {
		return err
	}
	return h.done("delete rule %s %s", name, actor)
}

func (h ruleBook) Switch(ctx context.Context, name string, enabled bool, actor string) (fleet.Rule, error) {
	r, err := h.Rule(ctx, name)
	if err != nil {
		return r, err
	}
	r.Disabled = !enabled
	return r, h.done("switch rule %s %t %s", name, enabled, actor)
}

func (h ruleBook) Check(r fleet.Rule) error {
	h.w.given = r
	return h.w.checks
}

func (ruleBook) Vocabulary() []Word {
	return []Word{{Name: "hardware.cpu_temp", Kind: "number", Unit: "°C", Text: "Of the processor"}, {Name: "presence", Kind: "text", Text: "Whether it is there", Words: []string{"online"}}}
}

func (h ruleBook) Backtest(_ context.Context, r fleet.BacktestRequest) (fleet.BacktestResult, error) {
	h.w.backtested = r
	return h.w.result, h.done("backtest %s", r.Rule.Name)
}

// teller is the Notifications of a world.
type teller struct{ watch }

func (h teller) Targets() []fleet.NotificationTarget { return h.w.targets }

func (h teller) target(id string) (fleet.NotificationTarget, error) {
	return find(h.w.targets, h.w.failing, func(t fleet.NotificationTarget) bool { return t.ID == id })
}

func (h teller) CreateTarget(_ context.Context, t fleet.NotificationTarget, actor string) (fleet.NotificationTarget, error) {
	h.w.tested = t
	t.ID, t.UpdatedAt = "t2", start
	return t, h.done("target %s %s", t.Name, actor)
}

func (h teller) ChangeTarget(_ context.Context, id string, p fleet.NotificationTargetPatch, actor string) (fleet.NotificationTarget, error) {
	h.w.patch = p
	t, err := h.target(id)
	if err != nil {
		return t, err
	}
	return t, h.done("change target %s %s", id, actor)
}

func (h teller) DeleteTarget(_ context.Context, id, actor string) error {
	if _, err := h.target(id); err != nil {
		return err
	}
	return h.done("delete target %s %s", id, actor)
}

func (h teller) Test(_ context.Context, t fleet.NotificationTarget) error {
	h.w.tested = t
	return cmp.Or(h.w.tells, h.done("test %s", t.ID))
}

func (h teller) Routes() fleet.NotificationRoutes { return h.w.routes }

func (h teller) SetRoutes(_ context.Context, routes []fleet.NotificationRoute, version int64, actor string) (fleet.NotificationRoutes, error) {
	if version != h.w.routes.Version {
		return fleet.NotificationRoutes{}, fleet.Invalid("version", "is no longer %d", version)
	}
	return fleet.NotificationRoutes{Version: version + 1, Routes: routes, UpdatedAt: start, UpdatedBy: actor}, h.done("routes %d %s", version, actor)
}

func (h teller) Deliveries(_ context.Context, f fleet.DeliveryFilter, before string, limit int) ([]fleet.Delivery, error) {
	var out []fleet.Delivery
	for _, d := range h.w.deliveries {
		if (before == "" || d.ID < before) && (f.Target == "" || f.Target == d.Target) && (f.Status == "" || f.Status == d.Status) &&
			(f.AlertID == "" || slices.Contains(d.AlertIDs, f.AlertID)) && len(out) < limit {
			out = append(out, d)
		}
	}
	return out, h.w.failing
}

func (h teller) Replay(_ context.Context, id, actor string) (fleet.Delivery, error) {
	d, err := find(h.w.deliveries, h.w.failing, func(d fleet.Delivery) bool { return d.ID == id })
	if err != nil {
		return d, err
	}
	d.Status = fleet.DeliveryPending
	return d, h.done("replay delivery %s %s", id, actor)
}

// Availability and Forecasts.

func (h watch) Query(_ context.Context, q fleet.AvailabilityQuery) ([]fleet.Availability, error) {
	h.w.query = q
	return h.w.rows, h.w.failing
}

func (h watch) Forecasts(string) []fleet.Forecast { return h.w.forecasts }

func (h watch) Visits(_ time.Time, horizon time.Duration, site string, kiosks []*fleet.Kiosk, live func(string) *fleet.Live) []fleet.Visit {
	h.w.horizon = horizon
	if len(kiosks) == 0 || live(kiosks[0].Serial) == nil || site == "Elsewhere" {
		return nil
	}
	return h.w.visits
}
