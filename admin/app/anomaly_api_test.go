package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

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

// onlyFile returns the file of a model in the registry's folder.
func onlyFile(t *testing.T, dir, version string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, version+".*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("files of %s: %v %v", version, found, err)
	}
	return found[0]
}
