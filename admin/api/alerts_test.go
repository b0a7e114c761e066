package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func yes(b bool) *bool { return &b }

func TestAlertsAreListedByEachFilter(t *testing.T) {
	hour := start.Add(-time.Hour)
	for query, want := range map[string]fleet.AlertFilter{
		"":                                {},
		"state=open":                      {State: fleet.AlertOpen},
		"severity=critical":               {Severities: []fleet.Severity{fleet.SeverityCritical}},
		"severity=critical,warning,":      {Severities: []fleet.Severity{fleet.SeverityCritical, fleet.SeverityWarning}},
		"severity=critical&severity=info": {Severities: []fleet.Severity{fleet.SeverityCritical, fleet.SeverityInfo}},
		"serial=K-9&site=Hall&rule=offline&incident=i1&assignee=ann": {
			Serial: "K-9", Site: "Hall", Rule: "offline", IncidentID: "i1", Assignee: "ann"},
		"acknowledged=false&suppressed=true&alone=true": {Acknowledged: yes(false), Suppressed: yes(true), Alone: true},
		"alone=false":          {},
		"from=-1h&to=now":      {From: hour, To: start},
		"sort=severity":        {WorstFirst: true},
		"sort=newest&limit=10": {},
	} {
		s := callSite(t)
		got := decode[page[alertView]](t, s.do("GET", "/alerts?"+query, "", as("viewer")), 200)
		if !reflect.DeepEqual(s.filter, want) {
			t.Errorf("%s asks for %+v, want %+v", query, s.filter, want)
		}
		if len(got.Items) != 1 || got.Items[0].ID != "a1" || got.NextCursor != "" {
			t.Errorf("%s: %+v", query, got)
		}
	}
}

func TestAnAlertShowsEverythingAboutIt(t *testing.T) {
	s := callSite(t)
	at := start.Add(time.Hour)
	s.alerts[0] = fleet.Alert{
		ID: "a1", Rule: "disk_runs_full", RuleVersion: 4, Serial: "K-1", Site: "Hall", Model: "T2", Tags: []string{"north"}, Severity: fleet.SeverityInfo,
		Labels: map[string]string{"team": "it"}, State: fleet.AlertResolved, Reason: "in 3 h", NoData: true, Flapping: true, Since: start, OpenedAt: start,
		ResolvedAt: &at, ResolvedWhy: fleet.ResolvedCleared, Values: []fleet.Value{{Metric: "forecast.disk_hours", Value: 3}, {Metric: "forecast.ink_hours", Value: math.Inf(1)}},
		AboutPresence: true, Security: true, AgentVersion: "2.1.0", Network: "203.0.113.7", Care: fleet.Care{AcknowledgedAt: &at, AcknowledgedBy: "ann", Assignee: "bob", SnoozedUntil: &at},
		IncidentID: "i1", Suppressed: "silence:s1", UpdatedAt: at,
	}
	got := decode[map[string]any](t, s.do("GET", "/alerts/a1", "", as("viewer")), 200)
	want := map[string]any{
		"id": "a1", "rule": "disk_runs_full", "rule_version": 4.0, "serial": "K-1", "site": "Hall", "model": "T2", "tags": []any{"north"}, "severity": "info",
		"labels": map[string]any{"team": "it"}, "state": "resolved", "reason": "in 3 h", "no_data": true, "flapping": true, "since": "2026-03-04T05:06:07Z",
		"opened_at": "2026-03-04T05:06:07Z", "resolved_at": "2026-03-04T06:06:07Z", "resolved_why": "cleared",
		"values":         []any{map[string]any{"metric": "forecast.disk_hours", "value": 3.0}}, // JSON has no infinity
		"about_presence": true, "security": true, "agent_version": "2.1.0", "network": "203.0.113.7", "acknowledged_at": "2026-03-04T06:06:07Z",
		"acknowledged_by": "ann", "assignee": "bob", "snoozed_until": "2026-03-04T06:06:07Z", "incident_id": "i1", "suppressed": "silence:s1",
		"updated_at": "2026-03-04T06:06:07Z",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("alert = %v\nwant    %v", got, want)
	}
}

