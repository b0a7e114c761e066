package synth

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/score"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

var small = Options{Kiosks: 4, Days: 7, Step: fiveMinutes, Seed: 11}

// metric returns the values of one metric.
func (k *Kiosk) metric(t *testing.T, name string) []float64 {
	t.Helper()
	i := slices.Index(k.Metrics, name)
	if i < 0 {
		t.Fatalf("no metric %s", name)
	}
	return k.Values[i]
}

func correlation(a, b []float64) float64 {
	ma, mb, sum := mean(a), mean(b), 0.0
	for i := range a {
		sum += (a[i] - ma) * (b[i] - mb)
	}
	return sum / float64(len(a)) / deviation(a) / deviation(b)
}

func TestKiosksSenseAsKiosksDo(t *testing.T) {
	for k := range small.Fleet() {
		if len(k.Metrics) != 12 || !slices.IsSorted(k.Metrics) {
			t.Fatalf("metrics %v", k.Metrics)
		}
		for i, name := range k.Metrics {
			known, ok := protocol.LookupMetric(name)
			if !ok {
				t.Errorf("%s is not in the catalogue", name)
			}
			margin := (known.Max - known.Min) / 2
			for _, x := range k.Values[i] {
				if x < known.Min-margin || x > known.Max+margin {
					t.Fatalf("%s %s: %v, want about %v to %v", k.Serial, name, x, known.Min, known.Max)
				}
			}
		}
		for _, tt := range []struct {
			a, b      string
			low, high float64
		}{
			{"hardware.cpu_usage", "hardware.cpu_temp", 0.6, 0.99},
			{"environmental.temperature", "environmental.humidity", -0.99, -0.5},
			{"environmental.temperature", "hardware.cpu_temp", 0.1, 0.9},
			{"hardware.cpu_usage", "network.signal_strength", -0.2, 0.2},
		} {
			if got := correlation(k.metric(t, tt.a), k.metric(t, tt.b)); got < tt.low || got > tt.high {
				t.Errorf("%s: %s and %s go together with %.2f, want %v to %v", k.Serial, tt.a, tt.b, got, tt.low, tt.high)
			}
		}
	}
}

func TestMemoryFollowsTheLoad(t *testing.T) {
	k := small.Kiosk(0)
	changes := func(name string) []float64 {
		xs := slices.Clone(k.metric(t, name))
		for i := len(xs) - 1; i > 0; i-- {
			xs[i] -= xs[i-1]
		}
		return xs[1:] // memory leaks slowly, so the levels say little
	}
	if got := correlation(changes("hardware.cpu_usage"), changes("hardware.ram_usage")); got < 0.8 {
		t.Errorf("their changes go together with %.2f, want 0.8", got)
	}
}

func TestKiosksOfASiteShareItsWeather(t *testing.T) {
	a, b := small.Kiosk(0), small.Kiosk(2)
	if a.Site != b.Site || a.Model != b.Model || a.Serial == b.Serial {
		t.Fatalf("got %s %s %s and %s %s %s", a.Serial, a.Site, a.Model, b.Serial, b.Site, b.Model)
	}
	for name, want := range map[string]float64{"network.latency": 0.5, "environmental.temperature": 0.7} {
		if got := correlation(a.metric(t, name), b.metric(t, name)); got < want {
			t.Errorf("%s goes together with %.2f, want %v", name, got, want)
		}
	}
	if other := small.Kiosk(1); other.Model == a.Model {
		t.Error("all kiosks are of one model")
	}
}

func TestInjectKiosk(t *testing.T) {
	for k := range small.Fleet() {
		before := fmt.Sprint(k.Values)
		made := InjectKiosk(k, 3, 8)
		if fmt.Sprint(k.Values) != before {
			t.Fatal("the background has changed")
		}
		if len(made.Windows) < 6 {
			t.Errorf("%s: only %d faults", k.Serial, len(made.Windows))
		}
		for i, w := range made.Windows {
			if i > 0 && !w.From.After(made.Windows[i-1].To) {
				t.Errorf("%s: faults at the same time", k.Serial)
			}
			if (w.Kind == string(CorrelationBreak)) != (len(w.Metrics) == 2) || len(w.Metrics) == 0 {
				t.Errorf("%s: %s names %v", k.Serial, w.Kind, w.Metrics)
			}
		}
		for m, name := range k.Metrics {
			for i, at := range k.Times {
				faulty := slices.ContainsFunc(made.Windows, func(w score.Window) bool {
					return w.Metrics[0] == name && !at.Before(w.From) && !at.After(w.To)
				})
				if !faulty && made.Values[m][i] != k.Values[m][i] {
					t.Fatalf("%s %s has changed at %s, where there is no fault", k.Serial, name, at)
				}
			}
		}
	}
}

