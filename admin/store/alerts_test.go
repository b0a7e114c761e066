package store

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// someAlert returns an open alert that opened i seconds after now.
func someAlert(id string, i int) fleet.Alert {
	at := now.Add(time.Duration(i) * time.Second)
	return fleet.Alert{
		ID: id, Rule: "rule_" + id, Serial: "K-" + id, Site: "gate", Severity: fleet.SeverityWarning, State: fleet.AlertOpen,
		Since: at, OpenedAt: at, UpdatedAt: at,
	}
}

func ended(a fleet.Alert, after time.Duration) fleet.Alert {
	at := a.OpenedAt.Add(after)
	a.State, a.ResolvedAt, a.ResolvedWhy = fleet.AlertResolved, &at, fleet.ResolvedCleared
	return a
}

func alertIDs(alerts []fleet.Alert) string {
	var out []string
	for _, a := range alerts {
		out = append(out, a.ID)
	}
	return strings.Join(out, " ")
}

func TestAlertsComeBackAsTheyWere(t *testing.T) {
	s := open(t)
	at, later := now.Add(1234567*time.Nanosecond), now.Add(time.Hour)
	a := fleet.Alert{
		ID: "a", Rule: "cash_full", RuleVersion: 7, Serial: "K-1", Site: "gate", Model: "m9", Tags: []string{"vip"}, Severity: fleet.SeverityCritical,
		Labels: map[string]string{"team": "field"}, State: fleet.AlertOpen, Reason: "97%", NoData: true, Flapping: true, Since: at, OpenedAt: at,
		Values: []fleet.Value{{Metric: "custom.cash_level", Value: 97.25}}, AboutPresence: true, Security: true, AgentVersion: "1.4.2",
		Network: "10.1.2.0/24", Care: fleet.Care{AcknowledgedAt: &later, AcknowledgedBy: "ana", Assignee: "ben", SnoozedUntil: &later}, IncidentID: "i",
		Suppressed: "silence:s", UpdatedAt: later,
	}
	i := fleet.Incident{
		ID: "i", Kind: fleet.IncidentSite, Key: "gate", Site: "gate", Rule: "cash_full", Severity: fleet.SeverityCritical, State: fleet.AlertOpen,
		Title: "gate: 3 of 4 kiosks", Kiosks: 3, OfKiosks: 4, Open: 1, OpenedAt: at, Care: fleet.Care{AcknowledgedAt: &later, AcknowledgedBy: "ana"}, UpdatedAt: later,
	}
	state := fleet.AlertEngineState{Serial: "K-1", Source: fleet.Source{Record: 5, Item: 2}, Data: []byte("first")}
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{
		States: []fleet.AlertEngineState{state}, Alerts: []fleet.Alert{a, ended(someAlert("b", 1), time.Minute)}, Incidents: []fleet.Incident{i},
		Audit: []fleet.AuditEntry{{At: now, Actor: "ana", Action: "alert.acknowledge", Target: "a", Detail: "on my way"}},
	}))
	state.Source.Record, state.Data = 6, []byte("second")
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{States: []fleet.AlertEngineState{state}}))

	if got, err := s.Alert(t.Context(), "a"); err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := s.Incident(t.Context(), "i"); err != nil || !reflect.DeepEqual(got, i) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, err := range []error{second(s.Alert(t.Context(), "x")), second(s.Incident(t.Context(), "x"))} {
		if !errors.Is(err, fleet.ErrNotFound) {
			t.Error(err)
		}
	}
	known, err := s.KnownAlerts(t.Context(), []string{"a", "x", "b"})
	if err != nil || !reflect.DeepEqual(known, map[string]bool{"a": true, "b": true}) {
		t.Errorf("%v, %v", known, err)
	}
	var record int
	var data string
	must(t, s.read.QueryRowContext(t.Context(), `SELECT record, data FROM alert_states`).Scan(&record, &data))
	if record != 6 || data != "second" {
		t.Errorf("the engine's state: %d, %s", record, data)
	}
	if got := audits(t, s); !strings.Contains(got, "ana alert.acknowledge a on my way") {
		t.Error(got)
	}
}

