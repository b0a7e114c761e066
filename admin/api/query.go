package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Bounds of a query.
const (
	maxQuerySeries   = 20
	maxQueryMath     = 20
	maxQuerySerials  = 5000
	maxQueryRange    = 10 * 366 * 24 * time.Hour
	maxQueryName     = 64
	maxTop           = 1000
	maxHistogramBins = 200
	defaultBins      = 10
)

// How kiosks are put together.
const (
	byKiosk = "kiosk"
	bySite  = "site"
	byTag   = "tag"
	byModel = "model"
	byAll   = "all"
)

// queryRequest is the body of POST /query.
type queryRequest struct {
	From      string            `json:"from"`
	To        string            `json:"to"`
	Step      string            `json:"step"`
	TZ        string            `json:"tz"`
	Series    []seriesRequest   `json:"series"`
	Math      []mathRequest     `json:"math"`
	Top       *topRequest       `json:"top"`
	Histogram *histogramRequest `json:"histogram"`
}

type seriesRequest struct {
	Name    string       `json:"name"`
	Metric  string       `json:"metric"`
	Agg     string       `json:"agg"`
	Kiosks  kiosksFilter `json:"kiosks"`
	GroupBy string       `json:"group_by"`
}

// kiosksFilter selects kiosks that have everything it names; an empty one selects all.
type kiosksFilter struct {
	Serials []string `json:"serials"`
	Site    *string  `json:"site"` // "" selects those without one
	Tag     string   `json:"tag"`
	Model   *string  `json:"model"`
}

type mathRequest struct {
	Name string `json:"name"`
	Expr string `json:"expr"`
}

type topRequest struct {
	Of    string `json:"of"`
	K     int    `json:"k"`
	By    string `json:"by"`
	Order string `json:"order"`
}

type histogramRequest struct {
	Metric  string       `json:"metric"`
	At      string       `json:"at"`
	Buckets int          `json:"buckets"`
	Kiosks  kiosksFilter `json:"kiosks"`
}

// query is a checked request. The registry has not been asked yet.
type query struct {
	from, to  time.Time
	step      time.Duration
	zone      *time.Location
	series    []seriesRequest
	math      []formula
	top       *topRequest
	histogram *histogramRequest
	at        time.Time
}

// window reads what a question for a time has: from, to, step and tz.
func window(from, to, step, tz string, now time.Time) (q query, err error) {
	if q.to, err = instant("to", to, now, now); err != nil {
		return q, err
	}
	if q.from, err = instant("from", from, now, q.to.Add(-defaultRange)); err != nil {
		return q, err
	}
	switch d := q.to.Sub(q.from); {
	case d <= 0:
		return q, fleet.Invalid("from", "%s is not before to, %s", q.from.Format(time.RFC3339), q.to.Format(time.RFC3339))
	case d > maxQueryRange:
		return q, fleet.Invalid("from", "more than ten years before to; ask for less at once")
	}
	if q.step, err = optionalDuration("step", step, 0); err != nil {
		return q, err
	}
	if tz != "" {
		if q.zone, err = zone(tz); err != nil {
			return q, err
		}
	}
	return q, nil
}

// zone looks up the name of a time zone.
func zone(name string) (*time.Location, error) {
	// Local is the server's own; a name that looks like a path is nobody's zone.
	if name != "Local" && len(name) <= maxQueryName && !strings.Contains(name, "..") {
		if loc, err := time.LoadLocation(name); err == nil {
			return loc, nil
		}
	}
	return nil, fleet.Invalid("tz", "%q is not a time zone such as Europe/Madrid or UTC", name)
}

// check returns the query that a request is, or all its faults.
func (r *queryRequest) check(now time.Time) (query, error) {
	q, err := window(r.From, r.To, r.Step, r.TZ, now)
	if err != nil {
		return q, err
	}
	var v fleet.Violations
	if len(r.Series) == 0 && r.Histogram == nil {
		v.Add("series", "is empty; ask for at least one series, or for a histogram")
	}
	if len(r.Series) > maxQuerySeries {
		v.Add("series", "has %d series, at most %d are allowed", len(r.Series), maxQuerySeries)
	}
	if len(r.Math) > maxQueryMath {
		v.Add("math", "has %d formulas, at most %d are allowed", len(r.Math), maxQueryMath)
	}
	if err := v.Err(); err != nil {
		return q, err
	}
	names := map[string]bool{}
	for i := range r.Series {
		s := r.Series[i]
		s.check(fmt.Sprintf("series[%d]", i), q.step, names, &v)
		q.series = append(q.series, s)
	}
	for i, m := range r.Math {
		field := fmt.Sprintf("math[%d]", i)
		f, err := parseFormula(m, names)
		if err != nil {
			v.Add(field, "%v", err)
		} else if q.step == 0 {
			v.Add(field, "needs a step, such as 5m")
		}
		checkName(field+".name", m.Name, names, &v)
		q.math = append(q.math, f)
	}
	if r.Top != nil {
		top := *r.Top
		top.check(names, &v)
		q.top = &top
	}
	if r.Histogram != nil {
		h := *r.Histogram
		if q.at, err = instant("histogram.at", h.At, now, now); err != nil {
			return q, err
		}
		if h.Buckets == 0 {
			h.Buckets = defaultBins
		}
		if h.Buckets < 1 || h.Buckets > maxHistogramBins {
			v.Add("histogram.buckets", "must be from 1 to %d", maxHistogramBins)
		}
		checkMetric("histogram.metric", h.Metric, &v)
		h.Kiosks.check("histogram.kiosks", &v)
		q.histogram = &h
	}
	return q, v.Err()
}

