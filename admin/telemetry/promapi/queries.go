package promapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// errCut is the warning of an answer that the client's own limit has cut.
var errCut = errors.New("results truncated due to limit")

// The engine counts nanoseconds since 1970; beyond these instants it would answer for others.
var (
	firstInstant = time.Unix(0, math.MinInt64)
	lastInstant  = time.Unix(0, math.MaxInt64)
)

// checkInstant refuses an instant that the engine does not know.
func checkInstant(name string, t time.Time) error {
	if t.Before(firstInstant) || t.After(lastInstant) {
		return badParameter(name, fmt.Errorf("it is not between %d and %d", firstInstant.Year(), lastInstant.Year()))
	}
	return nil
}

// query answers an expression at one instant.
func (a *API) query(ctx context.Context, r *request, store *modelled) (answer, error) {
	at, err := r.instant("time", a.cfg.Now())
	if err != nil {
		return answer{}, err
	}
	if err := checkInstant("time", at); err != nil {
		return answer{}, err
	}
	return a.run(ctx, r, func(text string, options promql.QueryOpts) (promql.Query, error) {
		return a.engine.NewInstantQuery(ctx, store, options, text, at)
	})
}

// queryRange answers an expression at each step of a range.
func (a *API) queryRange(ctx context.Context, r *request, store *modelled) (answer, error) {
	start, err := r.required("start")
	if err != nil {
		return answer{}, err
	}
	end, err := r.required("end")
	if err != nil {
		return answer{}, err
	}
	if err := cmp.Or(checkInstant("start", start), checkInstant("end", end)); err != nil {
		return answer{}, err
	}
	if end.Before(start) {
		return answer{}, badParameter("end", errors.New("end timestamp must not be before start time"))
	}
	if r.form.Get("step") == "" {
		return answer{}, badParameter("step", errors.New("it is missing; give seconds or a duration such as 1m"))
	}
	step, err := r.duration("step", 0)
	if err != nil {
		return answer{}, err
	}
	if step < time.Millisecond {
		return answer{}, badParameter("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if end.UnixMilli()-start.UnixMilli() > maxPoints*step.Milliseconds() {
		return answer{}, fault(http.StatusBadRequest, "bad_data",
			fmt.Sprintf("exceeded maximum resolution of %d points per timeseries. Try decreasing the query resolution (?step=XX)", maxPoints))
	}
	return a.run(ctx, r, func(text string, options promql.QueryOpts) (promql.Query, error) {
		return a.engine.NewRangeQuery(ctx, store, options, text, start, end, step)
	})
}

// run makes a query with the request's expression and executes it.
func (a *API) run(ctx context.Context, r *request, prepare func(text string, options promql.QueryOpts) (promql.Query, error)) (answer, error) {
	text, err := r.expression()
	if err != nil {
		return answer{}, err
	}
	limit, err := r.limit("limit")
	if err != nil {
		return answer{}, err
	}
	lookback, err := r.duration("lookback_delta", 0)
	if err != nil {
		return answer{}, err
	}
	query, err := prepare(text, promql.NewPrometheusQueryOpts(false, lookback, nil))
	if err != nil {
		return answer{}, badParameter("query", err)
	}
	r.onFinish(query.Close) // it takes the values back to use them again
	if err := a.checkCost(query.Statement()); err != nil {
		return answer{}, err
	}
	result := query.Exec(ctx)
	if result.Err != nil {
		return answer{}, result.Err
	}
	out := answer{data: result.Value, query: text, notes: result.Warnings}
	switch v := result.Value.(type) {
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			out.data = v[:limit]
			out.notes.Add(errCut)
		}
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			out.data = v[:limit]
			out.notes.Add(errCut)
		}
	}
	return out, nil
}

// formatQuery writes an expression in the usual form.
func (a *API) formatQuery(_ context.Context, r *request) (answer, error) {
	text, err := r.expression()
	if err != nil {
		return answer{}, err
	}
	expr, err := a.parser.ParseExpr(text)
	if err != nil {
		return answer{}, badParameter("query", err)
	}
	return answer{data: expr.Pretty(0)}, nil
}

// exemplars answers that there are none: readings carry no traces. Grafana asks for them beside a query.
func (a *API) exemplars(context.Context, *request) (answer, error) {
	return answer{data: []struct{}{}}, nil
}
