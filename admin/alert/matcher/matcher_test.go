package matcher_test

import (
	"errors"
	"testing"
	"time"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

func is(name, op, value string) fleet.Matcher { return fleet.Matcher{Name: name, Op: op, Value: value} }

func TestMatches(t *testing.T) {
	alert := fleet.Alert{
		Rule: "cpu_temp_high", Severity: fleet.SeverityWarning, Serial: "K-1", Site: "terminal-2", Model: "printer-9",
		Tags: []string{"arrivals", "vip"}, Labels: map[string]string{"team": "field", "rule": "mine"},
	}
	platform := fleet.Alert{Rule: "platform_disk", Severity: fleet.SeverityCritical}
	type ms = []fleet.Matcher
	for _, tt := range []struct {
		name             string
		matchers         ms
		matches, onEmpty bool
		narrow           bool
	}{
		{"no matchers match everything", ms{}, true, true, false},
		{"a value", ms{is("rule", "=", "cpu_temp_high")}, true, false, true},
		{"another value", ms{is("rule", "=", "offline")}, false, false, true},
		{"not a value", ms{is("severity", "!=", "critical")}, true, false, true},
		{"a regular expression is for the whole value", ms{is("site", "=~", "terminal")}, false, false, true},
		{"a regular expression", ms{is("site", "=~", "terminal-[0-9]")}, true, false, true},
		{"alternatives are for the whole value too", ms{is("site", "=~", "x|terminal")}, false, false, true},
		{"not a regular expression", ms{is("serial", "!~", "SIM-.*")}, true, true, true},
		{"any of the tags", ms{is("tag", "=", "vip")}, true, false, true},
		{"none of the tags", ms{is("tag", "!=", "vip")}, false, true, true},
		{"any of the tags by expression", ms{is("tag", "=~", "v..")}, true, false, true},
		{"no tags at all", ms{is("tag", "=", "")}, false, true, true},
		{"the rule's labels", ms{is("team", "=", "field")}, true, false, true},
		{"the rule's labels do not replace our own", ms{is("rule", "=", "mine")}, false, false, true},
		{"a label that is missing is empty", ms{is("colour", "=", "")}, true, true, false},
		{"all must match", ms{is("rule", "=", "cpu_temp_high"), is("site", "=", "gate")}, false, false, true},
		{"everything, by expression", ms{is("site", "=~", ".*")}, true, true, false},
		{"everything that every alert has", ms{is("rule", "=~", ".+")}, true, true, false},
		{"everything but the empty", ms{is("rule", "!=", "")}, true, true, false},
		{"one of two that narrows is enough", ms{is("site", "=~", ".*"), is("model", "=", "printer-9")}, true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := matcher.Compile(tt.matchers)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Matches(matcher.Labels(&alert)); got != tt.matches {
				t.Errorf("matches the kiosk's alert: %v", got)
			}
			if got := m.Matches(matcher.Labels(&platform)); got != tt.onEmpty {
				t.Errorf("matches the platform's alert: %v", got)
			}
			if got := m.Narrow(); got != tt.narrow {
				t.Errorf("narrow: %v", got)
			}
		})
	}
}

func TestCompileNamesTheFault(t *testing.T) {
	for _, tt := range []struct {
		matcher fleet.Matcher
		field   string
	}{
		{fleet.Matcher{Name: "", Op: "=", Value: "x"}, "matchers[1].name"},
		{fleet.Matcher{Name: "rule", Op: "==", Value: "x"}, "matchers[1].op"},
		{fleet.Matcher{Name: "rule", Op: "=~", Value: "("}, "matchers[1].value"},
		{fleet.Matcher{Name: "rule", Op: "=~", Value: ")("}, "matchers[1].value"},
		{fleet.Matcher{Name: "rule", Op: "=", Value: string(make([]byte, 2000))}, "matchers[1].value"},
	} {
		_, err := matcher.Compile([]fleet.Matcher{{Name: "rule", Op: "=", Value: "a"}, tt.matcher})
		var v *fleet.ValidationError
		if !errors.As(err, &v) || v.Violations[0].Field != tt.field {
			t.Errorf("%v: %v, not of %s", tt.matcher, err, tt.field)
		}
	}
}

