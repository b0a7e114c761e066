package api

import (
	"net/http"
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
	metric := c.QueryParam("metric")
	switch {
	case metric == "":
		return fleet.Invalid("metric", "is missing; name one such as hardware.cpu_temp (%s/metrics lists the known ones)", Prefix)
	case !protocol.ValidMetricName(metric):
		return fleet.Invalid("metric", "%q is not a metric's name; they look like hardware.cpu_temp", metric)
	}
	info, _ := protocol.LookupMetric(metric)
	if info.Kind == protocol.KindState {
		return fleet.Invalid("metric", "%s is a state, not a number; %s/kiosks/%s/events has its changes", metric, Prefix, k.Serial)
	}
	now := s.cfg.Now().UTC()
	q := Range{Serial: k.Serial, Metric: metric}
	if q.To, err = instant("to", c.QueryParam("to"), now, now); err != nil {
		return err
	}
	if q.From, err = instant("from", c.QueryParam("from"), now, q.To.Add(-defaultRange)); err != nil {
		return err
	}
	if step := c.QueryParam("step"); step != "" {
		if q.Step, err = optionalDuration("step", step, 0); err != nil {
			return err
		}
		if q.Aggregate = c.QueryParam("agg"); q.Aggregate == "" {
			q.Aggregate = "mean"
		}
	} else if c.QueryParam("agg") != "" {
		return fleet.Invalid("agg", "needs a step, such as step=1m")
	}
	points, err := s.cfg.Series.Range(c.Request().Context(), q)
	if err != nil {
		return err
	}
	out := seriesView{Serial: k.Serial, Metric: metric, Unit: info.Unit, Step: c.QueryParam("step"), Agg: q.Aggregate, Points: make([]pointView, len(points))}
	for i, p := range points {
		out.Points[i] = pointView(p)
	}
	return c.JSON(http.StatusOK, out)
}
