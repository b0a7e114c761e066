package score

import (
	"errors"
	"io"
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
		{"a name with digits", "timestamp,value,0.5\n2014-04-01 00:05:00,20,1", []Point{{at, 20}}, ""},
		{"a zone behind a space", "timestamp,value\n2014-04-01 02:05:00.5+02:00,20", []Point{{at.Add(500 * time.Millisecond), 20}}, ""},
		{"no zone", "timestamp,value\n2014-04-01T00:05:00,20\n2014-04-01 00:05,21\n2014-04-02,22", []Point{{at, 20}, {at, 21}, {at.Add(24*time.Hour - 5*time.Minute), 22}}, ""},
		{"only a header", "timestamp,value\n", nil, ""},
		{"nothing", "", nil, ""},
		{"a bad value", "timestamp,value\n\n2014-04-01 00:05:00,many", nil, "one.csv:3: value \"many\": not a number"},
		{"one column", "timestamp,value\n2014-04-01 00:05:00", nil, "one.csv:2:"},
		{"a quote too many", "timestamp,value\n2014-04-01 00:05:00,2\"0", nil, "one.csv:2:"},
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

	series, err := ReadFolder(in, "")
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
		"ours/realTraffic/ours_speed_7578.csv": "timestamp,value,anomaly_score,label\n2014-04-01 00:05:00,20.0,0.333333333,0\n2014-04-01T00:10:00Z,2e1,0.333333333,0\n",
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

func TestRowsWithoutAValueStayAndScoreNothing(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.csv"), "timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,\n2014-04-01 00:10:00,NaN\n2014-04-01 00:05:00,-1e999\n2014-04-01 00:15:00,2\n")
	series, err := ReadFolder(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if s := series[0]; !slices.Equal(s.Empty, []int{3, 4, 5}) || !slices.Equal(s.Back, []int{5}) {
		t.Errorf("lines without a value %v, back in time %v", s.Empty, s.Back)
	}
	tracks := Run(series, func() Scorer { return func(_ time.Time, x float64) float64 { return x / 4 } })
	if err := Write(dir, "ours", series, tracks); err != nil {
		t.Fatal(err)
	}
	want := "timestamp,value,anomaly_score,label\n2014-04-01 00:00:00,1,0.25,0\n2014-04-01 00:05:00,,0,0\n2014-04-01 00:10:00,NaN,0,0\n2014-04-01 00:05:00,-1e999,0,0\n2014-04-01 00:15:00,2,0.5,0\n"
	if got, err := os.ReadFile(filepath.Join(dir, "ours", "ours_a.csv")); err != nil || string(got) != want {
		t.Errorf("got %q and %v", got, err)
	}
}

func TestWhatReadFolderReads(t *testing.T) {
	const rows = "2014-04-01 00:05:00,20\n"
	names := func(dir, besides string) (out []string) {
		series, err := ReadFolder(dir, besides)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range series {
			out = append(out, s.Name)
		}
		return out
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "data", "b", "two words.CSV"), rows)
	put(t, filepath.Join(dir, "data", "a.csv"), rows)
	put(t, filepath.Join(dir, "data", ".hidden", "c.csv"), "?")
	put(t, filepath.Join(dir, "data", "results", "ours", "ours_a.csv"), "timestamp,value,anomaly_score,label\n")
	elsewhere := t.TempDir()
	put(t, filepath.Join(elsewhere, "d.csv"), rows)
	if err := os.Symlink(elsewhere, filepath.Join(dir, "data", "linked")); err != nil {
		t.Fatal(err)
	}
	want := []string{"a.csv", "b/two words.CSV", "linked/d.csv"}
	if got := names(filepath.Join(dir, "data"), filepath.Join(dir, "data", "results")); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	put(t, filepath.Join(dir, "labels", "windows.json"), "{}")
	if got := names(dir, filepath.Join(dir, "data", "results")); !slices.Equal(got, want) {
		t.Errorf("of the benchmark's folder read %q, want %q", got, want)
	}
}

func TestLinksInAFolder(t *testing.T) {
	const rows = "2014-04-01 00:05:00,20\n"
	for _, tt := range []struct {
		name  string
		links map[string]string // what they lead to, by their names
		want  string            // names of the series
		wrong string            // part of the error
	}{
		{"to nowhere", map[string]string{"README": "nowhere", "b/old": "../gone"}, "a.csv b/c.csv", ""},
		{"to itself", map[string]string{"self": "self"}, "a.csv b/c.csv", ""},
		{"a series to nowhere", map[string]string{"b/d.csv": "nowhere.csv"}, "", filepath.Join("b", "d.csv") + ": no such file or directory: a link that leads nowhere"},
		{"to the folders above", map[string]string{"b/up": "..", "b/here": ".", "here": "."}, "a.csv b/c.csv", ""},
		{"to one another", map[string]string{"b/other": "../e", "e/other": "../b"}, "a.csv b/c.csv b/other/f.csv e/f.csv e/other/c.csv", ""},
		{"to a series", map[string]string{"g.csv": "b/c.csv"}, "a.csv b/c.csv g.csv", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "a.csv"), rows)
			put(t, filepath.Join(dir, "b", "c.csv"), rows)
			if tt.links["e/other"] != "" {
				put(t, filepath.Join(dir, "e", "f.csv"), rows)
			}
			for name, to := range tt.links {
				if err := os.Symlink(filepath.FromSlash(to), filepath.Join(dir, filepath.FromSlash(name))); err != nil {
					t.Fatal(err)
				}
			}
			series, err := ReadFolder(dir, "")
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Fatalf("got the error %v, want one with %q", err, tt.wrong)
				}
				return
			}
			var got []string
			for _, s := range series {
				got = append(got, s.Name)
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("got %q and %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestASeriesIsNotPassedOverInSilence(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.csv"), "2014-04-01 00:05:00,20\n")
	put(t, filepath.Join(dir, "group", "b", "c.csv"), "timestamp,value\n2014-04-01 00:05:00,20\n")
	for _, besides := range []string{filepath.Join(dir, "group"), filepath.Join(dir, "group", "b")} {
		if _, err := ReadFolder(dir, besides); !errors.Is(err, ErrPassedOver) || !strings.Contains(err.Error(), "c.csv") {
			t.Errorf("besides %s: got %v", besides, err)
		}
	}
}

func TestAFileThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x", "a.csv")
	put(t, path, "old")
	full := errors.New("disk full")
	err := writeFile(path, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 1<<16))
		return errors.Join(err, full)
	})
	left, readErr := os.ReadFile(path)
	files, _ := os.ReadDir(filepath.Dir(path))
	if !errors.Is(err, full) || string(left) != "old" || readErr != nil || len(files) != 1 {
		t.Errorf("got %v; left %q, %v in %d files", err, left, readErr, len(files))
	}
}

func TestWindowsThatTouchAreOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "labels.json")
	put(t, path, "\ufeff"+`{"a.csv":[["2014-04-03 00:00:00","2014-04-05 00:00:00"],["2014-04-02 00:00:00","2014-04-03 00:00:00"],["2014-04-06","2014-04-06 01:00"]]}`)
	labels, err := ReadLabels(path)
	if err != nil {
		t.Fatal(err)
	}
	day := func(n int) time.Time { return time.Date(2014, 4, n, 0, 0, 0, 0, time.UTC) }
	got := labels["a.csv"]
	if len(got) != 2 || !got[0].From.Equal(day(2)) || !got[0].To.Equal(day(5)) || !got[1].From.Equal(day(6)) {
		t.Errorf("got %v", got)
	}
}

func TestLabelsFindTheirSeries(t *testing.T) {
	for _, tt := range []struct {
		name, labels, series, missing, unlabelled string // names
	}{
		{"the same names", "a/x.csv b/x.csv", "a/x.csv b/x.csv", "", ""},
		{"a single category", "a/x.csv b/y.csv", "x.csv", "b/y.csv", ""},
		{"labels without folders", "x.csv", "a/x.csv", "", ""},
		{"two of one name", "a/x.csv b/x.csv", "x.csv", "a/x.csv b/x.csv", "x.csv"},
		{"two files of one name", "x.csv", "a/x.csv b/x.csv", "x.csv", "a/x.csv b/x.csv"},
		{"another category", "a/x.csv", "b/x.csv", "a/x.csv", "b/x.csv"},
		{"one that begins otherwise", "a/x.csv", "ax.csv", "a/x.csv", "ax.csv"},
	} {
		labels := Labels{}
		for _, name := range strings.Fields(tt.labels) {
			labels[name] = []Window{{Kind: name}}
		}
		var series []Series
		for _, name := range strings.Fields(tt.series) {
			series = append(series, Series{Name: name})
		}
		unlabelled, missing := labels.Label(series)
		if strings.Join(unlabelled, " ") != tt.unlabelled || strings.Join(missing, " ") != tt.missing {
			t.Errorf("%s: unlabelled %v, missing %v", tt.name, unlabelled, missing)
		}
		for _, s := range series {
			if (len(s.Windows) == 0) != slices.Contains(unlabelled, s.Name) {
				t.Errorf("%s: %s has windows %v", tt.name, s.Name, s.Windows)
			}
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
		if _, err := ReadFolder(tt.dir, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
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
		{"single times", `{"a.csv":["2014-04-01 00:00:00"]}`, `it has to be {"<category>/<file>.csv"`},
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
	series, err := ReadFolder(filepath.Join(dir, "data"), "")
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
