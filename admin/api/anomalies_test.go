package api

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestAnomaliesAreListedByEachFilter(t *testing.T) {
	for query, want := range map[string]fleet.AnomalyFilter{
		"":                                       {Limit: defaultLimit},
		"serial=K-9&site=Hall":                   {Serial: "K-9", Site: "Hall", Limit: defaultLimit},
		"metric=hardware.cpu_temp&kind=relation": {Metric: "hardware.cpu_temp", Kind: fleet.AnomalyRelation, Limit: defaultLimit},
		"open=true&limit=7":                      {Open: yes(true), Limit: 7},
		"open=false":                             {Open: yes(false), Limit: defaultLimit},
		"from=-1h&to=now":                        {From: start.Add(-time.Hour), To: start, Limit: defaultLimit},
		"cursor=" + makeCursor("0"):              {Cursor: "0", Limit: defaultLimit},
	} {
		s := callSite(t)
		got := decode[page[anomalyView]](t, s.do("GET", "/anomalies?"+query, "", as("viewer")), 200)
		if !reflect.DeepEqual(s.narrowed, want) {
			t.Errorf("%s asks for %+v, want %+v", query, s.narrowed, want)
		}
		if len(got.Items) != 1 || got.Items[0].ID != "n1" || got.Items[0].Sensors[0].Band != nil {
			t.Errorf("%s: %+v", query, got)
		}
	}
}

