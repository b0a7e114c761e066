package rule

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

type fixed map[string]float64

func (f fixed) Value(name string) (float64, bool) {
	x, ok := f[name]
	return x, ok
}

func (f fixed) Rate(metric string, window time.Duration) (float64, bool) {
	x, ok := f[metric+"/"+window.String()]
	return x, ok
}

// example is a kiosk about which something of each kind is known.
func example() *View {
	return &View{
		Now:   noon,
		Kiosk: &fleet.Kiosk{Serial: "K-1", Site: "Hall 1", Model: "T-100", Tags: []string{"indoor", "vip"}},
		Live: &fleet.Live{
			Presence: fleet.PresenceOnline, PresenceReason: fleet.ReasonReporting, Verdict: fleet.VerdictCannotServe, AgentVersion: "1.4.2",
			Reasons: []fleet.VerdictReason{{Code: "printer_paper_jam", Text: "Printer: paper jam"}, {Code: "no_payment", Text: "No way to pay"}},
		},
		Reading: &fleet.Reading{
			Status: "online",
			Values: []fleet.Value{{Metric: "custom.paper_level", Value: 4}, {Metric: "hardware.cpu_temp", Value: 82.26}, {Metric: "hardware.cpu_usage", Value: 50}},
			Texts:  []fleet.Text{{Metric: "peripherals.printer_status", Text: "paper_jam"}, {Metric: "vendor.door", Text: "open"}},
		},
		Derived: fixed{"location.distance": 120, "location.moved": 1},
		Rates:   fixed{"hardware.disk_usage/1h0m0s": 2.5},
	}
}

func TestConditions(t *testing.T) {
	for _, c := range []struct {
		condition string
		want      Truth
	}{
		{`hardware.cpu_temp > 75`, True},
		{`hardware.cpu_temp > 90`, False},
		{`hardware.cpu_temp >= 82.26 and hardware.cpu_temp <= 82.26`, True},
		{`75 < hardware.cpu_temp`, True},
		{`hardware.cpu_temp / hardware.cpu_usage > 1.6`, True},
		{`hardware.cpu_temp - 2 * 40 > 2`, True},
		{`(hardware.cpu_temp - 2) ^ 2 > 6000`, True},
		{`hardware.cpu_temp / 0 > 1`, Unknown},
		{`-hardware.cpu_usage == -50`, True},
		{`abs(-3) == 3 && max(1, 2) == 2 && min(1, 2) == 1 && round(2.6) == 3 && floor(2.6) == 2 && ceil(2.1) == 3`, True},

		{`hardware.ram_usage > 90`, Unknown},
		{`not (hardware.ram_usage > 90)`, Unknown},
		{`hardware.ram_usage > 90 or hardware.cpu_temp > 75`, True},
		{`hardware.cpu_temp > 75 or hardware.ram_usage > 90`, True},
		{`hardware.ram_usage > 90 or hardware.cpu_temp > 90`, Unknown},
		{`hardware.ram_usage > 90 and hardware.cpu_temp > 90`, False},
		{`hardware.ram_usage > 90 and hardware.cpu_temp > 75`, Unknown},
		{`has(hardware.ram_usage)`, False},
		{`has(hardware.cpu_temp)`, True},
		{`has("hardware.cpu_temp") and not has("custom.x")`, True},
		{`rate("hardware.disk_usage", "1h") > 2`, True},
		{`(hardware.ram_usage ?? 95) > 90`, True},
		{`(hardware.cpu_temp ?? 0) > 90`, False},
		{`has(hardware.ram_usage) ? hardware.ram_usage > 90 : hardware.cpu_temp > 75`, True},

		{`peripherals.printer_status == "paper_jam"`, True},
		{`peripherals.printer_status in ["offline", "paper_jam"]`, True},
		{`peripherals.printer_status != "ready"`, True},
		{`peripherals.card_reader == "error"`, Unknown},
		{`vendor.door == "open"`, True},
		{`vendor.door startsWith "op" and vendor.door contains "pe" and vendor.door endsWith "en" and vendor.door matches "^o.*n$"`, True},
		{`vendor.sensor > 5`, Unknown},
		{`status == "online"`, True},
		{`presence == "online" and presence_reason == "reporting"`, True},
		{`verdict in ["cannot_serve", "degraded"]`, True},
		{`"no_payment" in reasons`, True},
		{`"card_error" in reasons`, False},
		{`agent_version startsWith "1.4."`, True},
		{`kiosk.site == "Hall 1" and kiosk.model == "T-100" and kiosk.serial == "K-1" and "vip" in kiosk.tags`, True},
		{`location.distance > 100 and location.moved == 1`, True},
		{`anomaly.score > 0.9`, Unknown},
		{`rate(hardware.disk_usage, "1h") > 2`, True},
		{`rate(hardware.disk_usage, "2h") > 2`, Unknown},
		{`(hardware.cpu_temp > 75) == true`, True},
		{`true`, True},
	} {
		r, err := Compile(fleet.Rule{Name: "test", Severity: fleet.SeverityInfo, Condition: c.condition})
		if err != nil {
			t.Errorf("%s: %v", c.condition, err)
			continue
		}
		if got := r.Condition(example()); got != c.want {
			t.Errorf("%s: got %d, want %d", c.condition, got, c.want)
		}
		want := map[Truth]Truth{True: False, False: True, Unknown: Unknown}[c.want]
		if got := r.Clear(example()); got != want {
			t.Errorf("%s: clear is %d, want %d", c.condition, got, want)
		}
	}
}

