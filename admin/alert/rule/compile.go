package rule

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"kioskfleet/internal/protocol"
)

// Bounds of an expression.
const (
	maxExpression = 2000 // bytes
	maxDepth      = 50
	minWindow     = time.Minute
	maxWindow     = 24 * time.Hour
)

// expression is a condition that was checked and can be asked. It is never changed, so anybody may ask it at any time.
type expression struct {
	*node
	uses uses
}

// uses is what an expression needs to know.
type uses struct {
	metrics  []string // reported ones that it cannot do without
	optional []string // reported ones that it can
	fields   []string // names that are neither
	derived  []string
	windows  []Window
	presence bool
	approx   []string
	numbers  []named // for evidence
}

// Window is a rate that a condition asks for.
type Window struct {
	Metric string        `json:"metric"`
	Length time.Duration `json:"window"`
}

type named struct {
	name string
	*node
}

// placeError is what is wrong with an expression, and where.
type placeError struct {
	line, column int // from 1
	what         string
	source       string
}

func (e *placeError) Error() string {
	lines := strings.Split(e.source, "\n")
	excerpt := ""
	if e.line >= 1 && e.line <= len(lines) {
		runes := []rune(lines[e.line-1])
		at := min(max(e.column-1, 0), len(runes))
		excerpt = fmt.Sprintf(" (here: %s⟨⟩%s)", string(runes[max(0, at-20):at]), string(runes[at:min(len(runes), at+20)]))
	}
	return fmt.Sprintf("line %d, column %d: %s%s", e.line, e.column, e.what, excerpt)
}

// compiler turns a parsed expression into nodes.
type compiler struct {
	source   string
	uses     uses
	optional int // > 0 while inside something that copes with missing values
	depth    int
	texts    map[string]bool // metrics that are compared with texts
}

// compileExpression parses and checks an expression of expr-lang.
func compileExpression(source string) (*expression, error) {
	if len(source) > maxExpression {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(source), maxExpression)
	}
	tree, err := parser.Parse(source)
	if err != nil {
		var at *file.Error
		if errors.As(err, &at) {
			return nil, &placeError{max(at.Line, 1), at.Column + 1, at.Message, source}
		}
		return nil, err
	}
	c := &compiler{source: source, texts: map[string]bool{}}
	c.findTexts(tree.Node)
	n, err := c.compile(tree.Node)
	if err != nil {
		return nil, err
	}
	return &expression{n, c.uses}, nil
}

// findTexts finds the metrics that are compared with texts: of those that the catalogue does not know, nothing else says
// what they are.
func (c *compiler) findTexts(root ast.Node) {
	ast.Find(root, func(n ast.Node) bool {
		b, ok := n.(*ast.BinaryNode)
		if !ok {
			return false
		}
		for _, side := range [][2]ast.Node{{b.Left, b.Right}, {b.Right, b.Left}} {
			name, ok := path(side[0])
			if !ok {
				continue
			}
			switch other := side[1].(type) {
			case *ast.StringNode:
				c.texts[name] = true
			case *ast.ArrayNode:
				if len(other.Nodes) > 0 {
					_, isText := other.Nodes[0].(*ast.StringNode)
					c.texts[name] = c.texts[name] || isText
				}
			}
		}
		return false
	})
}

// path returns the dotted name that a node is.
func path(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return n.Value, true
	case *ast.MemberNode:
		property, ok := n.Property.(*ast.StringNode)
		if !ok || n.Optional {
			return "", false
		}
		group, ok := path(n.Node)
		return group + "." + property.Value, ok
	}
	return "", false
}

// wrong says what is wrong with a node, and where it begins.
func (c *compiler) wrong(n ast.Node, format string, args ...any) error {
	for member, ok := n.(*ast.MemberNode); ok; member, ok = n.(*ast.MemberNode) {
		n = member.Node
	}
	from := min(max(n.Location().From, 0), len(c.source))
	before := c.source[:from]
	line := strings.Count(before, "\n") + 1
	column := len([]rune(before[strings.LastIndex(before, "\n")+1:])) + 1
	return &placeError{line, column, fmt.Sprintf(format, args...), c.source}
}

