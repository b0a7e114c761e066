package cli_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recordings writes a folder of two series, one with a fault that everybody sees, and the labels.
func recordings(t *testing.T) (data, labels string) {
	t.Helper()
	dir := t.TempDir()
	data, labels = filepath.Join(dir, "data"), filepath.Join(dir, "windows.json")
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(i int) string { return begin.Add(time.Duration(i) * 5 * time.Minute).Format(time.DateTime) }
	for _, name := range []string{"calm.csv", "fault.csv"} {
		var text strings.Builder
		text.WriteString("timestamp,value\n")
		for i := range 3000 {
			x := 50 + 10*math.Sin(2*math.Pi*float64(i)/288) + math.Sin(float64(i*i%97))
			if name == "fault.csv" && i >= 2000 && i < 2040 {
				x += 60
			}
			fmt.Fprintf(&text, "%s,%.3f\n", at(i), x)
		}
		write(t, filepath.Join(data, "rooms", name), text.String())
	}
	write(t, labels, fmt.Sprintf(`{"rooms/calm.csv":[],"rooms/fault.csv":[[%q,%q]],"rooms/gone.csv":[]}`, at(1990), at(2060)))
	return data, labels
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderIsScoredAsTheBenchmarkReadsIt(t *testing.T) {
	data, labels := recordings(t)
	out := filepath.Join(t.TempDir(), "deep", "results")
	// No server and no data folder is there.
	t.Setenv("KIOSKFLEET_DATA_DIR", filepath.Join(t.TempDir(), "none"))
	printed, warned, err := admin(t, "model", "evaluate", "--format", "nab", "--data", data, "--labels", labels, "--out", out, "--json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(os.Getenv("KIOSKFLEET_DATA_DIR")); err == nil {
		t.Error("a data folder was made")
	}
	var got struct {
		Series, Rows int
		Profiles     []struct {
			Profile         string
			Score, Extremes float64
		}
		Events []struct {
			Faults, Found int
			Recall        float64
		}
		Warnings []string
	}
	if err := json.Unmarshal([]byte(printed), &got); err != nil {
		t.Fatal(err)
	}
	if got.Series != 2 || got.Rows != 6000 || len(got.Profiles) != 3 || got.Profiles[0].Profile != "standard" || got.Profiles[0].Score < 80 {
		t.Errorf("got %+v", got)
	}
	if len(got.Events) != 3 || got.Events[0].Faults != 1 || got.Events[0].Found != 1 || got.Events[0].Recall != 1 {
		t.Errorf("got %+v", got.Events)
	}
	if len(got.Warnings) != 1 || !strings.Contains(warned, "rooms/gone.csv") {
		t.Errorf("warned %q", warned)
	}
	for _, name := range []string{"calm", "fault"} {
		result, err := os.ReadFile(filepath.Join(out, "kioskfleet", "rooms", "kioskfleet_"+name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		rows := strings.Split(strings.TrimSpace(string(result)), "\n")
		if len(rows) != 3001 || rows[0] != "timestamp,value,anomaly_score,label" || !strings.HasPrefix(rows[1], "2026-03-01 00:00:00,") {
			t.Errorf("%s: %d rows, %q, %q", name, len(rows), rows[0], rows[1])
		}
	}

	// The labels change nothing in the results, nor do results among the data that an earlier run left.
	again := filepath.Join(data, "results")
	for range 2 {
		if _, _, err := admin(t, "model", "evaluate", "--format", "nab", "--data", data, "--out", again); err != nil {
			t.Fatal(err)
		}
	}
	with, without := contents(t, out), contents(t, again)
	if !maps.Equal(with, without) || len(with) != 2 {
		t.Errorf("%d results with labels, %d without, and they differ", len(with), len(without))
	}
	if printed, _, err = admin(t, "model", "evaluate", "--format", "nab", "--data", data, "--labels", labels); err != nil || !strings.Contains(printed, "reward_low_FN_rate") {
		t.Errorf("printed %q, %v", printed, err)
	}
}

// contents returns what is in the files of a folder, by their path in it.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsOddInAFolderIsSaid(t *testing.T) {
	data := t.TempDir()
	write(t, filepath.Join(data, "x", "empty.csv"), "timestamp,value\n")
	write(t, filepath.Join(data, "x", "gaps.csv"), "timestamp,value\n2026-03-01 00:00:00,1\n2026-03-01 00:05:00,\n2026-03-01 00:00:00,NaN\n")
	_, warned, err := admin(t, "model", "evaluate", "--format", "nab", "--data", data, "--out", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no row of timestamp,value in x/empty.csv", "x/gaps.csv:3 (and 1 more line)", "earlier than the one before and count as the same moment: x/gaps.csv:4"} {
		if !strings.Contains(warned, want) {
			t.Errorf("warned %q, not %q", warned, want)
		}
	}
}

func TestWhatIsWrongWithAFolderIsSaid(t *testing.T) {
	data, labels := recordings(t)
	out := t.TempDir()
	bad := t.TempDir()
	write(t, filepath.Join(bad, "x", "broken.csv"), "timestamp,value\n2026-03-01 00:00:00,1\n2026-03-01 00:05:00,one\n")
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	for _, tt := range []struct {
		name  string
		texts []string
		args  []string
	}{
		{"no data", []string{"--data", "needs"}, []string{"--out", out}},
		{"folder that is not there", []string{"--data", "nowhere"}, []string{"--data", filepath.Join(data, "nowhere"), "--out", out}},
		{"no csv in it", []string{"--data", "no .csv"}, []string{"--data", t.TempDir(), "--out", out}},
		{"a row that is no row", []string{"broken.csv:3", `"one"`}, []string{"--data", bad, "--out", out}},
		{"a folder that cannot be made", []string{"--out", file}, []string{"--data", data, "--out", filepath.Join(file, "out")}},
		{"no place for results", []string{"--out"}, []string{"--data", data}},
		{"a name that the benchmark cannot read", []string{"--detector", "underscore"}, []string{"--data", data, "--out", out, "--detector", "a_b"}},
		{"results that would be data", []string{"--out", "among the data"}, []string{"--data", data, "--out", data}},
		{"results that would be data by their name", []string{"--out", "among the data"}, []string{"--data", data, "--out", filepath.Dir(data), "--detector", "data"}},
		{"results in a category of the data", []string{"--out", "calm.csv", "give another folder"}, []string{"--data", data, "--out", filepath.Join(data, "rooms")}},
		{"no rate", []string{"--false-per-day"}, []string{"--data", data, "--out", out, "--false-per-day", "NaN"}},
		{"labels that are not there", []string{"--labels", "nothing.json"}, []string{"--data", data, "--labels", labels + "nothing.json"}},
		{"labels that are none", []string{"--labels", file}, []string{"--data", data, "--labels", file}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fails(t, tt.texts, append([]string{"model", "evaluate", "--format", "nab"}, tt.args...)...)
		})
	}
}
