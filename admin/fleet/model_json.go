package fleet

import (
	"encoding/json"
	"math"
)

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
