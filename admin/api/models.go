package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

func (s *Server) listModels(c echo.Context) error {
	models, err := s.cfg.Models.Models(c.Request().Context())
	if err != nil {
		return err
	}
	return pageOf(c, models, "", fleet.Model.JSON)
}

func (s *Server) getModel(c echo.Context) error {
	m, err := s.cfg.Models.Model(c.Request().Context(), c.Param("version"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, m.JSON())
}

func (s *Server) promoteModel(c echo.Context) error {
	m, err := s.cfg.Models.Promote(c.Request().Context(), c.Param("version"), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, m.JSON())
}

func (s *Server) rollBackModel(c echo.Context) error {
	m, err := s.cfg.Models.Rollback(c.Request().Context(), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, m.JSON())
}

func (s *Server) trainModel(c echo.Context) error {
	started, err := s.cfg.Trainer.Train(c.Request().Context(), principal(c).Name)
	if err != nil {
		return err
	}
	if !started {
		return echo.NewHTTPError(http.StatusConflict, "a training runs already; wait until GET "+Prefix+"/models/training says that it has finished")
	}
	return c.JSON(http.StatusAccepted, viewTraining(s.cfg.Trainer.Training()))
}

func (s *Server) getTraining(c echo.Context) error {
	return c.JSON(http.StatusOK, viewTraining(s.cfg.Trainer.Training()))
}

// known returns a time that is set, or nil.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type trainingView struct {
	Running    bool       `json:"running"`
	Stage      string     `json:"stage,omitempty"`
	Progress   float64    `json:"progress"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	StartedBy  string     `json:"started_by,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Version    string     `json:"version,omitempty"`
	Error      string     `json:"error,omitempty"`
}

func viewTraining(t Training) trainingView {
	return trainingView{t.Running, t.Stage, t.Progress, known(t.StartedAt), t.StartedBy, known(t.FinishedAt), t.Version, t.Error}
}
