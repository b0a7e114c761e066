package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// anomalyFilter reads what a list of anomalies is narrowed to. A kiosk may be gone, so any serial will do.
func (s *Server) anomalyFilter(c echo.Context) (f fleet.AnomalyFilter, err error) {
	f = fleet.AnomalyFilter{Serial: c.QueryParam("serial"), Site: c.QueryParam("site"), Metric: c.QueryParam("metric")}
	if f.Serial != "" {
		if err := protocol.CheckSerial(f.Serial); err != nil {
			return f, fleet.Invalid("serial", "%v", err)
		}
	}
	if f.Kind, err = oneOf("kind", c.QueryParam("kind"), fleet.AnomalyKinds()); err != nil {
		return f, err
	}
	if f.Open, err = truth("open", c.QueryParam("open")); err != nil {
		return f, err
	}
	now := s.cfg.Now().UTC()
	if f.From, err = instant("from", c.QueryParam("from"), now, time.Time{}); err != nil {
		return f, err
	}
	if f.To, err = instant("to", c.QueryParam("to"), now, time.Time{}); err != nil {
		return f, err
	}
	if f.Limit, err = limit(c); err != nil {
		return f, err
	}
	return f, cursor(c, &f.Cursor)
}

func (s *Server) listAnomalies(c echo.Context) error {
	f, err := s.anomalyFilter(c)
	if err != nil {
		return err
	}
	anomalies, next, err := s.cfg.Anomalies.Anomalies(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return pageOf(c, anomalies, next, viewAnomaly)
}

func (s *Server) getAnomaly(c echo.Context) error {
	a, err := s.cfg.Anomalies.Anomaly(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewAnomalyWithBands(a))
}

func (s *Server) judgeAnomaly(c echo.Context) error {
	var req struct {
		Verdict fleet.AnomalyVerdict `json:"verdict"`
		Comment string               `json:"comment"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	said := fleet.AnomalyFeedback{Verdict: req.Verdict, Comment: strings.TrimSpace(req.Comment), By: principal(c).Name, At: s.cfg.Now().UTC()}
	if err := said.Check(); err != nil {
		return err
	}
	judged, err := s.cfg.AnomalyCare.Judge(c.Request().Context(), c.Param("id"), said)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewAnomalyWithBands(judged))
}

func (s *Server) kioskAnomaly(c echo.Context) error {
	k, err := s.cfg.Registry.Get(c.Param("serial"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewKioskAnomaly(k.Serial, s.cfg.AnomalyCare.Now(k.Serial)))
}

func (s *Server) listTunings(c echo.Context) error {
	return pageOf(c, s.cfg.AnomalyCare.Tunings(), "", viewTuning)
}

func (s *Server) resetTuning(c echo.Context) error {
	if err := s.cfg.AnomalyCare.ResetTuning(c.Request().Context(), c.Param("metric"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
