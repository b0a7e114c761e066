package presence

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// kioskWith is an online kiosk that reports the state and the peripherals' texts, in the order printer,
// cash acceptor, card reader; empty: not reported.
func kioskWith(state protocol.State, texts ...string) *fleet.Live {
	r := &fleet.Reading{Status: state, Session: "s"}
	for i, metric := range []string{metricPrinter, metricCash, metricCard} {
		if i < len(texts) && texts[i] != "" {
			r.Texts = append(r.Texts, fleet.Text{Metric: metric, Text: texts[i]})
		}
	}
	return &fleet.Live{Presence: fleet.PresenceOnline, Session: "s", LastReading: r}
}

// Metrics of the standard table.
const (
	metricPrinter = "peripherals.printer_status"
	metricCash    = "peripherals.cash_acceptor"
	metricCard    = "peripherals.card_reader"
)

// judge judges by the standard table.
func judge(l *fleet.Live, previous []fleet.VerdictReason, at time.Time) (fleet.Verdict, []fleet.VerdictReason) {
	return standard().needsOf("").judge(l, previous, at)
}

func codes(reasons []fleet.VerdictReason) string {
	var out []string
	for _, r := range reasons {
		out = append(out, r.Code)
	}
	return strings.Join(out, " ")
}

func TestJudge(t *testing.T) {
	const (
		can      = fleet.VerdictCanServe
		degraded = fleet.VerdictDegraded
		cannot   = fleet.VerdictCannotServe
	)
	all := []string{protocol.CapabilityPrinter, protocol.CapabilityCashAcceptor, protocol.CapabilityCardReader}
	only := func(capabilities ...string) []string { return append([]string{}, capabilities...) }
	tests := []struct {
		name         string
		state        protocol.State
		texts        []string // printer, cash acceptor, card reader
		capabilities []string // nil: it has announced nothing
		verdict      fleet.Verdict
		codes        string
	}{
		{"everything ready", "online", []string{"ready", "ready", "ready"}, all, can, ""},
		{"no peripherals at all", "online", nil, only(), can, ""},
		{"no state", "", []string{"ready"}, all, can, ""},
		{"a state that nobody knows", "dancing", []string{"ready"}, all, degraded, "unknown_state"},
		{"a state that nobody knows and a jam", "dancing", []string{"paper_jam"}, all, cannot, "printer_paper_jam unknown_state"},

		{"blocked", "blocked", []string{"ready", "ready", "ready"}, all, cannot, "blocked"},
		{"maintenance", "maintenance", nil, all, cannot, "maintenance"},
		{"restarting", "restarting", nil, all, cannot, "restarting"},
		{"updating", "updating", nil, all, cannot, "updating"},

		{"paper jam", "online", []string{"paper_jam", "ready", "ready"}, all, cannot, "printer_paper_jam"},
		{"printer offline", "online", []string{"offline", "ready", "ready"}, all, cannot, "printer_offline"},
		{"low ink", "online", []string{"low_ink", "ready", "ready"}, all, degraded, "printer_low_ink"},

		{"cash full, card ready", "online", []string{"ready", "full", "ready"}, all, degraded, "cash_full"},
		{"cash error, card ready", "online", []string{"ready", "error", "ready"}, all, degraded, "cash_error"},
		{"cash ready, card error", "online", []string{"ready", "ready", "error"}, all, degraded, "card_error"},
		{"cash full, card error", "online", []string{"ready", "full", "error"}, all, cannot, "no_payment cash_full card_error"},
		{"cash error, card error", "online", []string{"ready", "error", "error"}, all, cannot, "no_payment cash_error card_error"},
		{"only cash, full", "online", []string{"", "full", ""}, only(protocol.CapabilityCashAcceptor), cannot, "no_payment cash_full"},
		{"only a card reader, broken", "online", []string{"", "", "error"}, only(protocol.CapabilityCardReader), cannot, "no_payment card_error"},
		{"only cash reported, of two announced", "online", []string{"", "full", ""}, all, cannot, "no_payment cash_full"},

		{"a jam of a printer it does not have", "online", []string{"paper_jam", "ready", "ready"}, only(protocol.CapabilityCashAcceptor), can, ""},
		{"an error of a card reader it does not have", "online", []string{"ready", "full", "error"}, only(protocol.CapabilityPrinter, protocol.CapabilityCashAcceptor), cannot, "no_payment cash_full"},
		{"nothing announced, so reports count", "online", []string{"paper_jam", "ready", "ready"}, nil, cannot, "printer_paper_jam"},
		{"announced that it has nothing", "online", []string{"paper_jam", "error", "error"}, only(), can, ""},

		{"several, worst first", "online", []string{"low_ink", "full", "error"}, all, cannot, "no_payment printer_low_ink cash_full card_error"},
		{"blocked and a jam", "blocked", []string{"paper_jam", "ready", "ready"}, all, cannot, "blocked printer_paper_jam"},
		{"blocked and low ink", "blocked", []string{"low_ink", "ready", "ready"}, all, cannot, "blocked printer_low_ink"},
	}
	at := time.Unix(1000, 0)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := kioskWith(tt.state, tt.texts...)
			l.Capabilities = tt.capabilities
			verdict, reasons := judge(l, nil, at)
			if verdict != tt.verdict || codes(reasons) != tt.codes {
				t.Errorf("judge = %s %q, want %s %q", verdict, codes(reasons), tt.verdict, tt.codes)
			}
			for _, r := range reasons {
				if r.Text == "" || !r.Since.Equal(at) {
					t.Errorf("reason %+v lacks its text or time", r)
				}
			}
		})
	}
}

