package api

import (
	"context"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

const (
	// kiosksPerExport is how many kiosks an export reads at once.
	kiosksPerExport = 50
	// rowsPerFlush is how many rows are in memory before they are sent.
	rowsPerFlush = 1000
)

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
	c     echo.Context
	csv   *csv.Writer
	begun bool // the status is sent
	rows  int

	name   string // of the file
	header []string
}

// newExporter makes a file of that name with its header. Nothing is sent before the first row is.
func newExporter(c echo.Context, name string, header ...string) *exporter {
	return &exporter{c: c, csv: csv.NewWriter(newAnswerWriter(c)), name: name, header: header}
}

// begin sends the status and the head, once.
func (e *exporter) begin() {
	if e.begun {
		return
	}
	e.begun = true
	h := e.c.Response().Header()
	h.Set(echo.HeaderContentType, "text/csv; charset=utf-8")
	h.Set(echo.HeaderContentDisposition, `attachment; filename="`+e.name+`.csv"`)
	e.c.Response().WriteHeader(http.StatusOK)
	e.write(e.header...)
}

func newSeriesExporter(c echo.Context) *exporter {
	return newExporter(c, "telemetry", "time", "name", "group", "metric", "unit", "agg", "value")
}

func (e *exporter) write(cells ...string) {
	_ = e.csv.Write(cells) // the error stays, see result and done
	if e.rows++; e.rows%rowsPerFlush == 0 {
		e.csv.Flush()
		e.c.Response().Flush()
	}
}

func (e *exporter) result(r result) error {
	e.begin()
	for _, g := range r.groups {
		for _, p := range g.Points {
			e.write(p.Time.Format(time.RFC3339Nano), harmless(r.name), harmless(g.Name), harmless(r.metric), harmless(r.unit), r.agg, strconv.FormatFloat(p.Value, 'g', -1, 64))
		}
		if err := e.csv.Error(); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) done() error {
	e.begin()
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
		if err := e.result(r); err != nil {
			return err
		}
	}
	return e.done()
}

// exportQuery writes the series of a query while they are read, a part at a time: the whole may be larger than an
// answer in JSON, and take longer.
func (s *Server) exportQuery(c echo.Context, q query) error {
	e := newSeriesExporter(c)
	for _, one := range q.series {
		switch err := s.exportSeries(c.Request().Context(), e, q, one); {
		case err != nil && !e.begun:
			return slow(err)
		case err != nil:
			s.log.Warn("an export was broken off", "request_id", requestID(c), "error", err)
			panic(http.ErrAbortHandler) // the status is sent: the client sees the connection end
		}
	}
	return e.done()
}

// exportSeries writes some kiosks at a time, and fewer where those have too many points.
func (s *Server) exportSeries(ctx context.Context, e *exporter, q query, one seriesRequest) error {
	atOnce := kiosksPerExport
	if one.GroupBy != byKiosk {
		atOnce = 1
	}
	for groups := s.groupsOf(one); len(groups) > 0; {
		n := min(atOnce, len(groups))
		err := s.exportPart(ctx, e, q, one, groups[:n])
		switch {
		case n > 1 && s.tooLarge(err):
			atOnce = n / 2
		case err != nil:
			return err
		default:
			groups = groups[n:]
		}
	}
	return nil
}

// exportPart writes some groups. When a single one has too many points it writes one half of the time after the other.
// Otherwise nothing was written after an error of the store.
func (s *Server) exportPart(ctx context.Context, e *exporter, q query, one seriesRequest, groups []Group) error {
	limited, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	r, err := s.runSeries(limited, q, one, groups)
	if err == nil {
		return e.result(r)
	}
	middle, divisible := q.middle()
	if len(groups) > 1 || !divisible || !s.tooLarge(err) {
		return err
	}
	first, second := q, q
	first.to, second.from = middle, middle
	if err := s.exportPart(ctx, e, first, one, groups); err != nil {
		return err
	}
	return s.exportPart(ctx, e, second, one, groups)
}

// tooLarge reports whether a smaller question would be answered.
func (s *Server) tooLarge(err error) bool {
	if err == nil || s.cfg.Classify == nil {
		return false
	}
	fault, ok := s.cfg.Classify(err)
	return ok && fault.TooLarge
}

// middle returns an instant at which a query can be divided without dividing a window; false when there is none.
func (q query) middle() (time.Time, bool) {
	step := max(q.step, time.Millisecond)
	if q.zone != nil && step%(24*time.Hour) == 0 {
		return time.Time{}, false // local days are too few to matter
	}
	ms := q.from.Add(q.to.Sub(q.from) / 2).UnixMilli()
	middle := time.UnixMilli(ms - ms%step.Milliseconds()).UTC() // windows are aligned to the epoch
	return middle, middle.After(q.from) && middle.Before(q.to)
}