func TestNothingIsKnownOfNobody(t *testing.T) {
	for _, w := range Vocabulary() {
		var condition string
		switch {
		case w.Kind == KindNumber:
			condition = w.Name + " > 1"
		case w.Kind == KindList:
			condition = `"x" in ` + w.Name
		case w.Words != nil:
			condition = fmt.Sprintf(`%s == %q`, w.Name, w.Words[0])
		default:
			condition = w.Name + ` == "x"`
		}
		r, err := Compile(fleet.Rule{Name: "test", Severity: fleet.SeverityInfo, Condition: condition})
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if got := r.Condition(&View{}); got != Unknown {
			t.Errorf("%s of nothing is %d", condition, got)
		}
	}
}

func TestFaults(t *testing.T) {
	good := fleet.Rule{Name: "hot", Severity: fleet.SeverityWarning, Condition: "hardware.cpu_temp > 75"}
	with := func(edit func(*fleet.Rule)) fleet.Rule {
		r := good
		edit(&r)
		return r
	}
	condition := func(text string) fleet.Rule { return with(func(r *fleet.Rule) { r.Condition = text }) }
	for _, c := range []struct {
		name  string
		rule  fleet.Rule
		field string
		want  string
	}{
		{"empty", condition(" "), "condition", "is empty"},
		{"no end", condition("hardware.cpu_temp >"), "condition", "line 1, column 1"},
		{"second line", condition("hardware.cpu_temp > 75 and\n  hardware.cpu_temp <"), "condition", "line 2"},
		{"misspelt field", condition("hardware.cpu_tmp > 75"), "condition", "did you mean hardware.cpu_temp?"},
		{"misspelt name", condition(`verdcit == "degraded"`), "condition", "line 1, column 1: nothing is called verdcit: did you mean verdict?"},
		{"misspelt word", condition(`peripherals.printer_status == "paper-jam"`), "condition", "ready, low_ink, paper_jam, offline"},
		{"misspelt word first", condition(`"onlin" == presence`), "condition", "never"},
		{"misspelt word in a list", condition(`presence in ["offline", "gone"]`), "condition", `never "gone"`},
		{"a number", condition("hardware.cpu_temp + 1"), "condition", "this is a number"},
		{"number and text", condition(`hardware.cpu_temp > "75"`), "condition", "a number cannot be compared with a text"},
		{"truth and number", condition("hardware.cpu_temp > 75 and 3"), "condition", "column 28"},
		{"not of a number", condition("not 3"), "condition", "not needs a condition"},
		{"a function that is none", condition("sqrt(3) > 1"), "condition", "there is no function sqrt"},
		{"a loop", condition("all(1..1000000000, # > 0)"), "condition", "there is no function all"},
		{"a variable", condition("let x = 1; x > 0"), "condition", "rules' language"},
		{"a method", condition(`kiosk.serial.upper() == "K"`), "condition", "there is no function"},
		{"an index", condition(`kiosk.tags[0] == "vip"`), "condition", "group.field"},
		{"a list of numbers", condition("1 in [1, 2]"), "condition", "texts only"},
		{"a bad pattern", condition(`kiosk.site matches "("`), "condition", "no regular expression"},
		{"a misspelt name in quotes", condition(`has("hardware.cpu_tmp")`), "condition", "line 1, column 5: nothing is called hardware.cpu_tmp"},
		{"rate without quotes", condition("rate(hardware.disk_usage, 60) > 1"), "condition", "in quotes"},
		{"rate of too long", condition(`rate(hardware.disk_usage, "999h") > 1`), "condition", "1m to 24h"},
		{"rate of what is computed", condition(`rate(clock.skew, "1h") > 1`), "condition", "that kiosks report"},
		{"platform and kiosk", condition("platform.disk_free < 1 and hardware.cpu_temp > 75"), "condition", "make two rules"},
		{"unknown platform name", condition("platform.disc_space < 1"), "condition", "platform.disk_free"},
		{"too long", condition(strings.Repeat("hardware.cpu_temp > 1 or ", 100) + "true"), "condition", "at most 2000"},
		{"too deep", condition(strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200)), "", ""},
		{"too deep with not", condition(strings.Repeat("not ", 200) + "true"), "condition", "nested"},
		{"clear", with(func(r *fleet.Rule) { r.Clear = "hardware.cpu_temp" }), "clear", "this is a number"},
		{"name", with(func(r *fleet.Rule) { r.Name = "CPU hot" }), "name", "lower-case"},
		{"severity", with(func(r *fleet.Rule) { r.Severity = "bad" }), "severity", "critical, warning, info"},
		{"for", with(func(r *fleet.Rule) { r.For = -time.Second }), "for", "from 0s"},
		{"no data of nothing", with(func(r *fleet.Rule) { r.Condition, r.NoData = `presence == "offline"`, time.Minute }), "no_data", "needs no value"},
		{"labels", with(func(r *fleet.Rule) { r.Labels = map[string]string{"a b": "c"} }), "labels", "letters"},
		{"scope", with(func(r *fleet.Rule) { r.Scope.Sites = []string{"["} }), "scope.sites[0]", "glob"},
		{"schedule", with(func(r *fleet.Rule) { r.Schedule = &fleet.Schedule{Days: []string{"monday"}} }), "schedule.days[0]", "mon"},
		{"text", with(func(r *fleet.Rule) { r.Text = "CPU at {hardware.cpu_tmp}" }), "text", "column 8: line 1, column 1: nothing is called"},
		{"open brace", with(func(r *fleet.Rule) { r.Text = "CPU at {" }), "text", "column 8"},
		{"closed brace", with(func(r *fleet.Rule) { r.Text = "CPU } at" }), "text", "column 5"},
		{"decimals", with(func(r *fleet.Rule) { r.Text = "{hardware.cpu_temp | x}" }), "text", "number of decimals"},
	} {
		_, err := Compile(c.rule)
		if c.field == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var invalid *fleet.ValidationError
		if !errors.As(err, &invalid) || len(invalid.Violations) != 1 {
			t.Errorf("%s: got %v", c.name, err)
			continue
		}
		if v := invalid.Violations[0]; v.Field != c.field || !strings.Contains(v.Reason, c.want) {
			t.Errorf("%s: got %s: %s\nwant %s: …%s…", c.name, v.Field, v.Reason, c.field, c.want)
		}
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"CPU at {hardware.cpu_temp}", "CPU at 82.3\u00a0°C"},
		{"CPU at {hardware.cpu_temp | 2}, {hardware.cpu_usage|0}", "CPU at 82.26\u00a0°C, 50\u00a0%"},
		{"{kiosk.serial} at {kiosk.site}: {why}", "K-1 at Hall 1: Printer: paper jam; No way to pay"},
		{"{reasons} {{x}}", "printer_paper_jam, no_payment {x}"},
		{"RAM {hardware.ram_usage}", "RAM ?"},
		{"{hardware.cpu_temp > 75} {hardware.cpu_temp - 80 | 1}", "yes 2.3"},
		{"{location.distance} away", "120\u00a0m away"},
		{"", "too hot {here}"},
	} {
		r, err := Compile(fleet.Rule{Name: "hot", Summary: "too hot {here}", Severity: fleet.SeverityInfo, Condition: "hardware.cpu_temp > 75", Text: c.text})
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := r.Text(example()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestWhatARuleUses(t *testing.T) {
	r, err := Compile(fleet.Rule{
		Name: "all", Severity: fleet.SeverityInfo,
		Condition: `hardware.cpu_temp > 75 and (custom.paper_level ?? 100) < 10 and rate(hardware.disk_usage, "1h") > 1 and presence == "online" and anomaly.score > 0.5`,
		Clear:     `hardware.cpu_temp < 70 and rate(hardware.ram_usage, "30m") < 1`,
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want any }{
		"metrics":     {r.Metrics(), []string{"hardware.cpu_temp", "hardware.disk_usage"}},
		"reported":    {r.Reported(), []string{"hardware.cpu_temp", "hardware.disk_usage", "custom.paper_level", "hardware.ram_usage"}},
		"windows":     {r.Windows(), []Window{{"hardware.disk_usage", time.Hour}, {"hardware.ram_usage", 30 * time.Minute}}},
		"presence":    {r.AboutPresence(), true},
		"platform":    {r.AboutPlatform(), false},
		"approximate": {r.Approximate(), []string{"presence", "anomaly"}},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", what, c.got, c.want)
		}
	}
}

func TestSet(t *testing.T) {
	compile := func(name, condition string, scope fleet.RuleScope, disabled bool) *Compiled {
		r, err := Compile(fleet.Rule{Name: name, Severity: fleet.SeverityInfo, Condition: condition, Scope: scope, Disabled: disabled})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	s := NewSet([]*Compiled{
		compile("b_site", "hardware.cpu_temp > 75", fleet.RuleScope{Sites: []string{"Hall *"}}, false),
		compile("a_all", "hardware.cpu_temp > 75", fleet.RuleScope{}, false),
		compile("f_exact", "hardware.cpu_temp > 75", fleet.RuleScope{Sites: []string{"Yard", "Hall 1"}, Serials: []string{"K-*"}}, false),
		compile("g_other", "hardware.cpu_temp > 75", fleet.RuleScope{Serials: []string{"K-2", "K-3"}}, false),
		compile("h_both", "hardware.cpu_temp > 75", fleet.RuleScope{Models: []string{"T-100"}, Tags: []string{"vip"}}, false),
		compile("c_tag", "hardware.cpu_temp > 75", fleet.RuleScope{Tags: []string{"vip"}}, false),
		compile("d_off", "hardware.cpu_temp > 75", fleet.RuleScope{}, true),
		compile("e_platform", "platform.disk_free < 1", fleet.RuleScope{}, false),
	})
	names := func(rules []*Compiled) string {
		var out []string
		for _, r := range rules {
			out = append(out, r.Definition().Name)
		}
		return strings.Join(out, " ")
	}
	k := &fleet.Kiosk{Serial: "K-1", Site: "Hall 1", UpdatedAt: noon}
	if got := names(s.Find(k)); got != "a_all b_site f_exact" {
		t.Errorf("got %q", got)
	}
	if got := names(s.Find(nil)); got != "e_platform" {
		t.Errorf("the platform's are %q", got)
	}
	moved := &fleet.Kiosk{Serial: "K-1", Site: "Yard", Model: "T-100", Tags: []string{"vip"}, UpdatedAt: noon.Add(time.Second)}
	if got := names(s.Find(moved)); got != "a_all c_tag f_exact h_both" {
		t.Errorf("after a change: %q", got)
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{`hardware.cpu_temp > 75 and presence == "online"`, `rate(a.b, "1h") > (c.d ?? 1)`, `not (x.y in ["a"]) ? 1 > 2 : true`, "{", `"\u0000" matches a.b`} {
		f.Add(seed, "{hardware.cpu_temp | 1}")
	}
	f.Fuzz(func(t *testing.T, condition, text string) {
		r, err := Compile(fleet.Rule{Name: "fuzz", Severity: fleet.SeverityInfo, Condition: condition, Text: text})
		if err != nil {
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) {
				t.Fatalf("not a validation error: %v", err)
			}
			return
		}
		for _, v := range []*View{example(), {}} {
			r.Condition(v)
			r.Clear(v)
			r.Text(v)
			r.Values(v)
		}
	})
}

// BenchmarkCondition is one threshold of a reading.
func BenchmarkCondition(b *testing.B) {
	r, err := Compile(fleet.Rule{Name: "hot", Severity: fleet.SeverityInfo, Condition: "hardware.cpu_temp > 90"})
	if err != nil {
		b.Fatal(err)
	}
	v := example()
	b.ReportAllocs()
	for b.Loop() {
		r.Condition(v)
	}
}
