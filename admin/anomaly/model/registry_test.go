package model_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// trained returns a model as a training makes one; n tells them apart.
func trained(n int) *model.File {
	return &model.File{
		Model: fleet.Model{
			CreatedAt: begin.Add(time.Duration(n) * time.Hour), Origin: fleet.ModelManual, TrainedFrom: begin.Add(-14 * 24 * time.Hour), TrainedTo: begin,
			Kiosks: 10 + n, Readings: 1000, Figures: &fleet.ModelFigures{Recall: 0.8, Precision: 0.9, ByKind: map[string]fleet.ModelKindFigures{"stuck": {Faults: 3, Recall: 1}}},
			Checks: []fleet.ModelCheck{{Name: "recall", Passed: true, Text: "0.80 of the faults were found"}},
		},
		Prior:    map[string]*watch.Prior{model.Key("", ""): {}, model.Key("K1", "north"): {}},
		Textures: map[string]map[string]model.Texture{model.Key("", ""): {"hardware.cpu_temp": {Kiosks: 10, Still: 0.5}}},
	}
}

func open(t *testing.T) (*model.Registry, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "models")
	return model.Open(dir, func() time.Time { return begin }), dir
}

func add(t *testing.T, r *model.Registry, n int) string {
	t.Helper()
	m, err := r.Add(t.Context(), trained(n), fleet.ModelCandidate, "trained", "test")
	if err != nil {
		t.Fatal(err)
	}
	return m.Version
}

func promote(t *testing.T, r *model.Registry, version string) {
	t.Helper()
	if _, err := r.Promote(t.Context(), version, "test"); err != nil {
		t.Fatal(err)
	}
}

func states(t *testing.T, r *model.Registry) map[string]fleet.ModelState {
	t.Helper()
	all, err := r.Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]fleet.ModelState{}
	for _, m := range all {
		out[m.Version] = m.State
	}
	return out
}

func current(t *testing.T, r *model.Registry) string {
	t.Helper()
	f, _, err := r.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return f.Version
}

