// Package train makes fleet models and decides about them: it learns priors from the readings of many kiosks, measures
// them on kiosks and days that were held out, with faults injected into real background, lets a gate compare them with
// the model at work, and takes one back whose alarms leave their budget. What is decided is decided by pure functions;
// Runner calls them by the clock.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// ErrTooLittle says that there are too few readings to learn from.
var ErrTooLittle = errors.New("too few readings to learn from")

// Options say what a training looks at. Fields that are zero take what Defaults says.
type Options struct {
	From, To time.Time // of the readings
	// Kiosks bounds how many are looked at; of more, a sample that stays the same.
	Kiosks int
	// MinKioskDays is how many days of kiosks with readings there have to be.
	MinKioskDays float64
	// Step thins readings to one in each; 0 takes all.
	Step time.Duration
	// Watch is how kiosks are watched, also while it is measured.
	Watch watch.Config
	// Origin and Now go into the model.
	Origin fleet.ModelOrigin
	Now    time.Time
	// Rest is called now and then with how long the training has worked since the call before, so that it may pause
	// for others; nil does not pause. An error ends the training.
	Rest func(ctx context.Context, worked time.Duration) error
	// Progress is told what is done, and how far all of it is, 0 to 1; nil tells nobody.
	Progress func(stage string, done float64)
}

// Bounds of a training.
const (
	defaultKiosks  = 500
	defaultMinimum = 20 // kiosk days

	// holdOut is the share of the time, at its end, and of the kiosks that a model is measured on and not trained on.
	holdOut     = 0.2
	maxHeldOut  = 24 // kiosks
	maxJudged   = 24
	minTrained  = 4 // kiosks, before any is held out
	minForPrior = 3 // kiosks of a model or site, before they have a prior of their own
)

// optional gives fields that are zero their defaults.
func (o *Options) optional() {
	if o.Kiosks <= 0 {
		o.Kiosks = defaultKiosks
	}
	if o.MinKioskDays <= 0 {
		o.MinKioskDays = defaultMinimum
	}
	if o.Rest == nil {
		o.Rest = func(context.Context, time.Duration) error { return nil }
	}
	if o.Progress == nil {
		o.Progress = func(string, float64) {}
	}
}

func (o *Options) defaults() error {
	o.optional()
	if o.To.Sub(o.From) < shortest {
		return fleet.Invalid("days", "a training needs at least 2 days, not %s", o.To.Sub(o.From))
	}
	return nil
}

// shortest is the shortest time that a training looks at.
const shortest = 2 * 24 * time.Hour

// Trained is a new model and what is needed to measure it.
type Trained struct {
	File   *model.File
	Checks []fleet.ModelCheck // of the data
	judged []fleet.Kiosk      // to measure it on
	cut    time.Time          // the training has seen nothing from here on
}

// Sane reports whether the data passed all checks.
func (t *Trained) Sane() bool { return failed(t.Checks) == "" }

// Train makes a model from the readings of a source. Current is the one at work, which knows how sensors moved when it
// was trained. One kiosk after the other is read; kept are its detectors and a few numbers for each metric and day.
//
// Errors: ErrTooLittle; *fleet.ValidationError; those of the source.
func Train(ctx context.Context, src Source, current *model.File, o Options) (*Trained, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	all, err := src.Kiosks(ctx)
	if err != nil {
		return nil, fmt.Errorf("list kiosks: %w", err)
	}
	all = sample(all, o.Kiosks)
	if o.From, err = begin(ctx, src, all, &o); err != nil {
		return nil, err
	}
	t := &Trained{cut: o.To.Add(-time.Duration(holdOut * float64(o.To.Sub(o.From)))).Truncate(time.Minute)}
	held := 0
	if len(all) > minTrained {
		held = min(maxHeldOut, max(1, int(holdOut*float64(len(all)))))
	}
	learning := &learning{ctx: ctx, src: src, o: &o, cut: t.cut}
	for i, k := range all {
		o.Progress("learning", trainShare*float64(i)/float64(len(all)))
		if err := learning.kiosk(k, i >= held); err != nil {
			return nil, fmt.Errorf("learn from %s: %w", k.Serial, err)
		}
	}
	if learning.days < o.MinKioskDays {
		return nil, fmt.Errorf("%w: %.1f days of kiosks from %s to %s, at least %g are needed",
			ErrTooLittle, learning.days, o.From.UTC().Format(time.RFC3339), o.To.UTC().Format(time.RFC3339), o.MinKioskDays)
	}
	checks, out := examine(learning.traces, current)
	t.Checks = append([]fleet.ModelCheck{{
		Name: "enough data", Passed: true, Text: fmt.Sprintf("%.1f days of %d kiosks", learning.days, len(learning.traces)),
	}}, checks...)
	t.File = learning.file(out)
	for _, tr := range learning.traces { // those held out come first
		if len(t.judged) < maxJudged && !out[tr.kiosk.Serial] {
			t.judged = append(t.judged, tr.kiosk)
		}
	}
	return t, nil
}

