package presence

import (
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// needs is what kiosks of one model need to serve, ready to judge by. It is never changed.
type needs struct {
	requires []lack
	payment  []way
	broke    *condition // of a kiosk without a way to pay
	subjects []subject
}

// subject is a metric, or the state, with the conditions that look at it.
type subject struct {
	metric     string // or subjectStatus
	conditions []*condition
}

// condition is one way in which a kiosk is not as it should be.
type condition struct {
	order   int // in the table; of equally bad ones the first comes first
	code    string
	subject string
	needs   string // capability, empty: none
	verdict fleet.Verdict
	text    string // {value} stands for the word

	words []string // nil: it looks at a number
	not   bool     // none of the words
	limit float64
	until float64 // where a condition that holds ends
	above bool    // it holds above its limit, else below
	equal bool    // or at it
}

// way is a way to pay.
type way struct {
	metric string
	needs  string
	broken []string
}

// lack is a capability that a model must have.
type lack struct {
	capability string
	condition  *condition
}

// subjectStatus is the subject of conditions that look at the state which a kiosk reports.
const subjectStatus = "status"

// hit is a condition that holds.
type hit struct {
	*condition
	value string
}

// judge answers whether a kiosk can serve customers, with every reason, worst first. The reasons'
// times are those of previous where the same reason stood before, else at. Without a change it returns
// previous itself.
func (n *needs) judge(l *fleet.Live, previous []fleet.VerdictReason, at time.Time) (fleet.Verdict, []fleet.VerdictReason) {
	var room [8]hit // most kiosks have no fault, and this runs for each reading
	found := room[:0]
	switch l.Presence {
	case fleet.PresenceNever:
		found = append(found, hit{&neverSeen, ""})
	case fleet.PresenceOffline:
		found = append(found, hit{offlineBecause(l.PresenceReason), string(l.PresenceReason)})
	case fleet.PresenceStale:
		found = append(found, hit{&stale, ""})
	default:
		if l.LastReading == nil {
			found = append(found, hit{&noReading, ""})
		}
		found = n.find(found, l, previous)
	}
	if len(found) == 0 {
		return fleet.VerdictCanServe, noReasons
	}
	slices.SortStableFunc(found, func(a, b hit) int {
		if d := a.verdict.Severity() - b.verdict.Severity(); d != 0 {
			return d
		}
		return a.order - b.order
	})
	return found[0].verdict, reasons(found, previous, at)
}

// noReasons is shared by all kiosks that can serve.
var noReasons = []fleet.VerdictReason{}

// reasons says what was found. Where previous says the same, it is returned as it is.
func reasons(found []hit, previous []fleet.VerdictReason, at time.Time) []fleet.VerdictReason {
	same := len(found) == len(previous)
	for i := 0; same && i < len(found); i++ {
		same = found[i].code == previous[i].Code && found[i].value == previous[i].Value && found[i].says(previous[i].Text)
	}
	if same {
		return previous
	}
	out := make([]fleet.VerdictReason, len(found))
	for i, h := range found {
		out[i] = fleet.VerdictReason{Code: h.code, Subject: h.subject, Value: h.value, Text: strings.ReplaceAll(h.text, valueMark, h.value), Since: at}
		for _, p := range previous {
			if p.Code == h.code && p.Value == h.value {
				out[i].Since = p.Since
			}
		}
	}
	return out
}

// says reports whether the text of a reason is still that of the table, which may have changed since.
func (h hit) says(text string) bool {
	before, after, marked := strings.Cut(h.text, valueMark)
	if !marked {
		return h.text == text
	}
	return strings.HasPrefix(text, before) && strings.HasSuffix(text, after)
}

// valueMark stands for the word in a condition's text.
const valueMark = "{value}"

// has reports whether a kiosk has a capability. One that has announced nothing is judged by what it reports.
func has(l *fleet.Live, capability string) bool {
	return capability == "" || l.Capabilities == nil || slices.Contains(l.Capabilities, capability)
}

// find adds the conditions that hold for a kiosk that is there.
func (n *needs) find(found []hit, l *fleet.Live, previous []fleet.VerdictReason) []hit {
	for i := range n.requires {
		if !has(l, n.requires[i].capability) {
			found = append(found, hit{n.requires[i].condition, ""})
		}
	}
	if l.LastReading == nil {
		return found
	}
	for i := range n.subjects {
		s := &n.subjects[i]
		word, worded := string(l.ReportedState()), true
		if s.metric != subjectStatus {
			word, worded = l.LastReading.Text(s.metric)
		}
		var number float64
		numbered := false
		if !worded {
			number, numbered = l.LastReading.Value(s.metric)
		}
		for _, c := range s.conditions {
			switch {
			case !has(l, c.needs):
			case c.words != nil && worded && word != "" && slices.Contains(c.words, word) != c.not:
				found = append(found, hit{c, word})
			case c.words == nil && numbered && c.holds(number, previous):
				found = append(found, hit{c, ""})
			}
		}
	}
	if n.cannotPay(l) {
		found = append(found, hit{n.broke, ""})
	}
	return found
}

// holds reports whether a number is beyond the limit, or has not come back from there far enough.
func (c *condition) holds(number float64, previous []fleet.VerdictReason) bool {
	if c.beyond(number, c.limit) {
		return true
	}
	if c.until == c.limit || !slices.ContainsFunc(previous, func(r fleet.VerdictReason) bool { return r.Code == c.code }) {
		return false
	}
	if c.above {
		return number > c.until
	}
	return number < c.until
}

func (c *condition) beyond(number, limit float64) bool {
	switch {
	case number == limit:
		return c.equal
	case c.above:
		return number > limit
	}
	return number < limit
}

// cannotPay reports whether none of the ways to pay that the kiosk has works.
func (n *needs) cannotPay(l *fleet.Live) bool {
	ways, broken := 0, 0
	for i := range n.payment {
		w := &n.payment[i]
		word, ok := l.LastReading.Text(w.metric)
		if !ok || !has(l, w.needs) {
			continue
		}
		ways++
		if slices.Contains(w.broken, word) {
			broken++
		}
	}
	return ways > 0 && broken == ways
}

// What is said of kiosks that are not there or have told nothing yet; no table changes that.
var (
	neverSeen = condition{code: "never_seen", verdict: fleet.VerdictUnknown, text: "Never seen: it has not connected yet"}
	stale     = condition{code: "stale", verdict: fleet.VerdictUnknown, text: "Connected but silent"}
	noReading = condition{code: "no_reading", verdict: fleet.VerdictUnknown, text: "Connected, no reading yet"}

	offline = map[fleet.PresenceReason]*condition{
		fleet.ReasonCleanDisconnect: offlineAs("it said goodbye"),
		fleet.ReasonConnectionLost:  offlineAs("connection lost"),
		fleet.ReasonRevoked:         offlineAs("revoked"),
		fleet.ReasonTakenOver:       offlineAs("its connection was taken over"),
		fleet.ReasonAdminRestart:    offlineAs("not back since the platform restarted"),
	}
	notConnected = offlineAs("not connected")
)

func offlineAs(text string) *condition {
	return &condition{code: "offline", verdict: fleet.VerdictUnknown, text: "Offline: " + text}
}

func offlineBecause(why fleet.PresenceReason) *condition {
	if c, ok := offline[why]; ok {
		return c
	}
	return notConnected
}

// fits reports whether the kiosk's model is the one that e was last judged by.
func (e *entry) fits(model string) bool { return e.needs != nil && e.model == model }

// needsOf returns what a kiosk needs. People's word for its model counts before its own.
func (t *Tracker) needsOf(e *entry, announced string) *needs {
	model := ""
	if t.modelOf != nil {
		model = t.modelOf(e.live.Serial)
	}
	if model == "" {
		model = announced
	}
	if !e.fits(model) {
		e.model, e.needs = model, t.verdicts.needsOf(model)
	}
	return e.needs
}

// UseVerdicts judges by another table than the standard one; call it before anything else. modelOf returns the
// model that people registered for a kiosk; where it is empty, what the kiosk announces counts. It is called for
// each reading.
func (t *Tracker) UseVerdicts(v *Verdicts, modelOf func(serial string) string) {
	t.verdicts, t.modelOf = v, modelOf
}
