package store

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func delivery(id string, status fleet.DeliveryStatus) fleet.Delivery {
	return fleet.Delivery{
		ID: id, Target: "ops", Route: "all", Group: "g", Status: status, CreatedAt: now, UpdatedAt: now, NextAt: &now, GiveUpAt: now.Add(24 * time.Hour),
		AlertIDs: []string{"a", id}, Payload: json.RawMessage(`{"id":"` + id + `"}`),
	}
}

func ids(deliveries []fleet.Delivery) string {
	var out []string
	for _, d := range deliveries {
		out = append(out, d.ID)
	}
	return strings.Join(out, " ")
}

func TestANotificationStepIsThereAfterReopening(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.db")
	s, err := Open(t.Context(), file)
	must(t, err)
	must(t, s.SaveNotificationStep(t.Context(), fleet.NotificationStep{
		Cursor: 7, Groups: []fleet.NotificationGroup{{Key: "g", Data: []byte(`{"a":1}`)}, {Key: "h", Data: []byte(`{}`)}},
		Deliveries: []fleet.Delivery{delivery("1", fleet.DeliveryPending), delivery("2", fleet.DeliveryPending)},
	}))
	must(t, s.SaveNotificationStep(t.Context(), fleet.NotificationStep{Cursor: 9, Groups: []fleet.NotificationGroup{{Key: "h"}}}))
	must(t, s.SavePublished(t.Context(), 5, []string{"x", "y"}, []string{"y"}))
	// A step that cannot be written as a whole is not written at all.
	if err := s.SaveNotificationStep(t.Context(), fleet.NotificationStep{Cursor: 11, Deliveries: []fleet.Delivery{delivery("1", fleet.DeliveryPending)}}); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("a delivery twice: %v", err)
	}
	must(t, s.Close())
	s = openAt(t, file)
	groups, cursor, err := s.NotificationGroups(t.Context())
	must(t, err)
	if cursor != 9 || len(groups) != 1 || groups[0].Key != "g" || string(groups[0].Data) != `{"a":1}` {
		t.Errorf("%d %+v", cursor, groups)
	}
	published, cursor, err := s.PublishedAlerts(t.Context())
	must(t, err)
	if cursor != 5 || strings.Join(published, " ") != "x" {
		t.Errorf("%d %q", cursor, published)
	}
	pending, err := s.PendingDeliveries(t.Context())
	must(t, err)
	if ids(pending) != "1 2" || pending[0].NextAt == nil || !pending[0].NextAt.Equal(now) || string(pending[0].Payload) != `{"id":"1"}` {
		t.Errorf("%+v", pending)
	}
}

func TestTheLogOfDeliveries(t *testing.T) {
	s := open(t)
	must(t, s.AddNotificationTarget(t.Context(), fleet.NotificationTarget{ID: "t", Name: "ops", Kind: fleet.TargetWebhook, UpdatedAt: now}, "ana"))
	must(t, s.SaveNotificationStep(t.Context(), fleet.NotificationStep{Deliveries: []fleet.Delivery{
		delivery("1", fleet.DeliveryPending), delivery("2", fleet.DeliveryPending), delivery("3", fleet.DeliveryPending),
	}}))
	d := delivery("1", fleet.DeliveryDelivered)
	d.NextAt, d.Attempts = nil, 3
	must(t, s.SettleDelivery(t.Context(), fleet.DeliveryOutcome{Delivery: d, TargetID: "t", Problem: "HTTP 503", Since: &now}))
	d.Attempts = 9 // it is settled: nothing changes any more
	must(t, s.SettleDelivery(t.Context(), fleet.DeliveryOutcome{Delivery: d, TargetID: "t"}))
	targets, err := s.NotificationTargets(t.Context())
	must(t, err)
	if targets[1].Problem != "HTTP 503" || !targets[1].Since.Equal(now) {
		t.Errorf("%+v", targets)
	}
	for _, tt := range []struct {
		name   string
		filter fleet.DeliveryFilter
		before string
		limit  int
		want   string
	}{
		{"all", fleet.DeliveryFilter{}, "", 10, "3 2 1"},
		{"a page", fleet.DeliveryFilter{}, "3", 1, "2"},
		{"by status", fleet.DeliveryFilter{Status: fleet.DeliveryDelivered}, "", 10, "1"},
		{"by alert", fleet.DeliveryFilter{AlertID: "2"}, "", 10, "2"},
		{"by target", fleet.DeliveryFilter{Target: "other"}, "", 10, ""},
	} {
		got, err := s.Deliveries(t.Context(), tt.filter, tt.before, tt.limit)
		must(t, err)
		if ids(got) != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, ids(got), tt.want)
		}
	}
	var invalid *fleet.ValidationError
	if _, err := s.ReplayDelivery(t.Context(), "2", "ana", now, now); !errors.As(err, &invalid) {
		t.Errorf("replay of what is pending: %v", err)
	}
	replayed, err := s.ReplayDelivery(t.Context(), "1", "ana", now, now.Add(time.Hour))
	must(t, err)
	if replayed.Status != fleet.DeliveryPending || replayed.Attempts != 3 {
		t.Errorf("%+v", replayed)
	}
	must(t, s.DeleteNotificationTarget(t.Context(), "t", "ana", now))
	given, err := s.Deliveries(t.Context(), fleet.DeliveryFilter{Status: fleet.DeliveryGaveUp}, "", 10)
	must(t, err)
	if ids(given) != "3 2 1" {
		t.Errorf("of a deleted target: %s", ids(given))
	}
	n, err := s.PruneDeliveries(t.Context(), now.Add(time.Minute))
	must(t, err)
	var links int
	must(t, s.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM notification_delivery_alerts`).Scan(&links))
	if n != 3 || links != 0 {
		t.Errorf("%d removed, %d links left", n, links)
	}
	want := "ana notification_target.add ops webhook; ana notification_delivery.replay ops 1; ana notification_target.delete ops"
	if got := audits(t, s); got != want {
		t.Errorf("audit: %s", got)
	}
}

func TestAlertsOfAnIncident(t *testing.T) {
	s := open(t)
	alert := func(id, incident string, state fleet.AlertState, opened time.Time) fleet.Alert {
		return fleet.Alert{ID: id, Rule: id, Serial: "K-1", IncidentID: incident, State: state, Severity: fleet.SeverityWarning, OpenedAt: opened}
	}
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{Alerts: []fleet.Alert{
		alert("over", "i", fleet.AlertResolved, now), alert("late", "i", fleet.AlertOpen, now.Add(time.Minute)),
		alert("early", "i", fleet.AlertOpen, now), alert("alone", "", fleet.AlertOpen, now),
	}}))
	var got []string
	alerts, err := s.AlertsOf(t.Context(), "i", 10)
	must(t, err)
	for _, a := range alerts {
		got = append(got, a.ID)
	}
	if strings.Join(got, " ") != "early late over" {
		t.Errorf("%q", got)
	}
}
