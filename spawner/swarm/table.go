package swarm

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"kioskfleet/internal/latency"
)

// view is what the table shows at one moment.
type view struct {
	first, kiosks int
	processes     bool // one process per kiosk: only they are known, not what they do
	up            time.Duration
	simulated     time.Time // zero: it is the present
	phase         string    // of a scenario; empty: there is none
	totals        Totals
	rates         rates
	publish       latency.Summary // publish to ack, of the last seconds
	answers       latency.Summary
	sites         []SiteTotals // those with the most kiosks first
}

// rates are of readings, per second.
type rates struct{ sent, acknowledged, resent float64 }

// Bounds of the table.
const (
	maxTableLines = 20
	minTableWidth = 20
	labelWidth    = 17
	numberWidth   = 11 // of a column of the list of sites
	cellGap       = "   "
)

// lines renders the view for a terminal of that size, in columns and lines. No line is wider than the
// terminal, and one line of it stays free.
func (v *view) lines(columns, height int) []line {
	columns = max(columns, minTableWidth)
	most := max(min(maxTableLines, height-1), 1)
	out := v.head(columns)
	if free := most - len(out); !v.processes && free >= 3 && len(v.sites) > 0 {
		out = append(out, v.siteLines(columns, free)...)
	}
	if len(out) > most {
		out = out[:most]
	}
	for i := range out {
		out[i].text = fit(out[i].text, columns)
	}
	return out
}

func (v *view) head(columns int) (out []line) {
	add := func(style style, label string, cells ...string) {
		for _, text := range wrap(label, cells, columns) {
			out = append(out, line{text, style})
		}
	}
	title := []string{fmt.Sprintf("%d (%d to %d)", v.kiosks, v.first, v.first+v.kiosks-1), "up " + v.up.Round(time.Second).String()}
	if !v.simulated.IsZero() {
		title = append(title, "simulated "+v.simulated.Format("2006-01-02 15:04:05 MST"))
	}
	if v.phase != "" {
		title = append(title, "phase "+v.phase)
	}
	add(bold, "kiosks", title...)
	t := &v.totals
	if v.processes {
		add(plain, "processes", count(t.Running, "running"), count(t.Started, "started"))
	} else {
		add(plain, "now", count(t.Enrolled, "enrolled"), count(t.Connected, "connected"))
		add(plain, "readings/s", rate1(v.rates.sent, "sent"), rate1(v.rates.acknowledged, "acknowledged"), rate1(v.rates.resent, "resent"))
		add(plain, "outbox", count(t.Readings.Waiting, "waiting"), count(t.Readings.Dropped, "dropped"))
		add(plain, "publish to ack", took(v.publish.Count, "p50", v.publish.P50), took(v.publish.Count, "p99", v.publish.P99))
		add(plain, "commands", count(t.Commands.Received, "received"), count(t.Commands.Executed, "executed"),
			count(t.Commands.Rejected, "rejected"), count(t.Commands.Failed, "failed"), took(v.answers.Count, "p99", v.answers.P99))
	}
	if errs := errorCells(t.Errors); len(errs) > 0 {
		add(warning, "errors", errs...)
	} else {
		add(plain, "errors", "none")
	}
	return out
}

// errorCells names the errors that there were.
func errorCells(errs []ErrorCount) (cells []string) {
	for _, e := range errs {
		if e.Count > 0 {
			cells = append(cells, count(e.Count, strings.ReplaceAll(e.Kind, "_", " ")))
		}
	}
	return cells
}

// siteLines lists as many sites as fit into so many lines, three at least.
func (v *view) siteLines(columns, free int) []line {
	name := min(max(columns-3*numberWidth, 8), 40)
	row := func(site, kiosks, connected, faults string) string {
		return pad(fit(site, name-1), name) + fmt.Sprintf("%*s%*s%*s", numberWidth, kiosks, numberWidth, connected, numberWidth, faults)
	}
	out := []line{{"", plain}, {row("site", "kiosks", "connected", "faults now"), bold}}
	show := len(v.sites)
	if show > free-2 {
		show = free - 3
	}
	for _, s := range v.sites[:show] {
		style := plain
		if s.Faults > 0 || s.Connected < s.Kiosks {
			style = warning
		}
		out = append(out, line{row(s.Name, fmt.Sprint(s.Kiosks), fmt.Sprint(s.Connected), fmt.Sprint(s.Faults)), style})
	}
	if rest := v.sites[show:]; len(rest) > 0 {
		var sum SiteTotals
		for _, s := range rest {
			sum.Kiosks += s.Kiosks
			sum.Connected += s.Connected
			sum.Faults += s.Faults
		}
		out = append(out, line{row(fmt.Sprintf("%d more sites", len(rest)), fmt.Sprint(sum.Kiosks), fmt.Sprint(sum.Connected), fmt.Sprint(sum.Faults)), plain})
	}
	return out
}

func count(n int64, what string) string { return fmt.Sprintf("%d %s", n, what) }

func rate1(n float64, what string) string { return fmt.Sprintf("%.1f %s", n, what) }

// took names a latency, a dash if there was none.
func took(of int64, what string, n float64) string {
	if of == 0 {
		return what + " -"
	}
	return what + " " + millis(n)
}

func millis(n float64) string { return fmt.Sprintf("%.1f ms", n) }

// wrap puts cells behind a label, in as many lines as the width needs.
func wrap(label string, cells []string, columns int) (out []string) {
	text := pad(label, labelWidth)
	begun := false
	for _, c := range cells {
		switch {
		case !begun:
			text += c
		case textWidth(text)+len(cellGap)+textWidth(c) > columns:
			out = append(out, text)
			text = pad("", labelWidth) + c
		default:
			text += cellGap + c
		}
		begun = true
	}
	return append(out, text)
}

// textWidth is how many columns of a terminal a text takes.
func textWidth(s string) (columns int) {
	for _, r := range s {
		columns += runeWidth(r)
	}
	return columns
}

func runeWidth(r rune) int {
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) || unicode.Is(unicode.Cf, r) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// fit cuts a text to so many columns and leaves out what would disturb a terminal.
func fit(s string, columns int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if textWidth(s) <= columns {
		return s
	}
	used := 0
	for i, r := range s {
		if used+runeWidth(r) > columns-1 {
			return s[:i] + "…"
		}
		used += runeWidth(r)
	}
	return s
}

func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(columns-textWidth(s), 0))
}
