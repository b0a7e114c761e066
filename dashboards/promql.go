package dashboards

import (
	"fmt"
	"slices"
	"strings"

	"kioskfleet/admin/telemetry/embedded"
)

// promql writes queries for the embedded store.
type promql struct{}

func (promql) name() string       { return "prometheus" }
func (promql) datasource() string { return "prometheus" }

// has reports whether the label exists: all do.
func (promql) has(string) bool { return true }

// variable returns the query that lists a label's values, within what the variables before it chose.
func (promql) variable(v Variable, before []Variable) any {
	return object{"query": fmt.Sprintf("label_values(%s, %s)", selector(reporting, before), v.Label), "refId": v.Label}
}

// selector names the series of a metric that the variables choose.
func selector(metric string, chosen []Variable) string {
	var conditions []string
	for _, v := range chosen {
		conditions = append(conditions, fmt.Sprintf(`%s=~"$%s"`, v.Label, v.Label))
	}
	if len(conditions) == 0 {
		return embedded.SeriesName(metric)
	}
	return embedded.SeriesName(metric) + "{" + strings.Join(conditions, ",") + "}"
}

var overTime = map[Aggregate]string{Mean: "avg_over_time", Min: "min_over_time", Max: "max_over_time", Last: "last_over_time"}

// expression writes a query.
func (promql) expression(q Query, chosen []Variable, window string) string {
	series := selector(q.Metric, chosen)
	by := ""
	if len(q.By) > 0 {
		by = " by (" + strings.Join(q.By, ", ") + ")"
	}
	inWindow := func(function string) string { return function + "(" + series + "[" + window + "])" }
	// A kiosk that moved has a series for each site, and is still one kiosk.
	perKiosk := func() string {
		labels := append([]string{"serial"}, slices.DeleteFunc(slices.Clone(q.By), func(l string) bool { return l == "serial" })...)
		return "max by (" + strings.Join(labels, ", ") + ") (" + inWindow(overTime[q.Over]) + ")"
	}
	switch {
	case q.State:
		return "clamp_max(" + "sum(count_over_time(" + selector(reporting, chosen) + "[" + window + "])), 1)"
	case q.Hourly:
		return "avg" + by + " (deriv(" + series + "[$__rate_interval])) * 3600"
	case q.Top > 0:
		return fmt.Sprintf("topk(%d, %s)", q.Top, perKiosk())
	case q.Across == P95:
		return "quantile" + by + " (0.95, " + perKiosk() + ")"
	case q.Across != Pool:
		return string(q.Across) + by + " (" + perKiosk() + ")"
	case q.Over == Mean:
		return "sum" + by + " (" + inWindow("sum_over_time") + ") / sum" + by + " (" + inWindow("count_over_time") + ")"
	case q.Over == Min:
		return "min" + by + " (" + inWindow("min_over_time") + ")"
	}
	return "max" + by + " (" + inWindow(overTime[q.Over]) + ")"
}

// targets returns a panel's queries as Grafana's data source has them.
func (p promql) targets(panel Panel, chosen []Variable) []object {
	queries := panel.Queries
	if queries[0].State {
		queries = queries[:1] // there is one answer to whether there are readings
	}
	var all []object
	for i, q := range queries {
		instant := panel.wholeRange()
		window := "$__interval"
		if instant {
			window = "$__range"
		}
		legend := q.Name
		if q.State {
			legend = "Readings"
		}
		if legend == "" {
			for _, label := range q.By {
				legend += "{{" + label + "}}"
			}
		}
		target := object{
			"refId": refID(i), "expr": p.expression(q, chosen, window), "instant": instant, "range": !instant,
			"legendFormat": legend, "format": "time_series", "editorMode": "code",
		}
		if panel.Kind == KindTable {
			target["format"] = "table"
		}
		all = append(all, target)
	}
	return all
}
