package backtest

import (
	"slices"

	"kioskfleet/admin/alert/rule"
)

// whyApproximate says in words what a replay cannot tell exactly, by what the language of rules calls it.
var whyApproximate = map[string]string{
	"presence":      "Presence and its reason come from the log of changes, to the millisecond; a reason that changed alone is not in it.",
	"verdict":       "The verdict comes from the log of its changes, which has the first reason only.",
	"agent_version": "The agent's version comes from the log of announcements.",
	"boot_id":       "The boot id comes from the log of announcements.",
	"clock":         "clock.skew is not replayed and counts as unknown.",
	"certificate":   "certificate.days_left is not replayed and counts as unknown.",
	"anomaly":       "anomaly.score and the texts beside it are not replayed and count as unknown.",
	"forecast":      "Forecasts are not replayed and count as unknown.",
}

const (
	seriesWords  = "Not every message of this time is there any more as it came: readings of the time series count as received when they were taken."
	textsWords   = "Texts and states come from the log of changes: one that stopped coming counts as being what it was."
	jumpedWords  = "location.jumped does not know from which addresses kiosks were connected: a network path is what they say of it."
	restartWords = "The platform restarted in this time: what fell due while it was away may have been found later."
)

// approximate says in words why live could have been different.
func (w *replay) approximate(source string) []string {
	var out []string
	if source == SourceSeries {
		out = append(out, seriesWords)
		if looksAtTexts(w.rule) {
			out = append(out, textsWords)
		}
	}
	if w.restarted {
		out = append(out, restartWords)
	}
	if slices.Contains(w.rule.Derived(), "location.jumped") {
		out = append(out, jumpedWords)
	}
	for _, why := range w.rule.Approximate() {
		if words, ok := whyApproximate[why]; ok {
			out = append(out, words)
		}
	}
	return out
}

// looksAtTexts reports whether a rule looks at more than numbers, as far as is known of its metrics.
func looksAtTexts(c *rule.Compiled) bool {
	for _, name := range c.Reported() {
		if isText(name) {
			return true
		}
	}
	return slices.Contains(c.Fields(), "status")
}
