package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallSeries is enough to go every way once.
var smallSeries = seriesOptions{
	storingKiosks: 50, storing: 200 * time.Millisecond,
	diskKiosks: 2, diskInterval: time.Minute,
	kiosks: 6, monthKiosks: 4, monthDays: 2, pace: time.Minute, monthPace: 5 * time.Minute, asks: 2, askTime: time.Second,
	stackKiosks: 5, offered: 100, stack: time.Second,
}

// TestTimeSeriesAreMeasured runs admin and a real InfluxDB, and stand-ins for mosquitto and Telegraf that lose each
// tenth message; its figures say nothing.
func TestTimeSeriesAreMeasured(t *testing.T) {
	standIns(t)
	b := &bench{dir: t.TempDir(), rounds: 1}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := b.build(ctx, "admin", &b.admin); err != nil {
		t.Fatal(err)
	}
	s, failed := b.series(ctx, smallSeries)
	if failed != nil || len(s.Missing) > 0 {
		t.Fatalf("failed: %v, missing: %v", failed, s.Missing)
	}
	if len(s.Storing) != 2 || s.Storing[0].Backend != backendEmbedded || s.Storing[1].Backend != backendInflux {
		t.Fatalf("stored in %+v", s.Storing)
	}
	for _, row := range s.Storing {
		if row.Metrics != 18 || row.Batch != 50 || len(row.Rounds) != 1 || row.Rounds[0].Rate <= 0 || row.Rounds[0].AdapterMicros <= 0 {
			t.Errorf("storing is %+v", row)
		}
	}
	if d := s.Disk; d.Readings != 2*24*60 || d.Metrics != 18 || d.Blocks < 18 || d.Blocks > 24 || d.Embedded < 1 || d.Influx < 1 || d.Rollups < 1 {
		t.Errorf("on disk is %+v", d)
	}
	sources := map[string]string{}
	for _, q := range s.Queries {
		if q.Problem != "" || q.Runs != 2 || q.P50 <= 0 || q.P95 < q.P50 {
			t.Errorf("a query is %+v", q)
		}
		if q.API == "own" {
			sources[q.Name] = q.Source
		}
	}
	if sources["one kiosk, 24 h raw"] != "raw" || sources["4 kiosks, 2 days by day, p95 of all"] != "rollup" || len(s.Queries) != 9 {
		t.Errorf("%d queries are answered from %v", len(s.Queries), sources)
	}
	a := s.Against
	if a.Ratio <= 0 || a.Admin.Lost != 0 || a.Admin.Stored != a.Admin.Acknowledged {
		t.Errorf("the same load on admin is %+v", a.Admin)
	}
	if a.Stack.Acknowledged < 50 || a.Stack.Stored == 0 || a.Stack.Lost != a.Stack.Acknowledged-a.Stack.Stored || a.Stack.Lost < a.Stack.Acknowledged/11 || len(a.Stack.CPU) != 3 {
		t.Errorf("the same load on the others is %+v", a.Stack)
	}
	var out bytes.Buffer
	(&report{Machine: thisMachine(), Series: s}).print(&out)
	for _, want := range []string{"storing 18 metrics a reading of 50 kiosks", "bytes a kiosk and day", "6 kiosks, 24 h by 5 min, one mean of all", "admin; mTLS", "of the other's CPU"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if text, err := json.Marshal(s); err != nil || !strings.Contains(string(text), `"cpu_ratio"`) {
		t.Errorf("as JSON it is %s, %v", text, err)
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	b := &bench{dir: t.TempDir()}
	if _, err := b.stackSide(t.Context(), smallSeries); !errors.Is(err, errNoStack) || !strings.Contains(err.Error(), "mosquitto is not on the PATH") {
		t.Errorf("without mosquitto: %v", err)
	}
	t.Setenv("KIOSKFLEET_TEST_INFLUXD", "/nowhere/influxd")
	out := &seriesRun{}
	if _, err := b.startInflux(t.Context(), t.TempDir(), false); !errors.Is(err, errNoInflux) {
		t.Errorf("without InfluxDB: %v", err)
	} else {
		out.miss("storing in InfluxDB", err)
	}
	var text bytes.Buffer
	out.print(&text)
	if !strings.Contains(text.String(), "not here: storing in InfluxDB: no InfluxDB 1.8.3 can be had") {
		t.Errorf("the report is %s", text.String())
	}
}

func TestAnAnswerIsChecked(t *testing.T) {
	for _, tt := range []struct {
		text, source string
		points       int
	}{
		{`{"source":"raw","points":[[1,2],[3,4]]}`, "raw", 2},
		{`{"source":"mixed","series":[{"points":[[1,2]]},{"points":[[1,2],[3,4]]}]}`, "mixed", 3},
		{`{"status":"success","data":{"result":[{"values":[[1,"2"]]}]}}`, "", 1},
	} {
		q := question{least: tt.points}
		if err := q.check([]byte(tt.text)); err != nil || q.Source != tt.source || q.Points != tt.points {
			t.Errorf("%s: %+v, %v", tt.text, q.latency, err)
		}
		q.least++
		if err := q.check([]byte(tt.text)); err == nil {
			t.Errorf("%s is enough", tt.text)
		}
	}
}

func TestNearestRank(t *testing.T) {
	var sorted []time.Duration
	for i := range 20 {
		sorted = append(sorted, time.Duration(i+1))
	}
	for p, want := range map[float64]time.Duration{0: 1, 0.5: 10, 0.95: 19, 0.96: 20, 1: 20} {
		if got := nearestRank(sorted, p); got != want {
			t.Errorf("p%.0f is %d, want %d", 100*p, got, want)
		}
	}
}

func TestASimulatedReadingIsSorted(t *testing.T) {
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for i, r := range newDevices(3).readings(at) {
		if len(r.Values) != 15 || len(r.Texts) != textMetrics || !r.Time.Equal(at) || r.Serial == "" || r.Site == "" {
			t.Errorf("kiosk %d reports %+v", i, r)
		}
		names := make([]string, len(r.Values))
		for i, v := range r.Values {
			names[i] = v.Metric
		}
		if !slices.IsSorted(names) || !slices.Contains(names, askedMetric) {
			t.Errorf("kiosk %d reports %v", i, names)
		}
	}
}