func (s *seriesRequest) check(field string, step time.Duration, names map[string]bool, v *fleet.Violations) {
	if s.Name == "" {
		s.Name = fmt.Sprintf("s%d", len(names)+1)
	}
	checkName(field+".name", s.Name, names, v)
	checkMetric(field+".metric", s.Metric, v)
	if s.GroupBy == "" {
		s.GroupBy = byKiosk
	}
	if groups := []string{byKiosk, bySite, byTag, byModel, byAll}; !slices.Contains(groups, s.GroupBy) {
		v.Add(field+".group_by", "%q is unknown, use one of %v", s.GroupBy, groups)
	}
	switch {
	case step == 0 && s.Agg != "":
		v.Add(field+".agg", "needs a step, such as 5m")
	case step == 0 && s.GroupBy != byKiosk:
		v.Add(field+".group_by", "%s needs a step, such as 5m", s.GroupBy)
	case step > 0 && s.Agg == "":
		s.Agg = "mean"
	}
	s.Kiosks.check(field+".kiosks", v)
}

func (f *kiosksFilter) check(field string, v *fleet.Violations) {
	if len(f.Serials) > maxQuerySerials {
		v.Add(field+".serials", "has %d serials, at most %d are allowed; select by site, tag or model instead", len(f.Serials), maxQuerySerials)
	}
	for i, serial := range f.Serials {
		if err := protocol.CheckSerial(serial); err != nil {
			v.Add(fmt.Sprintf("%s.serials[%d]", field, i), "%v", err)
			return // one says enough
		}
	}
}

func (t *topRequest) check(names map[string]bool, v *fleet.Violations) {
	if !names[t.Of] {
		v.Add("top.of", "%q is no series or formula of this query", t.Of)
	}
	if t.K == 0 {
		t.K = 10
	}
	if t.K < 1 || t.K > maxTop {
		v.Add("top.k", "must be from 1 to %d", maxTop)
	}
	if t.By == "" {
		t.By = "mean"
	}
	if !slices.Contains([]string{"max", "mean", "last"}, t.By) {
		v.Add("top.by", "%q is unknown, use max, mean or last", t.By)
	}
	if t.Order == "" {
		t.Order = "desc"
	}
	if t.Order != "desc" && t.Order != "asc" {
		v.Add("top.order", "%q is unknown, use desc or asc", t.Order)
	}
}

// checkName checks the name of a series or formula and takes it.
func checkName(field, name string, names map[string]bool, v *fleet.Violations) {
	switch {
	case !isName(name):
		v.Add(field, "%q is not a name of letters, digits and underscores that begins with a letter", name)
	case names[name]:
		v.Add(field, "%q is taken", name)
	}
	names[name] = true
}

func isName(s string) bool {
	if s == "" || len(s) > maxQueryName {
		return false
	}
	for i, r := range []byte(s) {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return true
}

func checkMetric(field, metric string, v *fleet.Violations) {
	switch info, _ := protocol.LookupMetric(metric); {
	case metric == "":
		v.Add(field, "is missing; name one such as hardware.cpu_temp (%s/metrics lists the known ones)", Prefix)
	case !protocol.ValidMetricName(metric):
		v.Add(field, "%q is not a metric's name; they look like hardware.cpu_temp", metric)
	case info.Kind == protocol.KindState:
		v.Add(field, "%s is a state, not a number", metric)
	}
}

// formula is a/b, a+b, a-b or a*b of two series.
type formula struct {
	name, left, right string
	op                byte
}

func parseFormula(m mathRequest, names map[string]bool) (formula, error) {
	at := strings.IndexAny(m.Expr, "+-*/")
	if at < 0 || len(m.Expr) > 3*maxQueryName {
		return formula{}, fmt.Errorf("an expression is one of a/b, a-b, a+b, a*b, with names of series")
	}
	f := formula{name: m.Name, left: strings.TrimSpace(m.Expr[:at]), op: m.Expr[at], right: strings.TrimSpace(m.Expr[at+1:])}
	for _, name := range []string{f.left, f.right} {
		if !names[name] {
			return f, fmt.Errorf("%q is no series or earlier formula of this query; an expression is one of a/b, a-b, a+b, a*b", name)
		}
	}
	return f, nil
}