func TestAnAnomalyShowsEverythingAboutIt(t *testing.T) {
	s := callSite(t)
	at := start.Add(time.Hour)
	s.anomalies[0].ClosedAt = &at
	s.anomalies[0].Feedback = &fleet.AnomalyFeedback{Verdict: fleet.AnomalyNoise, Comment: "door open", By: "ann", At: at}
	s.anomalies[0].Sensors = append(s.anomalies[0].Sensors, fleet.AnomalySensor{Metric: "hardware.cpu_usage", Kind: fleet.AnomalyChange, Share: 0.2})
	got := decode[map[string]any](t, s.do("GET", "/anomalies/n1", "", as("viewer")), 200)
	want := map[string]any{
		"id": "n1", "serial": "K-1", "site": "Hall", "model": "T2", "state": "closed", "opened_at": "2026-03-04T05:06:07Z", "peak_at": "2026-03-04T05:07:07Z",
		"closed_at": "2026-03-04T06:06:07Z", "score": 0.97, "text": "CPU temperature is 63 °C", "detector": "m20260301-120000-1a2b3c4d",
		"feedback": map[string]any{"verdict": "noise", "comment": "door open", "by": "ann", "at": "2026-03-04T06:06:07Z"},
		"sensors": []any{
			map[string]any{"metric": "hardware.cpu_temp", "kind": "relation", "share": 0.8, "value": 63.0, "low": 48.0, "high": 54.0, "text": "CPU temperature is 63 °C",
				"with": []any{"hardware.cpu_usage"}, "band": []any{map[string]any{"hour": 5.0, "low": 48.0, "high": 54.0}}}, // JSON has no infinity
			map[string]any{"metric": "hardware.cpu_usage", "kind": "change", "share": 0.2, "value": 0.0, "text": ""}, // of which nothing is expected
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("anomaly = %v\nwant      %v", got, want)
	}
}

func TestAnomaliesGoOnWhereThePageEnded(t *testing.T) {
	s := callSite(t)
	for i := range 4 {
		s.anomalies = append(s.anomalies, fleet.Anomaly{ID: fmt.Sprint("o", i)})
	}
	var all []string
	for cursor := ""; ; {
		p := decode[page[anomalyView]](t, s.do("GET", "/anomalies?limit=2&cursor="+cursor, "", as("viewer")), 200)
		for _, item := range p.Items {
			all = append(all, item.ID)
		}
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	if got := strings.Join(all, " "); got != "n1 o0 o1 o2 o3" {
		t.Errorf("listed %s", got)
	}
}

func TestWhatPeopleSayOfAnomalies(t *testing.T) {
	s := callSite(t)
	got := decode[anomalyView](t, s.do("POST", "/anomalies/n1/feedback", `{"verdict":"useful","comment":"  the fan was dead "}`, as("operator")), 200)
	want := fleet.AnomalyFeedback{Verdict: fleet.AnomalyUseful, Comment: "the fan was dead", By: "token:operator", At: start}
	if s.said != want || got.Feedback == nil || got.Feedback.By != "token:operator" || len(got.Sensors[0].Band) == 0 {
		t.Errorf("said %+v, answered %+v", s.said, got.Feedback)
	}
	decode[anomalyView](t, s.do("POST", "/anomalies/n1/feedback", `{"verdict":"noise"}`, as("operator")), 200)
	if s.said.Verdict != fleet.AnomalyNoise || s.said.Comment != "" {
		t.Errorf("changed to %+v", s.said)
	}
}

func TestHowUnusualAKioskIs(t *testing.T) {
	for state, change := range map[string]func(*fleet.AnomalyNow){
		"usual":    func(*fleet.AnomalyNow) {},
		"unusual":  func(n *fleet.AnomalyNow) { n.Open = &fleet.Anomaly{ID: "n1"} },
		"learning": func(n *fleet.AnomalyNow) { n.Learning = true },
		"unknown":  func(n *fleet.AnomalyNow) { *n = fleet.AnomalyNow{} },
	} {
		s := callSite(t)
		change(&s.now)
		got := decode[kioskAnomalyView](t, s.do("GET", "/kiosks/K-1/anomaly", "", as("viewer")), 200)
		if got.State != state || got.Serial != "K-1" || (got.AnomalyID == "n1") != (state == "unusual") {
			t.Errorf("%s: %+v", state, got)
		}
		if state == "unknown" {
			if got.Time != nil || got.Since != nil || got.Sensors == nil || got.Metrics == nil {
				t.Errorf("of a kiosk that nothing is known of: %+v", got)
			}
			continue
		}
		if !got.Time.Equal(start) || got.Score != 0.3 || len(got.Metrics) != 2 || len(got.Metrics[0].Band) != 0 || len(got.Metrics[1].Band) != 1 {
			t.Errorf("%s: %+v", state, got)
		}
	}
}

func TestWrongInputAboutAnomaliesNamesItsPlace(t *testing.T) {
	for _, tt := range []struct{ name, method, path, body, field, reason string }{
		{"an unknown kind", "GET", "/anomalies?kind=odd", "", "kind", "use one of [level range change stuck dropout relation peers]"},
		{"neither open nor not", "GET", "/anomalies?open=all", "", "open", "neither true nor false"},
		{"no serial", "GET", "/anomalies?serial=K%201", "", "serial", ""},
		{"from no time", "GET", "/anomalies?from=x", "", "from", "is not a time"},
		{"to no time", "GET", "/anomalies?to=x", "", "to", "is not a time"},
		{"too many", "GET", "/anomalies?limit=1001", "", "limit", "from 1 to 1000"},
		{"a foreign cursor", "GET", "/anomalies?cursor=7", "", "cursor", "start without it"},
		{"a cursor of another list", "GET", "/anomalies?cursor=" + makeCursor(7), "", "cursor", "start without it"},
		{"a foreign cursor of the store", "GET", "/anomalies?cursor=" + makeCursor("x"), "", "cursor", "is none"},
		{"no verdict", "POST", "/anomalies/n1/feedback", `{"comment":"x"}`, "verdict", "use one of useful, noise"},
		{"an unknown verdict", "POST", "/anomalies/n1/feedback", `{"verdict":"good"}`, "verdict", "use one of useful, noise"},
		{"too long a comment", "POST", "/anomalies/n1/feedback", `{"verdict":"noise","comment":"` + strings.Repeat("x", 2001) + `"}`, "comment", "at most 2000"},
		{"a field too many", "POST", "/anomalies/n1/feedback", `{"verdict":"noise","by":"bob"}`, "by", "not a known field"},
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
	if p := decode[problem](t, callSite(t).do("POST", "/anomalies/n1/feedback", "", as("operator")), 400); !strings.Contains(p.Detail, "empty") {
		t.Errorf("no body: %+v", p)
	}
}

func TestAnomaliesAndModelsThatAreNotThere(t *testing.T) {
	for _, call := range [][3]string{
		{"GET", "/anomalies/none"}, {"POST", "/anomalies/none/feedback", `{"verdict":"noise"}`}, {"DELETE", "/anomalies/tuning/none"},
		{"GET", "/kiosks/none/anomaly"}, {"GET", "/models/none"}, {"POST", "/models/none/promote"},
	} {
		decode[problem](t, callSite(t).do(call[0], call[1], call[2], as("admin")), 404)
	}
	for _, path := range []string{"/anomalies", "/anomalies/n1", "/models", "/models/built-in"} {
		s := callSite(t)
		s.failing = errInner
		decode[problem](t, s.do("GET", path, "", as("viewer")), 500)
	}
	for gone, remove := range map[string]func(*Config){
		"/anomalies":        func(c *Config) { c.Anomalies = nil },
		"/anomalies/tuning": func(c *Config) { c.AnomalyCare = nil },
		"/models":           func(c *Config) { c.Models = nil },
		"/models/training":  func(c *Config) { c.Trainer, c.Models = nil, nil },
	} {
		s := newSite(t, remove)
		req := httptest.NewRequestWithContext(t.Context(), "GET", Prefix+gone, nil)
		as("admin")(req)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		if rec.Code != 404 {
			t.Errorf("%s of a part that is not there: %d", gone, rec.Code)
		}
	}
}

func TestAModelShowsEverythingAboutIt(t *testing.T) {
	s := callSite(t)
	got := decode[map[string]any](t, s.do("GET", "/models/m20260301-120000-1a2b3c4d", "", as("viewer")), 200)
	want := map[string]any{
		"version": "m20260301-120000-1a2b3c4d", "created_at": "2026-03-04T05:06:07Z", "origin": "scheduled", "state": "current", "sha256": "1a2b", "bytes": 9.0,
		"trained_from": "2026-03-04T04:06:07Z", "trained_to": "2026-03-04T05:06:07Z", "kiosks": 40.0, "readings": 1000.0, "reason": "no check failed",
		"changed_at": "2026-03-04T05:06:07Z",
		"figures": map[string]any{"series": 4.0, "days": 8.0, "faults": 10.0, "recall": 0.7, "false_per_day": 0.0, "delay_points": 0.0, // JSON has no NaN
			"by_kind": map[string]any{"stuck": map[string]any{"faults": 2.0, "recall": 1.0}, "drift": map[string]any{"faults": 0.0}}},
		"checks": []any{map[string]any{"name": "recall", "passed": true, "text": "0.70 is not below 0.66"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("model = %v\nwant    %v", got, want)
	}
	plain := decode[map[string]any](t, s.do("GET", "/models/built-in", "", as("viewer")), 200)
	if plain["figures"] != nil || plain["trained_from"] != nil || plain["created_at"] != nil || plain["checks"] == nil || plain["changed_at"] != nil {
		t.Errorf("the built-in one: %v", plain)
	}
}

func TestModelsArePutToWorkAndTakenBack(t *testing.T) {
	s := callSite(t)
	if m := decode[fleet.ModelJSON](t, s.do("POST", "/models/built-in/promote", "", as("admin")), 200); m.Version != "built-in" {
		t.Errorf("promoted %+v", m)
	}
	decode[fleet.ModelJSON](t, s.do("POST", "/models/rollback", "", as("admin")), 200)
	if fmt.Sprint(s.calls) != "[promote built-in token:admin roll back token:admin]" {
		t.Errorf("calls = %v", s.calls)
	}
	s.models = s.models[:1]
	if p := decode[problem](t, s.do("POST", "/models/rollback", "", as("admin")), 422); !strings.Contains(p.Detail, "no model before") {
		t.Errorf("with nothing to go back to: %+v", p)
	}
}

func TestOneTrainingAtATime(t *testing.T) {
	s := callSite(t)
	if got := decode[trainingView](t, s.do("GET", "/models/training", "", as("viewer")), 200); got != (trainingView{}) {
		t.Errorf("before the first: %+v", got)
	}
	if got := decode[trainingView](t, s.do("POST", "/models/train", "", as("admin")), 202); !got.Running || got.StartedBy != "token:admin" || got.Stage != "reading" {
		t.Errorf("started %+v", got)
	}
	if p := decode[problem](t, s.do("POST", "/models/train", "", as("admin")), 409); !strings.Contains(p.Detail, "/models/training") {
		t.Errorf("another: %+v", p)
	}
	s.training = Training{StartedAt: start, FinishedAt: start, Error: "no kiosk has a week of readings"}
	if got := decode[trainingView](t, s.do("GET", "/models/training", "", as("viewer")), 200); got.Running || got.FinishedAt == nil || got.Error == "" {
		t.Errorf("ended %+v", got)
	}
}

func TestTheStreamTellsOfAnomalies(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		all, one, only := listen(t, s, "", "viewer"), listen(t, s, "serial=K-1", "viewer"), listen(t, s, "types=anomaly", "viewer")
		first := someAnomalies().anomalies[0]
		closed := first
		closed.ClosedAt = &start
		s.hub.Anomaly(fleet.AnomalyEvent{Kind: fleet.AnomalyOpened, Anomaly: first})
		s.hub.Anomaly(fleet.AnomalyEvent{Kind: fleet.AnomalyOpened, Anomaly: fleet.Anomaly{ID: "n2", Serial: "K-2"}})
		s.hub.Anomaly(fleet.AnomalyEvent{Kind: fleet.AnomalyClosed, Anomaly: closed})
		got := all.heard()
		if told(got) != "anomaly n1, anomaly n2, anomaly n1" {
			t.Fatalf("heard %s", told(got))
		}
		sensor := got[0].data["sensors"].([]any)[0].(map[string]any)
		if got[0].data["event"] != "opened" || got[0].data["state"] != "open" || got[2].data["state"] != "closed" || sensor["share"] != 0.8 || sensor["band"] != nil {
			t.Errorf("told %v and %v", got[0].data, got[2].data)
		}
		if told(one.heard()) != "anomaly n1, anomaly n1" || len(only.heard()) != 3 {
			t.Error("the stream of one kiosk, or of anomalies, differs")
		}
	})
}
