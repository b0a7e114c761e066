package notify

import (
	"context"
	"errors"
	"strings"
	"time"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

const (
	alertKey    = "alert:"
	incidentKey = "incident:"
	// alertsTold is how many alerts a message names.
	alertsTold = 50
)

// ruleTargetFailing is the shipped rule that alerts on Notifier.Failing.
const ruleTargetFailing = "platform_target_failing"

// subject is what a message is about: one alert, or one incident with the first of its alerts.
type subject struct {
	key      string // alertKey or incidentKey with its id
	alert    *fleet.Alert
	incident *fleet.Incident
	alerts   []fleet.Alert // of the incident
}

// load returns what a subject is now, nil when it is no longer there.
func (n *Notifier) load(ctx context.Context, key string) (*subject, error) {
	s := &subject{key: key}
	var err error
	if id, ok := strings.CutPrefix(key, incidentKey); ok {
		var i fleet.Incident
		if i, err = n.cfg.Alerts.Incident(ctx, id); err == nil {
			s.incident = &i
			s.alerts, err = n.cfg.Alerts.AlertsOf(ctx, id, alertsTold)
		}
	} else {
		var a fleet.Alert
		if a, err = n.cfg.Alerts.Alert(ctx, strings.TrimPrefix(key, alertKey)); err == nil {
			s.alert = &a
		}
	}
	if errors.Is(err, fleet.ErrNotFound) {
		return nil, nil
	}
	return s, err
}

func (s *subject) open() bool {
	if s.incident != nil {
		return s.incident.State == fleet.AlertOpen
	}
	return s.alert.Open()
}

func (s *subject) severity() fleet.Severity {
	if s.incident != nil {
		return s.incident.Severity
	}
	return s.alert.Severity
}

// care is what people have done about it.
func (s *subject) care() *fleet.Care {
	if s.incident != nil {
		return &s.incident.Care
	}
	return &s.alert.Care
}

func (s *subject) acknowledged() bool { return s.care().AcknowledgedAt != nil }

// hushed reports whether nobody is to be told at the moment.
func (s *subject) hushed(now time.Time) bool {
	snoozed := s.care().SnoozedUntil
	return s.suppressed() || snoozed != nil && now.Before(*snoozed)
}

func (s *subject) suppressed() bool {
	if s.incident != nil {
		return s.incident.Suppressed != ""
	}
	return s.alert.Suppressed != ""
}

// inIncident reports whether the incident is told instead.
func (s *subject) inIncident() bool { return s.alert != nil && s.alert.IncidentID != "" }

// tellable reports whether its beginning may be told.
func (s *subject) tellable(now time.Time) bool { return s.open() && !s.hushed(now) && !s.inIncident() }

// labels are what routes look at. An incident has those that its alerts share: rule, severity, site and, if they
// are of one, its network or version.
func (s *subject) labels() matcher.Set { return matcher.Labels(s.labelled()) }

func (s *subject) labelled() *fleet.Alert {
	if s.alert != nil {
		return s.alert
	}
	i := s.incident
	return &fleet.Alert{Rule: i.Rule, Severity: i.Severity, Site: i.Site, Labels: map[string]string{"incident": string(i.Kind), string(i.Kind): i.Key}}
}

// ids are the subject's as deliveries and alert events name them.
func (s *subject) ids() (alertIDs []string, incidentID string) {
	if s.alert != nil {
		return []string{s.alert.ID}, ""
	}
	for _, a := range s.alerts {
		alertIDs = append(alertIDs, a.ID)
	}
	return alertIDs, s.incident.ID
}

// zone is of the clock on the kiosk's wall; of an incident's first kiosk.
func (n *Notifier) zone(s *subject) *time.Location {
	serial := ""
	if s.alert != nil {
		serial = s.alert.Serial
	} else if len(s.alerts) > 0 {
		serial = s.alerts[0].Serial
	}
	if k, err := n.cfg.Kiosks.Get(serial); err == nil && k != nil {
		return matcher.Zone(k)
	}
	return time.UTC
}
