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
	return pageOf(c, models, "", viewModel)
}

func (s *Server) getModel(c echo.Context) error {
	m, err := s.cfg.Models.Model(c.Request().Context(), c.Param("version"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewModel(m))
}

func (s *Server) promoteModel(c echo.Context) error {
	m, err := s.cfg.Models.Promote(c.Request().Context(), c.Param("version"), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewModel(m))
}

func (s *Server) rollBackModel(c echo.Context) error {
	m, err := s.cfg.Models.Rollback(c.Request().Context(), principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewModel(m))
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

type modelView struct {
	Version     string              `json:"version"`
	CreatedAt   *time.Time          `json:"created_at,omitempty"`
	Origin      fleet.ModelOrigin   `json:"origin"`
	State       fleet.ModelState    `json:"state"`
	SHA256      string              `json:"sha256"`
	Bytes       int64               `json:"bytes"`
	TrainedFrom *time.Time          `json:"trained_from,omitempty"`
	TrainedTo   *time.Time          `json:"trained_to,omitempty"`
	Kiosks      int                 `json:"kiosks"`
	Readings    int64               `json:"readings"`
	Figures     *fleet.ModelFigures `json:"figures,omitempty"`
	Against     *fleet.ModelFigures `json:"against,omitempty"`
	Checks      []fleet.ModelCheck  `json:"checks"`
	Reason      string              `json:"reason"`
	ChangedAt   *time.Time          `json:"changed_at,omitempty"`
	ChangedBy   string              `json:"changed_by,omitempty"`
}

func viewModel(m fleet.Model) modelView {
	return modelView{
		Version: m.Version, CreatedAt: known(m.CreatedAt), Origin: m.Origin, State: m.State, SHA256: m.SHA256, Bytes: m.Bytes,
		TrainedFrom: known(m.TrainedFrom), TrainedTo: known(m.TrainedTo), Kiosks: m.Kiosks, Readings: m.Readings,
		Figures: m.Figures, Against: m.Against, Checks: listed(m.Checks),
		Reason: m.Reason, ChangedAt: known(m.ChangedAt), ChangedBy: m.ChangedBy,
	}
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
