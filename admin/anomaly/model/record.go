package model

import (
	"time"

	"kioskfleet/admin/fleet"
)

// facts are what a model's file says of it besides its priors. They never change.
type facts struct {
	CreatedAt   time.Time           `json:"created_at"`
	Origin      fleet.ModelOrigin   `json:"origin"`
	TrainedFrom time.Time           `json:"trained_from,omitzero"`
	TrainedTo   time.Time           `json:"trained_to,omitzero"`
	Kiosks      int                 `json:"kiosks"`
	Readings    int64               `json:"readings"`
	Figures     *fleet.ModelFigures `json:"figures,omitempty"`
	Against     *fleet.ModelFigures `json:"against,omitempty"`
	Checks      []fleet.ModelCheck  `json:"checks,omitempty"`
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

func factsOf(m *fleet.Model) facts {
	return facts{
		CreatedAt: m.CreatedAt.UTC().Truncate(time.Second), Origin: m.Origin, TrainedFrom: m.TrainedFrom.UTC(), TrainedTo: m.TrainedTo.UTC(),
		Kiosks: m.Kiosks, Readings: m.Readings, Figures: m.Figures, Against: m.Against, Checks: m.Checks,
	}
}

// failed returns the first check that the model did not pass, or nil.
func (f *facts) failed() *fleet.ModelCheck {
	for i := range f.Checks {
		if !f.Checks[i].Passed {
			return &f.Checks[i]
		}
	}
	return nil
}

// fill sets what the facts say of a model.
func (f *facts) fill(m *fleet.Model) {
	m.CreatedAt, m.Origin, m.TrainedFrom, m.TrainedTo = f.CreatedAt, f.Origin, f.TrainedFrom, f.TrainedTo
	m.Kiosks, m.Readings, m.Figures, m.Against = f.Kiosks, f.Readings, f.Figures, f.Against
	m.Checks = f.Checks
}

func (e *entry) domain() fleet.Model {
	m := fleet.Model{
		Version: e.Version, State: e.State, SHA256: e.SHA256, Bytes: e.Bytes, Reason: e.Reason, ChangedAt: e.ChangedAt, ChangedBy: e.ChangedBy,
	}
	e.fill(&m)
	return m
}
