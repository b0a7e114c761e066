package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kioskfleet/internal/config"
)

type settings struct {
	Name string `key:"name"`
	Nest struct {
		Count int `key:"count" short:"n"`
	} `key:"nest"`
	Log Log `key:"log"`
}

func (s *settings) Validate() error {
	if s.Nest.Count < 0 {
		return errors.New("nest.count: is negative")
	}
	return nil
}

var errRun = errors.New("it does not run")

// program is a small program; ran keeps the configuration that Run got.
func program(ran **settings) Program[settings] {
	return Program[settings]{
		Name: "thing",
		Default: func() *settings {
			s := &settings{Name: "default", Log: DefaultLog()}
			s.Nest.Count = 1
			return s
		},
		Log: func(s *settings) Log { return s.Log },
		Run: func(_ context.Context, s *settings, log *slog.Logger) error {
			*ran = s
			log.Info("running")
			if s.Name == "fail" {
				return errRun
			}
			return nil
		},
		Commands: func(load Loader[settings]) []*cobra.Command {
			return []*cobra.Command{{
				Use: "show",
				RunE: func(cmd *cobra.Command, _ []string) error {
					s, log, err := load(cmd)
					if err != nil {
						return err
					}
					log.Debug("shown")
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "name is %s", s.Name)
					return err
				},
			}}
		},
	}
}

// call runs the program's command line apart from the environment of this process.
func call(t *testing.T, env map[string]string, args ...string) (out, log string, ran *settings, err error) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, config.EnvPrefix) {
			t.Setenv(name, value) // so that it comes back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range env {
		t.Setenv(config.EnvPrefix+name, value)
	}
	var stdout, stderr bytes.Buffer
	cmd := program(&ran).Command()
	cmd.SetArgs(args)
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	err = cmd.ExecuteContext(t.Context())
	for name := range env {
		if err := os.Unsetenv(config.EnvPrefix + name); err != nil {
			t.Fatal(err)
		}
	}
	return stdout.String(), stderr.String(), ran, err
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheConfigurationReachesRun(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"defaults", nil, nil, "default 1"},
		{"flags", nil, []string{"--name", "f", "-n", "2"}, "f 2"},
		{"environment", map[string]string{"NAME": "e", "NEST_COUNT": "3"}, nil, "e 3"},
		{"file", nil, []string{"--config", file(t, "name: y\nnest:\n  count: 4\n")}, "y 4"},
		{"file by its short flag", nil, []string{"-c", file(t, "name: y\n")}, "y 1"},
		{"file named by the environment", map[string]string{"CONFIG": file(t, "name: y\n")}, nil, "y 1"},
		{"the flag's file counts", map[string]string{"CONFIG": "none.yaml"}, []string{"-c", file(t, "name: y\n")}, "y 1"},
		{"flags over environment over file", map[string]string{"NAME": "e", "NEST_COUNT": "3"}, []string{"--name", "f", "-c", file(t, "name: y\nnest:\n  count: 4\n")}, "f 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, log, ran, err := call(t, tt.env, tt.args...)
			if err != nil || ran == nil {
				t.Fatalf("%v: %s", err, log)
			}
			if got := fmt.Sprint(ran.Name, " ", ran.Nest.Count); got != tt.want {
				t.Errorf("configuration = %s, want %s", got, tt.want)
			}
			if !strings.Contains(log, "running") || strings.Contains(log, "warning") {
				t.Errorf("log = %s", log)
			}
		})
	}
}

func TestFaultsAreNamedBeforeAnythingRuns(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"unknown flag", nil, []string{"--colour", "red"}, "unknown flag: --colour"},
		{"unknown short flag", nil, []string{"-x"}, "'x'"},
		{"stray word", nil, []string{"now"}, `"now"`},
		{"flag without a value", nil, []string{"--name"}, "--name"},
		{"bad number", nil, []string{"--nest-count", "many"}, "nest-count"},
		{"bad number in the environment", map[string]string{"NEST_COUNT": "many"}, nil, "nest.count in KIOSKFLEET_NEST_COUNT"},
		{"no such file", nil, []string{"-c", "none.yaml"}, "none.yaml"},
		{"no such file in the environment", map[string]string{"CONFIG": "none.yaml"}, nil, "none.yaml"},
		{"unknown key", nil, []string{"-c", file(t, "nam: x\n")}, `unknown key "nam", did you mean "name"?`},
		{"what the program does not accept", nil, []string{"-n", "-1"}, "nest.count: is negative"},
		{"log level", nil, []string{"--log-level", "loud"}, "log.level"},
		{"log format", nil, []string{"--log-format", "xml"}, "log.format"},
	}
	for _, tt := range tests {
		for _, how := range []string{"run", "check", "subcommand"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				args := tt.args
				switch {
				case how == "check":
					args = append([]string{"--check-config"}, args...)
				case how == "subcommand" && tt.name != "stray word":
					args = append([]string{"show"}, args...)
				}
				out, _, ran, err := call(t, tt.env, args...)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error = %v, want %q", err, tt.want)
				}
				if ran != nil || out != "" {
					t.Errorf("it ran, and said %q", out)
				}
			})
		}
	}
}

