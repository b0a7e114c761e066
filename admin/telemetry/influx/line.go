package influx

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"kioskfleet/admin/fleet"
)

// statusField holds the state that the kiosk reported. No metric has a name without a dot.
const statusField = "status"

// line is one reading as a point in line protocol. Readings are encoded here and not by the client,
// whose encoder cannot tell which point of a batch it was that the server refused, and writes tags
// that end in a backslash in such a way that they swallow what follows.
type line struct {
	index   int // of the reading in the batch
	reading *fleet.Reading
	without []string // fields that the server would not take
	reason  string   // why not
	text    string   // without a line break; empty when no field is left
}

func newLine(index int, r *fleet.Reading) line {
	l := line{index: index, reading: r}
	l.encode()
	return l
}

// drop leaves out a field.
func (l *line) drop(field, reason string) {
	l.without = append(l.without, field)
	if l.reason == "" {
		l.reason = reason
	}
	l.encode()
}

func (l *line) encode() {
	r := l.reading
	b := make([]byte, 0, 64+32*len(r.Values)+48*len(r.Texts))
	b = append(b, measurement+",serial="...)
	b = append(b, r.Serial...) // letters, digits and . - _
	if r.Site != "" {
		b = append(b, ",site="...)
		b = append(b, escapeTag(r.Site)...)
	}
	b = append(b, ' ')
	start := len(b)
	key := func(name string) bool {
		if slices.Contains(l.without, name) {
			return false
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, name...) // a metric's name needs no escape
		b = append(b, '=')
		return true
	}
	for i := range r.Values {
		if key(r.Values[i].Metric) {
			b = appendNumber(b, r.Values[i].Value)
		}
	}
	for i := range r.Texts {
		if key(r.Texts[i].Metric) {
			b = appendText(b, r.Texts[i].Text)
		}
	}
	if r.Status != "" && key(statusField) {
		b = appendText(b, string(r.Status))
	}
	if len(b) == start {
		l.text = ""
		return
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, r.Time.UnixMilli(), 10)
	l.text = string(b)
}

// isText reports whether the reading has the field as a string.
func (l *line) isText(field string) bool {
	if field == statusField {
		return true
	}
	_, ok := l.reading.Text(field)
	return ok
}

// has reports whether the line writes the field.
func (l *line) has(field string) bool {
	if slices.Contains(l.without, field) {
		return false
	}
	_, number := l.reading.Value(field)
	return number || l.isText(field) && (field != statusField || l.reading.Status != "")
}

// appendNumber writes the shortest text that is the same number. InfluxDB does not take a number of
// more than about 300 digits, so large and small ones get an exponent.
func appendNumber(b []byte, v float64) []byte {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e15) {
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}

var textEscapes = strings.NewReplacer(`"`, `\"`, `\`, `\\`)

// appendText writes a string field. Line breaks are part of the string inside the quotes.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	b = append(b, textEscapes.Replace(s)...)
	return append(b, '"')
}

var tagEscapes = strings.NewReplacer(`,`, `\,`, `=`, `\=`, ` `, `\ `)

// escapeTag writes a tag's value. Line protocol cannot express a backslash at its end, which would
// escape the separator after it; a slash stands in for it.
func escapeTag(s string) string {
	if trimmed := strings.TrimRight(s, `\`); trimmed != s {
		s = trimmed + strings.Repeat("/", len(s)-len(trimmed))
	}
	return tagEscapes.Replace(s)
}
