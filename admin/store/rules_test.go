package store

import (
	"errors"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestAlertRules(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	r := fleet.Rule{Name: "hot", Severity: fleet.SeverityInfo, Condition: "hardware.cpu_temp > 60", For: time.Minute, Version: 1, UpdatedAt: at, UpdatedBy: "ana", Origin: fleet.OriginUser}
	if err := s.SaveAlertRule(ctx, r, "alert_rule.create"); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveAlertRule(ctx, r, "alert_rule.change"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("the same version twice: %v", err)
	}
	r.Version, r.For = 2, time.Hour
	if err := s.SaveAlertRule(ctx, r, "alert_rule.change"); err != nil {
		t.Fatal(err)
	}
	if err := s.SwitchAlertRule(ctx, "offline", false, at, "ana"); err != nil {
		t.Fatal(err)
	}
	rules, on, err := s.AlertRules(ctx)
	if err != nil || len(rules) != 1 || rules[0].For != time.Hour || len(on) != 1 || on["offline"] {
		t.Errorf("got %+v, %v, %v", rules, on, err)
	}
	if err := s.DeleteAlertRule(ctx, "hot", at, "bob"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteAlertRule(ctx, "hot", at, "bob"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if rules, _, _ := s.AlertRules(ctx); len(rules) != 0 {
		t.Errorf("after its deletion: %+v", rules)
	}
	if all, err := s.AlertRuleVersions(ctx, "hot"); err != nil || len(all) != 2 || all[0].Version != 2 {
		t.Errorf("its versions: %+v, %v", all, err)
	}
	r.Version = 3
	if err := s.SaveAlertRule(ctx, r, "alert_rule.create"); err != nil {
		t.Fatal(err)
	}
	if rules, _, _ := s.AlertRules(ctx); len(rules) != 1 || rules[0].Version != 3 {
		t.Errorf("made again: %+v", rules)
	}
	want := "ana alert_rule.create hot version 1; ana alert_rule.change hot version 2; ana alert_rule.disable offline; bob alert_rule.delete hot; ana alert_rule.create hot version 3"
	if got := audits(t, s); got != want {
		t.Errorf("audit: %s", got)
	}
}
