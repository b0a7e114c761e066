package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"kioskfleet/internal/config"
)

func TestTheShippedConfigurationIsTheDefaults(t *testing.T) {
	got := Defaults()
	if _, err := config.Load(got, "../configs/kiosk.yaml", []string{"KIOSKFLEET_SERIAL=K-1"}, nil); err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Serial = "K-1"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("configs/kiosk.yaml gives\n%+v\nthe defaults are\n%+v", got, want)
	}
}

// call runs the command line with --check-config.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := program().Command()
	cmd.SetArgs(append(args, "--check-config"))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestTheCommandLineNamesWhatIsWrong(t *testing.T) {
	tests := map[string]struct{ args, want string }{
		"good":           {"--serial K-1 --admin-url https://admin.example --interval 1s", ""},
		"no serial":      {"", "serial: is required"},
		"bad serial":     {"--serial a/b", `serial: serial "a/b"`},
		"no interval":    {"--serial K-1 --interval 0s", "interval: 0s is less than 10ms"},
		"plain http":     {"--serial K-1 --admin-url http://admin.example", "admin.url: http://admin.example would send the enrolment token in plain text"},
		"time zone":      {"--serial K-1 --simulation-timezone Nowhere", `simulation.timezone: "Nowhere"`},
		"latitude":       {"--serial K-1 --simulation-lat 91", "simulation.lat: 91"},
		"longitude":      {"--serial K-1 --simulation-lng NaN", "simulation.lng: NaN"},
		"outbox count":   {"--serial K-1 --outbox-max-readings -1", "outbox.max_readings: -1 is negative"},
		"outbox size":    {"--serial K-1 --outbox-max-size 1KiB", "outbox.max_size: 1KiB is less than 64KiB"},
		"a past":         {"--serial K-1 --simulation-start-ago 1h --simulation-time-scale 120", ""},
		"a far past":     {"--serial K-1 --simulation-start-ago 200h --simulation-time-scale 120", "simulation.start_ago: 200h0m0s is not within 0s to 168h0m0s"},
		"a future":       {"--serial K-1 --simulation-start-ago=-1h", "simulation.start_ago: -1h0m0s"},
		"no catching up": {"--serial K-1 --simulation-start-ago 1h", "simulation.time_scale: must be greater than 1"},
		"no past":        {"--serial K-1 --simulation-time-scale 2", "simulation.start_ago: must be given with a simulation.time_scale of 2"},
		"slow motion":    {"--serial K-1 --simulation-time-scale 0.5", "simulation.time_scale: 0.5 is not a number of at least 1"},
		"no scale":       {"--serial K-1 --simulation-time-scale NaN", "simulation.time_scale: NaN"},
		"no end":         {"--serial K-1 --simulation-time-scale Inf", "simulation.time_scale: +Inf"},
		"unknown flag":   {"--serial K-1 --colour red", "unknown flag: --colour"},
		"log level":      {"--serial K-1 --log-level loud", "log.level"},
		"stray word":     {"--serial K-1 now", "now"},
		"missing file":   {"--serial K-1 --config none.yaml", "none.yaml"},
		"several fault":  {"--interval 0s --simulation-lat 91", "simulation.lat"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := call(t, strings.Fields(tt.args)...)
			switch {
			case tt.want == "" && (err != nil || !strings.Contains(out, "configuration is valid")):
				t.Errorf("%v: %s", err, out)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}
