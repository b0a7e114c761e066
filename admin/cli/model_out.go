package cli

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"kioskfleet/admin/fleet"
)

// modelOut is a model as the subcommands print it, in the same words as the API.
type modelOut struct {
	Version     string              `json:"version"`
	CreatedAt   *time.Time          `json:"created_at,omitempty"`
	Origin      fleet.ModelOrigin   `json:"origin"`
	State       fleet.ModelState    `json:"state"`
	SHA256      string              `json:"sha256,omitempty"`
	Bytes       int64               `json:"bytes,omitempty"`
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

func outModel(m fleet.Model) modelOut {
	return modelOut{
		Version: m.Version, CreatedAt: known(m.CreatedAt), Origin: m.Origin, State: m.State, SHA256: m.SHA256, Bytes: m.Bytes,
		TrainedFrom: known(m.TrainedFrom), TrainedTo: known(m.TrainedTo), Kiosks: m.Kiosks, Readings: m.Readings,
		Figures: m.Figures, Against: m.Against, Checks: slices.Concat([]fleet.ModelCheck{}, m.Checks),
		Reason: m.Reason, ChangedAt: known(m.ChangedAt), ChangedBy: m.ChangedBy,
	}
}

// unknownFigures are those of a model that was not evaluated.
func unknownFigures() *fleet.ModelFigures {
	nan := math.NaN()
	return &fleet.ModelFigures{Recall: nan, Precision: nan, FalsePerDay: nan, DelayPoints: nan}
}

// figure prints a number for a table.
func figure(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "-"
	}
	return fmt.Sprintf("%.3f", x)
}

// tableOfFigures prints what a model reached, beside the one that it was compared with, if any.
func tableOfFigures(w io.Writer, f, against *fleet.ModelFigures) {
	other := against
	if other == nil {
		other = unknownFigures()
	}
	row := func(name string, own, others float64) {
		if against == nil {
			fmt.Fprintf(w, "%-34s %10s\n", name, figure(own))
			return
		}
		fmt.Fprintf(w, "%-34s %10s %10s\n", name, figure(own), figure(others))
	}
	if against != nil {
		fmt.Fprintf(w, "%-34s %10s %10s\n", "", "this", "at work")
	}
	row("recall", f.Recall, other.Recall)
	row("precision", f.Precision, other.Precision)
	row("false alarms per kiosk and day", f.FalsePerDay, other.FalsePerDay)
	row("median delay, points", f.DelayPoints, other.DelayPoints)
	for _, kind := range slices.Sorted(maps.Keys(f.ByKind)) {
		others := math.NaN()
		if of, ok := other.ByKind[kind]; ok {
			others = of.Recall
		}
		row(fmt.Sprintf("recall of %s (%d)", kind, f.ByKind[kind].Faults), f.ByKind[kind].Recall, others)
	}
	fmt.Fprintf(w, "%d faults in %d series, %.1f days together\n", f.Faults, f.Series, f.Days)
}
