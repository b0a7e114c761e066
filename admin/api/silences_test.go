package api

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestASilenceIsMadeAsItWasAskedFor(t *testing.T) {
	s := callSite(t)
	got := decode[silenceView](t, s.do("POST", "/silences", `{"matchers":[{"name":"site","op":"=~","value":"Hall.*"}],"from":"+1h","until":"2026-03-05T00:00:00Z","comment":"works"}`, as("operator")), 201)
	want := fleet.Silence{Matchers: []fleet.Matcher{{Name: "site", Op: "=~", Value: "Hall.*"}}, From: start.Add(time.Hour), Until: time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC), Comment: "works"}
	if !reflect.DeepEqual(s.silence, want) {
		t.Errorf("made %+v, want %+v", s.silence, want)
	}
	if got.ID != "s2" || got.State != fleet.SilencePending || got.CreatedBy != "token:operator" {
		t.Errorf("answer = %+v", got)
	}
	if s.do("POST", "/silences", `{"matchers":[]}`, as("operator")); !s.silence.From.IsZero() || !s.silence.Until.IsZero() {
		t.Errorf("times that were not given: %+v", s.silence)
	}
}

func TestSilencesAreListedByState(t *testing.T) {
	s := callSite(t)
	s.silences = append(s.silences,
		fleet.Silence{ID: "s2", From: start.Add(-2 * time.Hour), Until: start.Add(-time.Hour)},
		fleet.Silence{ID: "s3", From: start.Add(time.Hour), Until: start.Add(2 * time.Hour)})
	for state, want := range map[string]string{"": "[s1 active s2 expired s3 pending]", "active": "[s1 active]", "expired": "[s2 expired]", "pending": "[s3 pending]"} {
		var got []string
		for _, q := range decode[page[silenceView]](t, s.do("GET", "/silences?state="+state, "", as("viewer")), 200).Items {
			got = append(got, q.ID+" "+string(q.State))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", state, got, want)
		}
	}
	if q := decode[silenceView](t, s.do("DELETE", "/silences/s1", "", as("operator")), 200); q.State != fleet.SilenceExpired || q.EndedBy != "token:operator" {
		t.Errorf("ended %+v", q)
	}
}

func TestAPreviewShowsTheWorstAndCountsAll(t *testing.T) {
	s := callSite(t)
	for len(s.alerts) < maxPreview+20 {
		s.alerts = append(s.alerts, s.alerts[0])
	}
	got := decode[page[alertView]](t, s.do("POST", "/silences/preview", `{"matchers":[{"name":"site","op":"=","value":"Hall"}]}`, as("viewer")), 200)
	if len(got.Items) != maxPreview || got.Total == nil || *got.Total != maxPreview+20 {
		t.Errorf("%d items of %v", len(got.Items), got.Total)
	}
	s.alerts = nil
	if got = decode[page[alertView]](t, s.do("POST", "/silences/preview", `{"matchers":[]}`, as("viewer")), 200); got.Items == nil || got.Total == nil || *got.Total != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestAMaintenanceWindowIsMadeAsItWasAskedFor(t *testing.T) {
	s := callSite(t)
	got := decode[maintenanceView](t, s.do("POST", "/maintenance-windows",
		`{"scope":{"sites":["Hall"]},"until":"+4h","schedule":{"days":["mon"],"from":"22:00"},"comment":"new printers"}`, as("operator")), 201)
	want := fleet.MaintenanceWindow{Scope: fleet.RuleScope{Sites: []string{"Hall"}}, Until: start.Add(4 * time.Hour), Schedule: &fleet.Schedule{Days: []string{"mon"}, From: "22:00"}, Comment: "new printers"}
	if !reflect.DeepEqual(s.window, want) || got.ID != "w2" || got.CreatedBy != "token:operator" {
		t.Errorf("made %+v, want %+v; answer %+v", s.window, want, got)
	}
	for query, want := range map[string]int{"": 0, "?all=false": 0, "?all=true": 1} {
		if got := decode[page[maintenanceView]](t, s.do("GET", "/maintenance-windows"+query, "", as("viewer")), 200); len(got.Items) != want || got.Items == nil {
			t.Errorf("%q: %+v", query, got)
		}
	}
}
