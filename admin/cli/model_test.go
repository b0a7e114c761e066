package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/app"
	"kioskfleet/admin/cli"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/daemon"
)

// admin runs a subcommand and returns what it printed.
func admin(t *testing.T, args ...string) (out, errors string, err error) {
	t.Helper()
	cmd := daemon.Program[app.Config]{
		Name: "admin", Default: app.DefaultConfig, Log: func(c *app.Config) daemon.Log { return c.Log },
		Run:      func(context.Context, *app.Config, *slog.Logger) error { return nil },
		Commands: cli.Commands,
	}.Command()
	var stdout, stderr bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	err = cmd.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// answer runs a subcommand with --json and reads what it printed.
func answer(t *testing.T, into any, args ...string) {
	t.Helper()
	out, _, err := admin(t, append(args, "--json")...)
	if err != nil {
		t.Fatalf("admin %s: %v", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("admin %s printed %s: %v", strings.Join(args, " "), out, err)
	}
}

// fails runs a subcommand that is to fail with an error that says all of the texts.
func fails(t *testing.T, texts []string, args ...string) {
	t.Helper()
	out, _, err := admin(t, args...)
	if err == nil {
		t.Errorf("admin %s did not fail but printed %s", strings.Join(args, " "), out)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("admin %s: %v; it does not say %q", strings.Join(args, " "), err, text)
		}
	}
}

type printedModel struct {
	Version, State, Origin, Reason string
	History                        []struct{ Action, Reason string }
}

func modelsIn(t *testing.T, data string) (*model.Registry, func() *model.File) {
	t.Helper()
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	return model.Open(filepath.Join(data, "models"), time.Now), func() *model.File {
		at = at.Add(time.Hour)
		return &model.File{Model: fleet.Model{CreatedAt: at, Origin: fleet.ModelManual}}
	}
}

func TestModelsAreListedPromotedAndRolledBack(t *testing.T) {
	data := t.TempDir()
	registry, fresh := modelsIn(t, data)
	var versions []string
	for _, state := range []fleet.ModelState{fleet.ModelCandidate, fleet.ModelRefused} {
		m, err := registry.Add(t.Context(), fresh(), state, "a sensor was stuck", "test")
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, m.Version)
	}
	dir := []string{"--data-dir", data}
	call := func(args ...string) []string { return append(append([]string{"model"}, args...), dir...) }

	var list []printedModel
	answer(t, &list, call("list")...)
	if len(list) != 3 || list[0].Version != versions[1] || list[2].Version != model.BuiltIn || list[2].State != "current" {
		t.Errorf("list %+v", list)
	}
	var one printedModel
	answer(t, &one, call("promote", versions[0])...)
	if one.Version != versions[0] || one.State != "current" {
		t.Errorf("promoted %+v", one)
	}
	fails(t, []string{"a sensor was stuck", "--force"}, call("promote", versions[1])...)
	answer(t, &one, call("promote", versions[1], "--force")...)
	answer(t, &one, call("show")...)
	if one.Version != versions[1] || len(one.History) != 2 || one.History[1].Action != "promote" {
		t.Errorf("shown %+v", one)
	}
	answer(t, &one, call("rollback")...)
	if one.Version != versions[0] {
		t.Errorf("rolled back to %+v", one)
	}
	answer(t, &one, call("rollback")...)
	if one.Version != model.BuiltIn {
		t.Errorf("rolled back to %+v", one)
	}
	fails(t, []string{"no model was at work before"}, call("rollback")...)
	fails(t, []string{"m20200101-000000-00000000", "not found"}, call("promote", "m20200101-000000-00000000")...)
	if out, _, err := admin(t, call("list")...); err != nil || !strings.Contains(out, "rolled_back") || !strings.Contains(out, versions[0]) {
		t.Errorf("printed %s, %v", out, err)
	}
}

func TestAModelIsCarriedToAnotherMachine(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	registry, fresh := modelsIn(t, here)
	m, err := registry.Add(t.Context(), fresh(), fleet.ModelCandidate, "trained", "test")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "model.gz")
	if _, _, err := admin(t, "model", "export", m.Version, file, "--data-dir", here); err != nil {
		t.Fatal(err)
	}
	var got printedModel
	answer(t, &got, "model", "import", file, "--data-dir", there)
	if got.Version != m.Version || got.Origin != "imported" || got.State != "candidate" {
		t.Errorf("imported %+v", got)
	}
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, []string{file, "damaged"}, "model", "import", file, "--data-dir", there)
	fails(t, []string{"no such file"}, "model", "import", file+"x", "--data-dir", there)
}