func TestACorrelationBreakLooksUsualByItself(t *testing.T) {
	found := 0
	for n := range 4 {
		k := InjectKiosk(small.Kiosk(n), 5, 2, CorrelationBreak)
		for _, w := range k.Windows {
			found++
			x, y := k.metric(t, w.Metrics[0]), k.metric(t, w.Metrics[1])
			from, to := slices.IndexFunc(k.Times, w.From.Equal), slices.IndexFunc(k.Times, w.To.Equal)
			margin := 0.5 * deviation(x[:from])
			if slices.Max(x[from:to]) > slices.Max(x[:from])+margin || slices.Min(x[from:to]) < slices.Min(x[:from])-margin {
				t.Errorf("%s of %s is beyond its range", w.Metrics[0], k.Serial)
			}
			if got := correlation(x[from:to], y[from:to]); got > 0.5 {
				t.Errorf("%s and %s of %s still go together with %.2f", w.Metrics[0], w.Metrics[1], k.Serial, got)
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d breaks", found)
	}
}

func TestReading(t *testing.T) {
	k := small.Kiosk(0)
	got := k.Reading(5, make([]fleet.Value, 0, 12))
	if len(got) != 12 || got[6] != (fleet.Value{Metric: "hardware.cpu_temp", Value: k.Values[6][5]}) {
		t.Errorf("got %v", got)
	}
}

func TestOptionsSayWhatIsWrong(t *testing.T) {
	if err := small.Validate(); err != nil {
		t.Errorf("got %v", err)
	}
	var invalid *fleet.ValidationError
	if err := (Options{Step: time.Millisecond}).Validate(); !errors.As(err, &invalid) || len(invalid.Violations) != 3 {
		t.Errorf("got %v, want three violations", err)
	}
}

// sole is the sequence of one kiosk.
func sole(k Kiosk) iter.Seq[Kiosk] { return func(yield func(Kiosk) bool) { yield(k) } }

func TestWrittenFleetsCanBeRead(t *testing.T) {
	dir := t.TempDir()
	want := InjectKiosk(Options{Kiosks: 1, Days: 4, Step: fiveMinutes, Seed: 2}.Kiosk(0), 1, 3)
	if err := WriteFleet(dir, sole(want)); err != nil {
		t.Fatal(err)
	}
	folder, err := OpenFolder(dir)
	if err != nil || len(folder.Kiosks) != 1 {
		t.Fatalf("got %v and %v", folder, err)
	}
	got, err := folder.Kiosk(0)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("what was read differs: %v", err)
	}
}

func TestFilesSayWhatIsWrong(t *testing.T) {
	if err := WriteFleet(t.TempDir(), sole(Kiosk{Serial: "../up"})); err == nil || !strings.Contains(err.Error(), "../up") {
		t.Errorf("a serial leads out of the folder: %v", err)
	}
	if _, err := OpenFolder(t.TempDir()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "admin model synth") {
		t.Errorf("an empty folder: %v", err)
	}
	for _, tt := range []struct{ name, index, rows, want string }{
		{"no JSON", "{", "", "fleet.json"},
		{"another format", `{"format":2}`, "", "format 2, known is 1"},
		{"an evil serial", `{"format":1,"kiosks":[{"serial":"../x"}]}`, "", "cannot be a file's name"},
		{"no file", `{"format":1,"kiosks":[{"serial":"B"}]}`, "", "B.csv"},
		{"no header", `{"format":1,"kiosks":[{"serial":"A"}]}`, "1,2\n", "A.csv:1: the first line"},
		{"a bad time", `{"format":1,"kiosks":[{"serial":"A"}]}`, "timestamp,a.b\nnoon,2\n", "A.csv:2: timestamp \"noon\""},
		{"a time again", `{"format":1,"kiosks":[{"serial":"A"}]}`, "timestamp,a.b\n2026-01-01T00:00:00Z,2\n2026-01-01T00:00:00Z,2\n", "A.csv:3: timestamp"},
		{"a bad number", `{"format":1,"kiosks":[{"serial":"A"}]}`, "timestamp,a.b\n2026-01-01T00:00:00Z,x\n", "A.csv:2: a.b \"x\""},
		{"a column too many", `{"format":1,"kiosks":[{"serial":"A"}]}`, "timestamp,a.b\n2026-01-01T00:00:00Z,1,2\n", "A.csv:2:"},
		{"nothing", `{"format":1,"kiosks":[{"serial":"A"}]}`, "", "A.csv:1: the file is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for path, content := range map[string]string{"fleet.json": tt.index, filepath.Join("kiosks", "A.csv"): tt.rows} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			folder, err := OpenFolder(dir)
			if err == nil {
				_, err = folder.Kiosk(0)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestRounded(t *testing.T) {
	for _, tt := range []struct{ x, step, want float64 }{{0.30000000000000004, 0.1, 0.3}, {22.26, 0.5, 22.5}, {22.26, 0.2, 22.2}, {7.5, 2, 8}, {math.Pi, 0, math.Pi}} {
		if got := rounded(tt.x, tt.step); got != tt.want {
			t.Errorf("rounded(%v, %v) = %v, want %v", tt.x, tt.step, got, tt.want)
		}
	}
}