// asked is how many kiosks are asked for their first reading, for a fleet that has not reported as long as was looked for.
const asked = 8

// begin returns when the first of some kiosks began to report, within the time that is looked at: what is held out at
// its end is a share of the time that there is.
//
// Errors: ErrTooLittle.
func begin(ctx context.Context, src Source, kiosks []fleet.Kiosk, o *Options) (time.Time, error) {
	first := o.To
	enough := errors.New("enough")
	for _, k := range kiosks[:min(asked, len(kiosks))] {
		err := src.Readings(ctx, k.Serial, o.From, first, func(at time.Time, _ []fleet.Value) error {
			first = at
			return enough
		})
		if err != nil && !errors.Is(err, enough) {
			return first, fmt.Errorf("first reading of %s: %w", k.Serial, err)
		}
	}
	had := o.To.Sub(first)
	switch {
	case had <= 0:
		return first, fmt.Errorf("%w: there are none from %s on", ErrTooLittle, o.From.UTC().Format(time.RFC3339))
	case had < shortest-every:
		return first, fmt.Errorf("%w: they begin %s before the end, 2 days are needed", ErrTooLittle, had.Round(time.Minute))
	}
	return first, nil
}

// trainShare is the part of the whole work that learning is, as it is shown.
const trainShare = 0.7

// learning is one training.
type learning struct {
	ctx    context.Context
	src    Source
	o      *Options
	cut    time.Time
	traces []*traces // of the kiosks that had readings
	states []*watch.Kiosk
	days   float64
}

// kiosk reads one kiosk: how its sensors moved, and unless it is held out what its detectors learn until the cut.
func (l *learning) kiosk(k fleet.Kiosk, learn bool) error {
	zone := zoneOf(&k)
	tr := newTraces(k, l.o.From, l.o.To)
	var state *watch.Kiosk
	if learn {
		state = watch.New(&l.o.Watch, nil)
	}
	work := time.Now()
	rows := 0
	err := l.src.Readings(l.ctx, k.Serial, l.o.From, l.o.To, thinned(l.o.Step, func(at time.Time, values []fleet.Value) error {
		tr.add(at, values)
		if state != nil && at.Before(l.cut) {
			state.Step(at.In(zone), values, nil)
		}
		if rows++; rows%restAfter == 0 {
			if err := l.o.Rest(l.ctx, time.Since(work)); err != nil {
				return err
			}
			work = time.Now()
		}
		return nil
	}))
	if err != nil {
		return err
	}
	if err := l.o.Rest(l.ctx, time.Since(work)); err != nil {
		return err
	}
	if tr.readings == 0 {
		return nil
	}
	l.traces, l.states = append(l.traces, tr), append(l.states, state)
	l.days += tr.seenDays
	return nil
}

// restAfter is after how many readings others get their turn.
const restAfter = 5000

// file puts together what was learnt of the kiosks that are not left out.
func (l *learning) file(out map[string]bool) *model.File {
	f := &model.File{
		Model: fleet.Model{CreatedAt: l.o.Now, Origin: l.o.Origin, TrainedFrom: l.o.From, TrainedTo: l.o.To},
		Prior: map[string]*watch.Prior{}, Textures: map[string]map[string]model.Texture{},
	}
	states := map[string][]*watch.Kiosk{}
	moved := map[string]map[string][]*trace{}
	for i, tr := range l.traces {
		if out[tr.kiosk.Serial] {
			continue
		}
		f.Kiosks++
		f.Readings += tr.readings
		for _, key := range keysOf(&tr.kiosk) {
			if l.states[i] != nil {
				states[key] = append(states[key], l.states[i])
			}
			if moved[key] == nil {
				moved[key] = map[string][]*trace{}
			}
			for metric, one := range tr.metrics {
				moved[key][metric] = append(moved[key][metric], one)
			}
		}
	}
	whole := model.Key("", "")
	for key, all := range states {
		if len(all) < minForPrior && key != whole {
			continue
		}
		p := &watch.Prior{}
		for _, k := range all {
			p.Add(k)
		}
		f.Prior[key] = p
	}
	for key, metrics := range moved {
		for metric, all := range metrics {
			if len(all) < minForPrior && key != whole {
				continue
			}
			if f.Textures[key] == nil {
				f.Textures[key] = map[string]model.Texture{}
			}
			f.Textures[key][metric] = clean(merged(all))
		}
	}
	return f
}

// clean makes numbers of a texture that nothing was seen of.
func clean(t model.Texture) model.Texture {
	for _, x := range []*float64{&t.Still, &t.Moving, &t.Rough, &t.Spread, &t.AtLimit} {
		if math.IsNaN(*x) || math.IsInf(*x, 0) {
			*x = 0
		}
	}
	return t
}
