package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/config"
	"kioskfleet/spawner/roster"
)

func TestTheShippedConfigurationIsTheDefaults(t *testing.T) {
	got := Defaults()
	if _, err := config.Load(got, "../configs/spawner.yaml", nil, nil); err != nil {
		t.Fatal(err)
	}
	if want := Defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("configs/spawner.yaml gives\n%+v\nthe defaults are\n%+v", got, want)
	}
}

func TestTheCommandLineNamesWhatIsWrong(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "kiosks.json")
	if err := os.WriteFile(broken, []byte("[{\"serial\":\"A\",\n\"colour\":1}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	story := filepath.Join(t.TempDir(), "story.yaml")
	if err := os.WriteFile(story, []byte("name: x\nphase: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ args, want string }{
		"good":           {"-n 3 --serial-prefix X- --ramp-up 0.5 --exec", ""},
		"shipped file":   {"--kiosks-file ../configs/kiosks.json", ""},
		"less than none": {"-n -1", "count: -1 is not within 1 to 100000"},
		"scenario":       {"--scenario ../configs/scenarios/site-outage.yaml --time-scale 10 --seed 5 --truth-file none", ""},
		"chance of one":  {"--scenario ../configs/scenarios/site-outage.yaml --faults chaotic", "faults: a scenario says itself"},
		"part of one":    {"--scenario ../configs/scenarios/site-outage.yaml --first 3 -n 4", ""},
		"beyond it":      {"--scenario ../configs/scenarios/site-outage.yaml --first 99000", "first: the scenario has"},
		"more than it":   {"--scenario ../configs/scenarios/site-outage.yaml --first 25 -n 7", "count: the scenario has 30 kiosks, there is no number 31"},
		"bad scenario":   {"--scenario " + story, "story.yaml:2:1: "},
		"no scenario":    {"--scenario none.yaml", "scenario: open none.yaml"},
		"exec scenario":  {"--scenario ../configs/scenarios/site-outage.yaml --exec", "exec: a scenario"},
		"two begins":     {"--scenario ../configs/scenarios/site-outage.yaml --start-ago 1h", "start_ago: a scenario begins now"},
		"no catching up": {"--start-ago 1h", "time_scale: must be greater than 1"},
		"no past":        {"--time-scale 2", "start_ago: must be given"},
		"far past":       {"--start-ago 200h --time-scale 2", "start_ago: 200h0m0s is not within"},
		"backwards":      {"--time-scale 0.5", "time_scale: 0.5"},
		"faults":         {"--faults many", `faults: unknown profile of faults "many"`},
		"truth":          {"--truth-file no/such/folder/t.jsonl", "truth.file: "},
		"truth size":     {"--truth-max-size 1KiB", "truth.max_size: 1KiB is less than 64KiB"},
		"a range":        {"--first 7501 -n 7500", ""},
		"last of all":    {"--first 100000 -n 1", ""},
		"too far":        {"--first 99999 -n 3", "count: 3 is not within 1 to 2; kiosks have the numbers 1 to 100000, the first is 99999"},
		"before first":   {"--first 0", "first: 0 is not within 1 to 100000"},
		"long serial":    {"--first 9999 -n 2 --serial-prefix " + strings.Repeat("x", 60), "serial_prefix: serial"},
		"summary":        {"--summary no/such/folder/s.json", "summary: stat no/such/folder"},
		"summary dir":    {"--summary ..", "summary: .. is a folder"},
		"profiler":       {"--debug-addr :6060", "debug.addr: :6060 is not a loopback address"},
		"prefix":         {"--serial-prefix a/", "serial_prefix: serial"},
		"ramp":           {"--ramp-up -1", "ramp_up: -1 is not a number of kiosks per second"},
		"interval":       {"--interval 1ms", "interval: 1ms is less than 10ms"},
		"outbox count":   {"--outbox-max-readings 0", "outbox.max_readings: 0 is less than 1"},
		"outbox size":    {"--outbox-max-size 1KiB", "outbox.max_size: 1KiB is less than 64KiB"},
		"plain http":     {"--admin-url http://admin.example", "admin.url"},
		"missing file":   {"--kiosks-file none.json", "kiosks_file: read kiosk settings: open none.json"},
		"broken file":    {"--kiosks-file " + broken, `line 2: A: unknown key "colour"`},
		"not a number":   {"-n ten", "ten"},
		"unknown flag":   {"--kiosks 3", "unknown flag: --kiosks"},
		"stray word":     {"now", "now"},
		"not a log fmt":  {"--log-format xml", "log.format"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := program().Command()
			cmd.SetArgs(append(strings.Fields(tt.args), "--check-config"))
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			err := cmd.ExecuteContext(t.Context())
			switch {
			case tt.want == "" && (err != nil || !strings.Contains(out.String(), "configuration is valid")):
				t.Errorf("%v: %s", err, out.String())
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

// A scenario may have fewer kiosks than a history has by default.
func TestAHistoryHasTheKiosksOfItsScenario(t *testing.T) {
	story := filepath.Join(t.TempDir(), "story.yaml")
	if err := os.WriteFile(story, []byte("name: three\nfleets: [{name: hall, kiosks: 3}]\nphases: [{name: all, for: 24h}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := program().Command()
	cmd.SetArgs([]string{"history", "--scenario", story, "--interval", "1h", "--out", filepath.Join(t.TempDir(), "history")})
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "72 readings of 3 kiosks") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestTheIntervalOfTheCommandLineWins(t *testing.T) {
	c := Defaults()
	c.KiosksFile = "../configs/kiosks.json"
	for _, want := range []time.Duration{5 * time.Second, time.Second} {
		if want != 5*time.Second {
			c.Interval = want
		}
		kiosks, err := c.kiosks()
		if err != nil {
			t.Fatal(err)
		}
		if len(kiosks) != 10 || kiosks[0].Interval != roster.Duration(want) {
			t.Errorf("%d kiosks, interval %v, want %v", len(kiosks), time.Duration(kiosks[0].Interval), want)
		}
	}
}

func TestARangeHasTheKiosksOfTheWhole(t *testing.T) {
	c := Defaults()
	c.KiosksFile, c.Count = "../configs/kiosks.json", 20
	whole, err := c.kiosks()
	if err != nil {
		t.Fatal(err)
	}
	c.First, c.Count = 6, 10
	part, err := c.kiosks()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(part, whole[5:15]) {
		t.Errorf("kiosks 6 to 15 are %+v", part)
	}
}

// logBuffer is a bytes.Buffer that goroutines share.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// spawn runs the program until its log says something, stops it, and returns the log.
func spawn(t *testing.T, until string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log logBuffer
	cmd := program().Command()
	cmd.SetArgs(args)
	cmd.SetOut(&log)
	cmd.SetErr(&log)
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), until); {
		select {
		case err := <-ended:
			return log.String(), err
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log never says %q:\n%s", until, log.String())
		}
	}
	cancel()
	return log.String(), <-ended
}

func TestASpawnerThatIsStoppedSumsUp(t *testing.T) {
	t.Setenv("TERM", "dumb") // so that it logs, also where the test has a terminal
	dir := t.TempDir()
	path := filepath.Join(dir, "summary.json")
	log, err := spawn(t, "waiting for an enrolment token", "-n", "3", "--first", "5", "--data-dir", dir,
		"--kiosks-file", "../configs/kiosks.json", "--summary", path, "--debug-addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "msg=starting kiosks=3 first=5 ") || !strings.Contains(log, "debug=http://127.0.0.1:") {
		t.Errorf("the log is\n%s", log)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		First, Kiosks int
		All           *float64 `json:"all_connected_seconds"`
		Process       struct {
			Memory int64 `json:"peak_memory_bytes"`
		}
	}
	if err := json.Unmarshal(text, &s); err != nil || s.First != 5 || s.Kiosks != 3 || s.All != nil || s.Process.Memory == 0 && runtime.GOOS == "linux" {
		t.Errorf("%s: %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "spawner", "outbox-5")); err != nil {
		t.Error(err)
	}
}

func TestASpawnerThatCannotStartSumsNothingUp(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "spawner"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "summary.json")
	if _, err := spawn(t, "never", "-n", "3", "--data-dir", dir, "--truth-file", "none", "--summary", path); err == nil || !strings.Contains(err.Error(), "make the swarm's folder") {
		t.Errorf("error = %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a summary")
	}
}
