package score

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadSeries(t *testing.T) {
	at := time.Date(2014, 4, 1, 0, 5, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, content string
		want          []Point
		wrong         string // part of the error
	}{
		{"the benchmark's", "timestamp,value\n2014-04-01 00:05:00,20.0\n2014-04-01 00:10:00,-1e3\n", []Point{{at, 20}, {at.Add(5 * time.Minute), -1000}}, ""},
		{"no header", "2014-04-01 00:05:00,20", []Point{{at, 20}}, ""},
		{"windows", "\ufefftimestamp,value\r\n2014-04-01 00:05:00,20\r\n\r\n", []Point{{at, 20}}, ""},
		{"RFC 3339 with a zone", "timestamp,value\n2014-04-01T02:05:00+02:00,20", []Point{{at, 20}}, ""},
		{"fractions of seconds", "timestamp,value\n2014-04-01 00:05:00.250000,20", []Point{{at.Add(250 * time.Millisecond), 20}}, ""},
		{"columns by name", "label,value,timestamp\n1,20,2014-04-01 00:05:00", []Point{{at, 20}}, ""},
		{"spaces", "timestamp, value\n2014-04-01 00:05:00, 20", []Point{{at, 20}}, ""},
		{"unknown columns", "time,reading\n2014-04-01 00:05:00,20", nil, "one.csv:1: columns \"time,reading\": one must be called timestamp and one value"},
		{"a bad time", "timestamp,value\n2014-04-01 00:05:00,20\n01/04/2014,20", nil, "one.csv:3: timestamp \"01/04/2014\""},
		{"a bad value", "timestamp,value\n\n2014-04-01 00:05:00,many", nil, "one.csv:3: value \"many\": not a finite number"},
		{"no number", "timestamp,value\n2014-04-01 00:05:00,NaN", nil, "one.csv:2: value \"NaN\""},
		{"one column", "timestamp,value\n2014-04-01 00:05:00", nil, "one.csv:2:"},
		{"a quote too many", "timestamp,value\n2014-04-01 00:05:00,2\"0", nil, "one.csv:2:"},
		{"only a header", "timestamp,value\n", nil, "no rows"},
		{"nothing", "", nil, "no rows"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "one.csv")
			put(t, path, tt.content)
			s, err := ReadSeries(path)
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Fatalf("got the error %v, want one with %q", err, tt.wrong)
				}
				return
			}
			if err != nil || !slices.Equal(s.Points, tt.want) || s.Name != "one.csv" {
				t.Errorf("got %v, %v", s, err)
			}
		})
	}
}

func TestResultsHaveTheBenchmarksLayout(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	put(t, filepath.Join(in, "realTraffic", "speed_7578.csv"), "timestamp,value\r\n2014-04-01 00:05:00,20.0\r\n2014-04-01T00:10:00Z,2e1\r\n")
	put(t, filepath.Join(in, "top.csv"), "2014-04-01 00:00:00,007\n")
	put(t, filepath.Join(in, "realTraffic", "notes.txt"), "not a series")
	labels := filepath.Join(in, "labels.json")
	put(t, labels, `{"realTraffic/speed_7578.csv":[["2014-04-01 00:10:00.000000","2014-04-01 00:15:00.000000"]],"gone.csv":[]}`)

	series, err := ReadFolder(in)
	if err != nil {
		t.Fatal(err)
	}
	known, err := ReadLabels(labels)
	if err != nil {
		t.Fatal(err)
	}
	unlabelled, missing := known.Label(series)
	if !slices.Equal(unlabelled, []string{"top.csv"}) || !slices.Equal(missing, []string{"gone.csv"}) {
		t.Errorf("unlabelled %v, missing %v", unlabelled, missing)
	}
	tracks := Run(series, func() Scorer { return func(_ time.Time, x float64) float64 { return x / 60 } })
	if err := Write(out, "ours", series, tracks); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"ours/realTraffic/ours_speed_7578.csv": "timestamp,value,anomaly_score,label\n2014-04-01 00:05:00,20.0,0.333333333,0\n2014-04-01T00:10:00Z,2e1,0.333333333,1\n",
		"ours/ours_top.csv":                    "timestamp,value,anomaly_score,label\n2014-04-01 00:00:00,007,0.116666667,0\n",
	} {
		got, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(path)))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q and %v, want %q", path, got, err, want)
		}
	}
	for _, name := range []string{"", "two_words", "a/b", ".."} {
		if err := Write(out, name, series, tracks); err == nil {
			t.Errorf("a detector may be called %q", name)
		}
	}
}

func TestReadFolderSaysWhatIsWrong(t *testing.T) {
	empty, bad := t.TempDir(), t.TempDir()
	put(t, filepath.Join(bad, "c", "x.csv"), "timestamp,value\n2014-04-01 00:05:00,20\n2014-04-01 00:10:00,?\n")
	for _, tt := range []struct{ name, dir, want string }{
		{"no folder", filepath.Join(empty, "none"), "none"},
		{"no files", empty, "no .csv file in " + empty},
		{"a bad row", bad, filepath.Join("c", "x.csv") + ":3: value \"?\""},
	} {
		if _, err := ReadFolder(tt.dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestReadLabelsSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ name, content, want string }{
		{"no JSON", "{", "labels.json"},
		{"one time", `{"a.csv":[["2014-04-01 00:00:00"]]}`, "a.csv: a window is a pair"},
		{"a bad time", `{"a.csv":[["2014-04-01 00:00:00","later"]]}`, `timestamp "later"`},
		{"backwards", `{"a.csv":[["2014-04-02 00:00:00","2014-04-01 00:00:00"]]}`, "ends before it begins"},
		{"overlapping", `{"a.csv":[["2014-04-03 00:00:00","2014-04-05 00:00:00"],["2014-04-02 00:00:00","2014-04-03 00:00:00"]]}`, "overlap"},
	} {
		path := filepath.Join(t.TempDir(), "labels.json")
		put(t, path, tt.content)
		if _, err := ReadLabels(path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestWrittenFoldersCanBeRead(t *testing.T) {
	dir := t.TempDir()
	made := Series{Name: "made/one.csv", Windows: []Window{{From: row5(1), To: row5(2)}}}
	for i := range 4 {
		made.Points = append(made.Points, Point{row5(i), 0.1 * float64(i)})
	}
	if err := WriteFolder(dir, []Series{made}); err != nil {
		t.Fatal(err)
	}
	series, err := ReadFolder(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	labels, err := ReadLabels(filepath.Join(dir, "labels", "combined_windows.json"))
	if err != nil {
		t.Fatal(err)
	}
	labels.Label(series)
	got := series[0]
	if got.Name != made.Name || !slices.Equal(got.Points, made.Points) || len(got.Windows) != 1 ||
		!got.Windows[0].From.Equal(row5(1)) || !got.Windows[0].To.Equal(row5(2)) {
		t.Errorf("got %+v", got)
	}
}
