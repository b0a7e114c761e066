package api

import (
	"context"
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// kiosksPerExport is how many kiosks an export reads at once.
const kiosksPerExport = 50

// wantsCSV reports whether the client asks for CSV rather than JSON.
func wantsCSV(c echo.Context) (bool, error) {
	switch format := c.QueryParam("format"); format {
	case "csv":
		return true, nil
	case "json":
		return false, nil
	case "":
		accept := c.Request().Header.Get("Accept")
		return strings.Contains(accept, "text/csv") && !strings.Contains(accept, "application/json"), nil
	default:
		return false, fleet.Invalid("format", "%q is unknown, use json or csv", format)
	}
}

// exporter writes rows as they come.
type exporter struct {
	c    echo.Context
	csv  *csv.Writer
	rows int
}

// newExporter begins a file of that name with its header.
func newExporter(c echo.Context, name string, header ...string) *exporter {
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	h.Set(echo.HeaderContentDisposition, `attachment; filename="`+name+`.csv"`)
	c.Response().WriteHeader(http.StatusOK)
	e := &exporter{c: c, csv: csv.NewWriter(c.Response())}
	e.write(header...)
	return e
}

func newSeriesExporter(c echo.Context) *exporter {
	return newExporter(c, "telemetry", "time", "name", "group", "metric", "unit", "agg", "value")
}

func (e *exporter) write(cells ...string) {
	_ = e.csv.Write(cells) // the error stays, see done
	if e.rows++; e.rows%1000 == 0 {
		e.csv.Flush()
		e.c.Response().Flush()
	}
}

func (e *exporter) result(r result) {
	for _, g := range r.groups {
		for _, p := range g.Points {
			e.write(p.Time.Format(time.RFC3339Nano), harmless(r.name), harmless(g.Name), harmless(r.metric), harmless(r.unit), r.agg, strconv.FormatFloat(p.Value, 'g', -1, 64))
		}
	}
}

func (e *exporter) done() error {
	e.csv.Flush()
	return e.csv.Error()
}

// harmless keeps a spreadsheet from taking a text for a formula: a site may have any name.
func harmless(text string) string {
	if strings.ContainsAny(text[:min(1, len(text))], "=+-@\t\r\n|%") && text != "%" {
		return "'" + text
	}
	return text
}

func writeCSV(c echo.Context, results []result) error {
	e := newSeriesExporter(c)
	for _, r := range results {
		e.result(r)
	}
	return e.done()
}

// exportQuery writes the series of a query while they are read, some kiosks at a time: the whole may be
// larger than an answer in JSON.
func (s *Server) exportQuery(ctx context.Context, c echo.Context, q query) error {
	var e *exporter
	for _, one := range q.series {
		groups := s.groupsOf(one)
		atOnce := kiosksPerExport
		if one.GroupBy != byKiosk {
			atOnce = 1
		}
		for some := range slices.Chunk(groups, atOnce) {
			r, err := s.runSeries(ctx, q, one, some)
			switch {
			case err != nil && e == nil:
				return slow(err)
			case err != nil:
				s.log.Warn("an export was broken off", "request_id", requestID(c), "error", err)
				panic(http.ErrAbortHandler) // the status is sent: the client sees the connection end
			case e == nil:
				e = newSeriesExporter(c)
			}
			e.result(r)
		}
	}
	if e == nil {
		e = newSeriesExporter(c)
	}
	return e.done()
}
