package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"kioskfleet/internal/spelling"
)

// place is where something stands in the file; the zero value is nowhere.
type place struct{ line, column int }

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// parser reads a file's nodes and collects all that is wrong with them.
type parser struct {
	path   string
	faults []located
}

type located struct {
	place
	text string
}

func (p *parser) fail(at place, format string, args ...any) {
	p.faults = append(p.faults, located{at, fmt.Sprintf(format, args...)})
}

// err joins the faults in the order of the file.
func (p *parser) err() error {
	slices.SortStableFunc(p.faults, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var errs []error
	for _, f := range p.faults {
		where := p.path
		if f.line > 0 {
			where += ":" + strconv.Itoa(f.line)
		}
		if f.column > 0 {
			where += ":" + strconv.Itoa(f.column)
		}
		errs = append(errs, fmt.Errorf("%s: %s", where, f.text))
	}
	return errors.Join(errs...)
}

// yamlError is how the library tells what is wrong.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document returns the file's only document, or nil.
func (p *parser) document(text []byte) *yaml.Node {
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			p.fail(place{}, "the file is empty; a scenario has at least a name and phases")
			return nil
		}
		p.syntax(err)
		return nil
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		p.fail(placeOf(&more), "there is a second document; a file has one scenario")
	case !errors.Is(err, io.EOF):
		p.syntax(err)
	}
	p.plain(&doc, 0)
	if len(p.faults) > 0 || len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

func (p *parser) syntax(err error) {
	text := err.Error()
	var at place
	if m := yamlError.FindStringSubmatch(text); m != nil {
		at.line, _ = strconv.Atoi(m[1]) // 0 if it names none
		text = text[len(m[0]):]
		if at.line > 0 {
			text += " (here or one line off)" // its marks are
		}
	}
	p.fail(at, "not YAML: %s", text)
}

// maxDepth bounds how deep a file's values are nested.
const maxDepth = 12

// plain refuses what a scenario has no need of: aliases could make a small file huge.
func (p *parser) plain(n *yaml.Node, depth int) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		p.fail(placeOf(n), "anchors and aliases are not allowed: write it out")
		return
	case depth > maxDepth:
		p.fail(placeOf(n), "it is nested too deep")
		return
	}
	for _, c := range n.Content {
		p.plain(c, depth+1)
	}
}

// fields are the keys of an object, with what reads their values.
type fields map[string]func(*yaml.Node)

// object reads a mapping: each key at most once, only known ones, all that are required.
func (p *parser) object(n *yaml.Node, what string, known fields, required ...string) {
	names := slices.Sorted(maps.Keys(known))
	if n.Kind != yaml.MappingNode {
		p.fail(placeOf(n), "%s: want keys and values; the keys are %s", what, strings.Join(names, ", "))
		return
	}
	seen := map[string]int{} // line
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := known[key.Value]
		line, twice := seen[key.Value]
		switch {
		case !ok:
			p.fail(placeOf(key), "%s: unknown key %s", what, unknown(key.Value, names))
			continue
		case twice:
			p.fail(placeOf(key), "%s: %s is already at line %d", what, key.Value, line)
			continue
		}
		seen[key.Value] = key.Line
		if value.ShortTag() == "!!null" {
			p.fail(placeOf(key), "%s has no value; leave the key out for its default", key.Value)
			continue
		}
		read(value)
	}
	for _, name := range required {
		if _, ok := seen[name]; !ok {
			p.fail(placeOf(n), "%s lacks %s", what, name)
		}
	}
}

// list reads a sequence of 1 to limit items.
func (p *parser) list(n *yaml.Node, what string, limit int, item func(*yaml.Node)) {
	switch {
	case n.Kind != yaml.SequenceNode:
		p.fail(placeOf(n), "%s: want a list", what)
	case len(n.Content) == 0:
		p.fail(placeOf(n), "%s: the list is empty", what)
	case len(n.Content) > limit:
		p.fail(placeOf(n), "%s: %d items, at most %d are allowed", what, len(n.Content), limit)
	default:
		for _, c := range n.Content {
			item(c)
		}
	}
}

