package presence

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"kioskfleet/internal/spelling"
)

// keys are the keys that a place in the file may have, each with those below it; nil: anything.
type keys map[string]keys

var keysOfFile = keys{
	"capabilities": nil, "metrics": nil,
	"models": {
		"name": nil, "models": nil, "like": nil, "requires": nil,
		"payment": {"metric": nil, "needs": nil, "broken": nil},
		"conditions": {
			"code": nil, "metric": nil, "needs": nil, "is": nil, "is_not": nil, "below": nil, "at_most": nil,
			"above": nil, "at_least": nil, "until": nil, "verdict": nil, "text": nil,
		},
	},
}

// checkKeys finds keys that nothing would read: a mistyped one would silently change what kiosks need.
func (t *table) checkKeys(at string, n *yaml.Node, allowed keys) {
	switch n.Kind {
	case yaml.AliasNode:
		t.checkKeys(at, n.Alias, allowed)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			t.checkKeys(fmt.Sprintf("%s[%d]", at, i), item, allowed)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			field := strings.TrimPrefix(at+"."+name, ".")
			below, known := allowed[name]
			if !known {
				var names []string
				for k := range allowed {
					names = append(names, k)
				}
				t.Add(field, "line %d: unknown key%s", n.Content[i].Line, didYouMean(name, names))
				continue
			}
			if below != nil {
				t.checkKeys(field, n.Content[i+1], below)
			}
		}
	}
}

func (t *table) capability(at, name string) {
	if name != "" && !slices.Contains(t.capabilities, name) {
		t.Add(at, "%q is no capability (%s)%s; declare others under capabilities", name, strings.Join(t.capabilities, ", "), didYouMean(name, t.capabilities))
	}
}

// wordsOf checks that a metric has these words.
func (t *table) wordsOf(at, atMetric, metric string, words []string) {
	known, ok := t.words[metric]
	switch {
	case t.numbers[metric]:
		t.Add(at, "%s is a number: use below, at_most, above or at_least", metric)
		return
	case !ok:
		t.unknown(atMetric, metric)
		return
	case len(words) == 0:
		t.Add(at, "must name at least one word (%s)", strings.Join(known, ", "))
	}
	for i, w := range words {
		if !slices.Contains(known, w) {
			t.Add(fmt.Sprintf("%s[%d]", at, i), "%q is no word of %s (%s)%s", w, metric, strings.Join(known, ", "), didYouMean(w, known))
		}
	}
}

func (t *table) number(at, atMetric, metric string, limit float64) {
	if _, worded := t.words[metric]; worded {
		t.Add(at, "%s has words, not numbers: use is or is_not", metric)
	} else if !t.numbers[metric] {
		t.unknown(atMetric, metric)
	}
	if math.IsNaN(limit) || math.IsInf(limit, 0) {
		t.Add(at, "must be a number")
	}
}

func (t *table) unknown(at, metric string) {
	var known []string
	for name := range t.words {
		known = append(known, name)
	}
	for name := range t.numbers {
		known = append(known, name)
	}
	slices.Sort(known)
	t.Add(at, "%q is unknown%s; declare sensors of your own under metrics", metric, didYouMean(metric, known))
}

func didYouMean(name string, known []string) string {
	if near := spelling.Nearest(name, known, len(name)/3+2); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return ""
}
