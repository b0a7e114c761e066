package promapi

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/internal/protocol"
)

// maxResults bounds the series, labels or values of one answer that the client has not bounded itself.
const maxResults = 100_000

// prometheusVersion is the version of Prometheus whose engine and API this is; clients look at it to know
// what they may ask.
const prometheusVersion = "3.16.0"

// cut applies the client's limit to n results. Without one, too many are an error.
func cut(n, limit int, notes *annotations.Annotations) (int, error) {
	switch {
	case limit > 0 && n > limit:
		notes.Add(errCut)
		return limit, nil
	case limit == 0 && n > maxResults:
		return 0, fault(http.StatusUnprocessableEntity, "execution",
			fmt.Sprintf("there are more than %d results; narrow match[], ask for a shorter range, or set limit to get the first ones", maxResults))
	}
	return n, nil
}

// enough is a limit for the store: one more than is wanted, to tell whether there are more.
func enough(limit int) int {
	if limit == 0 {
		return maxResults + 1
	}
	return limit + 1
}

// series lists the series that match one of the selectors and have points in the range.
func (a *API) series(ctx context.Context, r *request, store *modelled) (answer, error) {
	if len(r.form["match[]"]) == 0 {
		return answer{}, fault(http.StatusBadRequest, "bad_data", "no match[] parameter provided")
	}
	q, err := a.ask(r, store)
	if err != nil {
		return answer{}, err
	}
	defer q.Close()
	hints := &storage.SelectHints{Start: q.from, End: q.to, Func: "series", Limit: enough(q.limit)} // the function says that no points are needed
	all := []labels.Labels{}
	var notes annotations.Annotations
	// One selector after the other, not sorted and merged: a hundred of them may each select everything.
	seen := map[string]struct{}{}
	for _, matchers := range q.selectors {
		set := q.Select(ctx, false, hints, matchers...)
		for n := 1; len(all) < enough(q.limit) && set.Next(); n++ {
			one := set.At().Labels() // a copy, which outlives the querier
			key := string(one.Bytes(nil))
			if _, known := seen[key]; !known {
				seen[key] = struct{}{}
				all = append(all, one)
			}
			if n%checkEvery == 0 && ctx.Err() != nil {
				return answer{}, ctx.Err()
			}
		}
		if err := set.Err(); err != nil {
			return answer{}, err
		}
		notes.Merge(set.Warnings())
	}
	n, err := cut(len(all), q.limit, &notes)
	if err != nil {
		return answer{}, err
	}
	slices.SortFunc(all, labels.Compare)
	return answer{data: all[:n], notes: notes}, nil
}

// labelNames lists the names of labels.
func (a *API) labelNames(ctx context.Context, r *request, store *modelled) (answer, error) {
	return a.texts(r, store, func(q *question, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, hints, matchers...)
	})
}

// labelValues lists the values of one label.
func (a *API) labelValues(ctx context.Context, r *request, store *modelled) (answer, error) {
	name := r.path("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return answer{}, fault(http.StatusBadRequest, "bad_data", fmt.Sprintf("invalid label name: %q", name))
	}
	return a.texts(r, store, func(q *question, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, hints, matchers...)
	})
}

// texts puts together what list finds for each of the selectors, or for none if there is none.
func (a *API) texts(r *request, store *modelled, list func(*question, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error)) (answer, error) {
	q, err := a.ask(r, store)
	if err != nil {
		return answer{}, err
	}
	defer q.Close()
	if len(q.selectors) == 0 {
		q.selectors = append(q.selectors, nil)
	}
	all := []string{}
	var notes annotations.Annotations
	for _, matchers := range q.selectors {
		some, more, err := list(q, &storage.LabelHints{Limit: enough(q.limit)}, matchers...)
		if err != nil {
			return answer{}, err
		}
		notes.Merge(more)
		for _, text := range some {
			all = append(all, strings.Clone(text)) // the store's are gone with the querier
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	n, err := cut(len(all), q.limit, &notes)
	if err != nil {
		return answer{}, err
	}
	return answer{data: all[:n], notes: notes}, nil
}

// question is a querier with what the request asks of it.
type question struct {
	storage.Querier
	selectors [][]*labels.Matcher
	from, to  int64 // Unix ms, both included
	limit     int   // 0: none
}

func (a *API) ask(r *request, store *modelled) (*question, error) {
	q := &question{}
	var err error
	if q.limit, err = r.limit("limit"); err != nil {
		return nil, err
	}
	if q.from, q.to, err = r.span(); err != nil {
		return nil, err
	}
	if q.selectors, err = r.matchers(a.parser); err != nil {
		return nil, err
	}
	q.Querier, err = store.Querier(q.from, q.to)
	return q, err
}

// metricInfo is what the catalogue knows of a metric.
type metricInfo struct {
	Type string `json:"type"`
	Unit string `json:"unit"`
	Help string `json:"help"`
}

// metadata lists the numeric metrics of the catalogue under the names of their series.
func (a *API) metadata(_ context.Context, r *request) (answer, error) {
	limit, err := r.limit("limit")
	if err != nil {
		return answer{}, err
	}
	if _, err := r.limit("limit_per_metric"); err != nil { // there is never more than one
		return answer{}, err
	}
	found := map[string][]metricInfo{}
	for _, m := range protocol.StoredMetrics() {
		name := embedded.SeriesName(m.Name)
		if m.Kind != protocol.KindGauge || limit > 0 && len(found) == limit {
			continue
		}
		if wanted := r.form.Get("metric"); wanted == "" || wanted == name {
			found[name] = []metricInfo{{"gauge", embedded.UnitName(m.Name), m.Text}}
		}
	}
	return answer{data: found}, nil
}

// buildInfo says which Prometheus to take this for.
func (a *API) buildInfo(context.Context, *request) (answer, error) {
	return answer{data: map[string]string{
		"version": prometheusVersion, "revision": "kioskfleet-" + a.cfg.Version, "branch": "",
		"buildUser": "", "buildDate": "", "goVersion": runtime.Version(),
	}}, nil
}