// text reads a text of 1 to limit bytes.
func (p *parser) text(n *yaml.Node, what string, limit int) string {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
		p.fail(placeOf(n), "%s: want a text; put it in quotes if it is one", what)
	case n.Value == "":
		p.fail(placeOf(n), "%s is empty", what)
	case len(n.Value) > limit:
		p.fail(placeOf(n), "%s has %d bytes, at most %d are allowed", what, len(n.Value), limit)
	default:
		return n.Value
	}
	return ""
}

// word reads one of the allowed words.
func (p *parser) word(n *yaml.Node, what string, allowed []string) string {
	if n.Kind != yaml.ScalarNode || !slices.Contains(allowed, n.Value) {
		p.fail(placeOf(n), "%s: unknown value %s", what, unknown(n.Value, allowed))
		return ""
	}
	return n.Value
}

// words reads one of the allowed words, or several as a list.
func (p *parser) words(n *yaml.Node, what string, allowed []string) []string {
	if n.Kind != yaml.SequenceNode {
		return []string{p.word(n, what, allowed)}
	}
	var out []string
	p.list(n, what, len(allowed), func(c *yaml.Node) { out = append(out, p.word(c, what, allowed)) })
	return out
}

// number reads a number within low and high.
func (p *parser) number(n *yaml.Node, what string, low, high float64) float64 {
	v, err := strconv.ParseFloat(n.Value, 64)
	if tag := n.ShortTag(); err != nil || n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" || !(v >= low && v <= high) {
		p.fail(placeOf(n), "%s: want a number from %v to %v, not %s", what, low, high, shown(n))
		return low
	}
	return v
}

// integer reads a whole number within low and high.
func (p *parser) integer(n *yaml.Node, what string, low, high int) int {
	v, err := strconv.Atoi(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || v < low || v > high {
		p.fail(placeOf(n), "%s: want a whole number from %d to %d, not %s", what, low, high, shown(n))
		return low
	}
	return v
}

// duration reads a time span within low and high.
func (p *parser) duration(n *yaml.Node, what string, low, high time.Duration) time.Duration {
	v, err := time.ParseDuration(n.Value)
	switch {
	case err != nil || n.Kind != yaml.ScalarNode:
		p.fail(placeOf(n), "%s: want a duration such as 90s or 2m30s, not %s", what, shown(n))
	case v < low || v > high:
		p.fail(placeOf(n), "%s: %s is not within %s to %s", what, n.Value, low, high)
	default:
		return v
	}
	return low
}

// share reads a part in percent, as 0..1.
func (p *parser) share(n *yaml.Node, what string) float64 {
	number, ok := strings.CutSuffix(n.Value, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || n.Kind != yaml.ScalarNode || !(v > 0 && v <= 100) {
		p.fail(placeOf(n), "%s: want a part above 0%% and up to 100%%, such as 20%%, not %s", what, shown(n))
		return 1
	}
	return v / 100
}

// boolean reads true or false.
func (p *parser) boolean(n *yaml.Node, what string) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		p.fail(placeOf(n), "%s: want true or false, not %s", what, shown(n))
	}
	return n.Value == "true"
}

// shown is a value for a message.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	return strconv.Quote(shorten(n.Value))
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// unknown says a name that is not known, with the one that is nearest and those that are allowed.
func unknown(name string, known []string) string {
	text := strconv.Quote(shorten(name))
	if near := nearest(name, known); near != "" {
		text += fmt.Sprintf(", did you mean %s?", near)
	}
	if len(known) == 0 {
		return text + " (there are none)"
	}
	const listed = 30
	if len(known) > listed {
		return text + fmt.Sprintf(" (known are %s and %d more)", strings.Join(known[:listed], ", "), len(known)-listed)
	}
	return text + fmt.Sprintf(" (known are %s)", strings.Join(known, ", "))
}

// nearest returns the known name that a typing error makes this one of, or empty.
func nearest(name string, known []string) string {
	best, least := "", 1+min(len(name)/3, 3)
	if len(name) > 100 {
		return ""
	}
	for _, k := range known {
		if d := spelling.Distance(strings.ToLower(name), strings.ToLower(k)); d < least || d == least && best == "" {
			best, least = k, d
		}
	}
	return best
}
