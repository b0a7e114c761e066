package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/fleet"
)

func TestWhoPutsAModelToWorkIsAudited(t *testing.T) {
	dir := t.TempDir()
	var log []string
	m := models{model.Open(dir, time.Now), func(_ context.Context, _ time.Time, actor, action, target, _ string) error {
		log = append(log, fmt.Sprint(actor, " ", action, " ", target))
		return nil
	}}
	add := func() fleet.Model {
		t.Helper()
		added, err := m.Add(t.Context(), &model.File{Model: fleet.Model{Origin: fleet.ModelManual, CreatedAt: time.Now()}}, fleet.ModelCandidate, "", "ann")
		if err != nil {
			t.Fatal(err)
		}
		return added
	}
	good := add()
	if got, err := m.Promote(t.Context(), good.Version, "ann"); err != nil || got.State != fleet.ModelCurrent {
		t.Fatalf("promoted %+v: %v", got, err)
	}
	if _, err := m.Promote(t.Context(), "none", "ann"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a model that is not there: %v", err)
	}
	back, err := m.Rollback(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("[ann model.promote %s bob model.rollback %s]", good.Version, back.Version); fmt.Sprint(log) != want {
		t.Errorf("audited %v, want %s", log, want)
	}
	if err := os.WriteFile(onlyFile(t, dir, good.Version), []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	var invalid *fleet.ValidationError
	if _, err := m.Promote(t.Context(), good.Version, "ann"); !errors.As(err, &invalid) || invalid.Violations[0].Field != "version" {
		t.Errorf("a damaged file: %v", err)
	}
	if len(log) != 2 {
		t.Errorf("what failed is audited: %v", log)
	}
}

// A start waits for the model at work before it loads what kiosks have learnt; without a usable one it does not wait.
func TestTheModelAtWorkIsReadBeforeAnythingElseBegins(t *testing.T) {
	promoted := func(t *testing.T, dir string) string {
		t.Helper()
		kept := OpenModels(&Config{DataDir: dir})
		m, err := kept.Add(t.Context(), &model.File{Model: fleet.Model{Origin: fleet.ModelManual, CreatedAt: time.Now()}}, fleet.ModelCandidate, "", "ann")
		if err == nil {
			m, err = kept.Promote(t.Context(), m.Version, "ann")
		}
		if err != nil {
			t.Fatal(err)
		}
		return m.Version
	}
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string) (want string)
	}{
		{"none", func(*testing.T, string) string { return model.BuiltIn }},
		{"promoted", promoted},
		{"damaged index", func(t *testing.T, dir string) string {
			promoted(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "models", "index.json"), []byte("no index"), 0o600); err != nil {
				t.Fatal(err)
			}
			return model.BuiltIn
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			want := tt.prepare(t, dir)
			a, stop := run(t, dir)
			within(t, time.Minute, "readiness", func() error { return a.ready(t.Context()) })
			stop()
			ctx, cancel := context.WithCancel(t.Context())
			a.anomalies.UseModel(anomaly.Model{Version: "of before"})
			got, times := "", 0
			a.followModels(ctx, func() {
				got = a.anomalies.Now("K-1").Detector
				times++
				cancel()
			})
			if got != want || times != 1 {
				t.Errorf("ready %d times, with the model %q, want once with %q", times, got, want)
			}
		})
	}
}

// onlyFile returns the file of a model in the registry's folder.
func onlyFile(t *testing.T, dir, version string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, version+".*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("files of %s: %v %v", version, found, err)
	}
	return found[0]
}
