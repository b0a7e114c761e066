package history

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
	"kioskfleet/spawner/roster"
)

// call runs the subcommand with some arguments.
func call(t *testing.T, scenario ScenarioReader, args ...string) (string, error) {
	t.Helper()
	cmd := Command(func(*cobra.Command) (*Spawner, error) {
		platform, err := enroll.NewPlatform("http://127.0.0.1:1")
		return &Spawner{
			Kiosks:   func(n int) ([]roster.Kiosk, error) { return roster.Plan(nil, "SIM-KIOSK-", n), nil },
			Platform: platform, DataDir: t.TempDir(),
			Logger: func(io.Writer) (*slog.Logger, error) { return slog.New(slog.DiscardHandler), nil },
		}, err
	}, scenario)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestTheCommandWritesAHistory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	said, err := call(t, nil, "--out", dir, "--days", "1", "--kiosks", "2", "--interval", "10m", "--start", "2026-03-01T01:00:00+01:00", "--seed", "7", "--faults", "ordinary")
	if err != nil || !strings.Contains(said, "of 2 kiosks over 1 days from 2026-03-01T00:00:00Z") {
		t.Fatalf("%v: %s", err, said)
	}
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Arguments{Start: begin, Days: 1, Interval: roster.Duration(10 * time.Minute), Seed: 7, Faults: fault.ProfileOrdinary, Format: JSONLines, Compress: Zstd}
	if m.Arguments != want || m.Readings < 250 {
		t.Errorf("%d readings of %+v", m.Readings, m.Arguments)
	}
	if _, err := call(t, nil, "load", dir); !errors.Is(err, enroll.ErrNoToken) {
		t.Errorf("a load without a token: %v", err)
	}
}

func TestAScenarioSaysWhatNoFlagSays(t *testing.T) {
	var drawnBy uint64
	reader := func(_ *Spawner, file string, given []roster.Kiosk) (*Scenario, error) {
		if file != "quiet.yaml" || len(given) != 10 {
			t.Errorf("read %s with %d kiosks", file, len(given))
		}
		return &Scenario{
			Name: "quiet", Seed: 5, Start: begin, Length: 30 * time.Hour, Kiosks: roster.Plan(nil, "LOBBY-", 3), Fleets: true,
			Fate: func(start time.Time, seed uint64) func(roster.Kiosk) (*fault.Plan, []device.Condition) {
				drawnBy = seed
				return befalls(t, fault.Fault{Kind: fault.Crash, From: start.Add(3 * time.Hour), To: start.Add(4 * time.Hour)})
			},
		}, nil
	}
	for name, tt := range map[string]struct {
		args  string
		start time.Time
		days  int
		seed  uint64
	}{
		"all of it":   {"", begin, 2, 5},
		"some of it":  {"--days 1 --seed 6", begin, 1, 6},
		"another day": {"--start 2026-03-05T00:00:00Z", begin.AddDate(0, 0, 4), 2, 5},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			args := append(strings.Fields(tt.args), "--scenario", "quiet.yaml", "--interval", "10m", "--out", dir)
			if said, err := call(t, reader, args...); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			m, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			want := Arguments{Start: tt.start, Days: tt.days, Interval: roster.Duration(10 * time.Minute), Seed: tt.seed, Scenario: "quiet", Format: JSONLines, Compress: Zstd}
			if m.Arguments != want || len(m.Kiosks) != 3 || drawnBy != tt.seed {
				t.Errorf("%d kiosks, drawn by %d, %+v", len(m.Kiosks), drawnBy, m.Arguments)
			}
			if starts := planned(truthOf(t, dir, truth.FaultStart)); len(starts) != 3 || !starts[0].Time.Equal(tt.start.Add(3*time.Hour)) {
				t.Errorf("faults begin: %+v", starts)
			}
		})
	}
}

func TestAScenariosKiosksAreItsOwn(t *testing.T) {
	reader := func(_ *Spawner, _ string, given []roster.Kiosk) (*Scenario, error) {
		return &Scenario{Kiosks: given, Fleets: true}, nil
	}
	_, err := call(t, reader, "--scenario", "quiet.yaml", "--kiosks", "3", "--out", filepath.Join(t.TempDir(), "out"))
	if err == nil || !strings.Contains(err.Error(), "--kiosks: the scenario says itself") {
		t.Errorf("error = %v", err)
	}
}

func TestTheCommandNamesWhatIsWrong(t *testing.T) {
	scenario := func(*Spawner, string, []roster.Kiosk) (*Scenario, error) { return nil, errors.New("line 3: no") }
	tests := map[string]struct{ args, want string }{
		"no place":        {"--days 1", `required flag(s) "out" not set`},
		"kiosks":          {"--out %s --kiosks 0", "--kiosks: 0 is not within 1 to 100000"},
		"days":            {"--out %s --days -1", "--days: -1 is not within"},
		"interval":        {"--out %s --interval 0s", "--interval: 0s is no time between readings"},
		"no unit":         {"--out %s --interval 5", "5"},
		"start":           {"--out %s --start yesterday", `--start: "yesterday" is not a time`},
		"faults":          {"--out %s --faults many", `--faults: unknown profile of faults "many": known are none, ordinary, chaotic`},
		"scenario":        {"--out %s --scenario x.yaml", "--scenario: line 3: no"},
		"both":            {"--out %s --scenario x.yaml --faults chaotic", "--faults: a scenario says itself"},
		"stray word":      {"--out %s now", "now"},
		"load what":       {"load", "want the folder of one history, not 0"},
		"load nothing":    {"load %s", "holds no whole history"},
		"load at a rate":  {"load %s --rate -1", "--rate: -1 is no number"},
		"load with shift": {"load %s --shift tomorrow", `--shift: "tomorrow" is neither auto, none nor a duration`},
		"load a window":   {"load %s --window 0s", "--window: 0s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := strings.Fields(strings.ReplaceAll(tt.args, "%s", filepath.Join(t.TempDir(), "out")))
			if said, err := call(t, scenario, args...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q; it said %s", err, tt.want, said)
			}
		})
	}
}

func TestTheLastLineStaysBelowTheLog(t *testing.T) {
	var out bytes.Buffer
	l := &lastLine{out: &out}
	l.show("1 of 2")
	if _, err := l.Write([]byte("enrolled\n")); err != nil {
		t.Fatal(err)
	}
	l.show("")
	if want := "\r\x1b[K1 of 2" + "\r\x1b[Kenrolled\n1 of 2" + "\r\x1b[K"; out.String() != want {
		t.Errorf("the terminal got %q, want %q", out.String(), want)
	}
}

func TestWithoutAStartAHistoryEndsWithTheLastMidnight(t *testing.T) {
	now := time.Date(2026, 3, 31, 1, 0, 0, 0, time.FixedZone("", 2*3600)) // the 30th in UTC
	start, err := startOf("", 30, now)
	if err != nil || !start.Equal(time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("it begins at %s, %v", start, err)
	}
}
