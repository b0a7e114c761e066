package api

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

const fullRule = `{"name":"hot","summary":"too hot","severity":"critical","condition":"hardware.cpu_temp > 85","clear":"hardware.cpu_temp < 80","for":"5m","clear_for":"1h30m",
	"no_data":"90s","text":"{{hardware.cpu_temp}}","labels":{"team":"it"},"scope":{"serials":["K-*"],"sites":["Hall"],"tags":["a"],"models":["T2"]},
	"schedule":{"days":["mon"],"from":"08:00","to":"20:00"},"security":true,"disabled":true%s}`

func TestARuleComesBackAsItWasSent(t *testing.T) {
	want := fleet.Rule{
		Name: "hot", Summary: "too hot", Severity: fleet.SeverityCritical, Condition: "hardware.cpu_temp > 85", Clear: "hardware.cpu_temp < 80", For: 5 * time.Minute,
		ClearFor: 90 * time.Minute, NoData: 90 * time.Second, Text: "{{hardware.cpu_temp}}", Labels: map[string]string{"team": "it"},
		Scope:    fleet.RuleScope{Serials: []string{"K-*"}, Sites: []string{"Hall"}, Tags: []string{"a"}, Models: []string{"T2"}},
		Schedule: &fleet.Schedule{Days: []string{"mon"}, From: "08:00", To: "20:00"}, Security: true, Disabled: true, Origin: fleet.OriginUser,
	}
	text := fmt.Sprintf(fullRule, "")
	var sent map[string]any
	if err := json.Unmarshal([]byte(text), &sent); err != nil {
		t.Fatal(err)
	}
	sent["origin"], sent["version"], sent["no_data"] = "user", 1.0, "1m30s"
	s := callSite(t)
	rec := s.do("POST", "/alert-rules", text, as("admin"))
	if got := decode[map[string]any](t, rec, 201); !reflect.DeepEqual(got, sent) || rec.Header().Get("Location") != "/api/v1/alert-rules/hot" {
		t.Errorf("rule = %v\nwant   %v", got, sent)
	}
	if !reflect.DeepEqual(s.given, want) {
		t.Errorf("made %+v\nwant %+v", s.given, want)
	}
	s = callSite(t)
	s.do("POST", "/alert-rules/check", text, as("operator"))
	if !reflect.DeepEqual(s.given, want) || len(s.calls) != 0 {
		t.Errorf("checked %+v, done %v", s.given, s.calls)
	}
}

func TestARuleIsChangedOnlyByWhoHasSeenIt(t *testing.T) {
	s := callSite(t)
	body := `{"summary":"hot","severity":"warning","condition":"hardware.cpu_temp > 80","version":%d}`
	p := decode[problem](t, s.do("PUT", "/alert-rules/cpu_temp_high", fmt.Sprintf(body, 1), as("admin")), 409)
	if !strings.Contains(p.Detail, "is version 2") || !strings.Contains(p.Detail, "load it again") || len(s.calls) != 0 {
		t.Errorf("%+v, done %v", p, s.calls)
	}
	if r := decode[ruleView](t, s.do("PUT", "/alert-rules/cpu_temp_high", fmt.Sprintf(body, 2), as("admin")), 200); r.Version != 3 || r.Condition != "hardware.cpu_temp > 80" {
		t.Errorf("changed to %+v", r)
	}
	if got := fmt.Sprint(s.calls); got != "[change rule cpu_temp_high 2 token:admin]" {
		t.Errorf("done %s", got)
	}
	decode[problem](t, s.do("POST", "/alert-rules", `{"name":"cpu_temp_high"}`, as("admin")), 409)
}

func TestAFaultOfARuleNamesThePlace(t *testing.T) {
	s := callSite(t)
	s.checks = fleet.Invalid("condition", "1:10: unknown name hardware.cpu_tmp; do you mean hardware.cpu_temp?")
	for _, call := range [][3]string{
		{"POST", "/alert-rules", `{"name":"hot"}`}, {"POST", "/alert-rules/check", `{"name":"hot"}`}, {"PUT", "/alert-rules/cpu_temp_high", `{"version":2}`},
	} {
		p := decode[problem](t, s.do(call[0], call[1], call[2], as("admin")), 422)
		if len(p.Violations) != 1 || p.Violations[0].Field != "condition" || !strings.HasPrefix(p.Violations[0].Reason, "1:10: ") {
			t.Errorf("%s: %+v", call, p)
		}
	}
}

