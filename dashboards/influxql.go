package dashboards

import (
	"fmt"
	"strings"
)

// influxql writes queries for InfluxDB, with the measurement and the tags of admin/telemetry/influx.
type influxql struct{}

func (influxql) name() string       { return "influxdb" }
func (influxql) datasource() string { return "influxdb" }

// has reports whether there is such a tag.
func (influxql) has(label string) bool { return label == "serial" || label == "site" }

// measurement is the adapter's; a test holds the two together, by running the queries.
const measurement = `"kiosk_telemetry"`

func (influxql) variable(v Variable, before []Variable) any {
	query := fmt.Sprintf(`SHOW TAG VALUES FROM %s WITH KEY = "%s"`, measurement, v.Label)
	if conditions := conditions(before); len(conditions) > 0 {
		query += " WHERE " + strings.Join(conditions, " AND ")
	}
	return query
}

// conditions are what the variables choose.
func conditions(chosen []Variable) []string {
	var all []string
	for _, v := range chosen {
		all = append(all, fmt.Sprintf(`"%s" =~ /^$%s$/`, v.Label, v.Label))
	}
	return all
}

// from is the part of a statement that names the chosen points of the time range.
func from(chosen []Variable) string {
	return " FROM " + measurement + " WHERE " + strings.Join(append(conditions(chosen), "$timeFilter"), " AND ")
}

// groupBy is the end of a statement with a value for each window, if there are several, and each label's value.
func groupBy(windows bool, labels ...string) string {
	var parts []string
	if windows {
		parts = append(parts, "time($__interval)")
	}
	for _, l := range labels {
		parts = append(parts, `"`+l+`"`)
	}
	if len(parts) == 0 {
		return ""
	}
	text := " GROUP BY " + strings.Join(parts, ", ")
	if windows {
		text += " fill(null)" // a gap stays a gap
	}
	return text
}

// reduce writes an aggregate of a field.
func reduce(a Aggregate, field string) string {
	if a == P95 {
		return `percentile("` + field + `", 95)`
	}
	return string(a) + `("` + field + `")`
}

func (influxql) expression(q Query, chosen []Variable, windows bool) string {
	inner := func() string {
		labels := q.By
		if !strings.Contains(strings.Join(labels, " "), "serial") {
			labels = append([]string{"serial"}, labels...)
		}
		return "(SELECT " + reduce(q.Over, q.Metric) + ` AS "v"` + from(chosen) + strings.Replace(groupBy(windows, labels...), "fill(null)", "fill(none)", 1) + ")"
	}
	switch {
	case q.State:
		return `SELECT "` + q.Metric + `" AS "` + q.Name + `"` + from(chosen)
	case q.Hourly:
		return "SELECT derivative(" + reduce(q.Over, q.Metric) + ", 1h)" + from(chosen) + groupBy(windows, q.By...)
	case q.Top > 0:
		return fmt.Sprintf(`SELECT top("v", "serial", %d) AS "v" FROM %s WHERE $timeFilter`, q.Top, inner())
	case q.Across != Pool:
		return "SELECT " + reduce(q.Across, "v") + " FROM " + inner() + " WHERE $timeFilter" + groupBy(windows, q.By...)
	}
	return "SELECT " + reduce(q.Over, q.Metric) + from(chosen) + groupBy(windows, q.By...)
}

func (p influxql) targets(panel Panel, chosen []Variable) []object {
	if panel.Kind == KindTable { // one statement has all columns
		var columns []string
		for _, q := range panel.Queries {
			columns = append(columns, reduce(q.Over, q.Metric)+` AS "`+q.Name+`"`)
		}
		return []object{target(0, "SELECT "+strings.Join(columns, ", ")+from(chosen)+groupBy(false, panel.Queries[0].By...), "table", "")}
	}
	var all []object
	for i, q := range panel.Queries {
		alias := q.Name
		if alias == "" {
			for _, label := range q.By {
				alias += "$tag_" + label
			}
		}
		format := "time_series"
		if q.Top > 0 { // the serial is a column
			format, alias = "table", ""
		}
		all = append(all, target(i, p.expression(q, chosen, !panel.wholeRange()), format, alias))
	}
	return all
}

func target(i int, query, format, alias string) object {
	t := object{"refId": refID(i), "query": query, "rawQuery": true, "resultFormat": format}
	if alias != "" {
		t["alias"] = alias
	}
	return t
}