func (c *compiler) compile(n ast.Node) (*node, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, c.wrong(n, "is nested too deeply")
	}
	defer func() { c.depth-- }()
	switch n := n.(type) {
	case *ast.IntegerNode:
		return number(float64(n.Value)), nil
	case *ast.FloatNode:
		return number(n.Value), nil
	case *ast.BoolNode:
		return &node{kind: KindTruth, truth: func(*View) Truth { return truthOf(n.Value) }}, nil
	case *ast.StringNode:
		return &node{kind: KindText, fixed: n.Value, text: func(*View) (string, bool) { return n.Value, true }}, nil
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.IdentifierNode, *ast.MemberNode:
		return c.name(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.CallNode:
		if name, ok := path(n.Callee); ok {
			return c.call(n, name, n.Arguments)
		}
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	}
	return nil, c.wrong(n, "this is not part of the rules' language: docs/alerts.md lists what is")
}

func number(x float64) *node {
	return &node{kind: KindNumber, number: func(*View) (float64, bool) { return x, true }}
}

func (c *compiler) array(n *ast.ArrayNode) (*node, error) {
	var all []string
	for _, one := range n.Nodes {
		text, ok := one.(*ast.StringNode)
		if !ok {
			return nil, c.wrong(one, "a list may hold texts only, such as [\"offline\", \"stale\"]")
		}
		all = append(all, text.Value)
	}
	return &node{kind: KindList, list: func(*View) ([]string, bool) { return all, true }, words: all, fixed: "list"}, nil
}

