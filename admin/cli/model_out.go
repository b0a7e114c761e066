package cli

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"kioskfleet/admin/fleet"
)

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