func TestListsOfAlertsGoOnWhereThePageEnded(t *testing.T) {
	s := callSite(t)
	for i := range 7 {
		s.alerts = append(s.alerts, fleet.Alert{ID: fmt.Sprint("b", i), Severity: fleet.SeverityInfo, State: fleet.AlertOpen})
		s.incidents = append(s.incidents, fleet.Incident{ID: fmt.Sprint("j", i), Kind: fleet.IncidentSite, Severity: fleet.SeverityInfo, State: fleet.AlertOpen})
		s.timeline = append(s.timeline, fleet.AlertEvent{ID: int64(6 - i), Kind: fleet.AlertEventCommented})
		s.deliveries = append(s.deliveries, fleet.Delivery{ID: fmt.Sprint("c", 9-i), Status: fleet.DeliveryPending})
	}
	for path, want := range map[string]string{
		"/alerts":                  "a1 b0 b1 b2 b3 b4 b5 b6",
		"/incidents":               "i1 j0 j1 j2 j3 j4 j5 j6",
		"/alerts/a1/timeline":      "7 6 5 4 3 2 1 0",
		"/incidents/i1/timeline":   "7 6 5 4 3 2 1 0",
		"/notification-deliveries": "d1 c9 c8 c7 c6 c5 c4 c3",
	} {
		for limit := 1; limit <= 9; limit++ {
			var all []string
			for cursor := ""; ; {
				p := decode[page[struct{ ID string }]](t, s.do("GET", fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, cursor), "", as("viewer")), 200)
				for _, item := range p.Items {
					all = append(all, item.ID)
				}
				if cursor = p.NextCursor; cursor == "" {
					break
				}
			}
			if got := strings.Join(all, " "); got != want {
				t.Errorf("%s by %d: %s, want %s", path, limit, got, want)
			}
		}
	}
}

func TestTheBellCountsWhatSomebodyIsToldOf(t *testing.T) {
	s := callSite(t)
	s.alerts = append(s.alerts, fleet.Alert{ID: "a2", Severity: fleet.SeverityWarning, Care: fleet.Care{AcknowledgedAt: &start}})
	got := decode[alertSummaryView](t, s.do("GET", "/alerts/summary?site=Hall", "", as("viewer")), 200)
	if want := (alertSummaryView{countsView{Warning: 2}, countsView{Warning: 1}}); got != want {
		t.Errorf("summary = %+v, want %+v", got, want)
	}
	for _, f := range s.filters {
		if f.State != fleet.AlertOpen || f.Suppressed == nil || *f.Suppressed || f.Site != "Hall" {
			t.Errorf("it counts %+v", f)
		}
	}
}

func TestStatisticsAreOfTheLastThirtyDays(t *testing.T) {
	s := callSite(t)
	got := decode[statisticsView](t, s.do("GET", "/alert-statistics", "", as("viewer")), 200)
	if !got.To.Equal(start) || got.To.Sub(got.From) != 30*24*time.Hour || got.Opened != 3 || got.MTTA != 90 || got.MTTR != 3600 || len(got.ByRule) != 1 || got.BySite == nil {
		t.Errorf("statistics = %+v", got)
	}
	got = decode[statisticsView](t, s.do("GET", "/alert-statistics?from=-2d&to=-1d", "", as("viewer")), 200)
	if got.To.Sub(got.From) != 24*time.Hour || !got.To.Equal(start.Add(-24*time.Hour)) {
		t.Errorf("of a day: %+v", got)
	}
}

