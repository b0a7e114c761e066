package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// condition collects what a query asks for, with its arguments.
type condition struct {
	parts []string
	args  []any
}

// add takes a part whose arguments are written as ?.
func (c *condition) add(part string, args ...any) {
	for _, arg := range args {
		c.args = append(c.args, arg)
		part = strings.Replace(part, "?", "$"+strconv.Itoa(len(c.args)), 1)
	}
	c.parts = append(c.parts, part)
}

func (c *condition) where() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}

// limit adds the bound of a list to a query's arguments.
func (c *condition) limit(n int) string {
	c.args = append(c.args, n)
	return " LIMIT $" + strconv.Itoa(len(c.args))
}

// state asks for a state; it stands in the text because an index of the open ones is chosen by it.
func (c *condition) state(s fleet.AlertState) {
	switch s {
	case fleet.AlertOpen, fleet.AlertResolved:
		c.add("state = '" + string(s) + "'")
	case "":
	default:
		c.add("state = ?", string(s))
	}
}

func (c *condition) text(column, value string) {
	if value != "" {
		c.add(column+" = ?", value)
	}
}

func alertCondition(f fleet.AlertFilter) *condition {
	c := &condition{}
	c.state(f.State)
	if len(f.Severities) > 0 {
		marks, args := make([]string, len(f.Severities)), make([]any, len(f.Severities))
		for i, s := range f.Severities {
			marks[i], args[i] = "?", badness(s)
		}
		c.add("badness IN ("+strings.Join(marks, ", ")+")", args...)
	}
	c.text("serial", f.Serial)
	c.text("site", f.Site)
	c.text("rule", f.Rule)
	c.text("assignee", f.Assignee)
	if f.IncidentID != "" {
		c.add("incident_id <> '' AND incident_id = ?", f.IncidentID)
	}
	if f.Alone {
		c.add("incident_id = ''")
	}
	if f.Acknowledged != nil {
		c.add(map[bool]string{true: "acknowledged_at IS NOT NULL", false: "acknowledged_at IS NULL"}[*f.Acknowledged])
	}
	if f.Suppressed != nil {
		c.add(map[bool]string{true: "suppressed <> ''", false: "suppressed = ''"}[*f.Suppressed])
	}
	if !f.From.IsZero() {
		c.add("opened_at >= ?", millis(f.From))
	}
	if !f.To.IsZero() {
		c.add("opened_at < ?", millis(f.To))
	}
	return c
}

// listPlace is where a page of a list ended: <badness>.<milliseconds>.<id>.
type listPlace struct {
	badness int
	at      int64
	id      string
}

func (p listPlace) String() string { return fmt.Sprintf("%d.%d.%s", p.badness, p.at, p.id) }

func parsePlace(cursor string) (p listPlace, err error) {
	parts := strings.SplitN(cursor, ".", 3)
	if len(parts) == 3 {
		p.id = parts[2]
		if p.badness, err = strconv.Atoi(parts[0]); err == nil {
			p.at, err = strconv.ParseInt(parts[1], 10, 64)
		}
	}
	if len(parts) != 3 || err != nil {
		return p, fleet.Invalid("cursor", "%q is not one that a list has given", cursor)
	}
	return p, nil
}