func TestCovers(t *testing.T) {
	k := fleet.Kiosk{Serial: "K-1", Site: "terminal-2", Model: "m9", Tags: []string{"arrivals", "vip"}}
	for _, tt := range []struct {
		name  string
		scope fleet.RuleScope
		want  bool
	}{
		{"an empty scope is for all", fleet.RuleScope{}, true},
		{"a glob", fleet.RuleScope{Sites: []string{"gate", "terminal-*"}}, true},
		{"any of the tags", fleet.RuleScope{Tags: []string{"v?p"}}, true},
		{"every list must fit", fleet.RuleScope{Tags: []string{"vip"}, Models: []string{"m8"}}, false},
		{"another serial", fleet.RuleScope{Serials: []string{"K-2"}}, false},
	} {
		if got := matcher.Covers(&tt.scope, &k); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestScheduled(t *testing.T) {
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	night := &fleet.Schedule{Days: []string{"fri"}, From: "22:00", To: "06:00"}
	office := &fleet.Schedule{From: "08:00", To: "18:00"}
	for _, tt := range []struct {
		name     string
		schedule *fleet.Schedule
		at       string
		holds    bool
		until    string
	}{
		{"never limited", nil, "2026-03-04 12:00", true, ""},
		{"within the day", office, "2026-03-04 08:00", true, "2026-03-04 18:00"},
		{"the end is out", office, "2026-03-04 18:00", false, "2026-03-05 00:00"},
		{"before it", office, "2026-03-04 07:59", false, "2026-03-04 08:00"},
		{"friday night", night, "2026-03-06 23:00", true, "2026-03-07 00:00"},
		{"friday night goes on on saturday", night, "2026-03-07 05:59", true, "2026-03-07 06:00"},
		{"saturday night is another", night, "2026-03-07 23:00", false, "2026-03-08 00:00"},
		{"friday morning belongs to thursday", night, "2026-03-06 05:00", false, "2026-03-06 22:00"},
		{"whole days", &fleet.Schedule{Days: []string{"wed"}}, "2026-03-04 23:59", true, "2026-03-05 00:00"},
		{"open end", &fleet.Schedule{From: "20:00"}, "2026-03-04 23:59", true, "2026-03-05 00:00"},
		{"the night without two o'clock", &fleet.Schedule{From: "02:30", To: "04:00"}, "2026-03-29 03:45", true, "2026-03-29 04:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, err := time.ParseInLocation("2006-01-02 15:04", tt.at, madrid)
			if err != nil {
				t.Fatal(err)
			}
			holds, until := matcher.Scheduled(tt.schedule, at, madrid)
			got := ""
			if !until.IsZero() {
				got = until.In(madrid).Format("2006-01-02 15:04")
			}
			if holds != tt.holds || got != tt.until {
				t.Errorf("%v until %s, not %v until %s", holds, got, tt.holds, tt.until)
			}
		})
	}
}

func TestFaultsOfScopesAndSchedules(t *testing.T) {
	var v fleet.Violations
	matcher.CheckScope(&v, "scope", &fleet.RuleScope{Sites: []string{"a", "["}})
	matcher.CheckSchedule(&v, "schedule", &fleet.Schedule{Days: []string{"monday"}, From: "8:00", To: "25:00"})
	matcher.CheckSchedule(&v, "schedule", &fleet.Schedule{From: "08:00", To: "08:00"})
	var fields []string
	for _, f := range v {
		fields = append(fields, f.Field)
	}
	want := []string{"scope.sites[1]", "schedule.days[0]", "schedule.from", "schedule.to", "schedule.to"}
	if len(fields) != len(want) {
		t.Fatalf("%v", v)
	}
	for i := range want {
		if fields[i] != want[i] {
			t.Errorf("%s, not %s", fields[i], want[i])
		}
	}
}
