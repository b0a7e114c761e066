package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
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
	tests := map[string]struct{ args, want string }{
		"good":          {"-n 3 --serial-prefix X- --ramp-up 0.5 --exec", ""},
		"shipped file":  {"--kiosks-file ../configs/kiosks.json", ""},
		"none":          {"-n 0", "count: 0 is not within 1 to 100000"},
		"a range":       {"--first 7501 -n 7500", ""},
		"last of all":   {"--first 100000 -n 1", ""},
		"too far":       {"--first 99999 -n 3", "count: 3 is not within 1 to 2; kiosks have the numbers 1 to 100000, the first is 99999"},
		"before first":  {"--first 0", "first: 0 is not within 1 to 100000"},
		"long serial":   {"--first 9999 -n 2 --serial-prefix " + strings.Repeat("x", 60), "serial_prefix: serial"},
		"summary":       {"--summary no/such/folder/s.json", "summary: stat no/such/folder"},
		"summary dir":   {"--summary ..", "summary: .. is a folder"},
		"profiler":      {"--debug-addr :6060", "debug.addr: :6060 is not a loopback address"},
		"prefix":        {"--serial-prefix a/", "serial_prefix: serial"},
		"ramp":          {"--ramp-up -1", "ramp_up: -1 is not a number of kiosks per second"},
		"interval":      {"--interval 1ms", "interval: 1ms is less than 10ms"},
		"outbox count":  {"--outbox-max-readings 0", "outbox.max_readings: 0 is less than 1"},
		"outbox size":   {"--outbox-max-size 1KiB", "outbox.max_size: 1KiB is less than 64KiB"},
		"plain http":    {"--admin-url http://admin.example", "admin.url"},
		"missing file":  {"--kiosks-file none.json", "kiosks_file: read kiosk settings: open none.json"},
		"broken file":   {"--kiosks-file " + broken, `line 2: A: unknown key "colour"`},
		"not a number":  {"-n ten", "ten"},
		"unknown flag":  {"--kiosks 3", "unknown flag: --kiosks"},
		"stray word":    {"now", "now"},
		"not a log fmt": {"--log-format xml", "log.format"},
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
