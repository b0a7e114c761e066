package presence

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
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