func TestAKioskWithoutAReadingIsUnknown(t *testing.T) {
	verdict, reasons := judge(&fleet.Live{Presence: fleet.PresenceOnline, Session: "s"}, nil, time.Time{})
	if verdict != fleet.VerdictUnknown || codes(reasons) != "no_reading" {
		t.Errorf("judge = %s %q", verdict, codes(reasons))
	}
}

func TestJudgeByPresence(t *testing.T) {
	tests := []struct {
		presence fleet.Presence
		why      fleet.PresenceReason
		code     string
		value    string
		text     string
	}{
		{fleet.PresenceNever, fleet.ReasonNeverSeen, "never_seen", "", "Never seen"},
		{fleet.PresenceStale, fleet.ReasonNoData, "stale", "", "silent"},
		{fleet.PresenceOffline, fleet.ReasonCleanDisconnect, "offline", "clean_disconnect", "goodbye"},
		{fleet.PresenceOffline, fleet.ReasonConnectionLost, "offline", "connection_lost", "connection lost"},
		{fleet.PresenceOffline, fleet.ReasonRevoked, "offline", "revoked", "revoked"},
		{fleet.PresenceOffline, fleet.ReasonTakenOver, "offline", "taken_over", "taken over"},
		{fleet.PresenceOffline, fleet.ReasonAdminRestart, "offline", "admin_restart", "platform restarted"},
		{fleet.PresenceOffline, "", "offline", "", "not connected"},
	}
	for _, tt := range tests {
		t.Run(string(tt.presence)+" "+string(tt.why), func(t *testing.T) {
			// What it last reported says nothing of now: neither good nor bad.
			l := kioskWith(protocol.StateBlocked, "paper_jam", "error", "error")
			l.Presence, l.PresenceReason = tt.presence, tt.why
			verdict, reasons := judge(l, nil, time.Time{})
			if verdict != fleet.VerdictUnknown || len(reasons) != 1 {
				t.Fatalf("judge = %s %+v", verdict, reasons)
			}
			if r := reasons[0]; r.Code != tt.code || r.Value != tt.value || !strings.Contains(r.Text, tt.text) {
				t.Errorf("reason = %+v", r)
			}
		})
	}
}

func TestAReasonKeepsTheTimeAtWhichItBegan(t *testing.T) {
	first, second, third := time.Unix(1, 0), time.Unix(2, 0), time.Unix(3, 0)
	_, before := judge(kioskWith("online", "low_ink", "full", "ready"), nil, first)
	_, after := judge(kioskWith("online", "low_ink", "error", "ready"), before, second)
	since := func(reasons []fleet.VerdictReason, code string) time.Time {
		i := slices.IndexFunc(reasons, func(r fleet.VerdictReason) bool { return r.Code == code })
		if i < 0 {
			t.Fatalf("no %s in %+v", code, reasons)
		}
		return reasons[i].Since
	}
	if got := since(after, "printer_low_ink"); !got.Equal(first) {
		t.Errorf("low ink since %s, it stood before", got)
	}
	if got := since(after, "cash_error"); !got.Equal(second) {
		t.Errorf("cash error since %s, it is new", got)
	}
	_, both := judge(kioskWith("online", "ready", "error", "error"), after, third)
	if got := since(both, "card_error"); !got.Equal(third) {
		t.Errorf("card error since %s: that was the cash acceptor's", got)
	}
	_, gone := judge(kioskWith("online", "ready", "ready", "ready"), after, second)
	if _, again := judge(kioskWith("online", "low_ink", "ready", "ready"), gone, third); !since(again, "printer_low_ink").Equal(third) {
		t.Error("a reason that was gone has its old time")
	}
	// Another cause of the same kind is another reason.
	offline := func(why fleet.PresenceReason) *fleet.Live {
		return &fleet.Live{Presence: fleet.PresenceOffline, PresenceReason: why}
	}
	_, lost := judge(offline(fleet.ReasonConnectionLost), nil, first)
	if _, revoked := judge(offline(fleet.ReasonRevoked), lost, second); !revoked[0].Since.Equal(second) {
		t.Error("revoked since the connection was lost")
	}
}

// That a kiosk was restarting or updating is over once it has come back with another session, although
// its last reading still says so.
func TestAKioskThatCameBackIsNotRestarting(t *testing.T) {
	for _, state := range []protocol.State{protocol.StateRestarting, protocol.StateUpdating} {
		l := kioskWith(state)
		l.Session = "another"
		if verdict, _ := judge(l, nil, time.Time{}); verdict != fleet.VerdictCanServe {
			t.Errorf("%s of an old session: %s", state, verdict)
		}
	}
	l := kioskWith(protocol.StateBlocked)
	l.Session = "another"
	if verdict, _ := judge(l, nil, time.Time{}); verdict != fleet.VerdictCannotServe {
		t.Errorf("blocked in its last session: %s, a block survives a restart", verdict)
	}
}
