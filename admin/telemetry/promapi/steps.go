package promapi

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/prometheus/prometheus/promql/parser"
)

// checkSteps refuses a statement whose subqueries have more steps than a query may have samples. The engine takes
// memory for each step of a subquery before it looks at samples, time or the client: one of a thousand years by the
// millisecond would end the process.
func (a *API) checkSteps(stmt parser.Statement) error {
	s, ok := stmt.(*parser.EvalStmt)
	if !ok || subquerySteps(s.Expr, s.End.Sub(s.Start).Seconds()) <= float64(a.cfg.MaxSamples) {
		return nil
	}
	return fault(http.StatusUnprocessableEntity, "execution",
		fmt.Sprintf("the subqueries have more than %d steps; give them a larger step or a shorter range, or raise prometheus.max_samples", a.cfg.MaxSamples))
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
