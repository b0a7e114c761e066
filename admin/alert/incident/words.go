package incident

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kioskfleet/admin/fleet"
)

// words says what is wrong with kiosks for which a rule fires; other rules are named.
var words = map[string]string{
	"offline":           "offline",
	"not_back":          "not back since the platform restarted",
	"stale":             "silent",
	"cannot_serve":      "unable to serve",
	"printer_paper_jam": "with a paper jam",
	"printer_offline":   "without a printer",
	"printer_low_ink":   "low on ink",
	"cash_full":         "with a full cash box",
	"cash_error":        "with a cash acceptor error",
	"card_error":        "with a card reader error",
	"left_location":     "away from their place",
	"clock_skew":        "with a wrong clock",
}

// describe brings everything up to date that follows from the alerts of an incident. Once it is closed, it says
// what it was about last.
func (g *group) describe(s *State) {
	g.Kiosks, g.Open = len(g.serials), len(g.open)
	g.Site = ""
	if len(g.sites) == 1 {
		for site := range g.sites {
			g.Site = site
		}
	}
	if g.Open > 0 {
		g.Rule = g.mainRule(s)
		g.Severity, g.Suppressed = "", ""
		told := false
		for _, id := range slices.Sorted(maps.Keys(g.open)) {
			a := g.open[id]
			g.Severity = a.Severity.Worse(g.Severity)
			told = told || a.Suppressed == ""
			g.Suppressed = cmp.Or(g.Suppressed, a.Suppressed)
		}
		if told {
			g.Suppressed = ""
		}
	}
	g.Title = g.title()
}

// mainRule returns the rule of most open alerts. Of equals it is the one of most alerts at all, then the one that
// its family names first.
func (g *group) mainRule(s *State) string {
	family := map[string]int{}
	for _, rules := range s.config.Causes {
		for i, rule := range rules {
			family[rule] = i
		}
	}
	return slices.SortedFunc(maps.Keys(g.rules), func(a, b string) int {
		x, y := g.rules[a], g.rules[b]
		return cmp.Or(y.open-x.open, y.all-x.all, family[a]-family[b], cmp.Compare(a, b))
	})[0]
}

func (g *group) title() string {
	where := g.Key
	switch g.Kind {
	case fleet.IncidentNetwork:
		where = "Network " + g.Key
	case fleet.IncidentVersion:
		where = "Agent " + g.Key
	}
	kiosks := fmt.Sprintf("%d kiosks", g.Kiosks)
	if g.OfKiosks >= g.Kiosks {
		kiosks = fmt.Sprintf("%d of %d kiosks", g.Kiosks, g.OfKiosks)
	}
	what, ok := words[g.Rule]
	if !ok {
		what = "with " + strings.ReplaceAll(g.Rule, "_", " ")
	}
	title := fmt.Sprintf("%s: %s %s", where, kiosks, what)
	if len(g.sites) > 1 {
		title += fmt.Sprintf(" at %d sites", len(g.sites))
	}
	return title
}
