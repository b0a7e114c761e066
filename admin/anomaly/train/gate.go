package train

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/fleet"
)

// The gate calls a model worse only if that is hardly chance: the difference would be as large or larger with this
// probability if both were equally good. It asks several questions, and each kind of fault is one more.
const (
	chance       = 0.01
	chanceOfKind = 0.002
	// leastOfKind is how many faults of a kind say something of it.
	leastOfKind = 10
)

// Gate compares a candidate with the model at work, by evaluations on the same trials, and returns one check for each
// of recall, the recall of single kinds, precision and the rate of false alarms. Budget is how many alarms a kiosk may
// have in a week: a rate within it is what was asked for, whatever the other model's is.
//
// Recall is compared fault by fault, with a sign test on those that only one of the two found. Of false alarms on
// the same background each comes from either model with the same chance if they are equally good. Precision is
// compared as two shares with their standard errors.
func Gate(candidate, current Evaluation, budget float64) []fleet.ModelCheck {
	return []fleet.ModelCheck{recall(candidate, current), kinds(candidate, current), precision(candidate, current), falseAlarms(candidate, current, budget)}
}

func recall(candidate, current Evaluation) fleet.ModelCheck {
	only, others := 0, 0
	for i := range min(len(candidate.Found), len(current.Found)) {
		switch {
		case candidate.Found[i] && !current.Found[i]:
			only++
		case !candidate.Found[i] && current.Found[i]:
			others++
		}
	}
	p := binomialTail(others, only+others)
	c := fleet.ModelCheck{Name: "recall", Passed: p >= chance}
	c.Text = fmt.Sprintf("%s of %d injected faults found, %s by the model at work; %d only by this one, %d only by that one",
		share(candidate.Recall), candidate.Faults, share(current.Recall), only, others)
	if candidate.Faults == 0 {
		c.Passed, c.Text = false, "no fault could be injected, so that nothing is known of its recall"
	}
	return c
}

// kinds looks for one kind of fault that the candidate no longer finds: priors of a sensor at fault hide just its kind.
func kinds(candidate, current Evaluation) fleet.ModelCheck {
	var worse []string
	for _, kind := range slices.Sorted(maps.Keys(candidate.ByKind)) {
		a, b := candidate.ByKind[kind], current.ByKind[kind]
		if min(a.Faults, b.Faults) >= leastOfKind && significantlyLower(a.Recall, a.Faults, b.Recall, b.Faults, chanceOfKind) {
			worse = append(worse, fmt.Sprintf("%s %s instead of %s", kind, share(a.Recall), share(b.Recall)))
		}
	}
	if len(worse) > 0 {
		return fleet.ModelCheck{Name: "recall by kind", Text: "worse at " + strings.Join(worse, ", ")}
	}
	return fleet.ModelCheck{Name: "recall by kind", Passed: true, Text: "no kind of fault is found less often"}
}

func precision(candidate, current Evaluation) fleet.ModelCheck {
	worse := significantlyLower(candidate.Precision, candidate.independent(), current.Precision, current.independent(), chance)
	return fleet.ModelCheck{Name: "precision", Passed: !worse, Text: fmt.Sprintf("%s of %d alarms were of a fault, %s of %d with the model at work",
		share(candidate.Precision), candidate.Alarms, share(current.Precision), current.Alarms)}
}

func falseAlarms(candidate, current Evaluation, budget float64) fleet.ModelCheck {
	p := binomialTail(candidate.False, candidate.False+current.False)
	within := candidate.FalsePerDay <= budget/7
	c := fleet.ModelCheck{Name: "false alarms", Passed: p >= chance || within}
	c.Text = fmt.Sprintf("%.3f on each kiosk and day without faults, %.3f with the model at work, %.3f is the budget", candidate.FalsePerDay, current.FalsePerDay, budget/7)
	return c
}

// significantlyLower reports whether a share is lower than another one by more than chance.
//
// Source: the two-proportion z-test with pooled variance.
func significantlyLower(a float64, ofA int, b float64, ofB int, chance float64) bool {
	if ofA == 0 || ofB == 0 || !(a < b) {
		return false
	}
	pooled := (a*float64(ofA) + b*float64(ofB)) / float64(ofA+ofB)
	deviation := math.Sqrt(pooled * (1 - pooled) * (1/float64(ofA) + 1/float64(ofB)))
	return 0.5*math.Erfc((b-a)/deviation/math.Sqrt2) < chance
}

func share(x float64) string {
	if math.IsNaN(x) {
		return "none"
	}
	return fmt.Sprintf("%.2f", x)
}

// Outcome is a new model and what is decided about it.
type Outcome struct {
	File    *model.File // with figures, checks and what it was compared with
	Promote bool        // the gate lets it through
	Reason  string
}

// State returns the state in which the registry keeps the model.
func (o *Outcome) State() fleet.ModelState {
	if o.Promote {
		return fleet.ModelCandidate
	}
	return fleet.ModelRefused
}

// Make trains a model, measures it and the one at work on what was held out, and lets the gate decide. One whose data
// is at fault is refused unmeasured.
//
// Errors: those of Train and of the source.
func Make(ctx context.Context, src Source, current *model.File, o Options) (*Outcome, error) {
	t, err := Train(ctx, src, current, o)
	if err != nil {
		return nil, err
	}
	if err := o.defaults(); err != nil {
		return nil, err
	}
	if t.File.Checks = t.Checks; !t.Sane() {
		return &Outcome{File: t.File, Reason: failed(t.Checks)}, nil
	}
	evaluations, err := Evaluate(ctx, &o.Watch, t.injected(src, &o), t.File, current)
	if err != nil {
		return nil, err
	}
	f := t.File
	f.Figures, f.Against = &evaluations[0].ModelFigures, &evaluations[1].ModelFigures
	f.Checks = append(f.Checks, Gate(evaluations[0], evaluations[1], o.Watch.Budget)...)
	out := &Outcome{File: f}
	if why := failed(f.Checks); why != "" {
		out.Reason = why
		return out, nil
	}
	out.Promote = true
	out.Reason = fmt.Sprintf("no worse than %s: recall %s (%s), precision %s (%s), %.3f (%.3f) false alarms per kiosk and day", current.Version,
		share(f.Figures.Recall), share(f.Against.Recall), share(f.Figures.Precision), share(f.Against.Precision), f.Figures.FalsePerDay, f.Against.FalsePerDay)
	return out, nil
}

// failed says which checks failed and why; empty when none did.
func failed(checks []fleet.ModelCheck) string {
	var texts []string
	for _, c := range checks {
		if !c.Passed {
			texts = append(texts, c.Name+": "+c.Text)
		}
	}
	return strings.Join(texts, "; ")
}