func TestWhatPeopleDoToAlertsAndIncidents(t *testing.T) {
	for _, tt := range []struct{ action, body, want string }{
		{"acknowledge", "", "acknowledge X  token:admin"},
		{"acknowledge", `{"comment":"mine"}`, "acknowledge X mine token:admin"},
		{"unacknowledge", "", "unacknowledge X token:admin"},
		{"assign", `{"assignee":"ann"}`, "assign X ann token:admin"},
		{"assign", `{"assignee":""}`, "assign X  token:admin"},
		{"snooze", `{"until":"+2h","comment":"lunch"}`, "snooze X 2026-03-04T07:06:07Z lunch token:admin"},
		{"snooze", `{"until":"2026-03-05T00:00:00+01:00"}`, "snooze X 2026-03-04T23:00:00Z  token:admin"},
		{"snooze", `{"until":"now"}`, "snooze X never  token:admin"},
		{"comment", `{"comment":"on my way"}`, "comment X on my way token:admin"},
		{"resolve", `{"comment":"done"}`, "resolve X done token:admin"},
	} {
		for base, id := range map[string]string{"/alerts/": "a1", "/incidents/": "i1"} {
			s := callSite(t)
			got := decode[struct{ ID string }](t, s.do("POST", base+id+"/"+tt.action, tt.body, as("admin")), 200)
			if want := strings.ReplaceAll(tt.want, "X", id); got.ID != id || fmt.Sprint(s.calls) != "["+want+"]" {
				t.Errorf("%s%s %s: %v, want %s", base, tt.action, tt.body, s.calls, want)
			}
			decode[problem](t, s.do("POST", base+"none/"+tt.action, tt.body, as("admin")), 404)
			s.failing = fleet.Invalid("id", "is resolved")
			if p := decode[problem](t, s.do("POST", base+id+"/"+tt.action, tt.body, as("admin")), 422); len(p.Violations) != 1 || p.Violations[0].Field != "id" {
				t.Errorf("%s%s of a resolved one: %+v", base, tt.action, p)
			}
		}
	}
}

