package promapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// storedLabelBytes is more than the value of any stored label has.
	storedLabelBytes = 128
	// maxLabelBytes bounds the values that an expression makes of labels, for each series.
	maxLabelBytes = 2 << 10
)

// checkCost refuses a statement that could end the process for want of memory, where the engine looks at nothing
// before it takes it: neither at the number of samples nor at time or client.
func (a *API) checkCost(stmt parser.Statement) error {
	s, ok := stmt.(*parser.EvalStmt)
	switch {
	case !ok:
		return nil
	case subquerySteps(s.Expr, s.End.Sub(s.Start).Seconds()) > float64(a.cfg.MaxSamples):
		return fault(http.StatusUnprocessableEntity, "execution",
			fmt.Sprintf("the subqueries have more than %d steps; give them a larger step or a shorter range, or raise prometheus.max_samples", a.cfg.MaxSamples))
	case longestLabel(s.Expr) > maxLabelBytes:
		return badParameter("query", errors.New("label_join and label_replace could make labels too long; nest fewer of them, or join fewer labels"))
	}
	return nil
}

// subquerySteps returns how many steps all subqueries of an expression have that is asked for a span of time. It counts
// in floating point, since ranges add up to more than a Duration holds.
func subquerySteps(node parser.Node, seconds float64) (steps float64) {
	if sub, ok := node.(*parser.SubqueryExpr); ok {
		seconds += sub.Range.Seconds()
		steps = seconds / cmp.Or(sub.Step, subqueryStep).Seconds()
	}
	for child := range parser.ChildrenIter(node) {
		steps += subquerySteps(child, seconds)
	}
	return steps
}

// longestLabel returns how many bytes the value of a label may have in what an expression gives. It counts in floating
// point, since each call within another may multiply them.
func longestLabel(node parser.Node) float64 {
	longest := float64(storedLabelBytes)
	for child := range parser.ChildrenIter(node) {
		longest = max(longest, longestLabel(child))
	}
	call, ok := node.(*parser.Call)
	if !ok {
		return longest
	}
	switch call.Func.Name {
	case "label_join": // vector, name, separator, labels
		if joined := float64(len(call.Args) - 3); joined > 0 {
			longest = max(longest, joined*(longest+float64(len(textOf(call.Args[2])))))
		}
	case "label_replace": // vector, name, replacement, label, regular expression
		replacement := textOf(call.Args[2])
		longest = max(longest, float64(len(replacement))+longest*float64(strings.Count(replacement, "$")))
	}
	return longest
}

// textOf returns the text of an argument that is one.
func textOf(e parser.Expr) string {
	for {
		switch inner := e.(type) {
		case *parser.StringLiteral:
			return inner.Val
		case *parser.ParenExpr:
			e = inner.Expr
		case *parser.StepInvariantExpr:
			e = inner.Expr
		default:
			return ""
		}
	}
}
