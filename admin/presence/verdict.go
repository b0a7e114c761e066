package presence

import (
	"slices"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Metrics that the verdict looks at.
const (
	metricPrinter = "peripherals.printer_status"
	metricCash    = "peripherals.cash_acceptor"
	metricCard    = "peripherals.card_reader"
	subjectStatus = "status"
)

// judge answers whether a kiosk can serve customers, with every reason, worst first. The reasons'
// times are those of previous where the same reason stood before, else at.
func judge(l *fleet.Live, previous []fleet.VerdictReason, at time.Time) (fleet.Verdict, []fleet.VerdictReason) {
	f := finding{}
	switch l.Presence {
	case fleet.PresenceNever:
		f.add(fleet.VerdictUnknown, "never_seen", "", "", "Never seen: it has not connected yet")
	case fleet.PresenceOffline:
		f.add(fleet.VerdictUnknown, "offline", "", string(l.PresenceReason), "Offline: "+offlineText(l.PresenceReason))
	case fleet.PresenceStale:
		f.add(fleet.VerdictUnknown, "stale", "", "", "Connected but silent")
	default:
		if l.LastReading == nil {
			f.add(fleet.VerdictUnknown, "no_reading", "", "", "Connected, no reading yet")
		}
		f.state(l.ReportedState())
		f.peripherals(l)
	}
	verdict := fleet.VerdictCanServe
	if len(f) > 0 {
		slices.SortStableFunc(f, func(a, b grave) int { return a.verdict.Severity() - b.verdict.Severity() })
		verdict = f[0].verdict
	}
	reasons := make([]fleet.VerdictReason, len(f))
	for i, g := range f {
		reasons[i] = g.VerdictReason
		reasons[i].Since = at
		for _, p := range previous {
			if p.Code == g.Code && p.Value == g.Value {
				reasons[i].Since = p.Since
			}
		}
	}
	return verdict, reasons
}

// grave is a reason with how bad it is.
type grave struct {
	fleet.VerdictReason
	verdict fleet.Verdict
}

type finding []grave

func (f *finding) add(v fleet.Verdict, code, subject, value, text string) {
	*f = append(*f, grave{fleet.VerdictReason{Code: code, Subject: subject, Value: value, Text: text}, v})
}

func (f *finding) state(s protocol.State) {
	texts := map[protocol.State]string{
		protocol.StateBlocked:     "Blocked by an operator",
		protocol.StateMaintenance: "In maintenance",
		protocol.StateRestarting:  "Restarting",
		protocol.StateUpdating:    "Updating",
	}
	text, ok := texts[s]
	switch {
	case ok:
		f.add(fleet.VerdictCannotServe, string(s), subjectStatus, string(s), text)
	case s != "" && s != protocol.StateOnline:
		f.add(fleet.VerdictDegraded, "unknown_state", subjectStatus, string(s), "Reports an unknown state: "+string(s))
	}
}

func (f *finding) peripherals(l *fleet.Live) {
	if l.LastReading == nil {
		return
	}
	has := func(capability string) bool {
		// A kiosk that has announced nothing is judged by what it reports.
		return l.Capabilities == nil || slices.Contains(l.Capabilities, capability)
	}
	if printer, ok := l.LastReading.Text(metricPrinter); ok && has(protocol.CapabilityPrinter) {
		switch printer {
		case "paper_jam":
			f.add(fleet.VerdictCannotServe, "printer_paper_jam", metricPrinter, printer, "Printer: paper jam")
		case "offline":
			f.add(fleet.VerdictCannotServe, "printer_offline", metricPrinter, printer, "Printer: offline")
		case "low_ink":
			f.add(fleet.VerdictDegraded, "printer_low_ink", metricPrinter, printer, "Printer: low ink")
		}
	}
	ways, broken := 0, 0
	if cash, ok := l.LastReading.Text(metricCash); ok && has(protocol.CapabilityCashAcceptor) {
		ways++
		switch cash {
		case "full":
			broken++
			f.add(fleet.VerdictDegraded, "cash_full", metricCash, cash, "Cash acceptor: full")
		case "error":
			broken++
			f.add(fleet.VerdictDegraded, "cash_error", metricCash, cash, "Cash acceptor: error")
		}
	}
	if card, ok := l.LastReading.Text(metricCard); ok && has(protocol.CapabilityCardReader) {
		ways++
		if card == "error" {
			broken++
			f.add(fleet.VerdictDegraded, "card_error", metricCard, card, "Card reader: error")
		}
	}
	if ways > 0 && broken == ways {
		f.add(fleet.VerdictCannotServe, "no_payment", "", "", "No way to pay")
	}
}

func offlineText(r fleet.PresenceReason) string {
	switch r {
	case fleet.ReasonCleanDisconnect:
		return "it said goodbye"
	case fleet.ReasonConnectionLost:
		return "connection lost"
	case fleet.ReasonRevoked:
		return "revoked"
	case fleet.ReasonTakenOver:
		return "its connection was taken over"
	case fleet.ReasonAdminRestart:
		return "not back since the platform restarted"
	}
	return "not connected"
}
