package train

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

func options(m *memory) Options {
	from, to := m.span()
	return Options{From: from, To: to, MinKioskDays: 4, Watch: watch.Default(), Origin: fleet.ModelManual, Now: to}
}

var builtIn = &model.File{Model: fleet.Model{Version: model.BuiltIn}}

// atWork is the model of a healthy fleet, made once.
var atWork = sync.OnceValues(func() (*Outcome, error) {
	m := made(12, 14, 1)
	return Make(context.Background(), m, builtIn, options(m))
})

func current(t *testing.T) *model.File {
	t.Helper()
	out, err := atWork()
	if err != nil {
		t.Fatal(err)
	}
	if !out.Promote {
		t.Fatalf("a model of a healthy fleet was refused: %s", out.Reason)
	}
	return out.File
}

func TestTheGateRefusesPoisonAndAcceptsDrift(t *testing.T) {
	season := func(m *memory) {
		m.change(temperature, 0, 14, warming(8, 14*288)).change(cpuTemp, 0, 14, warming(8, 14*288)).change(humidity, 0, 14, warming(-9, 14*288))
		m.change(cpuUsage, 0, 14, times(1.25, 14))
	}
	for _, tt := range []struct {
		name    string
		change  func(*memory)
		promote bool
		reason  []string
	}{
		{"the same fleet another fortnight", func(*memory) {}, true, []string{"no worse than"}},
		{"a new season with more customers", season, true, []string{"no worse than"}},
		{"a week of one stuck sensor", func(m *memory) { m.change(cpuTemp, 7, 14, held(), 4) }, false, []string{"stuck sensors", cpuTemp, "SYN-3-0005"}},
		{"a week of a stuck sensor on all", func(m *memory) { m.change(temperature, 7, 14, constant(21)) }, false, []string{"stuck sensors", temperature, "12 of 12"}},
		{"a saturated sensor on some", func(m *memory) { m.change(cpuUsage, 7, 14, saturated(20), 1, 4, 7) }, false, []string{"saturated", cpuUsage, "SYN-3-0002"}},
		{"a fault labelled normal", func(m *memory) { m.change(cpuTemp, 7, 14, shifted(16), 2, 5) }, false, []string{"unlike siblings", cpuTemp, "SYN-3-0003", "SYN-3-0006"}},
		{"a season and a stuck sensor", func(m *memory) { season(m); m.change(humidity, 7, 14, held(), 0, 1) }, false, []string{"stuck sensors", humidity, "SYN-3-0001"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			worked := current(t)
			m := made(12, 14, 3)
			tt.change(m)
			out, err := Make(t.Context(), m, worked, options(m))
			if err != nil {
				t.Fatal(err)
			}
			if out.Promote != tt.promote {
				t.Errorf("promote %v: %s", out.Promote, out.Reason)
			}
			for _, text := range tt.reason {
				if !strings.Contains(out.Reason, text) {
					t.Errorf("%q does not say %q", out.Reason, text)
				}
			}
			if out.Promote != (out.State() == fleet.ModelCandidate) {
				t.Errorf("state %s", out.State())
			}
			if (out.File.Figures != nil) != tt.promote || out.File.Kiosks != 12 || len(out.File.Checks) == 0 {
				t.Errorf("got %+v", out.File.Model)
			}
		})
	}
}

// A model of a fleet in which everything swings wildly finds little in one that is calm.
func TestTheGateRefusesAWorseModel(t *testing.T) {
	m := made(12, 14, 3)
	o := options(m)
	o.optional()
	trained, err := Train(t.Context(), m, builtIn, o)
	if err != nil {
		t.Fatal(err)
	}
	swinging := made(12, 14, 3)
	for _, metric := range slices.Clone(swinging.kiosks[0].Metrics) {
		swinging.change(metric, 0, 14, func(i, _ int, x float64) float64 { return x * math.Exp(math.Sin(float64(i*i%8191))) })
	}
	wild, err := Train(t.Context(), swinging, builtIn, o)
	if err != nil {
		t.Fatal(err)
	}
	evaluations, err := Evaluate(t.Context(), &o.Watch, trained.injected(m, &o), trained.File, wild.File)
	if err != nil {
		t.Fatal(err)
	}
	whole, worse := evaluations[0], evaluations[1]
	if why := failed(Gate(worse, whole, o.Watch.Budget)); why == "" {
		t.Errorf("a model of another fleet passed: recall %.2f instead of %.2f", worse.Recall, whole.Recall)
	}
	if c := Gate(whole, worse, o.Watch.Budget)[0]; !c.Passed {
		t.Errorf("the recall of the better model is too low: %s", c.Text)
	}
	if why := failed(Gate(whole, whole, o.Watch.Budget)); why != "" {
		t.Errorf("an equal model was refused: %s", why)
	}
}

