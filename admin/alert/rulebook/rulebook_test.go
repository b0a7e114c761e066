package rulebook

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
	"kioskfleet/configs"
)

// memory is a Store in memory that behaves as the database does; admin/store has the real one's own test.
type memory struct {
	versions map[string][]fleet.Rule
	deleted  map[string]bool
	on       map[string]bool
	actions  []string
}

func (m *memory) AlertRules(context.Context) ([]fleet.Rule, map[string]bool, error) {
	var out []fleet.Rule
	for name, all := range m.versions {
		if !m.deleted[name] {
			out = append(out, all[len(all)-1])
		}
	}
	on := map[string]bool{}
	for name, is := range m.on {
		on[name] = is
	}
	return out, on, nil
}

func (m *memory) SaveAlertRule(_ context.Context, r fleet.Rule, action string) error {
	m.versions[r.Name] = append(m.versions[r.Name], r)
	delete(m.deleted, r.Name)
	m.actions = append(m.actions, r.UpdatedBy+" "+action)
	return nil
}

func (m *memory) SwitchAlertRule(_ context.Context, name string, on bool, _ time.Time, _ string) error {
	m.on[name] = on
	return nil
}

func (m *memory) AlertRuleVersions(_ context.Context, name string) ([]fleet.Rule, error) {
	out := slices.Clone(m.versions[name])
	slices.Reverse(out)
	return out, nil
}

func (m *memory) DeleteAlertRule(_ context.Context, name string, _ time.Time, _ string) error {
	m.deleted[name] = true
	return nil
}

func newMemory() *memory {
	return &memory{versions: map[string][]fleet.Rule{}, deleted: map[string]bool{}, on: map[string]bool{}}
}

