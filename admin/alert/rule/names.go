package rule

import (
	"slices"
	"strings"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/spelling"
)

// Kind is the kind of a value.
type Kind string

// The kinds of values. A yes or no of a reading is a number, 1 or 0, as everywhere.
const (
	KindNumber Kind = "number"
	KindText   Kind = "text"
	KindList   Kind = "list" // of texts
	KindTruth  Kind = "truth"
)

// Word is a name that conditions may use.
type Word struct {
	Name  string
	Kind  Kind
	Unit  string
	Text  string   // what it is
	Words []string // what a text can be, nil: anything
}

// Names that are computed, not reported.
var derived = []Word{
	{Name: "location.distance", Kind: KindNumber, Unit: "m", Text: "Distance from where the kiosk is assigned to stand"},
	{Name: "location.moved", Kind: KindNumber, Text: "1 while the kiosk is not where it is assigned to stand, whatever the error of its position"},
	{Name: "location.jumped", Kind: KindNumber, Text: "1 while it seems to have moved at once, on the same network: its position is doubtful"},
	{Name: "clock.skew", Kind: KindNumber, Unit: "s", Text: "The kiosk's clock minus ours"},
	{Name: "certificate.days_left", Kind: KindNumber, Unit: "d", Text: "Until the kiosk's certificate ends"},
	{Name: "anomaly.score", Kind: KindNumber, Text: "How unusual the kiosk is, 0 to 1; missing while it is being worked on"},
	{Name: "forecast.paper_hours", Kind: KindNumber, Unit: "h", Text: "Until paper may run out, at the earliest"},
	{Name: "forecast.ink_hours", Kind: KindNumber, Unit: "h", Text: "Until ink may run out, at the earliest"},
	{Name: "forecast.cash_hours", Kind: KindNumber, Unit: "h", Text: "Until the cash box may be full, at the earliest"},
	{Name: "forecast.disk_hours", Kind: KindNumber, Unit: "h", Text: "Until the disk may be full, at the earliest"},
	{Name: "platform.journal_used", Kind: KindNumber, Unit: "%", Text: "Of the journal's size, by messages that wait"},
	{Name: "platform.disk_free", Kind: KindNumber, Unit: "GB", Text: "Free space where the platform keeps its data"},
	{Name: "platform.refusing", Kind: KindNumber, Text: "1 while messages of kiosks are refused"},
	{Name: "platform.live_behind", Kind: KindNumber, Unit: "s", Text: "By how much presence, alerts and commands are behind"},
	{Name: "platform.series_behind", Kind: KindNumber, Unit: "s", Text: "By how much the time series are behind"},
	{Name: "platform.targets_failing", Kind: KindNumber, Text: "Targets of notifications that fail"},
}

// platformGroup names what is computed of the platform itself.
const platformGroup = "platform."

// field is a name that is not a metric.
type field struct {
	Word
	presence bool // it is presence, or follows from it
	approx   string
	text     func(v *View) (string, bool)
	list     func(v *View) ([]string, bool)
}

func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, t := range all {
		out[i] = string(t)
	}
	return out
}

func live(f func(l *fleet.Live) string) func(v *View) (string, bool) {
	return func(v *View) (string, bool) {
		if v.Live == nil {
			return "", false
		}
		return f(v.Live), true
	}
}

func kiosk(f func(k *fleet.Kiosk) string) func(v *View) (string, bool) {
	return func(v *View) (string, bool) {
		if v.Kiosk == nil {
			return "", false
		}
		return f(v.Kiosk), true
	}
}

// computed gives a computed text.
func computed(name string) func(v *View) (string, bool) {
	return func(v *View) (string, bool) {
		if d, ok := v.Derived.(DerivedTexts); ok {
			return d.Text(name)
		}
		return "", false
	}
}

var states = []string{"online", "blocked", "maintenance", "restarting", "updating"}