func TestCheckConfigOnlyChecks(t *testing.T) {
	out, _, ran, err := call(t, nil, "--check-config", "--name", "fail")
	if err != nil || out != "configuration is valid\n" || ran != nil {
		t.Errorf("%q, %v, ran %v", out, err, ran)
	}
}

func TestAnUnknownVariableIsAWarning(t *testing.T) {
	env := map[string]string{"NOME": "x", "NAME": "e"}
	_, log, ran, err := call(t, env)
	if err != nil || ran == nil || ran.Name != "e" {
		t.Fatalf("%v: %s", err, log)
	}
	if !strings.Contains(log, "level=WARN") || !strings.Contains(log, "KIOSKFLEET_NOME") || strings.Contains(log, "KIOSKFLEET_NAME") || strings.Contains(log, "KIOSKFLEET_CONFIG") {
		t.Errorf("log = %s", log)
	}
	if _, log, _, err := call(t, env, "--check-config"); err != nil || !strings.Contains(log, "KIOSKFLEET_NOME") {
		t.Errorf("--check-config: %v, %s", err, log)
	}
	// Subcommands' output is read by programs; programs share an environment.
	if out, log, _, err := call(t, env, "show"); err != nil || out != "name is e" || log != "" {
		t.Errorf("subcommand: %q, %q, %v", out, log, err)
	}
}

func TestWhatRunReturnsIsTheCommandsError(t *testing.T) {
	if _, _, _, err := call(t, nil, "--name", "fail"); !errors.Is(err, errRun) {
		t.Errorf("error = %v", err)
	}
}

func TestTheVersion(t *testing.T) {
	if out, _, _, err := call(t, nil, "--version"); err != nil || !strings.Contains(out, Version) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestLogger(t *testing.T) {
	tests := []struct {
		log  Log
		want string // of an info and a debug record
	}{
		{Log{"info", "text"}, "level=INFO msg=a serial=K-1\n"},
		{Log{"debug", "text"}, "level=INFO msg=a serial=K-1\nlevel=DEBUG msg=b\n"},
		{Log{"WARN", "text"}, ""},
		{Log{"info", "json"}, `"level":"INFO","msg":"a","serial":"K-1"}` + "\n"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.log), func(t *testing.T) {
			var out bytes.Buffer
			log, err := tt.log.Logger(&out)
			if err != nil {
				t.Fatal(err)
			}
			log.Info("a", "serial", "K-1")
			log.Debug("b")
			var got strings.Builder
			for line := range strings.Lines(out.String()) {
				_, rest, _ := strings.Cut(line, map[bool]string{true: ",", false: " "}[tt.log.Format == "json"]) // the time
				got.WriteString(rest)
			}
			if got.String() != tt.want {
				t.Errorf("log = %q, want %q", got.String(), tt.want)
			}
		})
	}
}

func TestATalkativeLibraryIsHeardWhenItMatters(t *testing.T) {
	for level, want := range map[string]string{"info": "WARN lib=x in.k=v; ", "debug": "DEBUG; INFO; WARN lib=x in.k=v; ", "error": ""} {
		t.Run(level, func(t *testing.T) {
			var out bytes.Buffer
			log, err := Log{level, "text"}.Logger(&out)
			if err != nil {
				t.Fatal(err)
			}
			quiet := AtLeast(log, slog.LevelWarn)
			quiet.Debug("m")
			quiet.Info("m")
			quiet.With("lib", "x").WithGroup("in").Warn("m", "k", "v")
			quiet.With("lib", "x").Log(t.Context(), slog.LevelDebug-1, "never")
			var got strings.Builder
			for line := range strings.Lines(out.String()) {
				_, rest, _ := strings.Cut(strings.TrimSpace(line), "level=")
				got.WriteString(strings.TrimSpace(strings.Replace(rest, "msg=m", "", 1)) + "; ")
			}
			if text := strings.Join(strings.Fields(got.String()), " "); text != strings.TrimSpace(want) {
				t.Errorf("log = %q, want %q", text, want)
			}
		})
	}
}