func second[T any](_ T, err error) error { return err }

func TestABatchIsStoredWholeOrNotAtAll(t *testing.T) {
	s := open(t)
	first := someAlert("a", 0)
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{Alerts: []fleet.Alert{first}}))
	same := someAlert("b", 1)
	same.Rule, same.Serial = first.Rule, first.Serial
	batch := fleet.AlertBatch{Alerts: []fleet.Alert{someAlert("c", 2), same}, Events: []fleet.AlertEvent{{At: now, Kind: fleet.AlertEventOpened, AlertID: "c"}}}
	if err := s.SaveAlerts(t.Context(), batch); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("two open alerts of one rule and kiosk: %v", err)
	}
	page, _, err := s.Alerts(t.Context(), fleet.AlertFilter{}, "", 10)
	if events, _ := s.AlertEvents(t.Context(), 0, 10); err != nil || alertIDs(page) != "a" || len(events) != 0 {
		t.Errorf("%s, %v, %v", alertIDs(page), events, err)
	}
	batch.Alerts = append(batch.Alerts, ended(first, time.Minute)) // whatever the order
	must(t, s.SaveAlerts(t.Context(), batch))
}

func TestWhatIsOpenAfterAStart(t *testing.T) {
	s := open(t)
	in := func(a fleet.Alert, incident string) fleet.Alert { a.IncidentID = incident; return a }
	over := fleet.Incident{ID: "old", State: fleet.AlertResolved, OpenedAt: now}
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{
		Alerts: []fleet.Alert{
			someAlert("d", 4), ended(someAlert("e", 5), time.Minute), in(someAlert("a", 1), "new"),
			in(ended(someAlert("b", 2), time.Minute), "new"), in(ended(someAlert("c", 3), time.Minute), "old"),
		},
		Incidents: []fleet.Incident{over, {ID: "new", State: fleet.AlertOpen, OpenedAt: now}},
	}))
	alerts, incidents, err := s.OpenAlerts(t.Context())
	if err != nil || alertIDs(alerts) != "a b d" || len(incidents) != 1 || incidents[0].ID != "new" {
		t.Errorf("%s, %v, %v", alertIDs(alerts), incidents, err)
	}
}

func TestAlertFilters(t *testing.T) {
	s := open(t)
	yes, no := true, false
	a, b, c, d := someAlert("a", 0), someAlert("b", 10), someAlert("c", 20), ended(someAlert("d", 30), time.Minute)
	a.Severity, a.Site, a.AcknowledgedAt = fleet.SeverityCritical, "pier", &now
	b.Severity, b.Assignee, b.Suppressed = fleet.SeverityInfo, "ben", fleet.SuppressedOffline
	c.IncidentID, c.Serial = "i", "K-a"
	d.Rule = "rule_a"
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{Alerts: []fleet.Alert{a, b, c, d}}))
	for _, tt := range []struct {
		name   string
		filter fleet.AlertFilter
		want   string
	}{
		{"all, newest first", fleet.AlertFilter{}, "d c b a"},
		{"all, worst first", fleet.AlertFilter{WorstFirst: true}, "a d c b"},
		{"open", fleet.AlertFilter{State: fleet.AlertOpen}, "c b a"},
		{"resolved", fleet.AlertFilter{State: fleet.AlertResolved}, "d"},
		{"of no known state", fleet.AlertFilter{State: "x' OR '1'='1"}, ""},
		{"severities", fleet.AlertFilter{Severities: []fleet.Severity{fleet.SeverityInfo, fleet.SeverityCritical}}, "b a"},
		{"kiosk", fleet.AlertFilter{Serial: "K-a"}, "c a"},
		{"site", fleet.AlertFilter{Site: "pier"}, "a"},
		{"rule", fleet.AlertFilter{Rule: "rule_a"}, "d a"},
		{"incident", fleet.AlertFilter{IncidentID: "i"}, "c"},
		{"alone", fleet.AlertFilter{Alone: true}, "d b a"},
		{"assignee", fleet.AlertFilter{Assignee: "ben"}, "b"},
		{"acknowledged", fleet.AlertFilter{Acknowledged: &yes}, "a"},
		{"not acknowledged", fleet.AlertFilter{Acknowledged: &no}, "d c b"},
		{"suppressed", fleet.AlertFilter{Suppressed: &yes}, "b"},
		{"told", fleet.AlertFilter{Suppressed: &no}, "d c a"},
		{"opened from and to", fleet.AlertFilter{From: b.OpenedAt, To: d.OpenedAt}, "c b"},
		{"several at once", fleet.AlertFilter{State: fleet.AlertOpen, Site: "gate", Alone: true, Severities: []fleet.Severity{fleet.SeverityInfo}}, "b"},
	} {
		page, next, err := s.Alerts(t.Context(), tt.filter, "", 10)
		if err != nil || alertIDs(page) != tt.want || next != "" {
			t.Errorf("%s: %q, not %q; next %q, %v", tt.name, alertIDs(page), tt.want, next, err)
		}
		counts, err := s.CountAlerts(t.Context(), tt.filter)
		must(t, err)
		want := map[fleet.Severity]int{}
		for _, a := range page {
			want[a.Severity]++
		}
		if !reflect.DeepEqual(counts, want) {
			t.Errorf("%s: counted %v, not %v", tt.name, counts, want)
		}
	}
}