// fields are the names that are not metrics, nor derived.
var fields = []field{
	{Word: Word{Name: "presence", Kind: KindText, Text: "Whether the kiosk is there", Words: texts(fleet.Presences())}, presence: true,
		text: live(func(l *fleet.Live) string { return string(l.Presence) })},
	{Word: Word{Name: "presence_reason", Kind: KindText, Text: "Why its presence is what it is", Words: texts([]fleet.PresenceReason{
		fleet.ReasonReporting, fleet.ReasonNeverSeen, fleet.ReasonCleanDisconnect, fleet.ReasonConnectionLost, fleet.ReasonNoData,
		fleet.ReasonTakenOver, fleet.ReasonRevoked, fleet.ReasonAdminRestart})}, presence: true,
		text: live(func(l *fleet.Live) string { return string(l.PresenceReason) })},
	{Word: Word{Name: "verdict", Kind: KindText, Text: "Whether it can serve", Words: texts(fleet.Verdicts())}, approx: "verdict",
		text: live(func(l *fleet.Live) string { return string(l.Verdict) })},
	{Word: Word{Name: "reasons", Kind: KindList, Text: "The codes of the verdict's reasons"}, approx: "verdict",
		list: func(v *View) ([]string, bool) {
			if v.Live == nil {
				return nil, false
			}
			var out []string
			for _, r := range v.Live.Reasons {
				out = append(out, r.Code)
			}
			return out, true
		}},
	{Word: Word{Name: "why", Kind: KindText, Text: "The verdict's reasons in words"}, approx: "verdict",
		text: live(func(l *fleet.Live) string {
			var out []string
			for _, r := range l.Reasons {
				out = append(out, r.Text)
			}
			return strings.Join(out, "; ")
		})},
	{Word: Word{Name: "status", Kind: KindText, Text: "What the kiosk says of itself", Words: states},
		text: func(v *View) (string, bool) {
			if v.Reading == nil || v.Reading.Status == "" {
				return "", false
			}
			return string(v.Reading.Status), true
		}},
	{Word: Word{Name: "agent_version", Kind: KindText, Text: "The version of its agent"}, approx: "agent_version", text: live(func(l *fleet.Live) string { return l.AgentVersion })},
	{Word: Word{Name: "boot_id", Kind: KindText, Text: "Changes with each restart"}, approx: "boot_id", text: live(func(l *fleet.Live) string { return l.BootID })},
	{Word: Word{Name: "anomaly.sensors", Kind: KindText, Text: "What is unusual, while an anomaly is open"}, approx: "anomaly", text: computed("anomaly.sensors")},
	{Word: Word{Name: "anomaly.text", Kind: KindText, Text: "In which way, in words"}, approx: "anomaly", text: computed("anomaly.text")},
	{Word: Word{Name: "kiosk.serial", Kind: KindText, Text: "Its serial"}, text: kiosk(func(k *fleet.Kiosk) string { return k.Serial })},
	{Word: Word{Name: "kiosk.site", Kind: KindText, Text: "Its site"}, text: kiosk(func(k *fleet.Kiosk) string { return k.Site })},
	{Word: Word{Name: "kiosk.model", Kind: KindText, Text: "Its model"}, text: kiosk(func(k *fleet.Kiosk) string { return k.Model })},
	{Word: Word{Name: "kiosk.tags", Kind: KindList, Text: "Its tags"}, list: func(v *View) ([]string, bool) {
		if v.Kiosk == nil {
			return nil, false
		}
		return v.Kiosk.Tags, true
	}},
}

func lookupField(name string) *field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

func lookupDerived(name string) *Word {
	for i := range derived {
		if derived[i].Name == name {
			return &derived[i]
		}
	}
	return nil
}

// Vocabulary lists the names that conditions may use, those of the catalogue of metrics first. Kiosks may report
// metrics that are not in it; conditions may use them as well.
func Vocabulary() []Word {
	var out []Word
	for _, m := range protocol.Metrics() {
		w := Word{Name: m.Name, Kind: KindNumber, Unit: m.Unit, Text: m.Text}
		if m.Kind == protocol.KindState {
			w.Kind, w.Words = KindText, wordsOf(m)
		}
		out = append(out, w)
	}
	for _, f := range fields {
		out = append(out, f.Word)
	}
	return append(out, derived...)
}

// wordsOf returns the words of a state, which its description lists.
func wordsOf(m protocol.Metric) []string {
	_, list, ok := strings.Cut(m.Text, ": ")
	if !ok {
		return nil
	}
	return strings.Split(list, ", ")
}

// nearName returns the known name that was probably meant, or empty.
func nearName(name string) string {
	var known []string
	for _, w := range Vocabulary() {
		known = append(known, w.Name)
	}
	limit := max(2, len(name)/4)
	return spelling.Nearest(name, known, limit+1)
}

// known reports whether the group of a metric has fields that we know; others are the kiosk maker's own.
func knownGroup(group string) bool {
	return group != "custom" && slices.ContainsFunc(Vocabulary(), func(w Word) bool { return strings.HasPrefix(w.Name, group+".") })
}
