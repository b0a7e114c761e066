package model

import (
	"math"
	"time"

	"kioskfleet/admin/fleet"
)

// facts are what a model's file says of it besides its priors. They never change.
type facts struct {
	CreatedAt   time.Time         `json:"created_at"`
	Origin      fleet.ModelOrigin `json:"origin"`
	TrainedFrom time.Time         `json:"trained_from,omitzero"`
	TrainedTo   time.Time         `json:"trained_to,omitzero"`
	Kiosks      int               `json:"kiosks"`
	Readings    int64             `json:"readings"`
	Figures     *figures          `json:"figures,omitempty"`
	Against     *figures          `json:"against,omitempty"`
	Checks      []check           `json:"checks,omitempty"`
}

// entry is a model in the index: its facts, so that a list opens no file, and where it stands, which does change.
type entry struct {
	facts
	Version   string           `json:"version"`
	State     fleet.ModelState `json:"state"`
	SHA256    string           `json:"sha256"`
	Bytes     int64            `json:"bytes"`
	Reason    string           `json:"reason"`
	ChangedAt time.Time        `json:"changed_at,omitzero"`
	ChangedBy string           `json:"changed_by,omitempty"`
}

// figures are fleet.ModelFigures; nil is what could not be measured, such as the recall of no faults.
type figures struct {
	Series      int                    `json:"series"`
	Days        float64                `json:"days"`
	Faults      int                    `json:"faults"`
	Recall      *float64               `json:"recall,omitempty"`
	Precision   *float64               `json:"precision,omitempty"`
	FalsePerDay *float64               `json:"false_per_day,omitempty"`
	DelayPoints *float64               `json:"delay_points,omitempty"`
	ByKind      map[string]kindFigures `json:"by_kind,omitempty"`
}

type kindFigures struct {
	Faults int      `json:"faults"`
	Recall *float64 `json:"recall,omitempty"`
}

type check struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Text   string `json:"text"`
}

func factsOf(m *fleet.Model) facts {
	f := facts{
		CreatedAt: m.CreatedAt.UTC().Truncate(time.Second), Origin: m.Origin, TrainedFrom: m.TrainedFrom.UTC(), TrainedTo: m.TrainedTo.UTC(),
		Kiosks: m.Kiosks, Readings: m.Readings, Figures: figuresOf(m.Figures), Against: figuresOf(m.Against),
	}
	for _, c := range m.Checks {
		f.Checks = append(f.Checks, check(c))
	}
	return f
}

// fill sets what the facts say of a model.
func (f *facts) fill(m *fleet.Model) {
	m.CreatedAt, m.Origin, m.TrainedFrom, m.TrainedTo = f.CreatedAt, f.Origin, f.TrainedFrom, f.TrainedTo
	m.Kiosks, m.Readings, m.Figures, m.Against = f.Kiosks, f.Readings, f.Figures.domain(), f.Against.domain()
	m.Checks = nil
	for _, c := range f.Checks {
		m.Checks = append(m.Checks, fleet.ModelCheck(c))
	}
}

func (e *entry) domain() fleet.Model {
	m := fleet.Model{
		Version: e.Version, State: e.State, SHA256: e.SHA256, Bytes: e.Bytes, Reason: e.Reason, ChangedAt: e.ChangedAt, ChangedBy: e.ChangedBy,
	}
	e.fill(&m)
	return m
}

func figuresOf(f *fleet.ModelFigures) *figures {
	if f == nil {
		return nil
	}
	out := &figures{
		Series: f.Series, Days: f.Days, Faults: f.Faults, Recall: number(f.Recall), Precision: number(f.Precision),
		FalsePerDay: number(f.FalsePerDay), DelayPoints: number(f.DelayPoints), ByKind: map[string]kindFigures{},
	}
	for kind, of := range f.ByKind {
		out.ByKind[kind] = kindFigures{of.Faults, number(of.Recall)}
	}
	return out
}

func (f *figures) domain() *fleet.ModelFigures {
	if f == nil {
		return nil
	}
	out := &fleet.ModelFigures{
		Series: f.Series, Days: f.Days, Faults: f.Faults, Recall: value(f.Recall), Precision: value(f.Precision),
		FalsePerDay: value(f.FalsePerDay), DelayPoints: value(f.DelayPoints), ByKind: map[string]fleet.ModelKindFigures{},
	}
	for kind, of := range f.ByKind {
		out.ByKind[kind] = fleet.ModelKindFigures{Faults: of.Faults, Recall: value(of.Recall)}
	}
	return out
}

// number returns x for JSON, which knows no NaN.
func number(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

func value(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}