func TestPagesOfAlertsAndIncidents(t *testing.T) {
	s := open(t)
	var batch fleet.AlertBatch
	for i := range 20 {
		a := someAlert(fmt.Sprintf("%02d.x", i), i/4) // some at the same moment
		a.Severity = fleet.Severities()[i%3]
		batch.Alerts = append(batch.Alerts, a)
		batch.Incidents = append(batch.Incidents, fleet.Incident{ID: a.ID, State: fleet.AlertOpen, OpenedAt: a.OpenedAt})
	}
	must(t, s.SaveAlerts(t.Context(), batch))
	for _, worst := range []bool{false, true} {
		f := fleet.AlertFilter{WorstFirst: worst}
		whole, _, err := s.Alerts(t.Context(), f, "", 100)
		must(t, err)
		var parts []fleet.Alert
		for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
			var page []fleet.Alert
			page, cursor, err = s.Alerts(t.Context(), f, cursor, 5)
			must(t, err)
			parts = append(parts, page...)
			if len(page) != 5 || pages > 4 {
				t.Fatalf("page %d has %d alerts", pages, len(page))
			}
		}
		if alertIDs(parts) != alertIDs(whole) || len(whole) != 20 {
			t.Errorf("worst first %v: %s, not %s", worst, alertIDs(parts), alertIDs(whole))
		}
	}
	first, next, err := s.Incidents(t.Context(), fleet.IncidentFilter{State: fleet.AlertOpen}, "", 15)
	must(t, err)
	rest, end, err := s.Incidents(t.Context(), fleet.IncidentFilter{State: fleet.AlertOpen}, next, 15)
	if err != nil || len(first) != 15 || len(rest) != 5 || first[14].ID != "05.x" || rest[0].ID != "04.x" || end != "" {
		t.Errorf("%d, then %d incidents: %v", len(first), len(rest), err)
	}
	for _, cursor := range []string{"x", "1.2", "a.1.x", "1.b.x"} {
		var invalid *fleet.ValidationError
		if _, _, err := s.Alerts(t.Context(), fleet.AlertFilter{}, cursor, 5); !errors.As(err, &invalid) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

func TestTheInboxReadsAnIndex(t *testing.T) {
	s := open(t)
	for _, f := range []fleet.AlertFilter{{State: fleet.AlertOpen, WorstFirst: true}, {WorstFirst: true}, {}, {Serial: "K"}, {Site: "gate"}, {Rule: "r"}, {IncidentID: "i"}} {
		c := alertCondition(f)
		order := " ORDER BY opened_at DESC, id DESC"
		if f.WorstFirst {
			order = " ORDER BY badness DESC, opened_at DESC, id DESC"
		}
		rows, err := s.read.QueryContext(t.Context(), `EXPLAIN QUERY PLAN SELECT data FROM alerts`+c.where()+order, c.args...)
		plan, err := collect(rows, err, func(row scanner) (detail string, err error) {
			var id, parent, unused int
			return detail, row.Scan(&id, &parent, &unused, &detail)
		})
		must(t, err)
		if got := strings.Join(plan, "; "); !strings.Contains(got, "USING INDEX alerts_") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%+v: %s", f, got)
		}
	}
}

