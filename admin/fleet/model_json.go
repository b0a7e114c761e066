package fleet

import (
	"encoding/json"
	"math"
	"time"
)

// ModelJSON is a Model as the API and the subcommands write it; Model.JSON makes it.
type ModelJSON struct {
	Version     string        `json:"version"`
	CreatedAt   time.Time     `json:"created_at,omitzero"` // UTC, like the other times; left out where it is not known
	Origin      ModelOrigin   `json:"origin"`
	State       ModelState    `json:"state"`
	SHA256      string        `json:"sha256"`
	Bytes       int64         `json:"bytes"`
	TrainedFrom time.Time     `json:"trained_from,omitzero"`
	TrainedTo   time.Time     `json:"trained_to,omitzero"`
	Kiosks      int           `json:"kiosks"`
	Readings    int64         `json:"readings"`
	Figures     *ModelFigures `json:"figures,omitempty"`
	Against     *ModelFigures `json:"against,omitempty"`
	Checks      []ModelCheck  `json:"checks"` // never null
	Reason      string        `json:"reason"`
	ChangedAt   time.Time     `json:"changed_at,omitzero"`
	ChangedBy   string        `json:"changed_by,omitempty"`
}

// JSON returns what there is to write of a model.
func (m Model) JSON() ModelJSON {
	out := ModelJSON(m)
	if out.Checks == nil {
		out.Checks = []ModelCheck{}
	}
	return out
}

// figuresJSON is how ModelFigures are written, in models' files, by the API and by the subcommands. What could not be
// measured, such as the recall of no faults, is no number, and is left out.
type figuresJSON struct {
	Series      int                         `json:"series"`
	Days        float64                     `json:"days"`
	Faults      int                         `json:"faults"`
	Recall      *float64                    `json:"recall,omitempty"`
	Precision   *float64                    `json:"precision,omitempty"`
	FalsePerDay *float64                    `json:"false_per_day,omitempty"`
	DelayPoints *float64                    `json:"delay_points,omitempty"`
	ByKind      map[string]ModelKindFigures `json:"by_kind"`
}

// MarshalJSON implements json.Marshaler.
func (f ModelFigures) MarshalJSON() ([]byte, error) {
	out := figuresJSON{
		Series: f.Series, Days: f.Days, Faults: f.Faults, Recall: measured(f.Recall), Precision: measured(f.Precision),
		FalsePerDay: measured(f.FalsePerDay), DelayPoints: measured(f.DelayPoints), ByKind: f.ByKind,
	}
	if out.ByKind == nil {
		out.ByKind = map[string]ModelKindFigures{}
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *ModelFigures) UnmarshalJSON(data []byte) error {
	var in figuresJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*f = ModelFigures{
		Series: in.Series, Days: in.Days, Faults: in.Faults, Recall: orNaN(in.Recall), Precision: orNaN(in.Precision),
		FalsePerDay: orNaN(in.FalsePerDay), DelayPoints: orNaN(in.DelayPoints), ByKind: in.ByKind,
	}
	if f.ByKind == nil {
		f.ByKind = map[string]ModelKindFigures{}
	}
	return nil
}

// kindFiguresJSON is how ModelKindFigures are written.
type kindFiguresJSON struct {
	Faults int      `json:"faults"`
	Recall *float64 `json:"recall,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (f ModelKindFigures) MarshalJSON() ([]byte, error) {
	return json.Marshal(kindFiguresJSON{f.Faults, measured(f.Recall)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *ModelKindFigures) UnmarshalJSON(data []byte) error {
	var in kindFiguresJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*f = ModelKindFigures{Faults: in.Faults, Recall: orNaN(in.Recall)}
	return nil
}

// measured returns x for JSON, which knows no NaN.
func measured(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

func orNaN(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}
