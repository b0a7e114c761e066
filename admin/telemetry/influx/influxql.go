package influx

import (
	"strconv"
	"strings"

	"kioskfleet/admin/telemetry"
)

// maxMilli is the last instant that InfluxDB knows, in Unix milliseconds.
const maxMilli = 9_223_372_036_854

// function is an aggregate that InfluxDB computes as we do. The 95th percentile is not among them: its
// percentile() takes the rank floor(0.95 n + 0.5), nearest-rank is ceil(0.95 n).
type function struct {
	field telemetry.Fields
	name  string
	set   func(s *telemetry.Summary, value float64)
}

var functions = []function{
	{telemetry.FieldMin, "min", func(s *telemetry.Summary, v float64) { s.Min = v }},
	{telemetry.FieldMax, "max", func(s *telemetry.Summary, v float64) { s.Max = v }},
	{telemetry.FieldSum, "sum", func(s *telemetry.Summary, v float64) { s.Sum = v }},
	{telemetry.FieldCount, "count", func(s *telemetry.Summary, v float64) { s.Count = int64(v) }},
	{telemetry.FieldFirst, "first", func(s *telemetry.Summary, v float64) { s.First = v }},
	{telemetry.FieldLast, "last", func(s *telemetry.Summary, v float64) { s.Last = v }},
}

func functionsFor(fields telemetry.Fields) []function {
	var out []function
	for _, f := range functions {
		if fields&f.field != 0 {
			out = append(out, f)
		}
	}
	return out
}

var (
	literalEscapes    = strings.NewReplacer("\n", `\n`, `\`, `\\`, `'`, `\'`)
	identifierEscapes = strings.NewReplacer("\n", `\n`, `\`, `\\`, `"`, `\"`)
)

// quoteLiteral writes a string literal of InfluxQL. Range lets only valid serials come this far, which
// need no escape; this does not count on it.
func quoteLiteral(s string) string { return "'" + literalEscapes.Replace(s) + "'" }

// quoteIdentifier writes the name of a field, database or policy.
func quoteIdentifier(s string) string { return `"` + identifierEscapes.Replace(s) + `"` }

// selection is what the statements of one query have in common.
type selection struct {
	metric   string
	serials  []string // nil: every kiosk
	from, to int64    // Unix ms, half open
}

// field names the metric's field, as a number: where it is a string there is nothing to see.
func (sel selection) field() string { return quoteIdentifier(sel.metric) + "::float" }

func (sel selection) fromWhere() string {
	var b strings.Builder
	b.WriteString(" FROM " + quoteIdentifier(measurement) + " WHERE time >= ")
	b.WriteString(strconv.FormatInt(sel.from, 10) + "ms AND time < " + strconv.FormatInt(sel.to, 10) + "ms")
	if sel.serials == nil {
		return b.String()
	}
	b.WriteString(" AND (")
	for i, serial := range sel.serials {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteString(`"serial" = ` + quoteLiteral(serial))
	}
	b.WriteString(")")
	return b.String()
}

// count asks how many points there are.
func (sel selection) count() string {
	return "SELECT count(" + sel.field() + ")" + sel.fromWhere()
}

// raw asks for all points of each kiosk, in the order of time.
func (sel selection) raw() string {
	return "SELECT " + sel.field() + sel.fromWhere() + ` GROUP BY "serial"`
}

// windows asks for values per window and kiosk. InfluxDB aligns windows to the epoch too, and fill(none)
// leaves out those without points.
func (sel selection) windows(functions []function, stepMilli int64) string {
	return "SELECT " + sel.calls(functions) + sel.fromWhere() +
		" GROUP BY time(" + strconv.FormatInt(stepMilli, 10) + `ms), "serial" fill(none)`
}

// whole asks for values per kiosk.
func (sel selection) whole(functions []function) string {
	return "SELECT " + sel.calls(functions) + sel.fromWhere() + ` GROUP BY "serial"`
}

func (sel selection) calls(functions []function) string {
	calls := make([]string, len(functions))
	for i, f := range functions {
		calls[i] = f.name + "(" + sel.field() + ")"
	}
	return strings.Join(calls, ", ")
}
