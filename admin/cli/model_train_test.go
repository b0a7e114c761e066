package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/synth"
	"kioskfleet/admin/app"
	"kioskfleet/admin/store"
)

type printedFigures struct {
	Series, Faults int
	Recall         float64
}

type trained struct {
	Version, State, Reason string
	Ordered                bool
	Kiosks                 int
	Figures, Against       *printedFigures
	Checks                 []struct {
		Name   string
		Passed bool
	}
}

func TestAFleetIsMadeTrainedOnAndEvaluated(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	folder := filepath.Join(dir, "fleet")
	var made struct{ Kiosks, Days, Faults int }
	answer(t, &made, "model", "synth", "--out", folder, "--kiosks", "6", "--days", "6", "--seed", "3", "--faults", "stuck,dropout", "--faults-per-week", "4")
	if made.Kiosks != 6 || made.Days != 6 || made.Faults < 6 {
		t.Errorf("made %+v", made)
	}
	files, err := synth.OpenFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range files.Kiosks {
		for _, w := range k.Windows {
			if w.Kind != "stuck" && w.Kind != "dropout" {
				t.Errorf("a %s was not asked for", w.Kind)
			}
		}
	}

	var m trained
	answer(t, &m, "model", "train", "--data", folder, "--data-dir", data, "--promote")
	if m.State != "current" || m.Kiosks != 6 || m.Figures == nil || m.Figures.Faults == 0 || m.Against == nil || len(m.Checks) < 8 {
		t.Fatalf("trained %+v", m)
	}
	var evaluated struct {
		Version string
		Figures printedFigures
		Current string
		Against *printedFigures
	}
	answer(t, &evaluated, "model", "evaluate", "--data", folder, "--data-dir", data)
	if evaluated.Version != m.Version || evaluated.Figures.Series != 6 || evaluated.Figures.Recall <= 0.3 || evaluated.Against != nil {
		t.Errorf("evaluated %+v", evaluated)
	}
	answer(t, &evaluated, "model", "evaluate", model.BuiltIn, "--data", folder, "--data-dir", data)
	if evaluated.Version != model.BuiltIn || evaluated.Current != m.Version || evaluated.Against == nil {
		t.Errorf("evaluated %+v", evaluated)
	}
	if out, _, err := admin(t, "model", "show", "--data-dir", data); err != nil || !strings.Contains(out, "stuck sensors") || !strings.Contains(out, "promote") {
		t.Errorf("shown %s, %v", out, err)
	}

	// The same with a sensor that was stuck for days on one kiosk, and nobody said so.
	poison(t, files, folder, "hardware.cpu_temp")
	answer(t, &m, "model", "train", "--data", folder, "--data-dir", data, "--promote")
	if m.State != "refused" || !strings.Contains(m.Reason, "hardware.cpu_temp") || !strings.Contains(m.Reason, files.Kiosks[2].Serial) {
		t.Errorf("trained %+v", m)
	}
	fails(t, []string{"hardware.cpu_temp", "--force"}, "model", "promote", m.Version, "--data-dir", data)
}

// poison lets a metric of the third kiosk stand still for the last half of its time.
func poison(t *testing.T, files *synth.Folder, folder, metric string) {
	t.Helper()
	var kiosks []synth.Kiosk
	for i := range files.Kiosks {
		k, err := files.Kiosk(i)
		if err != nil {
			t.Fatal(err)
		}
		for j, name := range k.Metrics {
			if i == 2 && name == metric {
				for n := len(k.Times) / 2; n < len(k.Times); n++ {
					k.Values[j][n] = k.Values[j][len(k.Times)/2]
				}
			}
		}
		k.Windows = nil
		kiosks = append(kiosks, k)
	}
	err := synth.WriteFleet(folder, func(yield func(synth.Kiosk) bool) {
		for _, k := range kiosks {
			if !yield(k) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheSameSeedMakesTheSameFleet(t *testing.T) {
	read := func(args ...string) string {
		out := filepath.Join(t.TempDir(), "fleet")
		var made struct{ Faults int }
		answer(t, &made, append([]string{"model", "synth", "--out", out, "--kiosks", "1", "--days", "2"}, args...)...)
		names, err := filepath.Glob(filepath.Join(out, "kiosks", "*.csv"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		text, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	one := read("--seed", "4")
	if read("--seed", "4") != one {
		t.Error("the same seed made another fleet")
	}
	if read("--seed", "5") == one || read("--seed", "4", "--faults", "none") == one || read("--seed", "4", "--step", "10m") == one {
		t.Error("seed, faults and step change nothing")
	}
}

func TestWhileAServerRunsItIsToldToTrain(t *testing.T) {
	data := t.TempDir()
	cfg := app.DefaultConfig()
	cfg.DataDir = data
	st, err := store.Open(t.Context(), filepath.Join(data, "kioskfleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if free, err := st.LeaseRollups(t.Context(), "server", now, now.Add(time.Hour)); err != nil || !free {
		t.Fatal(free, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	var m trained
	answer(t, &m, "model", "train", "--days", "5", "--promote", "--data-dir", data)
	if !m.Ordered {
		t.Errorf("got %+v", m)
	}
	o, err := app.OpenModels(cfg).Take(t.Context())
	if err != nil || o == nil || o.Days != 5 || !o.Promote || !strings.HasPrefix(o.By, "cli") {
		t.Errorf("order %+v, %v", o, err)
	}
	fails(t, []string{"--data"}, "model", "evaluate", "--data-dir", data)
}

func TestWhatCannotBeTrainedOrMadeIsSaid(t *testing.T) {
	data, full, empty := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(full, "fleet.json"), "{}")
	for _, tt := range []struct {
		name  string
		texts []string
		args  []string
	}{
		{"an empty store", []string{"too few readings"}, []string{"train"}},
		{"too few days", []string{"--days 1"}, []string{"train", "--days", "1"}},
		{"two sources", []string{"exclude"}, []string{"train", "--from-store", "--data", full}},
		{"no folder", []string{"fleet.json", "no such file"}, []string{"train", "--data", empty}},
		{"a folder of another format", []string{"format"}, []string{"train", "--data", full}},
		{"an unknown model", []string{"m20200101-000000-00000000", "not found"}, []string{"evaluate", "m20200101-000000-00000000", "--data", full}},
		{"an unknown format", []string{`"csv"`, "nab"}, []string{"evaluate", "--format", "csv"}},
		{"labels without nab", []string{"--labels", "nab"}, []string{"evaluate", "--labels", "x"}},
		{"a version with nab", []string{"no version"}, []string{"evaluate", "m", "--format", "nab"}},
		{"no place for a fleet", []string{"--out"}, []string{"synth"}},
		{"a fleet that is there", []string{"holds a fleet already"}, []string{"synth", "--out", full}},
		{"no kiosks", []string{"kiosks", "0"}, []string{"synth", "--out", empty, "--kiosks", "0"}},
		{"an unknown fault", []string{`"rust"`, "stuck"}, []string{"synth", "--out", empty, "--faults", "rust"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fails(t, tt.texts, append(append([]string{"model"}, tt.args...), "--data-dir", data)...)
		})
	}
}
