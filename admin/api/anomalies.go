package api

import (
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// maxComment bounds what people write beside a verdict, in characters.
const maxComment = 2000

var anomalyVerdicts = []fleet.AnomalyVerdict{fleet.AnomalyUseful, fleet.AnomalyNoise}

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
		Verdict string `json:"verdict"`
		Comment string `json:"comment"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	if req.Verdict == "" {
		return fleet.Invalid("verdict", "is missing, use one of %v", anomalyVerdicts)
	}
	verdict, err := oneOf("verdict", req.Verdict, anomalyVerdicts)
	if err != nil {
		return err
	}
	comment := strings.TrimSpace(req.Comment)
	if n := utf8.RuneCountInString(comment); n > maxComment {
		return fleet.Invalid("comment", "has %d characters, at most %d are kept", n, maxComment)
	}
	judged, err := s.cfg.Anomalies.Judge(c.Request().Context(), c.Param("id"), fleet.AnomalyFeedback{
		Verdict: verdict, Comment: comment, By: principal(c).Name, At: s.cfg.Now().UTC(),
	})
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
	return c.JSON(http.StatusOK, viewKioskAnomaly(k.Serial, s.cfg.Anomalies.Now(k.Serial)))
}

func (s *Server) listTunings(c echo.Context) error {
	tunings, err := s.cfg.Tuning.Tunings(c.Request().Context())
	if err != nil {
		return err
	}
	return pageOf(c, tunings, "", viewTuning)
}

func (s *Server) resetTuning(c echo.Context) error {
	if err := s.cfg.Tuning.ResetTuning(c.Request().Context(), c.Param("metric"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
