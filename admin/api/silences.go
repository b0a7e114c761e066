package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// maxPreview is how many alerts the preview of a silence shows.
const maxPreview = 100

var silenceStates = []fleet.SilenceState{fleet.SilencePending, fleet.SilenceActive, fleet.SilenceExpired}

func (s *Server) listSilences(c echo.Context) error {
	state, err := oneOf("state", c.QueryParam("state"), silenceStates)
	if err != nil {
		return err
	}
	silences, err := s.cfg.Alerts.Silences(c.Request().Context(), state)
	if err != nil {
		return err
	}
	return pageOf(c, silences, "", s.viewSilence)
}

func (s *Server) createSilence(c echo.Context) error {
	var req struct {
		Matchers []fleet.Matcher `json:"matchers"`
		From     string          `json:"from"`
		Until    string          `json:"until"`
		Comment  string          `json:"comment"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	from, until, err := s.whileQuiet(req.From, req.Until)
	if err != nil {
		return err
	}
	made, err := s.cfg.Alerts.CreateSilence(c.Request().Context(), fleet.Silence{
		Matchers: req.Matchers, From: from, Until: until, Comment: req.Comment,
	}, principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, s.viewSilence(made))
}

// whileQuiet reads from when until when something is quiet. A time that is not given stays zero: what it means is
// for those to say who keep the silence.
func (s *Server) whileQuiet(fromText, untilText string) (from, until time.Time, err error) {
	now := s.cfg.Now().UTC()
	if from, err = instant("from", fromText, now, from); err != nil {
		return from, until, err
	}
	until, err = instant("until", untilText, now, until)
	return from, until, err
}

func (s *Server) previewSilence(c echo.Context) error {
	var req struct {
		Matchers []fleet.Matcher `json:"matchers"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	alerts, err := s.cfg.Alerts.Preview(c.Request().Context(), req.Matchers)
	if err != nil {
		return err
	}
	total := len(alerts)
	out := page[alertView]{Items: []alertView{}, Total: &total}
	for _, a := range alerts[:min(total, maxPreview)] {
		out.Items = append(out.Items, viewAlert(a))
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) endSilence(c echo.Context) error {
	ended, err := s.cfg.Alerts.EndSilence(c.Request().Context(), c.Param("id"), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.viewSilence(ended))
}

func (s *Server) listMaintenance(c echo.Context) error {
	all, err := truth("all", c.QueryParam("all"))
	if err != nil {
		return err
	}
	windows, err := s.cfg.Alerts.Maintenance(c.Request().Context(), all != nil && *all)
	if err != nil {
		return err
	}
	return pageOf(c, windows, "", viewMaintenance)
}

func (s *Server) createMaintenance(c echo.Context) error {
	var req struct {
		Scope    fleet.RuleScope `json:"scope"`
		From     string          `json:"from"`
		Until    string          `json:"until"`
		Schedule *fleet.Schedule `json:"schedule"`
		Comment  string          `json:"comment"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	from, until, err := s.whileQuiet(req.From, req.Until)
	if err != nil {
		return err
	}
	made, err := s.cfg.Alerts.CreateMaintenance(c.Request().Context(), fleet.MaintenanceWindow{
		Scope: req.Scope, From: from, Until: until, Schedule: req.Schedule, Comment: req.Comment,
	}, principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, viewMaintenance(made))
}

func (s *Server) deleteMaintenance(c echo.Context) error {
	if err := s.cfg.Alerts.DeleteMaintenance(c.Request().Context(), c.Param("id"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

type silenceView struct {
	ID        string             `json:"id"`
	State     fleet.SilenceState `json:"state"`
	Matchers  []fleet.Matcher    `json:"matchers"`
	From      time.Time          `json:"from"`
	Until     time.Time          `json:"until"`
	Comment   string             `json:"comment"`
	CreatedBy string             `json:"created_by"`
	CreatedAt time.Time          `json:"created_at"`
	EndedBy   string             `json:"ended_by,omitempty"`
}

func (s *Server) viewSilence(q fleet.Silence) silenceView {
	return silenceView{q.ID, q.State(s.cfg.Now()), listed(q.Matchers), q.From, q.Until, q.Comment, q.CreatedBy, q.CreatedAt, q.EndedBy}
}

type maintenanceView struct {
	ID        string          `json:"id"`
	Scope     fleet.RuleScope `json:"scope"`
	From      time.Time       `json:"from"`
	Until     time.Time       `json:"until"`
	Schedule  *fleet.Schedule `json:"schedule,omitempty"`
	Comment   string          `json:"comment"`
	CreatedBy string          `json:"created_by"`
	CreatedAt time.Time       `json:"created_at"`
}

func viewMaintenance(w fleet.MaintenanceWindow) maintenanceView { return maintenanceView(w) }