func TestWrongInputAboutAlertsNamesItsPlace(t *testing.T) {
	rule := `{"name":"hot","summary":"hot","severity":"warning","condition":"x > 1"`
	for _, tt := range []struct{ name, method, path, body, field, reason string }{
		{"an unknown state", "GET", "/alerts?state=closed", "", "state", "unknown"},
		{"an unknown severity", "GET", "/alerts?severity=critical,bad", "", "severity", `"bad" is unknown`},
		{"no serial", "GET", "/alerts?serial=K%201", "", "serial", ""},
		{"neither true nor false", "GET", "/alerts?acknowledged=1", "", "acknowledged", "neither true nor false"},
		{"neither true nor false, again", "GET", "/alerts?suppressed=no", "", "suppressed", "neither"},
		{"neither true nor false, of alone", "GET", "/alerts?alone=no", "", "alone", "neither"},
		{"no time", "GET", "/alerts?from=yesterday", "", "from", "is not a time"},
		{"an unknown order", "GET", "/alerts?sort=oldest", "", "sort", "unknown"},
		{"too many at once", "GET", "/alerts?limit=1001", "", "limit", "from 1 to 1000"},
		{"a foreign cursor", "GET", "/alerts?cursor=7", "", "cursor", "start without it"},
		{"a foreign cursor of the store", "GET", "/alerts?cursor=" + makeCursor("x"), "", "cursor", "is none"},
		{"a cursor of another list", "GET", "/alerts?cursor=" + makeCursor(7), "", "cursor", "start without it"},
		{"an unknown state of incidents", "GET", "/incidents?state=all", "", "state", "unknown"},
		{"a cursor that is no id", "GET", "/alerts/a1/timeline?cursor=" + makeCursor("x"), "", "cursor", "start without it"},
		{"a time that ends before it begins", "GET", "/alert-statistics?from=now&to=-1d", "", "from", "is not before to"},
		{"an empty acknowledgement that is no object", "POST", "/alerts/a1/acknowledge", `{"remark":"x"}`, "remark", "not a known field"},
		{"nobody to assign to", "POST", "/alerts/a1/assign", `{}`, "assignee", "is missing"},
		{"a snooze without end", "POST", "/alerts/a1/snooze", `{}`, "until", "is missing"},
		{"a snooze until no time", "POST", "/alerts/a1/snooze", `{"until":"later"}`, "until", "is not a time"},
		{"an unknown state of silences", "GET", "/silences?state=ended", "", "state", "unknown"},
		{"a silence until no time", "POST", "/silences", `{"matchers":[],"until":"x"}`, "until", "is not a time"},
		{"a silence from no time", "POST", "/silences", `{"matchers":[],"from":"x"}`, "from", "is not a time"},
		{"a window until no time", "POST", "/maintenance-windows", `{"until":"x"}`, "until", "is not a time"},
		{"all of what", "GET", "/maintenance-windows?all=yes", "", "all", "neither"},
		{"a rule that waits for no time", "POST", "/alert-rules", rule + `,"for":"soon"}`, "for", "not a positive duration"},
		{"a rule that clears after no time", "POST", "/alert-rules/check", rule + `,"clear_for":"-1m"}`, "clear_for", "not a positive duration"},
		{"a rule that misses data for no time", "POST", "/alert-rules/backtest", `{"rule":` + rule + `,"no_data":"x"}}`, "no_data", "not a positive duration"},
		{"a rule with a field too many", "POST", "/alert-rules", rule + `,"origin":"file"}`, "origin", "not a known field"},
		{"a rule that could not be asked for", "POST", "/alert-rules", strings.Replace(rule, "hot", "vocabulary", 1) + "}", "name", "taken"},
		{"a change of what nobody has seen", "PUT", "/alert-rules/cpu_temp_high", `{}`, "version", "is missing"},
		{"a change of the name", "PUT", "/alert-rules/cpu_temp_high", rule + `,"version":2}`, "name", "keeps its name"},
		{"a change that waits for no time", "PUT", "/alert-rules/cpu_temp_high", `{"version":2,"for":"x"}`, "for", "not a positive duration"},
		{"a backtest that ends before it begins", "POST", "/alert-rules/backtest", `{"rule":` + rule + `},"from":"now"}`, "from", "is not before to"},
		{"a backtest of too many kiosks", "POST", "/alert-rules/backtest", `{"rule":` + rule + `},"serials":["K"` + strings.Repeat(`,"K"`, maxSerials) + `]}`, "serials", "at most 5000"},
		{"routes of no version", "PUT", "/notification-routes", `{"routes":[]}`, "version", "is missing"},
		{"no routes", "PUT", "/notification-routes", `{"version":3}`, "routes", "are missing"},
		{"a route that waits for no time", "PUT", "/notification-routes", `{"version":3,"routes":[{"name":"a"},{"name":"b","group_wait":"x"}]}`, "routes[1].group_wait", "not a positive duration"},
		{"an escalation after no time", "PUT", "/notification-routes", `{"version":3,"routes":[{"name":"a","escalations":[{"after":"x"}]}]}`, "routes[0].escalations[0].after", "not a positive duration"},
		{"routes that somebody changed", "PUT", "/notification-routes", `{"version":2,"routes":[]}`, "version", "is no longer 2"},
		{"an unknown status", "GET", "/notification-deliveries?status=lost", "", "status", "unknown"},
		{"an unknown scope", "GET", "/availability?scope=city", "", "scope", "unknown"},
		{"an unknown period", "GET", "/availability?period=year", "", "period", "unknown"},
		{"no time zone", "GET", "/availability?tz=Local", "", "tz", "is not a time zone"},
		{"availability from no time", "GET", "/availability?from=x", "", "from", "is not a time"},
		{"availability to no time", "GET", "/availability?to=x", "", "to", "is not a time"},
		{"an unknown format", "GET", "/availability?format=pdf", "", "format", "use json or csv"},
		{"visits within no time", "GET", "/visits?within=x", "", "within", "not a positive duration"},
		{"visits too far ahead", "GET", "/visits?within=91d", "", "within", "more than 90 days"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := callSite(t)
			p := decode[problem](t, s.do(tt.method, tt.path, tt.body, as("admin")), 422)
			if len(p.Violations) != 1 || p.Violations[0].Field != tt.field || !strings.Contains(p.Violations[0].Reason, tt.reason) {
				t.Errorf("violations = %+v, want %s: %s", p.Violations, tt.field, tt.reason)
			}
			if len(s.calls) != 0 {
				t.Errorf("it was done: %v", s.calls)
			}
		})
	}
}

