package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// defaultStatistics is how far back the statistics of alerts go unless the request says otherwise.
const defaultStatistics = 30 * 24 * time.Hour

var alertStates = []fleet.AlertState{fleet.AlertOpen, fleet.AlertResolved}

// alertFilter reads what a list of alerts is narrowed to. Serial and rule may be gone, so any will do.
func (s *Server) alertFilter(c echo.Context) (f fleet.AlertFilter, err error) {
	f = fleet.AlertFilter{
		Serial: c.QueryParam("serial"), Site: c.QueryParam("site"), Rule: c.QueryParam("rule"),
		IncidentID: c.QueryParam("incident"), Assignee: c.QueryParam("assignee"),
	}
	if f.Serial != "" {
		if err := protocol.CheckSerial(f.Serial); err != nil {
			return f, fleet.Invalid("serial", "%v", err)
		}
	}
	if f.State, err = oneOf("state", c.QueryParam("state"), alertStates); err != nil {
		return f, err
	}
	for _, text := range strings.Split(strings.Join(c.QueryParams()["severity"], ","), ",") {
		severity, err := oneOf("severity", text, fleet.Severities())
		if err != nil {
			return f, err
		}
		if severity != "" {
			f.Severities = append(f.Severities, severity)
		}
	}
	if f.Acknowledged, err = truth("acknowledged", c.QueryParam("acknowledged")); err != nil {
		return f, err
	}
	if f.Suppressed, err = truth("suppressed", c.QueryParam("suppressed")); err != nil {
		return f, err
	}
	alone, err := truth("alone", c.QueryParam("alone"))
	if err != nil {
		return f, err
	}
	f.Alone = alone != nil && *alone
	now := s.cfg.Now().UTC()
	if f.From, err = instant("from", c.QueryParam("from"), now, time.Time{}); err != nil {
		return f, err
	}
	if f.To, err = instant("to", c.QueryParam("to"), now, time.Time{}); err != nil {
		return f, err
	}
	order, err := oneOf("sort", c.QueryParam("sort"), []string{"newest", "severity"})
	f.WorstFirst = order == "severity"
	return f, err
}

// truth reads a parameter that is true, false, or absent: nil.
func truth(name, text string) (*bool, error) {
	switch text {
	case "":
		return nil, nil
	case "true", "false":
		is := text == "true"
		return &is, nil
	}
	return nil, fleet.Invalid(name, "%q is neither true nor false", text)
}

// pageOf answers with a page that the store has cut, whose next cursor is its own.
func pageOf[T, V any](c echo.Context, items []T, next string, view func(T) V) error {
	out := page[V]{Items: make([]V, len(items))}
	for i, item := range items {
		out.Items[i] = view(item)
	}
	if next != "" {
		out.NextCursor = makeCursor(next)
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) listAlerts(c echo.Context) error {
	f, err := s.alertFilter(c)
	if err != nil {
		return err
	}
	max, err := limit(c)
	if err != nil {
		return err
	}
	var after string
	if err := cursor(c, &after); err != nil {
		return err
	}
	alerts, next, err := s.cfg.Alerts.Alerts(c.Request().Context(), f, after, max)
	if err != nil {
		return err
	}
	return pageOf(c, alerts, next, viewAlert)
}

func (s *Server) listIncidents(c echo.Context) error {
	state, err := oneOf("state", c.QueryParam("state"), alertStates)
	if err != nil {
		return err
	}
	max, err := limit(c)
	if err != nil {
		return err
	}
	var after string
	if err := cursor(c, &after); err != nil {
		return err
	}
	f := fleet.IncidentFilter{State: state, Site: c.QueryParam("site")}
	incidents, next, err := s.cfg.Alerts.Incidents(c.Request().Context(), f, after, max)
	if err != nil {
		return err
	}
	return pageOf(c, incidents, next, viewIncident)
}

// summariseAlerts counts what somebody should look at: what nobody is told of does not ring.
func (s *Server) summariseAlerts(c echo.Context) error {
	no := false
	f := fleet.AlertFilter{State: fleet.AlertOpen, Site: c.QueryParam("site"), Serial: c.QueryParam("serial"), Suppressed: &no}
	open, err := s.cfg.Alerts.CountAlerts(c.Request().Context(), f)
	if err != nil {
		return err
	}
	f.Acknowledged = &no
	unacknowledged, err := s.cfg.Alerts.CountAlerts(c.Request().Context(), f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, alertSummaryView{viewCounts(open), viewCounts(unacknowledged)})
}

func (s *Server) alertStatistics(c echo.Context) error {
	from, to, err := timespan(c.QueryParam("from"), c.QueryParam("to"), s.cfg.Now().UTC(), defaultStatistics)
	if err != nil {
		return err
	}
	statistics, err := s.cfg.Alerts.AlertStatistics(c.Request().Context(), from, to)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewStatistics(statistics))
}

// timespan reads from and to; without from it is as long as back.
func timespan(fromText, toText string, now time.Time, back time.Duration) (from, to time.Time, err error) {
	if to, err = instant("to", toText, now, now); err != nil {
		return from, to, err
	}
	if from, err = instant("from", fromText, now, to.Add(-back)); err != nil {
		return from, to, err
	}
	if !from.Before(to) {
		return from, to, fleet.Invalid("from", "%s is not before to, %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return from, to, nil
}
