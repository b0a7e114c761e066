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
	// Clean is the same kiosk without the injected faults; without any reading where the faults are real ones.
	Clean synth.Kiosk
	Zone  *time.Location // of the kiosk
}

// Evaluation is what trials say of a model.
type Evaluation struct {
	fleet.ModelFigures
	Found  []bool // of each fault, in the order of the trials: the same fault of two evaluations stands at the same place
	False  int    // alarms on clean background
	Alarms int    // on faulty background that were of a fault or of none, each fault counted once
}

// grace is how long after a fault's end an alarm is still of it: the way back is a change as well.
const grace = time.Hour

// Evaluate measures models on trials: each kiosk begins anew with the prior of the model, as a new kiosk would. All
// models see the same; the evaluations come in their order.
//
// An alarm is an anomaly that opens or escalates. It is of a fault if it is inside its window or within an hour after
// it; of several in one anomaly outside of faults one counts.
//
// Errors: those of the trials; ErrTooLittle if there was none.
func Evaluate(ctx context.Context, cfg *watch.Config, trials func(ctx context.Context, each func(Trial) error) error, models ...*model.File) ([]Evaluation, error) {
	sums := make([]tally, len(models))
	for i := range sums {
		sums[i].byKind = map[string]*[2]int{}
	}
	err := trials(ctx, func(t Trial) error {
		for i, m := range models {
			prior := m.PriorFor(t.Faulty.Model, t.Faulty.Site)
			if err := sums[i].add(ctx, cfg, prior, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Evaluation, len(models))
	for i := range sums {
		if sums[i].series == 0 {
			return nil, fmt.Errorf("%w: no kiosk to measure a model on", ErrTooLittle)
		}
		out[i] = sums[i].evaluation()
	}
	return out, nil
}

// tally adds up trials.
type tally struct {
	series       int
	days         float64
	found        []bool
	delays       []float64
	falseInFault int // alarms on faulty background that were of no fault
	falseClean   int
	byKind       map[string]*[2]int // found and all
}

func (s *tally) add(ctx context.Context, cfg *watch.Config, prior *watch.Prior, t Trial) error {
	s.series++
	first, last := t.Faulty.Times[0], t.Faulty.Times[len(t.Faulty.Times)-1]
	alarms, err := alarmsOf(ctx, cfg, prior, &t.Faulty, t.Zone)
	if err != nil {
		return err
	}
	delays := make([]float64, len(t.Faulty.Windows))
	for n := range delays {
		delays[n] = math.NaN()
	}
	wrong := 0
	for _, a := range alarms {
		n := faultAt(t.Faulty.Windows, t.Faulty.Times[a.row])
		switch {
		case n < 0 && !a.escalation:
			wrong++
		case n >= 0 && math.IsNaN(delays[n]):
			begin, _ := slices.BinarySearchFunc(t.Faulty.Times, t.Faulty.Windows[n].From, time.Time.Compare)
			delays[n] = float64(a.row - begin)
		}
	}
	s.falseInFault += wrong
	if len(t.Clean.Times) > 0 {
		alarms, err := alarmsOf(ctx, cfg, prior, &t.Clean, t.Zone)
		if err != nil {
			return err
		}
		wrong = 0
		for _, a := range alarms {
			if !a.escalation {
				wrong++
			}
		}
	}
	s.falseClean += wrong
	s.days += last.Sub(first).Hours() / 24
	for n, w := range t.Faulty.Windows {
		if w.From.After(last) || w.To.Before(first) {
			continue
		}
		kind := s.byKind[w.Kind]
		if kind == nil {
			kind = new([2]int)
			s.byKind[w.Kind] = kind
		}
		kind[1]++
		found := !math.IsNaN(delays[n])
		s.found = append(s.found, found)
		if found {
			kind[0]++
			s.delays = append(s.delays, delays[n])
		}
	}
	return nil
}

// alarm is a row at which an anomaly opened or escalated.
type alarm struct {
	row        int
	escalation bool
}

// alarmsOf lets a new kiosk see readings and returns its alarms.
func alarmsOf(ctx context.Context, cfg *watch.Config, prior *watch.Prior, k *synth.Kiosk, zone *time.Location) ([]alarm, error) {
	var out []alarm
	state := watch.New(cfg, prior)
	var values []fleet.Value
	open := false
	for i, at := range k.Times {
		if i%restAfter == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		values = k.Reading(i, values)
		found := state.Step(at.In(zone), values, nil)
		if found.Fired {
			out = append(out, alarm{i, open})
			open = true
		}
		if found.Ended {
			open = false
		}
	}
	return out, nil
}

// faultAt returns the last window that a time is of, or -1.
func faultAt(windows []score.Window, at time.Time) int {
	for n := len(windows) - 1; n >= 0; n-- {
		if w := windows[n]; !at.Before(w.From) && !at.After(w.To.Add(grace)) {
			return n
		}
	}
	return -1
}

func (s *tally) evaluation() Evaluation {
	found := 0
	for _, f := range s.found {
		if f {
			found++
		}
	}
	e := Evaluation{Found: s.found, False: s.falseClean, Alarms: found + s.falseInFault}
	e.Series, e.Days, e.Faults = s.series, s.days, len(s.found)
	e.Recall = ratio(found, len(s.found))
	e.Precision = ratio(found, e.Alarms)
	e.FalsePerDay = float64(s.falseClean) / s.days
	e.DelayPoints = median(s.delays)
	e.ByKind = map[string]fleet.ModelKindFigures{}
	for kind, n := range s.byKind {
		e.ByKind[kind] = fleet.ModelKindFigures{Faults: n[1], Recall: ratio(n[0], n[1])}
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

// perFault is how much time of a kiosk one injected fault gets: it must be over, and calm again, before the next.
const perFault = 8 * time.Hour

// injected makes trials of the readings of a source from the cut on.
func (t *Trained) injected(src Source, o *Options) func(ctx context.Context, each func(Trial) error) error {
	return func(ctx context.Context, each func(Trial) error) error {
		for i, k := range t.judged {
			o.Progress("measuring", trainShare+(1-trainShare)*float64(i)/float64(len(t.judged)))
			begin := time.Now()
			clean, err := read(ctx, src, k, t.cut, o.To, o.Step)
			if err != nil {
				return fmt.Errorf("read %s: %w", k.Serial, err)
			}
			if len(clean.Times) < fewest {
				continue
			}
			n := int(o.To.Sub(t.cut) / perFault)
			faulty := synth.InjectKiosk(clean, hashed.Text(k.Serial), max(n, 1))
			if err := each(Trial{Faulty: faulty, Clean: clean, Zone: zoneOf(&k)}); err != nil {
				return err
			}
			if err := o.Rest(ctx, time.Since(begin)); err != nil {
				return err
			}
		}
		return nil
	}
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
	return func(ctx context.Context, each func(Trial) error) error {
		for i := range folder.Kiosks {
			k, err := folder.Kiosk(i)
			if err != nil {
				return err
			}
			if len(k.Times) < fewest {
				continue
			}
			t := Trial{Faulty: k, Zone: time.UTC}
			if !known {
				n := int(k.Times[len(k.Times)-1].Sub(k.Times[0]) / perFault)
				t.Clean, t.Faulty = k, synth.InjectKiosk(k, hashed.Text(k.Serial), max(n, 1))
			}
			if err := each(t); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