func open(t *testing.T, m *memory, file string) *Book {
	t.Helper()
	b, err := New(t.Context(), Config{Store: m, File: file, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheShippedRules(t *testing.T) {
	rules, err := ParseFile("alerts.yaml", configs.Alerts, fleet.OriginShipped)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`offline stale cannot_serve cpu_temp_high temperature_high temperature_low humidity_high humidity_low air_quality_bad
		cpu_usage_high ram_usage_high disk_usage_high latency_high signal_weak printer_paper_jam printer_offline printer_low_ink cash_full cash_error
		card_error left_location clock_skew certificate_expiring anomaly disk_runs_full paper_runs_out ink_runs_out cash_box_fills platform_journal
		platform_series_behind platform_disk platform_target_failing platform_refusing`) {
		if !slices.ContainsFunc(rules, func(r fleet.Rule) bool { return r.Name == name }) {
			t.Errorf("no rule is called %s", name)
		}
	}
	for _, r := range rules {
		if r.Summary == "" || r.Text == "" {
			t.Errorf("%s does not say in words what it is about", r.Name)
		}
	}
}

// well is a kiosk of which everything is as it should be.
func well() *rule.View {
	return &rule.View{
		Now: time.Now(), Kiosk: &fleet.Kiosk{Serial: "K-1"},
		Live: &fleet.Live{Presence: fleet.PresenceOnline, PresenceReason: fleet.ReasonReporting, Verdict: fleet.VerdictCanServe},
		Reading: &fleet.Reading{
			Values: []fleet.Value{
				{Metric: "environmental.air_quality", Value: 20}, {Metric: "environmental.humidity", Value: 45}, {Metric: "environmental.temperature", Value: 22},
				{Metric: "hardware.cpu_temp", Value: 55}, {Metric: "hardware.cpu_usage", Value: 30}, {Metric: "hardware.disk_usage", Value: 60},
				{Metric: "hardware.ram_usage", Value: 50}, {Metric: "network.latency", Value: 40}, {Metric: "network.signal_strength", Value: -60},
			},
			Texts: []fleet.Text{{Metric: "peripherals.card_reader", Text: "ready"}, {Metric: "peripherals.cash_acceptor", Text: "ready"}, {Metric: "peripherals.printer_status", Text: "ready"}},
		},
	}
}

func TestTheShippedRulesOfAKiosk(t *testing.T) {
	value := func(metric string, x float64) func(*rule.View) {
		return func(v *rule.View) {
			for i := range v.Reading.Values {
				if v.Reading.Values[i].Metric == metric {
					v.Reading.Values[i].Value = x
				}
			}
		}
	}
	gone := func(why fleet.PresenceReason) func(*rule.View) {
		return func(v *rule.View) {
			v.Live.Presence, v.Live.PresenceReason, v.Reading = fleet.PresenceOffline, why, nil
		}
	}
	verdict := func(code string) func(*rule.View) {
		return func(v *rule.View) {
			v.Live.Verdict, v.Live.Reasons = fleet.VerdictCannotServe, []fleet.VerdictReason{{Code: code, Text: "it is so"}}
		}
	}
	set := rule.NewSet(shipped(t))
	for _, c := range []struct {
		name string
		edit func(*rule.View)
		want string // names of the rules that hold
	}{
		{"well", func(*rule.View) {}, ""},
		{"never seen", func(v *rule.View) {
			v.Live = &fleet.Live{Presence: fleet.PresenceNever, Verdict: fleet.VerdictUnknown}
			v.Reading = nil
		}, ""},
		{"lost", gone(fleet.ReasonConnectionLost), "offline"},
		{"not back after our restart", gone(fleet.ReasonAdminRestart), "not_back"},
		{"said goodbye", gone(fleet.ReasonCleanDisconnect), "shut_down"},
		{"revoked", gone(fleet.ReasonRevoked), ""},
		{"hot", value("hardware.cpu_temp", 76), "cpu_temp_high"},
		{"at the limit", value("hardware.cpu_temp", 75), ""},
		{"cold room", value("environmental.temperature", 10), "temperature_low"},
		{"blocked by somebody", verdict("blocked"), ""},
		{"cannot serve", verdict("no_payment"), "cannot_serve"},
	} {
		v := well()
		c.edit(v)
		var got []string
		for _, r := range set.Find(v.Kiosk) {
			if r.Condition(v) == rule.True {
				got = append(got, r.Definition().Name)
				if text := r.Text(v); strings.Contains(text, "?") {
					t.Errorf("%s: %s does not know what it talks of: %q", c.name, r.Definition().Name, text)
				}
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func shipped(t *testing.T) []*rule.Compiled {
	t.Helper()
	rules, err := ParseFile("alerts.yaml", configs.Alerts, fleet.OriginShipped)
	if err != nil {
		t.Fatal(err)
	}
	all, err := rule.CompileAll(rules)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestABrokenFileSaysWhere(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown key", "rules:\n  - name: a\n    colour: red\n", "line 3: field colour not found"},
		{"bad time", "rules:\n  - name: a\n    for: soon\n", `line 3: "soon" is no time`},
		{"bad condition", "rules:\n  - name: a\n    severity: info\n    condition: hardware.cpu_tmp > 1\n", `own.yaml:2: rule "a": condition: line 1, column 1: nothing is called hardware.cpu_tmp`},
		{"twice", "rules:\n  - {name: a, severity: info, condition: 'true'}\n  - {name: a, severity: info, condition: 'true'}\n", `own.yaml:3: rule "a" is there already, in line 2`},
		{"no list", "rules: 3\n", "line 1"},
		{"another key", "rule: []\n", "field rule not found"},
	} {
		_, err := ParseFile("own.yaml", []byte(c.file), fleet.OriginFile)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want …%s…", c.name, err, c.want)
		}
	}
	if rules, err := ParseFile("own.yaml", nil, fleet.OriginFile); err != nil || len(rules) != 0 {
		t.Errorf("an empty file: %v, %v", rules, err)
	}
}

func TestWhatPeopleDo(t *testing.T) {
	ctx, m := t.Context(), newMemory()
	b := open(t, m, "")
	var told []*rule.Set
	b.Observe(func(s *rule.Set) { told = append(told, s) })

	mine := fleet.Rule{Name: "mine", Severity: fleet.SeverityInfo, Condition: "hardware.cpu_temp > 60"}
	first, err := b.Create(ctx, mine, "ana")
	if err != nil || first.Version != 1 || first.Origin != fleet.OriginUser || first.UpdatedBy != "ana" {
		t.Fatalf("got %+v, %v", first, err)
	}
	if _, err := b.Create(ctx, mine, "ana"); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	if _, err := b.Create(ctx, fleet.Rule{Name: "offline", Severity: fleet.SeverityInfo, Condition: "true"}, "ana"); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("under a shipped rule's name: %v", err)
	}
	mine.Condition = "hardware.cpu_temp > 65"
	second, err := b.Change(ctx, mine, 1, "bob")
	if err != nil || second.Version != 2 {
		t.Fatalf("got %+v, %v", second, err)
	}
	if _, err := b.Change(ctx, mine, 1, "ana"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("changed an old version: %v", err)
	}
	mine.Condition = "nonsense >"
	var invalid *fleet.ValidationError
	if _, err := b.Change(ctx, mine, 2, "ana"); !errors.As(err, &invalid) {
		t.Errorf("changed to nonsense: %v", err)
	}
	if _, err := b.Change(ctx, fleet.Rule{Name: "offline", Severity: fleet.SeverityInfo, Condition: "true"}, 1, "ana"); !errors.As(err, &invalid) {
		t.Errorf("changed a shipped rule: %v", err)
	}
	if err := b.Delete(ctx, "offline", "ana"); !errors.As(err, &invalid) {
		t.Errorf("deleted a shipped rule: %v", err)
	}
	if off, err := b.Switch(ctx, "offline", false, "ana"); err != nil || !off.Disabled {
		t.Errorf("switched off: %+v, %v", off, err)
	}
	has := func(s *rule.Set, name string) bool {
		return slices.ContainsFunc(s.All(), func(r *rule.Compiled) bool { return r.Definition().Name == name })
	}
	last := told[len(told)-1]
	if has(last, "offline") || !has(last, "mine") || !has(told[0], "offline") || has(told[0], "mine") {
		t.Error("the observers know other rules")
	}

	b = open(t, m, "") // after a restart
	if r, err := b.Rule(ctx, "offline"); err != nil || !r.Disabled {
		t.Errorf("switched off, then a restart: %+v, %v", r, err)
	}
	if r, err := b.Rule(ctx, "mine"); err != nil || r.Version != 2 || r.Condition != "hardware.cpu_temp > 65" {
		t.Errorf("got %+v, %v", r, err)
	}
	if all, err := b.Versions(ctx, "mine"); err != nil || len(all) != 2 || all[0].Version != 2 {
		t.Errorf("versions: %+v, %v", all, err)
	}
	if err := b.Delete(ctx, "mine", "ana"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Rule(ctx, "mine"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
	mine.Condition = "hardware.cpu_temp > 70"
	if again, err := b.Create(ctx, mine, "ana"); err != nil || again.Version != 3 {
		t.Errorf("made again: %+v, %v", again, err)
	}
}

func TestAFileOfTheOperators(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules:\n  - {name: offline, severity: warning, condition: 'presence == \"offline\"', for: 10m}\n")
	b := open(t, newMemory(), file)
	r, err := b.Rule(t.Context(), "offline")
	if err != nil || r.Origin != fleet.OriginFile || r.For != 10*time.Minute {
		t.Errorf("the operator's rule does not take the shipped one's place: %+v, %v", r, err)
	}
	write("rules:\n  - {name: offline, severity: warning, condition: 'presence == \"gone\"'}\n")
	if err := b.Reload(); err == nil || !strings.Contains(err.Error(), "own.yaml:2") {
		t.Errorf("a broken file was read: %v", err)
	}
	if r, _ := b.Rule(t.Context(), "offline"); r.For != 10*time.Minute {
		t.Error("a broken file changed the rules")
	}
	write("rules:\n  - {name: other, severity: warning, condition: 'presence == \"offline\"', for: 20m}\n")
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	if r, _ := b.Rule(t.Context(), "offline"); r.Origin != fleet.OriginShipped {
		t.Errorf("got %+v", r)
	}
	if _, err := New(t.Context(), Config{Store: newMemory(), File: filepath.Join(t.TempDir(), "none.yaml"), Now: time.Now, Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestARuleThatIsNotRightAnyMoreRests(t *testing.T) {
	m := newMemory()
	m.versions["old"] = []fleet.Rule{{Name: "old", Severity: fleet.SeverityInfo, Condition: "sqrt(hardware.cpu_temp) > 9", Origin: fleet.OriginUser, Version: 1}}
	b := open(t, m, "")
	b.Observe(func(s *rule.Set) {
		if slices.ContainsFunc(s.All(), func(r *rule.Compiled) bool { return r.Definition().Name == "old" }) || len(s.All()) == 0 {
			t.Errorf("%d rules are at work", len(s.All()))
		}
	})
	if r, err := b.Rule(t.Context(), "old"); err != nil || r.Version != 1 {
		t.Errorf("it is not listed: %+v, %v", r, err)
	}
}
