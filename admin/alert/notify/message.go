package notify

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// linesTold is how many alerts the text for people lists.
const linesTold = 20

// pressing orders what messages tell, the most pressing first.
func pressing(event string) int {
	return slices.Index([]string{
		protocol.NotificationEscalated, protocol.NotificationWorse, protocol.NotificationOpened, protocol.NotificationRepeated,
		protocol.NotificationResolved, protocol.NotificationTest,
	}, event)
}

// notification makes the message; full: with every alert, however many.
func (m *message) notification(id string, now time.Time, pageURL string, full bool) protocol.Notification {
	n := protocol.Notification{ID: id, Time: now, Alerts: []protocol.AlertMessage{}}
	if m.route != nil {
		n.Route, n.Group = m.route.Name, m.group.Labels
	}
	var lines []string
	for _, i := range m.items {
		if n.Event == "" || pressing(i.event) < pressing(n.Event) {
			n.Event = i.event
		}
		if i.s.incident != nil {
			msg := incidentMessage(i.s.incident, i.event, 0, now)
			n.Incident = &msg
			for _, a := range i.s.alerts {
				n.Alerts = append(n.Alerts, alertMessage(&a, "", 0, now))
				lines = append(lines, line(&a))
			}
			n.More = max(0, i.s.incident.Open-len(i.s.alerts))
			continue
		}
		if full || len(n.Alerts) < alertsTold {
			n.Alerts = append(n.Alerts, alertMessage(i.s.alert, i.event, 0, now))
		} else {
			n.More++
		}
		lines = append(lines, line(i.s.alert))
	}
	n.URL = m.url(pageURL)
	n.Title = m.title(n.Event)
	n.Text = text(n, lines)
	return n
}

func (m *message) url(page string) string {
	switch {
	case page == "" || len(m.items) == 0:
		return ""
	case m.items[0].s.incident != nil:
		return strings.TrimSuffix(page, "/") + "/incidents/" + url.PathEscape(m.items[0].s.incident.ID)
	case len(m.items) == 1:
		return strings.TrimSuffix(page, "/") + "/alerts/" + url.PathEscape(m.items[0].s.alert.ID)
	}
	return strings.TrimSuffix(page, "/") + "/alerts"
}

// title says in one line what is wrong and where.
func (m *message) title(event string) string {
	if len(m.items) == 0 {
		return ""
	}
	first := m.items[0].s
	mark := string(first.severity())
	switch event {
	case protocol.NotificationEscalated:
		mark += ", not acknowledged"
	case protocol.NotificationWorse:
		mark += ", worse"
	case protocol.NotificationRepeated:
		mark += ", still open"
	case protocol.NotificationResolved:
		mark = "resolved"
	}
	switch {
	case first.incident != nil:
		return fmt.Sprintf("[%s] %s", mark, first.incident.Title)
	case len(m.items) == 1:
		return fmt.Sprintf("[%s] %s: %s", mark, place(first.alert), first.alert.Reason)
	}
	var shared []string
	if m.group != nil {
		for _, name := range sortedKeys(m.group.Labels) {
			if value := m.group.Labels[name]; value != "" {
				shared = append(shared, name+" "+value)
			}
		}
	}
	title := fmt.Sprintf("[%s] %d alerts", mark, len(m.items))
	if len(shared) > 0 {
		title += ": " + strings.Join(shared, ", ")
	}
	return title
}

func place(a *fleet.Alert) string {
	switch {
	case a.Serial == "":
		return "the platform"
	case a.Site == "":
		return a.Serial
	}
	return a.Serial + " (" + a.Site + ")"
}

func line(a *fleet.Alert) string {
	out := fmt.Sprintf("%s %s: %s", a.Severity, place(a), a.Reason)
	if !a.Open() {
		return "resolved " + out
	}
	out += ", since " + a.Since.UTC().Format("2 Jan 15:04 UTC")
	if a.AcknowledgedBy != "" {
		out += ", acknowledged by " + a.AcknowledgedBy
	}
	return out
}

func text(n protocol.Notification, lines []string) string {
	var out []string
	if n.Incident != nil {
		out = append(out, n.Incident.Title)
	}
	out = append(out, lines[:min(len(lines), linesTold)]...)
	if more := len(lines) - linesTold; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	if n.URL != "" {
		out = append(out, n.URL)
	}
	return strings.Join(out, "\n")
}

// words writes a duration as people do: 15m, not 15m0s.
func words(d time.Duration) string {
	out := d.String()
	if strings.HasSuffix(out, "m0s") {
		out = strings.TrimSuffix(out, "0s")
	}
	if strings.HasSuffix(out, "h0m") {
		out = strings.TrimSuffix(out, "0m")
	}
	return out
}

func alertMessage(a *fleet.Alert, event string, eventID int64, at time.Time) protocol.AlertMessage {
	return protocol.AlertMessage{
		Event: event, EventID: eventID, Time: at, ID: a.ID, Rule: a.Rule, Serial: a.Serial, Site: a.Site, Model: a.Model, Tags: a.Tags,
		Severity: string(a.Severity), Labels: a.Labels, State: string(a.State), Reason: a.Reason, NoData: a.NoData, Flapping: a.Flapping,
		Since: a.Since, OpenedAt: a.OpenedAt, AcknowledgedAt: a.AcknowledgedAt, AcknowledgedBy: a.AcknowledgedBy,
		ResolvedAt: a.ResolvedAt, ResolvedWhy: a.ResolvedWhy, IncidentID: a.IncidentID,
	}
}

func incidentMessage(i *fleet.Incident, event string, eventID int64, at time.Time) protocol.IncidentMessage {
	return protocol.IncidentMessage{
		Event: event, EventID: eventID, Time: at, ID: i.ID, Kind: string(i.Kind), Key: i.Key, Site: i.Site, Rule: i.Rule,
		Severity: string(i.Severity), State: string(i.State), Title: i.Title, Kiosks: i.Kiosks, OfKiosks: i.OfKiosks, Open: i.Open,
		OpenedAt: i.OpenedAt, AcknowledgedAt: i.AcknowledgedAt, AcknowledgedBy: i.AcknowledgedBy, ResolvedAt: i.ResolvedAt,
	}
}
