package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

type sample struct {
	DataDir string `key:"data_dir" usage:"where data lives"`
	HTTP    struct {
		Addr  string   `key:"addr"`
		Hosts []string `key:"hosts"`
	} `key:"http"`
	Interval time.Duration `key:"interval"`
	Count    int           `key:"count" short:"n"`
	Limit    Bytes         `key:"limit"`
	Dev      bool          `key:"dev"`
}

func defaults() *sample {
	s := &sample{DataDir: "data", Interval: 5 * time.Second, Count: 10, Limit: 1 << 30}
	s.HTTP.Addr = "127.0.0.1:8080"
	return s
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoadPrefersFlagsOverEnvironmentOverFileOverDefaults(t *testing.T) {
	s := defaults()
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	RegisterFlags(fs, s)
	if err := fs.Parse([]string{"-n", "7", "--http-hosts", "a,b"}); err != nil {
		t.Fatal(err)
	}
	file := write(t, "interval: 1s\ncount: 3\nhttp:\n  addr: \":1\"\nlimit: 10MiB\n")
	warnings, err := Load(s, file, []string{"KIOSKFLEET_HTTP_ADDR=:2", "KIOSKFLEET_COUNT=4", "KIOSKFLEET_DEV=true", "KIOSKFLEET_OTHER=1", "HOME=/"}, fs)
	if err != nil {
		t.Fatal(err)
	}
	if s.DataDir != "data" || s.Interval != time.Second || s.HTTP.Addr != ":2" || s.Count != 7 || !s.Dev || s.Limit != 10<<20 {
		t.Errorf("got %+v", s)
	}
	if strings.Join(s.HTTP.Hosts, "|") != "a|b" {
		t.Errorf("hosts = %q", s.HTTP.Hosts)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "KIOSKFLEET_OTHER") {
		t.Errorf("warnings = %q, want one that names KIOSKFLEET_OTHER", warnings)
	}
}

func TestLoadNamesTheKeyAtFault(t *testing.T) {
	tests := []struct {
		name, file string
		env        []string
		args       []string
		want       string
	}{
		{name: "unknown key with a near one", file: "intervall: 1s", want: `unknown key "intervall", did you mean "interval"?`},
		{name: "unknown nested key", file: "http:\n  zzzzzzzzzzzzzz: 1", want: `unknown key "http.zzzzzzzzzzzzzz"`},
		{name: "bare number as duration in file", file: "interval: 5", want: `"5" is not a duration`},
		{name: "bad duration in environment", env: []string{"KIOSKFLEET_INTERVAL=fast"}, want: `interval in KIOSKFLEET_INTERVAL: "fast" is not a duration`},
		{name: "bad number", env: []string{"KIOSKFLEET_COUNT=ten"}, want: "count in KIOSKFLEET_COUNT: ten is not a valid int"},
		{name: "bad size by flag", args: []string{"--limit", "much"}, want: `limit in --limit: "much" is not a size`},
		{name: "broken YAML", file: "a: [", want: "read configuration"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := defaults()
			fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
			RegisterFlags(fs, s)
			if err := fs.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			file := ""
			if tt.file != "" {
				file = write(t, tt.file)
			}
			_, err := Load(s, file, tt.env, fs)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestBytesSurvivesARoundTrip(t *testing.T) {
	for _, s := range []string{"10GiB", "1MiB", "1500B", "0B"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if b.String() != s {
			t.Errorf("%s became %s", s, b)
		}
	}
}