func TestTheGateAllowsForChance(t *testing.T) {
	// of returns an evaluation that found the faults from one to another, of 100, with so many false alarms in 100 days.
	of := func(from, to, alarms, wrong int) Evaluation {
		e := Evaluation{Found: make([]bool, 100), False: wrong, Alarms: alarms}
		for i := from; i < to; i++ {
			e.Found[i] = true
		}
		e.Faults, e.Days, e.Recall = 100, 100, float64(to-from)/100
		e.Precision, e.FalsePerDay = ratio(to-from, alarms), float64(wrong)/100
		e.ByKind = map[string]fleet.ModelKindFigures{"stuck": {Faults: 100, Recall: e.Recall}}
		return e
	}
	for _, tt := range []struct {
		name               string
		candidate, current Evaluation
		failed             []string
	}{
		{"equal", of(0, 70, 80, 5), of(0, 70, 80, 5), nil},
		{"a little less by chance", of(4, 70, 80, 5), of(0, 70, 80, 5), nil},
		{"other faults", of(10, 80, 80, 5), of(0, 70, 80, 5), nil},
		{"better", of(0, 90, 95, 2), of(0, 70, 80, 5), nil},
		{"less and less again", of(9, 70, 71, 5), of(0, 70, 80, 5), []string{"recall"}},
		{"much less", of(30, 70, 45, 5), of(0, 70, 80, 5), []string{"recall", "recall by kind"}},
		{"less precise", of(0, 70, 130, 5), of(0, 70, 80, 5), []string{"precision"}},
		{"more false alarms", of(0, 70, 80, 20), of(0, 70, 80, 5), []string{"false alarms"}},
		{"more false alarms, within the budget", of(0, 70, 80, 7), of(0, 70, 80, 0), nil},
		{"more than none", of(0, 70, 80, 9), of(0, 70, 80, 0), []string{"false alarms"}},
		{"than a silent one", of(0, 70, 80, 7), of(0, 0, 0, 0), nil},
		{"a silent one", of(0, 0, 0, 0), of(0, 70, 80, 0), []string{"recall", "recall by kind"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			for _, c := range Gate(tt.candidate, tt.current, 0.5) {
				if c.Text == "" {
					t.Errorf("%s says nothing", c.Name)
				}
				if !c.Passed {
					names = append(names, c.Name)
				}
			}
			if !slices.Equal(names, tt.failed) {
				t.Errorf("failed %v, want %v", names, tt.failed)
			}
		})
	}
}

func TestWithoutFaultsNothingIsKnown(t *testing.T) {
	none := Evaluation{}
	none.Recall, none.Precision = math.NaN(), math.NaN()
	if why := failed(Gate(none, none, 0.5)); !strings.Contains(why, "no fault could be injected") {
		t.Errorf("got %q", why)
	}
}

func TestTooLittleIsNotLearntFrom(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source *memory
		change func(*Options)
		want   error
	}{
		{"a day", made(3, 1, 1), func(o *Options) { o.From = o.To.Add(-14 * 24 * time.Hour) }, ErrTooLittle},
		{"few kiosk days", made(2, 3, 1), func(o *Options) { o.MinKioskDays = 20 }, ErrTooLittle},
		{"no kiosk", &memory{}, func(*Options) {}, ErrTooLittle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{From: time.Unix(0, 0), To: time.Unix(0, 0).Add(14 * 24 * time.Hour), Watch: watch.Default()}
			if len(tt.source.kiosks) > 0 {
				o = options(tt.source)
			}
			tt.change(&o)
			if _, err := Make(t.Context(), tt.source, builtIn, o); !errors.Is(err, tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	m := made(2, 3, 1)
	o := options(m)
	o.From = o.To.Add(-time.Hour)
	var invalid *fleet.ValidationError
	if _, err := Make(t.Context(), m, builtIn, o); !errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
}

// A fleet that has reported for three days trains on these, although it was looked for a fortnight.
func TestAYoungFleetIsLearntFrom(t *testing.T) {
	m := made(6, 4, 1)
	o := options(m)
	begin := o.From
	o.From = o.To.Add(-14 * 24 * time.Hour)
	out, err := Make(t.Context(), m, builtIn, o)
	if err != nil {
		t.Fatal(err)
	}
	if !out.File.TrainedFrom.Equal(begin) || len(out.File.Prior) == 0 || out.File.Figures.Faults == 0 {
		t.Errorf("got %+v", out.File.Model)
	}
}