// Alerts returns up to limit alerts of a filter after the place of a cursor, or from the first when it is empty:
// newest first, or worst first if the filter says so. Next is the cursor of the page after, empty when this is
// the last. A cursor is good for the same filter only.
//
// Errors: *fleet.ValidationError for a cursor that is none.
func (s *Store) Alerts(ctx context.Context, f fleet.AlertFilter, cursor string, limit int) (page []fleet.Alert, next string, err error) {
	c := alertCondition(f)
	order := " ORDER BY opened_at DESC, id DESC"
	if f.WorstFirst {
		order = " ORDER BY badness DESC, opened_at DESC, id DESC"
	}
	if cursor != "" {
		p, err := parsePlace(cursor)
		if err != nil {
			return nil, "", err
		}
		if f.WorstFirst {
			c.add("(badness, opened_at, id) < (?, ?, ?)", p.badness, p.at, p.id)
		} else {
			c.add("(opened_at, id) < (?, ?)", p.at, p.id)
		}
	}
	query := `SELECT data FROM alerts` + c.where() + order + c.limit(limit+1)
	rows, err := s.read.QueryContext(ctx, query, c.args...)
	page, err = collect(rows, err, fromData[fleet.Alert])
	if err != nil {
		return nil, "", fmt.Errorf("list alerts: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = listPlace{badness(last.Severity), millis(last.OpenedAt), last.ID}.String()
	}
	return page, next, nil
}

// CountAlerts returns how many alerts of a filter there are, by severity.
func (s *Store) CountAlerts(ctx context.Context, f fleet.AlertFilter) (map[fleet.Severity]int, error) {
	c := alertCondition(f)
	out := map[fleet.Severity]int{}
	rows, err := s.read.QueryContext(ctx, `SELECT badness, COUNT(*) FROM alerts`+c.where()+` GROUP BY badness`, c.args...)
	_, err = collect(rows, err, func(row scanner) (struct{}, error) {
		var bad, n int
		err := row.Scan(&bad, &n)
		for _, severity := range fleet.Severities() {
			if badness(severity) == bad {
				out[severity] = n
			}
		}
		return struct{}{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("count alerts: %w", err)
	}
	return out, nil
}

// Incidents returns up to limit incidents of a filter, newest first; cursor and next are as of Alerts.
func (s *Store) Incidents(ctx context.Context, f fleet.IncidentFilter, cursor string, limit int) (page []fleet.Incident, next string, err error) {
	c := &condition{}
	c.state(f.State)
	c.text("site", f.Site)
	if cursor != "" {
		p, err := parsePlace(cursor)
		if err != nil {
			return nil, "", err
		}
		c.add("(opened_at, id) < (?, ?)", p.at, p.id)
	}
	query := `SELECT data FROM incidents` + c.where() + ` ORDER BY opened_at DESC, id DESC` + c.limit(limit+1)
	rows, err := s.read.QueryContext(ctx, query, c.args...)
	page, err = collect(rows, err, fromData[fleet.Incident])
	if err != nil {
		return nil, "", fmt.Errorf("list incidents: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = listPlace{0, millis(last.OpenedAt), last.ID}.String()
	}
	return page, next, nil
}

const alertEventColumns = `id, at, kind, alert_id, incident_id, actor, text`

func scanAlertEvent(row scanner) (e fleet.AlertEvent, err error) {
	var at int64
	err = row.Scan(&e.ID, &at, &e.Kind, &e.AlertID, &e.IncidentID, &e.Actor, &e.Text)
	e.At = fromMillis(at)
	return e, err
}

// AlertEvents returns up to limit events of all alerts and incidents with ids above after, oldest first.
func (s *Store) AlertEvents(ctx context.Context, after int64, limit int) ([]fleet.AlertEvent, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+alertEventColumns+` FROM alert_events WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
	out, err := collect(rows, err, scanAlertEvent)
	if err != nil {
		return nil, fmt.Errorf("alert events after %d: %w", after, err)
	}
	return out, nil
}

// AlertTimeline returns up to limit events of an alert with ids below before (0: from the newest), newest first;
// fleet.ErrNotFound for an alert that is not there.
func (s *Store) AlertTimeline(ctx context.Context, alert string, before int64, limit int) ([]fleet.AlertEvent, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+alertEventColumns+` FROM alert_events
		WHERE alert_id <> '' AND alert_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, alert, orNewest(before), limit)
	out, err := collect(rows, err, scanAlertEvent)
	if err == nil && len(out) == 0 {
		_, err = s.Alert(ctx, alert)
	}
	if err != nil {
		return nil, fmt.Errorf("timeline of alert %s: %w", alert, err)
	}
	return out, nil
}

// IncidentTimeline is AlertTimeline for an incident, with everything that happened to its alerts.
func (s *Store) IncidentTimeline(ctx context.Context, incident string, before int64, limit int) ([]fleet.AlertEvent, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+alertEventColumns+` FROM alert_events WHERE id < $2 AND id IN (
			SELECT id FROM alert_events WHERE incident_id <> '' AND incident_id = $1
			UNION
			SELECT id FROM alert_events WHERE alert_id <> '' AND alert_id IN (SELECT id FROM alerts WHERE incident_id <> '' AND incident_id = $1))
		ORDER BY id DESC LIMIT $3`, incident, orNewest(before), limit)
	out, err := collect(rows, err, scanAlertEvent)
	if err == nil && len(out) == 0 {
		_, err = s.Incident(ctx, incident)
	}
	if err != nil {
		return nil, fmt.Errorf("timeline of incident %s: %w", incident, err)
	}
	return out, nil
}

func orNewest(before int64) int64 {
	if before <= 0 {
		return math.MaxInt64
	}
	return before
}

// AlertStatistics returns how the alerts that opened in [from, to) were dealt with.
func (s *Store) AlertStatistics(ctx context.Context, from, to time.Time) (fleet.AlertStatistics, error) {
	out := fleet.AlertStatistics{From: from, To: to}
	rows, err := s.read.QueryContext(ctx, `SELECT rule, site, COUNT(*), COUNT(acknowledged_at), COUNT(resolved_at),
			COALESCE(SUM(acknowledged_at - opened_at), 0), COALESCE(SUM(resolved_at - opened_at), 0)
		FROM alerts WHERE opened_at >= $1 AND opened_at < $2 GROUP BY rule, site ORDER BY rule, site`, millis(from), millis(to))
	rules, sites := alertSums{}, alertSums{}
	var all alertSum
	_, err = collect(rows, err, func(row scanner) (struct{}, error) {
		var rule, site string
		var n alertSum
		err := row.Scan(&rule, &site, &n.opened, &n.acknowledged, &n.resolved, &n.toAcknowledge, &n.toResolve)
		rules.add(rule, n)
		sites.add(site, n)
		all.add(n)
		return struct{}{}, err
	})
	if err != nil {
		return out, fmt.Errorf("alert statistics: %w", err)
	}
	out.Opened, out.Acknowledged, out.Resolved = all.opened, all.acknowledged, all.resolved
	out.MTTA, out.MTTR = all.mtta(), all.mttr()
	out.ByRule, out.BySite = rules.counts(), sites.counts()
	return out, nil
}