func TestWithoutAnyModelTheBuiltInOneIsAtWork(t *testing.T) {
	r, dir := open(t)
	f, past, err := r.Current(t.Context())
	if err != nil || f.Version != model.BuiltIn || f.State != fleet.ModelCurrent || f.PriorFor("K1", "north") != nil || len(past) != 0 {
		t.Fatalf("got %+v, %v, %v", f, past, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking made the folder: %v", err)
	}
	if _, err := r.Rollback(t.Context(), "test"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("rolled back from nothing: %v", err)
	}
}

func TestAModelComesBackAsItWasKept(t *testing.T) {
	r, _ := open(t)
	want := trained(1)
	m, err := r.Add(t.Context(), want, fleet.ModelRefused, "recall is worse", "test")
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Load(t.Context(), m.Version)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != fleet.ModelRefused || got.Reason != "recall is worse" || got.ChangedBy != "test" || got.SHA256 != m.SHA256 || got.Bytes != m.Bytes {
		t.Errorf("got %+v", got.Model)
	}
	if got.Kiosks != 11 || got.Figures.Recall != 0.8 || got.Figures.ByKind["stuck"].Faults != 3 || got.Against != nil || !got.Checks[0].Passed || !got.CreatedAt.Equal(want.CreatedAt) {
		t.Errorf("got %+v", got.Model)
	}
	if !strings.HasPrefix(m.Version, "m20260301-130000-"+m.SHA256[:8]) {
		t.Errorf("version %s", m.Version)
	}
	if len(got.Prior) != 2 || got.Textures[model.Key("", "")]["hardware.cpu_temp"].Still != 0.5 {
		t.Errorf("priors %v, textures %v", got.Prior, got.Textures)
	}
}

func TestTheClosestPriorIsTaken(t *testing.T) {
	fleetwide, ofModel, ofSite := &watch.Prior{}, &watch.Prior{}, &watch.Prior{}
	f := &model.File{Prior: map[string]*watch.Prior{model.Key("", ""): fleetwide, model.Key("K1", ""): ofModel, model.Key("K1", "north"): ofSite}}
	for _, tt := range []struct {
		name, model, site string
		want              *watch.Prior
	}{
		{"model and site", "K1", "north", ofSite}, {"another site", "K1", "south", ofModel}, {"another model", "K2", "north", fleetwide}, {"no model", "", "", fleetwide},
	} {
		if got := f.PriorFor(tt.model, tt.site); got != tt.want {
			t.Errorf("%s: got another prior", tt.name)
		}
	}
}

func TestPromoteAndRollBack(t *testing.T) {
	r, _ := open(t)
	a, b, c := add(t, r, 1), add(t, r, 2), add(t, r, 3)
	promote(t, r, a)
	promote(t, r, b)
	if got := states(t, r); got[a] != fleet.ModelRetired || got[b] != fleet.ModelCurrent || got[c] != fleet.ModelCandidate || got[model.BuiltIn] != fleet.ModelRetired {
		t.Errorf("states %v", got)
	}
	if _, err := r.Promote(t.Context(), b, "test"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("promoted what is at work: %v", err)
	}
	if _, err := r.Promote(t.Context(), "m20260301-130000-00000000", "test"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("promoted what is not there: %v", err)
	}
	if _, err := r.PromoteFor(t.Context(), c, a, "better", "schedule"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("promoted over another one than it was compared with: %v", err)
	}
	if _, err := r.RollbackFor(t.Context(), a, "too many alarms", "schedule"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("rolled back another one than was judged: %v", err)
	}
	for i, want := range []string{a, model.BuiltIn} {
		m, err := r.Rollback(t.Context(), "test")
		if err != nil || m.Version != want || m.State != fleet.ModelCurrent || current(t, r) != want {
			t.Fatalf("rollback %d: %+v, %v", i+1, m, err)
		}
	}
	if _, err := r.Rollback(t.Context(), "test"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("rolled back from nothing: %v", err)
	}
	if got := states(t, r); got[a] != fleet.ModelRolledBack || got[b] != fleet.ModelRolledBack || got[model.BuiltIn] != fleet.ModelCurrent {
		t.Errorf("states %v", got)
	}
	history, err := r.History(t.Context())
	if err != nil || len(history) != 7 || history[6].Action != "roll back" || history[6].Version != a {
		t.Errorf("history %+v, %v", history, err)
	}
}

func TestARolledBackModelIsNotRolledBackTo(t *testing.T) {
	r, _ := open(t)
	a, b := add(t, r, 1), add(t, r, 2)
	for _, version := range []string{a, b, a} { // a person may well try again
		promote(t, r, version)
	}
	for i, want := range []string{b, model.BuiltIn} { // a is bad, and b then as well
		if m, err := r.Rollback(t.Context(), "test"); err != nil || m.Version != want {
			t.Fatalf("rollback %d: %+v, %v", i+1, m, err)
		}
	}
}

func TestARefusedModelIsPutToWorkOnlyByForce(t *testing.T) {
	r, _ := open(t)
	m, err := r.Add(t.Context(), trained(1), fleet.ModelRefused, "a sensor was stuck", "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Promote(t.Context(), m.Version, "test"); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "a sensor was stuck") {
		t.Errorf("got %v", err)
	}
	if _, err := r.PromoteFor(t.Context(), m.Version, "", "that sensor is new", "test"); err != nil || current(t, r) != m.Version {
		t.Errorf("got %v", err)
	}
}

func TestAModelStaysRefusedWhereverItGoes(t *testing.T) {
	here, _ := open(t)
	f := trained(1)
	f.Checks = append(f.Checks, fleet.ModelCheck{Name: "stuck sensors", Text: "CPU temperature did not move"})
	m, err := here.Add(t.Context(), f, fleet.ModelRefused, "stuck sensors: CPU temperature did not move", "test")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "carried.model.gz")
	if err := here.Export(t.Context(), m.Version, path); err != nil {
		t.Fatal(err)
	}
	there, _ := open(t)
	if m, err = there.Import(t.Context(), path, "test"); err != nil || m.State != fleet.ModelRefused || !strings.Contains(m.Reason, "did not move") {
		t.Errorf("imported %+v, %v", m, err)
	}
	found, dir := open(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, m.Version+".model.gz"), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*model.Registry{"imported": there, "found": found} {
		refused := func() {
			t.Helper()
			if _, err := r.Promote(t.Context(), m.Version, "test"); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "did not move") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		refused()
		if _, err := r.PromoteFor(t.Context(), m.Version, "", "that sensor is new", "test"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Rollback(t.Context(), "test"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		refused()
	}
}

func TestTheLastModelsAreKept(t *testing.T) {
	r, dir := open(t)
	first, second := add(t, r, 1), add(t, r, 2)
	promote(t, r, first)
	promote(t, r, second)
	for n := 3; n <= 20; n++ {
		add(t, r, n)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.model.gz"))
	if err != nil || len(files) != 10 {
		t.Errorf("%d files, %v", len(files), err)
	}
	got := states(t, r)
	if len(got) != 11 || got[first] != fleet.ModelRetired || got[second] != fleet.ModelCurrent {
		t.Errorf("states %v", got)
	}
	if m, err := r.Rollback(t.Context(), "test"); err != nil || m.Version != first {
		t.Errorf("rolled back to %s, %v", m.Version, err)
	}
}

func TestADamagedFileIsNeverPutToWork(t *testing.T) {
	foreign := func(t *testing.T, whole []byte) []byte {
		return repack(t, whole, `"kioskfleet_model":1`, `"kioskfleet_model":2`)
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, whole []byte) []byte
		want   error
	}{
		{"empty", func(*testing.T, []byte) []byte { return nil }, model.ErrDamaged},
		{"cut short", func(_ *testing.T, whole []byte) []byte { return whole[:len(whole)/2] }, model.ErrDamaged},
		{"no gzip", func(*testing.T, []byte) []byte { return []byte("hello") }, model.ErrDamaged},
		{"another number in it", func(t *testing.T, whole []byte) []byte { return repack(t, whole, `"readings":1000`, `"readings":1001`) }, model.ErrDamaged},
		{"no model", func(t *testing.T, whole []byte) []byte { return repack(t, whole, `"kioskfleet_model":1`, `"format":1`) }, model.ErrDamaged},
		{"another format", foreign, model.ErrForeign},
		{"gone", nil, fleet.ErrNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, dir := open(t)
			good, bad := add(t, r, 1), add(t, r, 2)
			path := filepath.Join(dir, bad+".model.gz")
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spoil := func() {
				if tt.damage == nil {
					err = os.Remove(path)
				} else {
					err = os.WriteFile(path, tt.damage(t, whole), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			promote(t, r, good)
			spoil()
			if _, err := r.Promote(t.Context(), bad, "test"); !errors.Is(err, tt.want) {
				t.Errorf("promote: %v, want %v", err, tt.want)
			}
			if got := current(t, r); got != good {
				t.Errorf("at work is %s", got)
			}
			if tt.damage != nil {
				if _, err := r.Import(t.Context(), path, "test"); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("import: %v, want %v and the path", err, tt.want)
				}
			}

			// The same to the one at work: it is rolled back.
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			promote(t, r, bad)
			spoil()
			if got := follow(t, r, 1); got[0] != good || states(t, r)[bad] != fleet.ModelRolledBack {
				t.Errorf("applied %v, states %v", got, states(t, r))
			}
		})
	}
}

func TestADamagedIndexIsSaidAndAnewOneFindsTheModels(t *testing.T) {
	r, dir := open(t)
	version := add(t, r, 1)
	promote(t, r, version)
	path := filepath.Join(dir, "index.json")
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"damaged", "{", model.ErrDamaged}, {"of another version", `{"kioskfleet_models":9}`, model.ErrForeign},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Models(t.Context()); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if _, err := r.Add(t.Context(), trained(2), fleet.ModelCandidate, "", "test"); !errors.Is(err, tt.want) {
			t.Errorf("%s: an index was written over: %v", tt.name, err)
		}
		if got := follow(t, r, 1); got[0] != model.BuiltIn {
			t.Errorf("%s: applied %v", tt.name, got)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := states(t, r); got[version] != fleet.ModelCandidate || got[model.BuiltIn] != fleet.ModelCurrent {
		t.Errorf("states %v", got)
	}
	promote(t, r, version)
}

func TestAModelTravels(t *testing.T) {
	here, _ := open(t)
	there, _ := open(t)
	version := add(t, here, 1)
	path := filepath.Join(t.TempDir(), "carried.model.gz")
	if err := here.Export(t.Context(), version, path); err != nil {
		t.Fatal(err)
	}
	if err := here.Export(t.Context(), version, path); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("a file was written over: %v", err)
	}
	m, err := there.Import(t.Context(), path, "test")
	if err != nil || m.Version != version || m.Origin != fleet.ModelImported || m.State != fleet.ModelCandidate {
		t.Fatalf("got %+v, %v", m, err)
	}
	if _, err := there.Import(t.Context(), path, "test"); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("imported twice: %v", err)
	}
	promote(t, there, version)
	if err := here.Export(t.Context(), "../secret", path); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a path is a version: %v", err)
	}
}

func TestManyChangeTheIndexAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "models")
	var group sync.WaitGroup
	versions := make([]string, 8)
	for i := range versions {
		group.Go(func() {
			r := model.Open(dir, time.Now) // as another process would
			m, err := r.Add(t.Context(), trained(i), fleet.ModelCandidate, "", fmt.Sprint(i))
			if err != nil {
				t.Error(err)
				return
			}
			versions[i] = m.Version
			if _, err := r.Promote(t.Context(), m.Version, fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	r := model.Open(dir, time.Now)
	history, err := r.History(t.Context())
	if err != nil || len(history) != 16 {
		t.Fatalf("%d changes, %v", len(history), err)
	}
	at := ""
	for _, e := range history {
		if e.Action == "promote" {
			at = e.Version
		}
	}
	if got := current(t, r); got != at {
		t.Errorf("at work is %s, promoted last was %s", got, at)
	}
	working := 0
	for _, state := range states(t, r) {
		if state == fleet.ModelCurrent {
			working++
		}
	}
	if working != 1 {
		t.Errorf("%d models are at work", working)
	}
}

func TestAnOrderIsTakenOnce(t *testing.T) {
	r, _ := open(t)
	if o, err := r.Take(t.Context()); o != nil || err != nil {
		t.Fatalf("got %v, %v", o, err)
	}
	if err := r.Place(t.Context(), model.Order{At: begin, By: "cli:eve", Days: 7, Promote: true}); err != nil {
		t.Fatal(err)
	}
	if o, err := r.Take(t.Context()); err != nil || o == nil || o.By != "cli:eve" || o.Days != 7 || !o.Promote {
		t.Errorf("got %+v, %v", o, err)
	}
	if o, err := r.Take(t.Context()); o != nil || err != nil {
		t.Errorf("got %v, %v again", o, err)
	}
}
