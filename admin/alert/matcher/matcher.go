// Package matcher says which alerts people mean: by matchers on labels, by a scope of kiosks, and by times of
// the week. Silences, maintenance windows and notification routes share it.
package matcher

import (
	"fmt"
	"regexp"
	"strings"

	"kioskfleet/admin/fleet"
)

// The operators of matchers.
const (
	opIs       = "="
	opIsNot    = "!="
	opMatch    = "=~"
	opMatchNot = "!~"
)

// Bounds of what people may write.
const (
	maxMatchers    = 32
	maxNameLength  = 64
	maxValueLength = 1024
)

// condition is one compiled matcher.
type condition struct {
	name   string
	value  string
	regexp *regexp.Regexp // nil: the value is meant as it is
	not    bool
}

// Matchers is a compiled list of matchers. An alert must satisfy all of them; no matchers match every alert. It
// is safe for concurrent use.
type Matchers []condition

// Compile checks matchers and makes them ready. Regular expressions are those of Go (RE2) and match the whole
// value.
//
// Errors: *fleet.ValidationError that names each fault, such as matchers[0].op.
func Compile(matchers []fleet.Matcher) (Matchers, error) {
	var v fleet.Violations
	if len(matchers) > maxMatchers {
		v.Add("matchers", "%d matchers, at most %d are allowed", len(matchers), maxMatchers)
		return nil, v.Err()
	}
	out := make(Matchers, len(matchers))
	for i, m := range matchers {
		field := fmt.Sprintf("matchers[%d].", i)
		if m.Name == "" || len(m.Name) > maxNameLength {
			v.Add(field+"name", "must be the name of a label, such as rule, severity, serial, site, model or tag")
		}
		if len(m.Value) > maxValueLength {
			v.Add(field+"value", "has %d bytes, at most %d are allowed", len(m.Value), maxValueLength)
			continue
		}
		c := condition{name: m.Name, value: m.Value, not: m.Op == opIsNot || m.Op == opMatchNot}
		switch m.Op {
		case opIs, opIsNot:
		case opMatch, opMatchNot:
			// Alone first: what is around it could make a wrong one right.
			_, err := regexp.Compile(m.Value)
			if err == nil {
				c.regexp, err = regexp.Compile(`^(?s:` + m.Value + `)$`)
			}
			if err != nil {
				v.Add(field+"value", "is no regular expression: %v", err)
			}
		default:
			v.Add(field+"op", "%q is not one of = != =~ !~", m.Op)
		}
		out[i] = c
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// Matches reports whether the labels satisfy every matcher. A label that an alert lacks counts as empty. Of
// several tags one is enough for = and =~; with != and !~ none may match.
func (m Matchers) Matches(s Set) bool {
	for i := range m {
		if !m[i].matches(s) {
			return false
		}
	}
	return true
}

func (c *condition) matches(s Set) bool {
	if c.name != LabelTag || len(s.alert.Tags) == 0 {
		return c.accepts(s.Value(c.name)) != c.not
	}
	for _, tag := range s.alert.Tags {
		if c.accepts(tag) {
			return !c.not
		}
	}
	return c.not
}

// accepts reports whether the value is what the condition speaks of, whether it wants it or not.
func (c *condition) accepts(value string) bool {
	if c.regexp != nil {
		return c.regexp.MatchString(value)
	}
	return c.value == value
}

// Narrow reports whether at least one matcher can leave an alert out: a silence without one would keep
// everything quiet.
func (m Matchers) Narrow() bool {
	for i := range m {
		if m[i].narrow() {
			return true
		}
	}
	return false
}

// unlikely stands for any value that nobody thought of.
const unlikely = "\u0001kiosk fleet"

func (c *condition) narrow() bool {
	own := c.name == LabelRule || c.name == LabelSeverity || c.name == LabelSerial // every kiosk's alert has these
	takes := func(value string) bool { return c.accepts(value) != c.not }
	switch {
	case c.not: // it leaves out what it names: the empty value is no alert's own
		return !own || c.value != ""
	case own:
		return !takes(unlikely)
	case takes(""):
		// Alerts without such a label are taken; only well-known labels say anything by being empty.
		return !takes(unlikely) && (c.name == LabelSite || c.name == LabelModel || c.name == LabelTag)
	}
	return true
}

// String returns the matchers as people write them: rule="offline", site=~"terminal-.*".
func String(matchers []fleet.Matcher) string {
	parts := make([]string, len(matchers))
	for i, m := range matchers {
		parts[i] = fmt.Sprintf("%s%s%q", m.Name, m.Op, m.Value)
	}
	return strings.Join(parts, ", ")
}
