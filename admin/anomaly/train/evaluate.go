package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/score"
	"kioskfleet/admin/anomaly/synth"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/hashed"
)

// Trial is a kiosk with known faults.
type Trial struct {
	Faulty synth.Kiosk
	// Clean is the same kiosk without injected faults, in one trial of each kiosk; without any reading in the others
	// and where the faults are real ones.
	Clean synth.Kiosk
	Zone  *time.Location // of the kiosk
}

// Evaluation is what trials say of a model.
type Evaluation struct {
	fleet.ModelFigures
	Found  []bool // of each fault, in the order of the trials: the same fault of two evaluations stands at the same place
	False  int    // anomalies on clean background
	Alarms int    // on faulty background that were of a fault or of none, each fault counted once
	Rounds int    // how many times the same background was used with other faults
}

// independent returns how many alarms say something by themselves: a false one comes in each round.
func (e *Evaluation) independent() int { return e.Alarms / max(e.Rounds, 1) }

// opens is the score from which on watch.Kiosk opens an anomaly.
const opens = 0.99

// Evaluate measures models on trials: each kiosk begins anew with the prior of the model, as a new kiosk would. All
// models see the same; the evaluations come in their order.
//
// All figures are those of the budget in the configuration: recall, precision and delay those of package score at the
// score that opens an anomaly; false alarms the anomalies that open on clean background, from a kiosk's first hour on,
// or outside of faults where there is no other background. A model without priors leaves a new kiosk with far more
// alarms; of these, more alarms find more: when it is compared with another one, it is measured at the score at which
// it has no more false alarms than the first model, or the budget, whichever are more.
//
// Errors: those of the trials; ErrTooLittle if there was none.
func Evaluate(ctx context.Context, cfg *watch.Config, trials func(ctx context.Context, each func(Trial) error) error, models ...*model.File) ([]Evaluation, error) {
	runs := make([]runs, len(models))
	err := trials(ctx, func(t Trial) error {
		for i, m := range models {
			if err := runs[i].add(ctx, cfg, m.PriorFor(t.Faulty.Model, t.Faulty.Site), t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Evaluation, len(models))
	for i := range runs {
		if len(runs[i].faulty) == 0 {
			return nil, fmt.Errorf("%w: no kiosk to measure a model on", ErrTooLittle)
		}
		threshold := opens
		if i > 0 && len(models[i].Prior) == 0 {
			background, _ := runs[i].background()
			threshold = max(opens, score.Default().ThresholdFor(background, max(out[0].FalsePerDay, cfg.Budget/7)))
		}
		out[i] = runs[i].evaluation(threshold)
	}
	return out, nil
}

// runs are what one model made of the trials.
type runs struct {
	faulty, clean []score.Track
	opened        int // anomalies on faulty background, outside of faults
	openedClean   int // and on clean one
}

func (r *runs) add(ctx context.Context, cfg *watch.Config, prior *watch.Prior, t Trial) error {
	faulty, opened, err := watched(ctx, cfg, prior, &t.Faulty, t.Zone)
	if err != nil {
		return err
	}
	r.faulty = append(r.faulty, faulty)
	r.opened += opened
	if len(t.Clean.Times) == 0 {
		return nil
	}
	clean, opened, err := watched(ctx, cfg, prior, &t.Clean, t.Zone)
	r.clean = append(r.clean, clean)
	r.openedClean += opened
	return err
}

// watched lets a new kiosk see readings. It returns the scores and how many anomalies opened outside of faults.
func watched(ctx context.Context, cfg *watch.Config, prior *watch.Prior, k *synth.Kiosk, zone *time.Location) (t score.Track, opened int, err error) {
	state := watch.New(cfg, prior)
	scores := make([]float64, len(k.Times))
	var values []fleet.Value
	open := false
	for i, at := range k.Times {
		if i%restAfter == 0 && ctx.Err() != nil {
			return t, 0, ctx.Err()
		}
		values = k.Reading(i, values)
		found := state.Step(at.In(zone), values, nil)
		scores[i] = found.Score
		if found.Fired && !open {
			open = true
			if !inFault(k.Windows, at) && !inFault(k.Windows, at.Add(-score.Default().Grace)) {
				opened++
			}
		}
		if found.Ended {
			open = false
		}
	}
	return k.Track(scores), opened, nil
}

// background returns the tracks without injected faults, or the others where there are none, and how many anomalies
// opened there outside of faults.
func (r *runs) background() (tracks []score.Track, opened int) {
	if len(r.clean) == 0 {
		return r.faulty, r.opened
	}
	return r.clean, r.openedClean
}

// days returns how long tracks are together.
func days(tracks []score.Track) (sum float64) {
	for _, t := range tracks {
		sum += t.Times[len(t.Times)-1].Sub(t.Times[0]).Hours() / 24
	}
	return sum
}

func (r *runs) evaluation(threshold float64) Evaluation {
	background, opened := r.background()
	result := score.Default().Evaluate(r.faulty, threshold)
	e := Evaluation{False: opened, Found: make([]bool, len(result.Faults))}
	e.Series, e.Faults, e.Days = len(background), len(result.Faults), days(background)
	e.FalsePerDay = float64(opened) / e.Days
	e.ByKind = map[string]fleet.ModelKindFigures{}
	found := 0
	for i, f := range result.Faults {
		e.Found[i] = f.Found
		if f.Found {
			found++
		}
	}
	for _, kind := range result.Kinds() {
		n := 0
		for _, f := range result.Faults {
			if f.Window.Kind == kind {
				n++
			}
		}
		e.ByKind[kind] = fleet.ModelKindFigures{Faults: n, Recall: result.Recall(kind)}
	}
	e.Alarms, e.Rounds = found+result.False, len(r.faulty)/len(background)
	e.Recall, e.Precision, e.DelayPoints = ratio(found, e.Faults), ratio(found, e.Alarms), math.NaN()
	if found > 0 {
		e.DelayPoints = result.MedianDelay("")
	}
	return e
}

// ratio returns a share; NaN of none.
func ratio(part, whole int) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}

const (
	// perFault is how much time of a kiosk one injected fault gets: many in a row are no surprise any more.
	perFault = 24 * time.Hour
	// rounds is how many times each kiosk gets faults, others each time.
	rounds = 6
)

// lead is how long before its first fault a kiosk is watched: what it knows by then is partly the model's and partly its own.
const lead = 2 * 24 * time.Hour

// inject makes the trials of one kiosk in which nothing is known to be wrong, with faults from a time on.
func inject(clean synth.Kiosk, from time.Time, zone *time.Location, each func(Trial) error) error {
	last := clean.Times[len(clean.Times)-1]
	n := max(1, int(last.Sub(from)/perFault))
	before, _ := slices.BinarySearchFunc(clean.Times, from, time.Time.Compare)
	whole := clean
	if before > 0 { // a window without a fault keeps the others away
		whole.Windows = append([]score.Window{{From: clean.Times[0], To: clean.Times[before-1]}}, clean.Windows...)
	}
	for round := range uint64(rounds) {
		t := Trial{Faulty: synth.InjectKiosk(whole, hashed.Of(hashed.Text(clean.Serial), round), n), Zone: zone}
		if before > 0 {
			t.Faulty.Windows = t.Faulty.Windows[1:]
		}
		if round == 0 {
			t.Clean = clean
		}
		if err := each(t); err != nil {
			return err
		}
	}
	return nil
}

// EvaluateSource measures models on kiosks of a source, a sample of a large fleet, with injected faults.
//
// Errors: those of Evaluate and of the source.
func EvaluateSource(ctx context.Context, src Source, o Options, models ...*model.File) ([]Evaluation, error) {
	all, err := src.Kiosks(ctx)
	if err != nil {
		return nil, fmt.Errorf("list kiosks: %w", err)
	}
	o.optional()
	t := &Trained{judged: sample(all, maxJudged), cut: o.From.Add(min(lead, o.To.Sub(o.From)/2))}
	return Evaluate(ctx, &o.Watch, t.injected(src, &o), models...)
}

// injected makes trials of the readings of a source from the cut on.
func (t *Trained) injected(src Source, o *Options) func(ctx context.Context, each func(Trial) error) error {
	return func(ctx context.Context, each func(Trial) error) error {
		for i, k := range t.judged {
			o.Progress("measuring", trainShare+(1-trainShare)*float64(i)/float64(len(t.judged)))
			begin := time.Now()
			clean, err := read(ctx, src, k, later(o.From, t.cut.Add(-lead)), o.To, o.Step)
			if err != nil {
				return fmt.Errorf("read %s: %w", k.Serial, err)
			}
			if len(clean.Times) < fewest {
				continue
			}
			if err := inject(clean, t.cut, zoneOf(&k), each); err != nil {
				return err
			}
			if err := o.Rest(ctx, time.Since(begin)); err != nil {
				return err
			}
		}
		return nil
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// read holds the readings of one kiosk in memory. Metrics that most readings lack are left out; where another one is
// missing it is as it was before.
func read(ctx context.Context, src Source, k fleet.Kiosk, from, to time.Time, step time.Duration) (synth.Kiosk, error) {
	out := synth.Kiosk{Serial: k.Serial, Model: k.Model, Site: k.Site}
	columns := map[string][]float64{}
	counts := map[string]int{}
	err := src.Readings(ctx, k.Serial, from, to, thinned(step, func(at time.Time, values []fleet.Value) error {
		n := len(out.Times)
		out.Times = append(out.Times, at)
		for _, v := range values {
			column := columns[v.Metric]
			last := v.Value
			if len(column) > 0 {
				last = column[len(column)-1]
			}
			for len(column) < n {
				column = append(column, last)
			}
			columns[v.Metric] = append(column, v.Value)
			counts[v.Metric]++
		}
		return nil
	}))
	if err != nil {
		return out, err
	}
	for metric, n := range counts {
		if 2*n > len(out.Times) {
			out.Metrics = append(out.Metrics, metric)
		}
	}
	slices.Sort(out.Metrics)
	for _, metric := range out.Metrics {
		column := columns[metric]
		for len(column) < len(out.Times) {
			column = append(column, column[len(column)-1])
		}
		out.Values = append(out.Values, column)
	}
	return out, nil
}

// Labelled makes trials of a folder of package synth, with the faults that its labels name; kiosks without any are
// clean. Where the whole folder has none, faults are injected.
func Labelled(dir string) (func(ctx context.Context, each func(Trial) error) error, error) {
	folder, err := synth.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	known := slices.ContainsFunc(folder.Kiosks, func(e synth.Entry) bool { return len(e.Windows) > 0 })
	return func(_ context.Context, each func(Trial) error) error {
		for i := range folder.Kiosks {
			k, err := folder.Kiosk(i)
			if err != nil {
				return err
			}
			if k = Watched(k); len(k.Times) < fewest {
				continue
			}
			if known {
				err = each(Trial{Faulty: k, Zone: time.UTC})
			} else {
				err = inject(k, k.Times[0], time.UTC, each)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}
