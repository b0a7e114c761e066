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
	Version     string            `json:"version"`
	CreatedAt   *time.Time        `json:"created_at,omitempty"`
	Origin      fleet.ModelOrigin `json:"origin"`
	State       fleet.ModelState  `json:"state"`
	SHA256      string            `json:"sha256"`
	Bytes       int64             `json:"bytes"`
	TrainedFrom *time.Time        `json:"trained_from,omitempty"`
	TrainedTo   *time.Time        `json:"trained_to,omitempty"`
	Kiosks      int               `json:"kiosks"`
	Readings    int64             `json:"readings"`
	Figures     *figuresView      `json:"figures,omitempty"`
	Against     *figuresView      `json:"against,omitempty"`
	Checks      []checkView       `json:"checks"`
	Reason      string            `json:"reason"`
	ChangedAt   *time.Time        `json:"changed_at,omitempty"`
	ChangedBy   string            `json:"changed_by,omitempty"`
}

type checkView struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Text   string `json:"text"`
}

// figuresView leaves out what could not be measured: a recall of no faults is no number.
type figuresView struct {
	Series      int                        `json:"series"`
	Days        float64                    `json:"days"`
	Faults      int                        `json:"faults"`
	Recall      *float64                   `json:"recall,omitempty"`
	Precision   *float64                   `json:"precision,omitempty"`
	FalsePerDay *float64                   `json:"false_per_day,omitempty"`
	DelayPoints *float64                   `json:"delay_points,omitempty"`
	ByKind      map[string]kindFiguresView `json:"by_kind"`
}

type kindFiguresView struct {
	Faults int      `json:"faults"`
	Recall *float64 `json:"recall,omitempty"`
}

func viewModel(m fleet.Model) modelView {
	v := modelView{
		Version: m.Version, CreatedAt: known(m.CreatedAt), Origin: m.Origin, State: m.State, SHA256: m.SHA256, Bytes: m.Bytes,
		TrainedFrom: known(m.TrainedFrom), TrainedTo: known(m.TrainedTo), Kiosks: m.Kiosks, Readings: m.Readings,
		Figures: viewFigures(m.Figures), Against: viewFigures(m.Against), Checks: make([]checkView, len(m.Checks)),
		Reason: m.Reason, ChangedAt: known(m.ChangedAt), ChangedBy: m.ChangedBy,
	}
	for i, c := range m.Checks {
		v.Checks[i] = checkView(c)
	}
	return v
}

// known returns a time that is set, or nil.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func viewFigures(f *fleet.ModelFigures) *figuresView {
	if f == nil {
		return nil
	}
	v := &figuresView{
		Series: f.Series, Days: f.Days, Faults: f.Faults, Recall: finite(f.Recall), Precision: finite(f.Precision),
		FalsePerDay: finite(f.FalsePerDay), DelayPoints: finite(f.DelayPoints), ByKind: map[string]kindFiguresView{},
	}
	for kind, of := range f.ByKind {
		v.ByKind[kind] = kindFiguresView{of.Faults, finite(of.Recall)}
	}
	return v
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