// metricName is a group and a field, as decoded readings have them.
var metricName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*$`)

func (c *compiler) name(n ast.Node) (*node, error) {
	name, ok := path(n)
	if !ok {
		return nil, c.wrong(n, "a name has the form group.field, such as hardware.cpu_temp")
	}
	if f := lookupField(name); f != nil {
		c.uses.fields = add(c.uses.fields, name)
		c.uses.presence = c.uses.presence || f.presence
		if f.presence {
			c.approximate("presence")
		} else if f.approx != "" {
			c.approximate(f.approx)
		}
		return &node{kind: f.Kind, text: f.text, list: f.list, words: f.Words}, nil
	}
	if w := lookupDerived(name); w != nil {
		c.uses.derived = add(c.uses.derived, name)
		if group, _, _ := strings.Cut(name, "."); group != "location" {
			c.approximate(group)
		}
		d := derivedOf(name)
		c.evidence(name, d)
		return d, nil
	}
	if !metricName.MatchString(name) {
		if near := nearName(name); near != "" {
			return nil, c.wrong(n, "nothing is called %s: did you mean %s?", name, near)
		}
		return nil, c.wrong(n, "nothing is called %s: a name has the form group.field, such as hardware.cpu_temp", name)
	}
	m, known := protocol.LookupMetric(name)
	group, _, _ := strings.Cut(name, ".")
	if near := nearName(name); !known && near != "" && knownGroup(group) {
		return nil, c.wrong(n, "nothing is called %s: did you mean %s?", name, near)
	}
	if !known && (group == "platform" || group == "kiosk" || group == "forecast" || group == "anomaly") {
		return nil, c.wrong(n, "nothing is called %s; the names of %s are %s", name, group, strings.Join(namesOf(group), ", "))
	}
	kind := KindNumber
	if m.Kind == protocol.KindState || !known && c.texts[name] {
		kind = KindText
	}
	if c.optional > 0 {
		c.uses.optional = add(c.uses.optional, name)
	} else {
		c.uses.metrics = add(c.uses.metrics, name)
	}
	out := metricOf(name, kind)
	if m.Kind == protocol.KindState {
		out.words = wordsOf(m)
	}
	c.evidence(name, out)
	return out, nil
}

func namesOf(group string) []string {
	var out []string
	for _, w := range Vocabulary() {
		if strings.HasPrefix(w.Name, group+".") {
			out = append(out, w.Name)
		}
	}
	return out
}

func (c *compiler) evidence(name string, n *node) {
	if n.kind == KindNumber && !slices.ContainsFunc(c.uses.numbers, func(x named) bool { return x.name == name }) {
		c.uses.numbers = append(c.uses.numbers, named{name, n})
	}
}

func (c *compiler) approximate(why string) { c.uses.approx = add(c.uses.approx, why) }

func add(list []string, one string) []string {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

func (c *compiler) unary(n *ast.UnaryNode) (*node, error) {
	a, err := c.compile(n.Node)
	if err != nil {
		return nil, err
	}
	switch n.Operator {
	case "!", "not":
		if a.kind != KindTruth {
			return nil, c.wrong(n.Node, "not needs a condition, this is a %s", a.kind)
		}
		return not(a), nil
	case "-", "+":
		if a.kind != KindNumber {
			return nil, c.wrong(n.Node, "%s needs a number, this is a %s", n.Operator, a.kind)
		}
		if n.Operator == "-" {
			return numberOf(func(x float64) float64 { return -x }, a), nil
		}
		return a, nil
	}
	return nil, c.wrong(n, "%s is not part of the rules' language", n.Operator)
}

func (c *compiler) conditional(n *ast.ConditionalNode) (*node, error) {
	when, err := c.compile(n.Cond)
	if err != nil {
		return nil, err
	}
	a, err := c.compile(n.Exp1)
	if err != nil {
		return nil, err
	}
	b, err := c.compile(n.Exp2)
	switch {
	case err != nil:
		return nil, err
	case when.kind != KindTruth:
		return nil, c.wrong(n.Cond, "what stands before ? must be a condition, this is a %s", when.kind)
	case a.kind != b.kind || a.kind == KindList:
		return nil, c.wrong(n, "both results must be of one kind, these are a %s and a %s", a.kind, b.kind)
	}
	return either(when, a, b), nil
}

// binary makes an operation of two sides.
func (c *compiler) binary(n *ast.BinaryNode) (*node, error) {
	if n.Operator == "??" {
		c.optional++
	}
	a, err := c.compile(n.Left)
	if n.Operator == "??" {
		c.optional--
	}
	if err != nil {
		return nil, err
	}
	b, err := c.compile(n.Right)
	if err != nil {
		return nil, err
	}
	if err := c.checkWords(n, a, b); err != nil {
		return nil, err
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		for _, side := range []struct {
			at ast.Node
			*node
		}{{n.Left, a}, {n.Right, b}} {
			if side.kind != KindTruth {
				return nil, c.wrong(side.at, "%s joins conditions, this is a %s", n.Operator, side.kind)
			}
		}
		if n.Operator == "and" || n.Operator == "&&" {
			return and(a, b), nil
		}
		return or(a, b), nil
	case "==", "!=":
		if a.kind == KindTruth && b.kind == KindTruth {
			return sameTruth(a, b, n.Operator == "=="), nil
		}
		fallthrough
	case "<", "<=", ">", ">=":
		if a.kind != b.kind || a.kind == KindList || a.kind == KindTruth {
			return nil, c.wrong(n, "a %s cannot be compared with a %s", a.kind, b.kind)
		}
		return compare(n.Operator, a, b), nil
	case "+", "-", "*", "/", "%", "^", "**":
		if a.kind != KindNumber || b.kind != KindNumber {
			return nil, c.wrong(n, "%s needs two numbers, these are a %s and a %s", n.Operator, a.kind, b.kind)
		}
		return arithmetic(n.Operator, a, b), nil
	case "??":
		if a.kind != b.kind {
			return nil, c.wrong(n, "?? needs two values of one kind, these are a %s and a %s", a.kind, b.kind)
		}
		return orElse(a, b), nil
	case "in":
		if a.kind != KindText || b.kind != KindList {
			return nil, c.wrong(n, "in asks whether a text is in a list, such as presence in [\"offline\", \"stale\"]")
		}
		return within(a, b), nil
	case "contains", "startsWith", "endsWith":
		if a.kind != KindText || b.kind != KindText {
			return nil, c.wrong(n, "%s needs two texts, these are a %s and a %s", n.Operator, a.kind, b.kind)
		}
		return compareTexts(a, b, map[string]func(x, y string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[n.Operator]), nil
	case "matches":
		return c.matches(n, a, b)
	}
	return nil, c.wrong(n, "%s is not part of the rules' language", n.Operator)
}

func within(a, b *node) *node {
	return &node{kind: KindTruth, truth: func(v *View) Truth {
		x, ok := a.text(v)
		if !ok {
			return Unknown
		}
		list, ok := b.list(v)
		if !ok {
			return Unknown
		}
		return truthOf(slices.Contains(list, x))
	}}
}

func (c *compiler) matches(n *ast.BinaryNode, a, b *node) (*node, error) {
	pattern, ok := n.Right.(*ast.StringNode)
	if a.kind != KindText || b.kind != KindText || !ok {
		return nil, c.wrong(n, "matches needs a text and a regular expression in quotes")
	}
	re, err := regexp.Compile(pattern.Value)
	if err != nil {
		return nil, c.wrong(n.Right, "is no regular expression: %v", err)
	}
	return compareTexts(a, b, func(x, _ string) bool { return re.MatchString(x) }), nil
}

// checkWords finds words that a text never is: a rule that waits for one would wait for ever.
func (c *compiler) checkWords(n *ast.BinaryNode, a, b *node) error {
	if !slices.Contains([]string{"==", "!=", "in"}, n.Operator) {
		return nil
	}
	for _, side := range []struct {
		known, given *node
		at           ast.Node
	}{{a, b, n.Right}, {b, a, n.Left}} {
		if side.known.fixed != "" || side.known.words == nil || side.given.fixed == "" {
			continue
		}
		given := side.given.words
		if given == nil {
			given = []string{side.given.fixed}
		}
		for _, word := range given {
			if !slices.Contains(side.known.words, word) {
				return c.wrong(side.at, "it is never %q, but one of %s", word, strings.Join(side.known.words, ", "))
			}
		}
	}
	return nil
}

// call makes a function.
func (c *compiler) call(n ast.Node, name string, args []ast.Node) (*node, error) {
	switch name {
	case "has":
		if len(args) != 1 {
			return nil, c.wrong(n, "has needs one name, such as has(custom.paper_level)")
		}
		c.optional++
		a, err := c.named(args[0])
		c.optional--
		if err != nil {
			return nil, err
		}
		return has(a), nil
	case "rate":
		return c.rate(n, args)
	case "abs", "ceil", "floor", "round":
		a, err := c.numberArgs(n, name, args, 1)
		if err != nil {
			return nil, err
		}
		return numberOf(map[string]func(float64) float64{"abs": math.Abs, "ceil": math.Ceil, "floor": math.Floor, "round": math.Round}[name], a[0]), nil
	case "min", "max":
		a, err := c.numberArgs(n, name, args, 2)
		if err != nil {
			return nil, err
		}
		if name == "min" {
			return numbers(math.Min, a[0], a[1]), nil
		}
		return numbers(math.Max, a[0], a[1]), nil
	}
	return nil, c.wrong(n, "there is no function %s: there are has, rate, abs, ceil, floor, round, min and max", name)
}

// named makes what has and rate are about: a name may stand in quotes there.
func (c *compiler) named(n ast.Node) (*node, error) {
	if text, ok := n.(*ast.StringNode); ok {
		if group, field, ok := strings.Cut(text.Value, "."); ok {
			member := &ast.MemberNode{Node: &ast.IdentifierNode{Value: group}, Property: &ast.StringNode{Value: field}}
			member.Node.SetLocation(n.Location())
			return c.name(member)
		}
	}
	return c.compile(n)
}

func (c *compiler) numberArgs(n ast.Node, name string, args []ast.Node, count int) ([]*node, error) {
	if len(args) != count {
		return nil, c.wrong(n, "%s needs %d numbers, not %d", name, count, len(args))
	}
	var out []*node
	for _, arg := range args {
		a, err := c.compile(arg)
		if err != nil {
			return nil, err
		}
		if a.kind != KindNumber {
			return nil, c.wrong(arg, "%s needs a number, this is a %s", name, a.kind)
		}
		out = append(out, a)
	}
	return out, nil
}

func (c *compiler) rate(n ast.Node, args []ast.Node) (*node, error) {
	const example = "such as rate(hardware.disk_usage, \"1h\"), the change an hour over the last hour"
	if len(args) != 2 {
		return nil, c.wrong(n, "rate needs a metric and a time, %s", example)
	}
	length, ok := args[1].(*ast.StringNode)
	if !ok {
		return nil, c.wrong(args[1], "rate needs a time in quotes, %s", example)
	}
	window, err := time.ParseDuration(length.Value)
	if err != nil || window < minWindow || window > maxWindow {
		return nil, c.wrong(args[1], "%q is no time from 1m to 24h", length.Value)
	}
	a, err := c.named(args[0])
	if err != nil {
		return nil, err
	}
	if a.kind != KindNumber || a.metric == "" || lookupDerived(a.metric) != nil {
		return nil, c.wrong(args[0], "rate needs a metric that kiosks report as a number, %s", example)
	}
	w := Window{a.metric, window}
	if !slices.Contains(c.uses.windows, w) {
		c.uses.windows = append(c.uses.windows, w)
	}
	r := rateOf(a.metric, window)
	c.evidence(fmt.Sprintf("rate(%s)", a.metric), r)
	return r, nil
}