func TestBodiesAboutAlertsMustBeThere(t *testing.T) {
	for _, call := range [][2]string{
		{"POST", "/alerts/a1/assign"}, {"POST", "/alerts/a1/snooze"}, {"POST", "/alerts/a1/comment"}, {"POST", "/incidents/i1/resolve"},
		{"POST", "/silences"}, {"POST", "/silences/preview"}, {"POST", "/maintenance-windows"}, {"POST", "/alert-rules"}, {"POST", "/alert-rules/check"},
		{"POST", "/alert-rules/backtest"}, {"PUT", "/alert-rules/cpu_temp_high"}, {"POST", "/notification-targets"}, {"PATCH", "/notification-targets/t1"},
		{"POST", "/notification-targets/test"}, {"PUT", "/notification-routes"},
	} {
		s := callSite(t)
		for body, want := range map[string]string{"": "empty", "[]": "JSON object", "{": "not valid JSON"} {
			if p := decode[problem](t, s.do(call[0], call[1], body, as("admin")), 400); !strings.Contains(p.Detail, want) || len(s.calls) != 0 {
				t.Errorf("%s %q: %+v, done %v", call, body, p, s.calls)
			}
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	for _, call := range [][3]string{
		{"GET", "/alerts/none"}, {"GET", "/alerts/none/timeline"}, {"GET", "/incidents/none"}, {"GET", "/incidents/none/timeline"},
		{"DELETE", "/silences/none"}, {"DELETE", "/maintenance-windows/none"}, {"GET", "/alert-rules/none"}, {"GET", "/alert-rules/none/versions"},
		{"PUT", "/alert-rules/none", `{"version":1}`}, {"DELETE", "/alert-rules/none"}, {"POST", "/alert-rules/none/enable"}, {"POST", "/alert-rules/none/disable"},
		{"PATCH", "/notification-targets/none", `{}`}, {"DELETE", "/notification-targets/none"}, {"POST", "/notification-deliveries/none/replay"},
		{"GET", "/kiosks/none/forecasts"},
	} {
		decode[problem](t, callSite(t).do(call[0], call[1], call[2], as("admin")), 404)
	}
}

func TestFailuresAboutAlertsAreNotTold(t *testing.T) {
	for _, path := range []string{
		"/alerts", "/alerts/a1", "/alerts/summary", "/alerts/a1/timeline", "/incidents", "/incidents/i1", "/alert-statistics", "/silences", "/maintenance-windows",
		"/alert-rules", "/alert-rules/cpu_temp_high", "/alert-rules/cpu_temp_high/versions", "/notification-deliveries", "/availability", "/availability?format=csv",
	} {
		s := callSite(t)
		s.failing = errInner
		decode[problem](t, s.do("GET", path, "", as("viewer")), 500)
	}
}

// A part that is not there has no calls, whatever the contract says, and the others are served all the same.
func TestPartsThatAreNotThereHaveNoCalls(t *testing.T) {
	status := func(s *site, method, path string) int {
		req := httptest.NewRequestWithContext(t.Context(), method, Prefix+path, nil)
		as("admin")(req)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		return rec.Code
	}
	parts := map[string]func(*Config){
		"/alerts":               func(c *Config) { c.Alerts = nil },
		"/alert-rules":          func(c *Config) { c.Rules = nil },
		"/notification-targets": func(c *Config) { c.Notifications = nil },
		"/availability":         func(c *Config) { c.Availability = nil },
		"/visits":               func(c *Config) { c.Forecasts = nil },
	}
	for gone, remove := range parts {
		s := newSite(t, remove)
		s.watched = someAlerts()
		for path := range maps.Keys(parts) {
			want := 200
			if path == gone {
				want = 404
			}
			if got := status(s, "GET", path); got != want {
				t.Errorf("%s without %s: %d, want %d", path, gone, got, want)
			}
		}
	}
	s := newSite(t, func(c *Config) { c.Backtest = nil })
	if got := status(s, "POST", "/alert-rules/backtest"); got != 404 {
		t.Errorf("a backtest that is not there: %d", got)
	}
}

func TestATargetThatDoesNotTakeTheSampleIsABadGateway(t *testing.T) {
	s := callSite(t)
	s.tells = errors.New("it answers 503")
	p := decode[problem](t, s.do("POST", "/notification-targets/test", `{"id":"t1","url":"https://new.example/","secret":"k"}`, as("admin")), 502)
	if !strings.Contains(p.Detail, "it answers 503") {
		t.Errorf("detail = %q", p.Detail)
	}
	if want := (fleet.NotificationTarget{ID: "t1", URL: "https://new.example/", Secret: "k"}); !reflect.DeepEqual(s.tested, want) {
		t.Errorf("tested %+v", s.tested)
	}
	for status, err := range map[int]error{422: fleet.Invalid("url", "is none"), 404: fleet.ErrNotFound} {
		s.tells = err
		decode[problem](t, s.do("POST", "/notification-targets/test", `{"url":"x"}`, as("admin")), status)
	}
}

func TestTargetsNeverShowTheirSecrets(t *testing.T) {
	s := callSite(t)
	s.targets[0].Secret = "key-of-desk"
	for _, call := range [][3]string{
		{"GET", "/notification-targets"}, {"PATCH", "/notification-targets/t1", `{"secret":"key-of-desk"}`},
		{"POST", "/notification-targets", `{"name":"n","kind":"webhook","url":"https://n.example/","secret":"key-of-desk"}`},
	} {
		if rec := s.do(call[0], call[1], call[2], as("admin")); rec.Code >= 300 || strings.Contains(rec.Body.String(), "key-of-desk") {
			t.Errorf("%s: %d %s", call, rec.Code, rec.Body)
		}
	}
	if s.tested.Secret != "key-of-desk" || s.patch.Secret == nil || *s.patch.Secret != "key-of-desk" || s.patch.URL != nil || s.patch.Disabled != nil {
		t.Errorf("given %+v, patch %+v", s.tested, s.patch)
	}
}

func TestRoutesComeBackAsTheyWereSent(t *testing.T) {
	s := callSite(t)
	full := `{"version":3,"routes":[{"name":"night","severities":["critical"],"sites":["Hall*"],"matchers":[{"name":"team","op":"=~","value":"it|ops"}],
		"schedule":{"days":["sat"],"from":"20:00","to":"06:00"},"targets":["desk"],"group_by":["site"],"group_wait":"30s","group_interval":"5m","repeat_interval":"1h30m",
		"resolved":true,"escalations":[{"after":"15m","targets":["boss"]}],"continue":true}]}`
	var sent, got map[string]any
	if err := json.Unmarshal([]byte(full), &sent); err != nil {
		t.Fatal(err)
	}
	got = decode[map[string]any](t, s.do("PUT", "/notification-routes", full, as("admin")), 200)
	if !reflect.DeepEqual(got["routes"], sent["routes"]) || got["version"] != 4.0 || got["updated_by"] != "token:admin" {
		t.Errorf("routes = %v\nwant     %v", got, sent)
	}
	shown := decode[map[string]any](t, s.do("GET", "/notification-routes", "", as("viewer")), 200)
	again, err := json.Marshal(map[string]any{"version": shown["version"], "routes": shown["routes"]})
	if err != nil {
		t.Fatal(err)
	}
	got = decode[map[string]any](t, s.do("PUT", "/notification-routes", string(again), as("admin")), 200)
	if !reflect.DeepEqual(got["routes"], shown["routes"]) {
		t.Errorf("what was shown came back as %v", got["routes"])
	}
}

func TestDeliveriesAreListedByEachFilter(t *testing.T) {
	s := callSite(t)
	s.deliveries = append(s.deliveries, fleet.Delivery{ID: "c2", Target: "boss", Status: fleet.DeliveryPending})
	for query, want := range map[string]string{
		"": "[d1 c2]", "target=desk": "[d1]", "status=pending": "[c2]", "alert=a1": "[d1]", "target=desk&status=pending": "[]",
	} {
		var got []string
		for _, d := range decode[page[deliveryView]](t, s.do("GET", "/notification-deliveries?"+query, "", as("viewer")), 200).Items {
			got = append(got, d.ID)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	if d := decode[deliveryView](t, s.do("POST", "/notification-deliveries/d1/replay", "", as("operator")), 202); d.Status != fleet.DeliveryPending || string(d.Payload) != `{"id":"d1"}` {
		t.Errorf("replayed %+v", d)
	}
}
