package presence

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const ownTable = `
metrics:
  peripherals.scanner: [ready, jammed]
  custom.coin_level: number
capabilities: [scanner]
models:
  - name: ticket
    models: ["TICKET-*"]
    like: standard
    requires: [printer]
    conditions:
      - {code: scanner_jammed, metric: peripherals.scanner, needs: scanner, is: [jammed], verdict: cannot_serve, text: "Scanner: jammed"}
      - {code: printer_low_ink, metric: peripherals.printer_status, is: [low_ink], verdict: cannot_serve, text: "Tickets are unreadable"}
      - {code: paper_out, metric: custom.paper_level, needs: printer, at_most: 0, until: 5, verdict: cannot_serve, text: Out of paper}
      - {code: hot, metric: hardware.cpu_temp, above: 80, verdict: degraded, text: Hot}
  - models: ["INFO-?"]
    like: standard
    payment: []
`

func mustParse(t *testing.T, text string) *Verdicts {
	t.Helper()
	v, err := ParseVerdicts([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestATableSaysWhatAModelNeeds(t *testing.T) {
	v := mustParse(t, ownTable)
	all := []string{"printer", "cash_acceptor", "card_reader", "scanner"}
	tests := []struct {
		name, model  string
		texts        map[string]string
		values       map[string]float64
		capabilities []string
		before       string // codes that held
		verdict      fleet.Verdict
		codes        string
	}{
		{"its own sensor", "TICKET-2", map[string]string{"peripherals.scanner": "jammed"}, nil, all, "", "cannot_serve", "scanner_jammed"},
		{"a sensor that it lacks", "TICKET-2", map[string]string{"peripherals.scanner": "jammed"}, nil, all[:3], "", "can_serve", ""},
		{"its own verdict of a code", "TICKET-2", map[string]string{metricPrinter: "low_ink"}, nil, all, "", "cannot_serve", "printer_low_ink"},
		{"another model keeps the standard", "X", map[string]string{metricPrinter: "low_ink"}, nil, all, "", "degraded", "printer_low_ink"},
		{"no model", "", map[string]string{metricPrinter: "paper_jam"}, nil, nil, "", "cannot_serve", "printer_paper_jam"},
		{"what it must have", "TICKET-2", nil, nil, all[1:], "", "cannot_serve", "lacks_printer"},
		{"nothing announced", "TICKET-2", nil, nil, nil, "", "can_serve", ""},
		{"another model need not have it", "X", nil, nil, all[1:], "", "can_serve", ""},
		{"a number at its limit", "TICKET-2", nil, map[string]float64{"custom.paper_level": 0}, all, "", "cannot_serve", "paper_out"},
		{"a number above it", "TICKET-2", nil, map[string]float64{"custom.paper_level": 3}, all, "", "can_serve", ""},
		{"not back far enough", "TICKET-2", nil, map[string]float64{"custom.paper_level": 3}, all, "paper_out", "cannot_serve", "paper_out"},
		{"back far enough", "TICKET-2", nil, map[string]float64{"custom.paper_level": 5}, all, "paper_out", "can_serve", ""},
		{"a number that is missing", "TICKET-2", nil, nil, all, "paper_out", "can_serve", ""},
		{"at a limit that must be passed", "TICKET-2", nil, map[string]float64{"hardware.cpu_temp": 80}, all, "", "can_serve", ""},
		{"beyond it", "TICKET-2", nil, map[string]float64{"hardware.cpu_temp": 80.5}, all, "", "degraded", "hot"},
		{"sells nothing", "INFO-1", map[string]string{metricCash: "full"}, nil, all, "", "degraded", "cash_full"},
		{"the pattern does not match", "INFO-12", map[string]string{metricCash: "full"}, nil, all, "", "cannot_serve", "no_payment cash_full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := kioskWith(protocol.StateOnline)
			l.Capabilities = tt.capabilities
			for metric, text := range tt.texts {
				l.LastReading.Texts = append(l.LastReading.Texts, fleet.Text{Metric: metric, Text: text})
			}
			for metric, value := range tt.values {
				l.LastReading.Values = append(l.LastReading.Values, fleet.Value{Metric: metric, Value: value})
			}
			var before []fleet.VerdictReason
			if tt.before != "" {
				before = []fleet.VerdictReason{{Code: tt.before}}
			}
			verdict, reasons := v.needsOf(tt.model).judge(l, before, time.Unix(9, 0))
			if verdict != tt.verdict || codes(reasons) != tt.codes {
				t.Errorf("judge = %s %q, want %s %q", verdict, codes(reasons), tt.verdict, tt.codes)
			}
		})
	}
}

func TestATableIsStrict(t *testing.T) {
	condition := func(text string) string {
		return "models:\n  - models: [A]\n    conditions:\n      - {code: c, verdict: degraded, text: T, " + text + "}\n"
	}
	tests := []struct{ name, text, field, says string }{
		{"no YAML", "models: [", "file", "YAML"},
		{"empty", "", "models", "missing"},
		{"an unknown key", "modls: []", "modls", `did you mean "models"?`},
		{"an unknown key inside", condition("metric: status, iss: [blocked]"), "models[0].conditions[0].iss", `did you mean "is"?`},
		{"a list for a text", "models:\n  - models: A\n", "file", "line 2"},
		{"no models", "models:\n  - like: standard\n", "models[0].models", "missing"},
		{"a bad pattern", "models:\n  - models: [\"[\"]\n", "models[0].models[0]", "pattern"},
		{"a state that nobody knows", condition("metric: status, is: [blockd]"), "models[0].conditions[0].is[0]", `did you mean "blocked"?`},
		{"a word that the printer lacks", condition("metric: peripherals.printer_status, is: [paperjam]"), "models[0].conditions[0].is[0]", `did you mean "paper_jam"?`},
		{"a metric that nobody knows", condition("metric: peripherals.printer_state, is: [ready]"), "models[0].conditions[0].metric", `did you mean "peripherals.printer_status"?`},
		{"a number that nobody knows", condition("metric: custom.paper_levl, below: 3"), "models[0].conditions[0].metric", `did you mean "custom.paper_level"?`},
		{"a capability that nobody knows", condition("metric: status, is: [blocked], needs: prnter"), "models[0].conditions[0].needs", `did you mean "printer"?`},
		{"a required one", "models:\n  - models: [A]\n    requires: [card]\n", "models[0].requires[0]", "no capability"},
		{"a number for words", condition("metric: peripherals.card_reader, below: 3"), "models[0].conditions[0].below", "use is or is_not"},
		{"words for a number", condition("metric: custom.paper_level, is: [low]"), "models[0].conditions[0].is", "use below"},
		{"no test", condition("metric: status"), "models[0].conditions[0]", "exactly one"},
		{"two tests", condition("metric: custom.paper_level, below: 3, above: 9"), "models[0].conditions[0]", "exactly one"},
		{"until on the wrong side", condition("metric: custom.paper_level, below: 3, until: 2"), "models[0].conditions[0].until", "good side"},
		{"a word in the text of a number", "models:\n  - models: [A]\n    conditions:\n      - {code: c, metric: custom.paper_level, below: 3, verdict: degraded, text: \"{value}\"}\n", "models[0].conditions[0].text", "each reading"},
		{"an unknown verdict", "models:\n  - models: [A]\n    conditions:\n      - {code: c, metric: status, is: [blocked], verdict: cant_serve, text: T}\n", "models[0].conditions[0].verdict", `did you mean "cannot_serve"?`},
		{"no code and no text", "models:\n  - models: [A]\n    conditions:\n      - {metric: status, is: [blocked], verdict: degraded}\n", "models[0].conditions[0].text", "1 to"},
		{"a code of the platform", "models:\n  - models: [A]\n    conditions:\n      - {code: no_payment, text: T, metric: status, is: [blocked], verdict: degraded}\n", "models[0].conditions[0].code", "taken"},
		{"like nobody", "models:\n  - models: [A]\n    like: standrd\n", "models[0].like", `did you mean "standard"?`},
		{"a metric without a kind", "metrics: {custom.a: text}\nmodels:\n  - models: [A]\n", "metrics.custom.a", "number or the list"},
		{"a known metric", "metrics: {custom.paper_level: number}\nmodels:\n  - models: [A]\n", "metrics.custom.paper_level", "known already"},
		{"a way to pay", "models:\n  - models: [A]\n    payment: [{metric: peripherals.card_reader, broken: [eror]}]\n", "models[0].payment[0].broken[0]", `did you mean "error"?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseVerdicts([]byte(tt.text))
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v is no validation error", err)
			}
			for _, v := range invalid.Violations {
				if v.Field == tt.field && strings.Contains(v.Reason, tt.says) {
					return
				}
			}
			t.Errorf("no %q at %s in: %v", tt.says, tt.field, err)
		})
	}
}

// The model that people registered counts before the one that the kiosk announces, from the next reading on.
func TestTheTrackerJudgesByTheModel(t *testing.T) {
	model := ""
	tracker := New(time.Now)
	tracker.UseVerdicts(mustParse(t, ownTable), func(string) string { return model })
	tracker.Joined(fleet.Origin{Serial: "K", At: time.Unix(1, 0)}, protocol.Join{Session: "s", Model: "TICKET-1"})
	at := time.Unix(2, 0)
	low := func() fleet.Verdict {
		at = at.Add(time.Second)
		tracker.Reading(&fleet.Reading{Serial: "K", Session: "s", Time: at, ReceivedAt: at, Status: "online", Texts: []fleet.Text{{Metric: metricPrinter, Text: "low_ink"}}})
		return tracker.Get("K").Verdict
	}
	if got := low(); got != fleet.VerdictCannotServe {
		t.Errorf("by the announced model: %s", got)
	}
	model = "INFO-1"
	if got := low(); got != fleet.VerdictDegraded {
		t.Errorf("by the registered model: %s", got)
	}
}

func TestJudgingAKioskWithoutChangeAllocatesNothing(t *testing.T) {
	for name, l := range map[string]*fleet.Live{"ready": kioskWith("online", "ready", "ready", "ready"), "jam": kioskWith("online", "paper_jam", "full", "error")} {
		_, before := judge(l, nil, time.Unix(1, 0))
		if n := testing.AllocsPerRun(100, func() { _, before = judge(l, before, time.Unix(2, 0)) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for name, l := range map[string]*fleet.Live{"ready": kioskWith("online", "ready", "ready", "ready"), "jam": kioskWith("online", "paper_jam", "full", "error")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			_, before := judge(l, nil, time.Unix(1, 0))
			for b.Loop() {
				_, before = judge(l, before, time.Unix(2, 0))
			}
		})
	}
}