func TestRulesShowTheirVersionsAndAreSwitched(t *testing.T) {
	s := callSite(t)
	got := decode[page[ruleView]](t, s.do("GET", "/alert-rules/cpu_temp_high/versions", "", as("viewer")), 200)
	if len(got.Items) != 2 || got.Items[0].Version != 2 || got.Items[1].Version != 1 || got.Items[0].For != "5m" || got.Items[0].NoData != "1h30m" || got.Items[0].ClearFor != "" {
		t.Errorf("versions = %+v", got)
	}
	for path, disabled := range map[string]bool{"enable": false, "disable": true} {
		if r := decode[ruleView](t, s.do("POST", "/alert-rules/cpu_temp_high/"+path, "", as("admin")), 200); r.Disabled != disabled {
			t.Errorf("after %s: %+v", path, r)
		}
	}
	words := decode[page[wordView]](t, s.do("GET", "/alert-rules/vocabulary", "", as("viewer")), 200)
	if len(words.Items) != 2 || words.Items[1].Words[0] != "online" || words.Items[0].Unit != "°C" {
		t.Errorf("words = %+v", words)
	}
}

func TestDurationsAreWrittenAsPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", time.Second: "1s", 90 * time.Second: "1m30s", time.Minute: "1m", 10 * time.Minute: "10m", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Hour: "10h",
		time.Hour + 5*time.Second: "1h0m5s", 48 * time.Hour: "48h", 1500 * time.Millisecond: "1.5s",
	} {
		got := waitText(d)
		var v fleet.Violations
		if got != want || wait(&v, "for", got) != d || v.Err() != nil {
			t.Errorf("%v is written %q, want %q, and read as %v", d, got, want, wait(&v, "for", got))
		}
	}
	var v fleet.Violations
	if wait(&v, "for", "0s") != 0 || wait(&v, "for", "0") != 0 || v.Err() != nil {
		t.Errorf("nothing is a fault: %v", v)
	}
}

func TestABacktestAsksForTheTimeAndTheKiosks(t *testing.T) {
	s := callSite(t)
	s.result.Alerts, s.result.Approximate = s.alerts, []string{"presence"}
	body := `{"rule":` + fmt.Sprintf(fullRule, "") + `,"from":"-7d","to":"-1d","serials":["K-1"]}`
	got := decode[backtestView](t, s.do("POST", "/alert-rules/backtest", body, as("operator")), 200)
	if got.Source != "journal" || len(got.Alerts) != 1 || got.Alerts[0].ID != "a1" || got.Readings != 9 || fmt.Sprint(got.Approximate) != "[presence]" {
		t.Errorf("result = %+v", got)
	}
	if r := s.backtested; !r.From.Equal(start.Add(-7*24*time.Hour)) || !r.To.Equal(start.Add(-24*time.Hour)) || fmt.Sprint(r.Serials) != "[K-1]" || r.Rule.ClearFor != 90*time.Minute {
		t.Errorf("asked for %+v", r)
	}
	longest := strings.Repeat("K", 64)
	many := `{"rule":{"name":"hot"},"serials":["` + longest + `"` + strings.Repeat(`,"`+longest+`"`, maxSerials-1) + `]}`
	if decode[backtestView](t, s.do("POST", "/alert-rules/backtest", many, as("operator")), 200); len(s.backtested.Serials) != maxSerials {
		t.Errorf("of as many kiosks as are allowed it asks for %d", len(s.backtested.Serials))
	}
	first := s.do("POST", "/alert-rules/backtest", body, as("operator")).Body.String()
	if again := s.do("POST", "/alert-rules/backtest", body, as("operator")).Body.String(); again != first {
		t.Errorf("the same backtest answers %s and %s", first, again)
	}
	s.do("POST", "/alert-rules/backtest", `{"rule":{"name":"hot"}}`, as("operator"))
	if r := s.backtested; r.To.Sub(r.From) != 24*time.Hour || !r.To.Equal(start) {
		t.Errorf("without a time it asks for %+v", r)
	}
	s.failing = fmt.Errorf("read the journal: %w", context.DeadlineExceeded)
	if p := decode[problem](t, s.do("POST", "/alert-rules/backtest", `{"rule":{"name":"hot"}}`, as("operator")), 503); !strings.Contains(p.Detail, "more than 5m; ask for a shorter time") {
		t.Errorf("problem = %+v", p)
	}
}
