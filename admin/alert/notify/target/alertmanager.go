package target

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// RefreshEvery is how often Alertmanager is told of what still stands.
	RefreshEvery = time.Minute
	// outlives is how long an alert stands there without being told again; as Prometheus does, four times as long,
	// so that a lost message or a restart ends nothing.
	outlives = 4 * RefreshEvery
	// postAtOnce bounds the alerts of one request.
	postAtOnce = 200
)

type alertmanager struct{ poster }

func newAlertmanager(t fleet.NotificationTarget, now func() time.Time) *alertmanager {
	return &alertmanager{newPoster(t, now)}
}

// posted is an alert of Alertmanager's API v2 (postableAlert).
type posted struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Send tells of the alerts of one notification; of an incident as one alert.
func (a *alertmanager) Send(ctx context.Context, m Message) error {
	return a.postAll(ctx, a.alerts(m.Notification))
}

// Refresh tells of everything that still stands.
func (a *alertmanager) Refresh(ctx context.Context, standing []protocol.Notification) error {
	var all []posted
	for _, n := range standing {
		all = append(all, a.alerts(n)...)
	}
	return a.postAll(ctx, all)
}

func (a *alertmanager) postAll(ctx context.Context, alerts []posted) error {
	address, user := login(a.target.URL)
	address = strings.TrimSuffix(address, "/")
	if !strings.HasSuffix(address, "/api/v2/alerts") {
		address += "/api/v2/alerts"
	}
	for len(alerts) > 0 {
		n := min(len(alerts), postAtOnce)
		body, err := json.Marshal(alerts[:n])
		if err != nil {
			return failure(err, a.target)
		}
		header := http.Header{}
		authorize(header, user)
		if err := a.post(ctx, address, body, header); err != nil {
			var f *Failure
			if errors.As(err, &f) && f.Final {
				f.Text += " (is it the address of an Alertmanager?)"
			}
			return err
		}
		alerts = alerts[n:]
	}
	return nil
}

func (a *alertmanager) alerts(n protocol.Notification) []posted {
	if i := n.Incident; i != nil {
		return []posted{{
			Labels: labels(nil, map[string]string{
				"alertname": i.Rule, "severity": i.Severity, "site": i.Site, "incident": i.ID, "incident_kind": i.Kind, i.Kind: i.Key,
			}),
			Annotations:  map[string]string{"summary": i.Title},
			StartsAt:     i.OpenedAt,
			EndsAt:       a.end(i.ResolvedAt),
			GeneratorURL: n.URL,
		}}
	}
	out := make([]posted, len(n.Alerts))
	for i, alert := range n.Alerts {
		out[i] = posted{
			Labels: labels(alert.Labels, map[string]string{
				"alertname": alert.Rule, "severity": alert.Severity, "serial": alert.Serial, "site": alert.Site, "model": alert.Model, "alert_id": alert.ID,
			}),
			Annotations:  map[string]string{"summary": alert.Reason},
			StartsAt:     alert.OpenedAt,
			EndsAt:       a.end(alert.ResolvedAt),
			GeneratorURL: n.URL,
		}
	}
	return out
}

// end returns when an alert is over: when it was resolved, or a while from now if it still stands.
func (a *alertmanager) end(resolved *time.Time) time.Time {
	if resolved != nil {
		return *resolved
	}
	return a.now().UTC().Add(outlives)
}

var notInLabels = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// labels joins those of the rule, whose names may hold what Prometheus' may not, and ours, which win. Alertmanager
// refuses nothing empty but takes it as absent; it is left out.
func labels(rule, ours map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range rule {
		name = notInLabels.ReplaceAllString(name, "_")
		if name == "" || name[0] >= '0' && name[0] <= '9' {
			name = "_" + name
		}
		out[name] = value
	}
	for name, value := range ours {
		out[name] = value
	}
	for name, value := range out {
		if value == "" {
			delete(out, name)
		}
	}
	return out
}
