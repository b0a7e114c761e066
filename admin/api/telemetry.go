package api

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// defaultRange is how far back a series goes when nobody says.
const defaultRange = time.Hour

func (s *Server) telemetry(c echo.Context) error {
	k, err := s.cfg.Registry.Get(c.Param("serial"))
	if err != nil {
		return err
	}
	one := seriesRequest{Name: "value", Metric: c.QueryParam("metric"), Agg: c.QueryParam("agg"), GroupBy: byKiosk}
	info, _ := protocol.LookupMetric(one.Metric)
	if info.Kind == protocol.KindState {
		return fleet.Invalid("metric", "%s is a state, not a number; %s/kiosks/%s/events has its changes", one.Metric, Prefix, k.Serial)
	}
	var v fleet.Violations
	if checkMetric("metric", one.Metric, &v); len(v) > 0 {
		return v.Err()
	}
	q, err := window(c.QueryParam("from"), c.QueryParam("to"), c.QueryParam("step"), c.QueryParam("tz"), s.cfg.Now().UTC())
	if err != nil {
		return err
	}
	switch {
	case q.step == 0 && one.Agg != "":
		return fleet.Invalid("agg", "needs a step, such as step=1m")
	case q.step > 0 && one.Agg == "":
		one.Agg = "mean"
	}
	csv, err := wantsCSV(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), queryTimeout)
	defer cancel()
	if err := s.checkKnown(ctx, one.Metric); err != nil {
		return err
	}
	if csv {
		one.Kiosks.Serials = []string{k.Serial}
		q.series = []seriesRequest{one}
		return s.exportQuery(c, q)
	}
	r, err := s.runSeries(ctx, q, one, []Group{{Name: k.Serial, Serials: []string{k.Serial}}})
	if err != nil {
		return slow(err)
	}
	var points []Point
	for _, g := range r.groups {
		points = g.Points
	}
	return newPointWriter(c).series(seriesView{
		Serial: k.Serial, Metric: one.Metric, Unit: r.unit, Step: c.QueryParam("step"), Agg: one.Agg, TZ: c.QueryParam("tz"), Source: r.source,
	}, points)
}

// queryView is the answer to POST /query, followed by its series.
type queryView struct {
	From      time.Time      `json:"from"`
	To        time.Time      `json:"to"`
	Step      string         `json:"step,omitempty"`
	Source    string         `json:"source"`
	Histogram *histogramView `json:"histogram,omitempty"`
}

// querySeriesView is followed by its points.
type querySeriesView struct {
	Name    string `json:"name"`
	Group   string `json:"group"`
	GroupBy string `json:"group_by"`
	Metric  string `json:"metric,omitempty"`
	Unit    string `json:"unit"`
	Agg     string `json:"agg,omitempty"`
	Source  string `json:"source"`
}

func viewQuery(q query, step string, results []result) queryView {
	out := queryView{From: q.from, To: q.to, Step: step, Source: "raw"}
	for i, r := range results {
		if i == 0 {
			out.Source = r.source
		}
		out.Source = mixed(out.Source, r.source)
	}
	return out
}
