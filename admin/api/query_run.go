package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// queryTimeout bounds how long a question for time series may take.
	queryTimeout = 30 * time.Second
	// maxQueryPoints bounds the points of a whole answer in JSON.
	maxQueryPoints = 300_000
)

// result is a series or formula of an answer.
type result struct {
	name, metric, unit, agg, groupBy, source string
	groups                                   []NamedSeries
}

func (s *Server) query(c echo.Context) error {
	var req queryRequest
	if err := bodyUpTo(c, maxQueryBodyBytes, &req); err != nil {
		return err
	}
	q, err := req.check(s.cfg.Now().UTC())
	if err != nil {
		return err
	}
	csv, err := wantsCSV(c)
	if err != nil {
		return err
	}
	if csv && q.histogram != nil {
		return fleet.Invalid("histogram", "is not available as CSV")
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), queryTimeout)
	defer cancel()
	if err := s.checkMetrics(ctx, q); err != nil {
		return err
	}
	if csv && len(q.math) == 0 && q.top == nil {
		return s.exportQuery(c, q)
	}
	results, err := s.runQuery(ctx, q)
	if err != nil {
		return slow(err)
	}
	if csv {
		return writeCSV(c, results)
	}
	out := viewQuery(q, req.Step, results)
	if q.histogram != nil {
		if out.Histogram, err = s.histogram(ctx, q); err != nil {
			return slow(err)
		}
	}
	return newPointWriter(c).query(out, results)
}

// slow adds advice to an answer that took too long.
func slow(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: more than %s; ask for a shorter range, fewer kiosks, or a step of whole multiples of 5m, for which there are rollups", err, queryTimeout)
	}
	return err
}