func TestAlertEventsGrow(t *testing.T) {
	s := open(t)
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{Alerts: []fleet.Alert{ended(someAlert("a", 0), time.Minute), someAlert("b", 1)}}))
	for i := range 6 {
		must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{Events: []fleet.AlertEvent{
			{At: now, Kind: fleet.AlertEventCommented, AlertID: "ab"[i%2 : i%2+1], Actor: "ana", Text: fmt.Sprint(i)},
		}}))
	}
	all, err := s.AlertEvents(t.Context(), 2, 3)
	if err != nil || len(all) != 3 || all[0].Text != "2" || all[2].Text != "4" {
		t.Fatalf("%v, %v", all, err)
	}
	if n, err := s.PruneAlerts(t.Context(), now.Add(time.Hour), 10); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	timeline, err := s.AlertTimeline(t.Context(), "b", all[2].ID+1, 10)
	if err != nil || len(timeline) != 2 || timeline[0].Text != "3" {
		t.Errorf("%v, %v", timeline, err)
	}
	must(t, s.SaveAlerts(t.Context(), fleet.AlertBatch{Events: []fleet.AlertEvent{{At: now, Kind: fleet.AlertEventCommented, AlertID: "b"}}}))
	if last, err := s.AlertEvents(t.Context(), 6, 10); err != nil || len(last) != 1 || last[0].ID != 7 {
		t.Errorf("an id was used again: %v, %v", last, err)
	}
}

func TestPruneAlertsInSteps(t *testing.T) {
	s := open(t)
	var batch fleet.AlertBatch
	for i := range 7 {
		a := ended(someAlert(fmt.Sprint(i), i), time.Minute)
		a.IncidentID = "i"
		batch.Alerts = append(batch.Alerts, a)
	}
	old, recent := now.Add(time.Minute), now.Add(time.Hour)
	batch.Alerts = append(batch.Alerts, someAlert("open", 0), ended(someAlert("recent", 0), 2*time.Hour))
	batch.Incidents = []fleet.Incident{{ID: "i", State: fleet.AlertResolved, OpenedAt: now, ResolvedAt: &old}, {ID: "open", State: fleet.AlertOpen, OpenedAt: now}}
	batch.Silences = []fleet.Silence{{ID: "old", Until: old}, {ID: "recent", Until: recent.Add(time.Hour)}}
	batch.Windows = []fleet.MaintenanceWindow{{ID: "old", Until: old}, {ID: "recent", Until: recent.Add(time.Hour)}}
	must(t, s.SaveAlerts(t.Context(), batch))
	var steps []int
	for {
		n, err := s.PruneAlerts(t.Context(), recent, 3)
		must(t, err)
		steps = append(steps, n)
		if n == 0 {
			break
		}
	}
	if !slices.Equal(steps, []int{3, 3, 2, 0}) { // the incident goes with the last of its alerts
		t.Errorf("%v", steps)
	}
	left, _, err := s.Alerts(t.Context(), fleet.AlertFilter{}, "", 10)
	incidents, _, _ := s.Incidents(t.Context(), fleet.IncidentFilter{}, "", 10)
	if err != nil || alertIDs(left) != "recent open" || len(incidents) != 1 {
		t.Errorf("%s, %v, %v", alertIDs(left), incidents, err)
	}
	silences, err := s.Silences(t.Context(), time.Time{})
	must(t, err)
	windows, err := s.MaintenanceWindows(t.Context(), time.Time{})
	if err != nil || len(silences) != 1 || len(windows) != 1 || silences[0].ID != "recent" || windows[0].ID != "recent" {
		t.Errorf("%v, %v, %v", silences, windows, err)
	}
	if err := s.SaveAlerts(t.Context(), fleet.AlertBatch{RemovedWindows: []string{"old"}}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a window that is gone: %v", err)
	}
}