// checkMetrics fails with fleet.ErrNotFound and near names when a metric is neither known nor stored.
func (s *Server) checkMetrics(ctx context.Context, q query) error {
	var metrics []string
	for _, one := range q.series {
		metrics = append(metrics, one.Metric)
	}
	if q.histogram != nil {
		metrics = append(metrics, q.histogram.Metric)
	}
	for _, m := range metrics {
		if err := s.checkKnown(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) checkKnown(ctx context.Context, metric string) error {
	if _, known := protocol.LookupMetric(metric); known {
		return nil
	}
	stored, err := s.cfg.Series.Metrics(ctx, metric)
	if err != nil {
		return err
	}
	if slices.Contains(stored, metric) {
		return nil
	}
	all := stored
	for _, m := range protocol.StoredMetrics() {
		if m.Kind == protocol.KindGauge && !slices.Contains(stored, m.Name) {
			all = append(all[:len(all):len(all)], m.Name)
		}
	}
	if near := nearest(metric, all); len(near) > 0 {
		return fmt.Errorf("metric %s: %w; near names are %s", metric, fleet.ErrNotFound, strings.Join(near, ", "))
	}
	return fmt.Errorf("metric %s: %w; no kiosk has sent it (%s/metrics lists the known ones)", metric, fleet.ErrNotFound, Prefix)
}

// runQuery asks for every series and computes what is made of them.
func (s *Server) runQuery(ctx context.Context, q query) ([]result, error) {
	var results []result
	points := 0
	for _, one := range q.series {
		r, err := s.runSeries(ctx, q, one, s.groupsOf(one))
		if err != nil {
			return nil, err
		}
		for _, g := range r.groups {
			points += len(g.Points)
		}
		if points > maxQueryPoints {
			return nil, fleet.Invalid("series", "the answer has more than %d points; use a larger step, fewer kiosks or series, or ask for CSV", maxQueryPoints)
		}
		results = append(results, r)
	}
	for _, f := range q.math {
		results = append(results, f.apply(results))
	}
	if q.top != nil {
		q.top.keep(results)
	}
	return results, nil
}

func (s *Server) runSeries(ctx context.Context, q query, one seriesRequest, groups []Group) (result, error) {
	info, _ := protocol.LookupMetric(one.Metric)
	r := result{name: one.Name, metric: one.Metric, unit: unitOf(info.Unit, one.Agg), agg: one.Agg, groupBy: one.GroupBy, source: "raw"}
	if len(groups) == 0 {
		return r, nil
	}
	question := Range{Metric: one.Metric, From: q.from, To: q.to, Step: q.step, Aggregate: one.Agg, Zone: q.zone}
	if one.GroupBy == byKiosk {
		for _, g := range groups {
			question.Serials = append(question.Serials, g.Name)
		}
	} else {
		question.Groups = groups
	}
	answer, err := s.cfg.Series.Range(ctx, question)
	if err != nil {
		return r, err
	}
	r.source = answer.Source
	r.groups = slices.DeleteFunc(answer.Series, func(g NamedSeries) bool { return len(g.Points) == 0 })
	return r, nil
}

// unitOf returns the unit of an aggregate of a metric in that unit.
func unitOf(unit, aggregate string) string {
	switch aggregate {
	case "count":
		return ""
	case "rate":
		return unit + "/s"
	}
	return unit
}

// groupsOf returns the kiosks of a series by group, sorted by name; by kiosk each is its own group. The
// registry says which kiosk belongs where, as it is now.
func (s *Server) groupsOf(one seriesRequest) []Group {
	members := map[string][]string{}
	for _, k := range s.kiosksOf(one.Kiosks) {
		var names []string
		switch one.GroupBy {
		case bySite:
			names = []string{k.Site}
		case byTag:
			names = k.Tags
		case byModel:
			names = []string{k.Model}
		case byAll:
			names = []string{byAll}
		default:
			names = []string{k.Serial}
		}
		for _, name := range names {
			members[name] = append(members[name], k.Serial)
		}
	}
	out := make([]Group, 0, len(members))
	for name, serials := range members {
		slices.Sort(serials)
		out = append(out, Group{Name: name, Serials: serials})
	}
	slices.SortFunc(out, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s *Server) kiosksOf(f kiosksFilter) []*fleet.Kiosk {
	var wanted map[string]bool
	if f.Serials != nil {
		wanted = make(map[string]bool, len(f.Serials))
		for _, serial := range f.Serials {
			wanted[serial] = true
		}
	}
	var out []*fleet.Kiosk
	for _, k := range s.cfg.Registry.All() {
		if (wanted == nil || wanted[k.Serial]) && (f.Site == nil || k.Site == *f.Site) &&
			(f.Tag == "" || slices.Contains(k.Tags, f.Tag)) && (f.Model == nil || k.Model == *f.Model) {
			out = append(out, k)
		}
	}
	return out
}

// apply computes a formula, window by window, of groups with the same name; a side that has all kiosks in one
// group goes with every group of the other. Where a side has no value or the divisor is 0 there is none.
func (f formula) apply(results []result) result {
	find := func(name string) *result {
		return &results[slices.IndexFunc(results, func(r result) bool { return r.name == name })]
	}
	left, right := find(f.left), find(f.right)
	out := result{name: f.name, groupBy: left.groupBy, source: mixed(left.source, right.source)}
	if f.op == '+' || f.op == '-' {
		if left.unit == right.unit {
			out.unit = left.unit
		}
	}
	pair := func(name string, a, b []Point) {
		if points := f.points(a, b); len(points) > 0 {
			out.groups = append(out.groups, NamedSeries{Name: name, Points: points})
		}
	}
	byName := func(r *result) map[string][]Point {
		m := make(map[string][]Point, len(r.groups))
		for _, g := range r.groups {
			m[g.Name] = g.Points
		}
		return m
	}
	switch {
	case right.groupBy == byAll && left.groupBy != byAll && len(right.groups) == 1:
		for _, g := range left.groups {
			pair(g.Name, g.Points, right.groups[0].Points)
		}
	case left.groupBy == byAll && right.groupBy != byAll && len(left.groups) == 1:
		out.groupBy = right.groupBy
		for _, g := range right.groups {
			pair(g.Name, left.groups[0].Points, g.Points)
		}
	default:
		other := byName(right)
		for _, g := range left.groups {
			pair(g.Name, g.Points, other[g.Name])
		}
	}
	return out
}

func (f formula) points(a, b []Point) []Point {
	var out []Point
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch d := a[i].Time.Compare(b[j].Time); {
		case d < 0:
			i++
		case d > 0:
			j++
		default:
			if v := f.value(a[i].Value, b[j].Value); !math.IsNaN(v) && !math.IsInf(v, 0) {
				out = append(out, Point{a[i].Time, v})
			}
			i++
			j++
		}
	}
	return out
}

func (f formula) value(a, b float64) float64 {
	switch f.op {
	case '+':
		return a + b
	case '-':
		return a - b
	case '*':
		return a * b
	}
	return a / b
}

func mixed(a, b string) string {
	if a == b {
		return a
	}
	return "mixed"
}

// keep leaves the best groups of the series that the top is of, best first, and the same groups of every
// other one that is grouped likewise.
func (t *topRequest) keep(results []result) {
	of := &results[slices.IndexFunc(results, func(r result) bool { return r.name == t.Of })]
	ranked := slices.Clone(of.groups)
	slices.SortStableFunc(ranked, func(a, b NamedSeries) int {
		x, y := t.score(a.Points), t.score(b.Points)
		if t.Order == "desc" {
			x, y = y, x
		}
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	place := map[string]int{}
	for i, g := range ranked[:min(t.K, len(ranked))] {
		place[g.Name] = i
	}
	for i := range results {
		if results[i].groupBy != of.groupBy {
			continue
		}
		kept := slices.DeleteFunc(slices.Clone(results[i].groups), func(g NamedSeries) bool {
			_, ok := place[g.Name]
			return !ok
		})
		slices.SortFunc(kept, func(a, b NamedSeries) int { return place[a.Name] - place[b.Name] })
		results[i].groups = kept
	}
}

func (t *topRequest) score(points []Point) float64 {
	switch t.By {
	case "last":
		return points[len(points)-1].Value
	case "max":
		return slices.MaxFunc(points, func(a, b Point) int {
			if a.Value < b.Value {
				return -1
			}
			return 1
		}).Value
	}
	mean := 0.0
	for _, p := range points {
		mean += p.Value / float64(len(points))
	}
	return mean
}
