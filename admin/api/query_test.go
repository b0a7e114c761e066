package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// querySite is a site of four kiosks in two sites.
func querySite(t *testing.T) *site {
	s := callSite(t)
	for serial, k := range map[string]fleet.Kiosk{
		"K-1": {Site: "Hall", Tags: []string{"a", "b"}, Model: "M"}, "K-2": {Site: "Hall", Tags: []string{"a"}},
		"K-3": {Site: "=cmd()", Tags: []string{}}, "K-4": {Tags: []string{"b"}, Model: "M"},
	} {
		k.Serial = serial
		s.kiosks[serial] = &k
	}
	return s
}

// pointView, fullSeries and fullQuery are answers as clients read them.
type pointView struct {
	Time  time.Time `json:"time"`
	Value float64   `json:"value"`
}

type fullSeries struct {
	seriesView
	Points []pointView `json:"points"`
}

type fullQuery struct {
	queryView
	Series []struct {
		querySeriesView
		Points []pointView `json:"points"`
	} `json:"series"`
}

func minutes(values ...float64) []Point {
	points := make([]Point, len(values))
	for i, v := range values {
		points[i] = Point{start.Add(time.Duration(i) * time.Minute), v}
	}
	return points
}

func TestAQueryAsksForWhatItSelects(t *testing.T) {
	for _, tt := range []struct {
		series string
		want   Range
	}{
		{`{"metric":"hardware.cpu_temp"}`, Range{Serials: []string{"K-1", "K-2", "K-3", "K-4"}}},
		{`{"metric":"hardware.cpu_temp","kiosks":{"serials":["K-2","K-9","K-1","K-2"]}}`, Range{Serials: []string{"K-1", "K-2"}}},
		{`{"metric":"hardware.cpu_temp","kiosks":{"site":"Hall","tag":"b"}}`, Range{Serials: []string{"K-1"}}},
		{`{"metric":"hardware.cpu_temp","kiosks":{"site":""}}`, Range{Serials: []string{"K-4"}}},
		{`{"metric":"hardware.cpu_temp","group_by":"site"}`, Range{Groups: []Group{{"", []string{"K-4"}}, {"=cmd()", []string{"K-3"}}, {"Hall", []string{"K-1", "K-2"}}}}},
		{`{"metric":"hardware.cpu_temp","group_by":"tag"}`, Range{Groups: []Group{{"a", []string{"K-1", "K-2"}}, {"b", []string{"K-1", "K-4"}}}}},
		{`{"metric":"hardware.cpu_temp","group_by":"model","kiosks":{"model":"M"}}`, Range{Groups: []Group{{"M", []string{"K-1", "K-4"}}}}},
		{`{"metric":"hardware.cpu_temp","group_by":"all"}`, Range{Groups: []Group{{"all", []string{"K-1", "K-2", "K-3", "K-4"}}}}},
	} {
		t.Run(tt.series, func(t *testing.T) {
			s := querySite(t)
			want := tt.want
			want.Metric, want.Step, want.Aggregate, want.From, want.To = "hardware.cpu_temp", 5*time.Minute, "mean", start.Add(-time.Hour), start
			rec := s.do("POST", "/query", `{"step":"5m","series":[`+tt.series+`]}`, as("viewer"))
			if rec.Code != 200 || len(s.asked) != 1 || !reflect.DeepEqual(s.asked[0], want) {
				t.Errorf("%d: asked %+v, want %+v", rec.Code, s.asked, want)
			}
		})
	}
	s := querySite(t)
	if got := decode[fullQuery](t, s.do("POST", "/query", `{"series":[{"metric":"hardware.cpu_temp","kiosks":{"tag":"none"}}]}`, as("viewer")), 200); len(got.Series) != 0 || len(s.asked) != 0 {
		t.Errorf("no kiosk: %+v, asked %v", got, s.asked)
	}
}

func TestAQueryComputesAndRanks(t *testing.T) {
	s := querySite(t)
	s.answers = map[string]Answer{
		"hardware.cpu_temp":  {Source: "rollup", Series: []NamedSeries{{"K-1", minutes(10, 20, 30)}, {"K-2", minutes(100, 0, 4)}, {"K-3", minutes(7)}}},
		"hardware.cpu_usage": {Source: "mixed", Series: []NamedSeries{{"K-1", minutes(5, 0, 10)}, {"K-2", minutes(50, 2)}}},
		"network.latency":    {Source: "rollup", Series: []NamedSeries{{"all", minutes(1, 2)}}},
	}
	const series = `"step":"1m","series":[{"name":"a","metric":"hardware.cpu_temp"},{"name":"b","metric":"hardware.cpu_usage"},{"name":"c","metric":"network.latency","group_by":"all"}]`
	for _, tt := range []struct{ name, more, want string }{
		{"ratio", `"math":[{"name":"r","expr":"a/b"}]`, "r K-1 [2 3] r K-2 [2 0]"}, // nothing is divided by 0
		{"difference", `"math":[{"name":"r","expr":" a - b "}]`, "r K-1 [5 20 20] r K-2 [50 -2]"},
		{"sum with all", `"math":[{"name":"r","expr":"a+c"}]`, "r K-1 [11 22] r K-2 [101 2] r K-3 [8]"},
		{"all by each", `"math":[{"name":"r","expr":"c*b"}]`, "r K-1 [5 0] r K-2 [50 4]"},
		{"of a formula", `"math":[{"name":"q","expr":"a-b"},{"name":"r","expr":"q*q"}]`, "r K-1 [25 400 400] r K-2 [2500 4]"},
		{"top by mean", `"math":[{"name":"r","expr":"a-b"}],"top":{"of":"a","k":2}`, "r K-2 [50 -2] r K-1 [5 20 20]"},
		{"top by last", `"math":[{"name":"r","expr":"a+a"}],"top":{"of":"a","k":2,"by":"last"}`, "r K-1 [20 40 60] r K-3 [14]"},
		{"lowest by max", `"math":[{"name":"r","expr":"a+a"}],"top":{"of":"a","k":1,"by":"max","order":"asc"}`, "r K-3 [14]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := decode[fullQuery](t, s.do("POST", "/query", `{`+series+`,`+tt.more+`}`, as("viewer")), 200)
			var shown []string
			for _, one := range got.Series {
				if one.Name == "r" {
					var values []float64
					for _, p := range one.Points {
						values = append(values, p.Value)
					}
					shown = append(shown, fmt.Sprint(one.Name, " ", one.Group, " ", values))
				}
			}
			if text := strings.Join(shown, " "); text != tt.want || got.Source != "mixed" {
				t.Errorf("got %s from %s, want %s", text, got.Source, tt.want)
			}
		})
	}
}

func TestAHistogramCountsTheLastValues(t *testing.T) {
	s := querySite(t)
	s.answers = map[string]Answer{"hardware.cpu_temp": {Series: []NamedSeries{{"K-1", minutes(1, 0)}, {"K-2", minutes(2.5)}, {"K-3", minutes(10)}, {"K-4", minutes(5)}}}}
	got := decode[fullQuery](t, s.do("POST", "/query", `{"histogram":{"metric":"hardware.cpu_temp","buckets":4}}`, as("viewer")), 200)
	want := histogramView{"hardware.cpu_temp", "°C", start, 4, []binView{{0, 2.5, 1}, {2.5, 5, 1}, {5, 7.5, 1}, {7.5, 10, 1}}}
	if got.Histogram == nil || !reflect.DeepEqual(*got.Histogram, want) {
		t.Errorf("got %+v, want %+v", got.Histogram, want)
	}
	if q := s.asked[0]; q.Aggregate != "last" || q.To.Sub(q.From) > ages[0]+time.Millisecond {
		t.Errorf("asked %+v", q)
	}
	s.lives["K-2"] = &fleet.Live{Interval: 20 * time.Second}
	s.asked = nil
	decode[fullQuery](t, s.do("POST", "/query", `{"histogram":{"metric":"hardware.cpu_temp"}}`, as("viewer")), 200)
	if len(s.asked) != 2 || !slices.Equal(s.asked[1].Serials, []string{"K-2"}) || s.asked[1].Step != time.Minute {
		t.Errorf("a kiosk that reports every 20 s: asked %+v", s.asked)
	}
	s.answers["hardware.cpu_temp"] = Answer{}
	if got := decode[fullQuery](t, s.do("POST", "/query", `{"histogram":{"metric":"hardware.cpu_temp"}}`, as("viewer")), 200); got.Histogram.Kiosks != 0 || len(got.Histogram.Buckets) != 0 {
		t.Errorf("of nothing: %+v", got.Histogram)
	}
}

func TestAnExportIsHarmlessCSV(t *testing.T) {
	s := querySite(t)
	s.points = minutes(-5, 1.5)
	const body = `{"step":"1m","series":[{"name":"a","metric":"hardware.cpu_temp","group_by":"site","kiosks":{"site":"=cmd()"}}]}`
	want := "time,name,group,metric,unit,agg,value\n" +
		start.Format(time.RFC3339) + ",a,'=cmd(),hardware.cpu_temp,°C,mean,-5\n" + start.Add(time.Minute).Format(time.RFC3339) + ",a,'=cmd(),hardware.cpu_temp,°C,mean,1.5\n"
	for name, rec := range map[string]*httptest.ResponseRecorder{
		"by Accept": s.do("POST", "/query", body, as("viewer"), header("Accept", "text/csv")),
		"by format": s.do("POST", "/query?format=csv", body, as("viewer")),
		"ranked":    s.do("POST", "/query?format=csv", strings.Replace(body, "}]}", `}],"top":{"of":"a"}}`, 1), as("viewer")),
	} {
		if rec.Code != 200 || rec.Body.String() != want || rec.Header().Get("Content-Type") != "text/csv; charset=utf-8" {
			t.Errorf("%s: %d %s\n%s\nwant\n%s", name, rec.Code, rec.Header().Get("Content-Type"), rec.Body, want)
		}
	}
	if rec := s.do("GET", "/kiosks/K-1/telemetry?metric=hardware.cpu_temp&format=csv", "", as("viewer")); !strings.Contains(rec.Body.String(), ",value,K-1,hardware.cpu_temp,°C,,-5\n") {
		t.Errorf("one kiosk: %s", rec.Body)
	}
	if rec := s.do("POST", "/query?format=csv", `{"series":[{"metric":"hardware.cpu_temp","kiosks":{"tag":"none"}}]}`, as("viewer")); rec.Body.String() != "time,name,group,metric,unit,agg,value\n" {
		t.Errorf("nothing: %s", rec.Body)
	}
	s.failing = errInner
	if rec := s.do("POST", "/query?format=csv", body, as("viewer")); rec.Code != 500 {
		t.Errorf("a failure before the first row: %d", rec.Code)
	}
}

func TestAnExportIsReadInPartsThatAreNotTooLarge(t *testing.T) {
	const head = "time,name,group,metric,unit,agg,value\n"
	for _, tt := range []struct {
		name, request string
		points        int // that one question may find
		rows          int
	}{
		{"fewer kiosks at a time", `{"from":"-1h","step":"1m","series":[{"metric":"hardware.cpu_temp"}]}`, 130, 4 * 61},
		{"less time at a time", `{"from":"-1h","step":"1m","series":[{"metric":"hardware.cpu_temp"}]}`, 20, 4 * 61},
		{"raw readings", `{"from":"-1h","series":[{"metric":"hardware.cpu_temp","kiosks":{"serials":["K-1"]}}]}`, 20, 60},
		{"a group", `{"from":"-1h","step":"1m","series":[{"metric":"hardware.cpu_temp","group_by":"all"}]}`, 20, 61},
		{"one kiosk", "/kiosks/K-1/telemetry?format=csv&metric=hardware.cpu_temp&step=1m", 20, 61},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := querySite(t)
			s.mostPoints = tt.points
			method, path, body := "POST", "/query?format=csv", tt.request
			if strings.HasPrefix(body, "/") {
				method, path, body = "GET", body, ""
			}
			rec := s.do(method, path, body, as("viewer"))
			rows, found := strings.CutPrefix(rec.Body.String(), head)
			if rec.Code != 200 || !found {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			seen := map[string]bool{}
			last := ""
			for _, row := range strings.Split(strings.TrimSpace(rows), "\n") {
				cells := strings.Split(row, ",")
				at := cells[2] + " " + cells[0]
				if seen[at] || at < last {
					t.Errorf("%s comes again or out of order", at)
				}
				seen[at], last = true, at
			}
			if len(seen) != tt.rows {
				t.Errorf("%d rows, want %d", len(seen), tt.rows)
			}
		})
	}
	t.Run("what cannot be divided", func(t *testing.T) {
		s := querySite(t)
		s.mostPoints = 2
		rec := s.do("POST", "/query?format=csv", `{"from":"-3d","step":"1d","tz":"Europe/Madrid","series":[{"metric":"hardware.cpu_temp"}]}`, as("viewer"))
		if rec.Code != 422 || strings.Contains(rec.Body.String(), head) {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}

func TestAClientThatDoesNotReadItsAnswerIsLeft(t *testing.T) {
	s := querySite(t)
	s.points = make([]Point, 200_000)
	for _, format := range []string{"json", "csv"} {
		t.Run(format, func(t *testing.T) {
			rec := &stuckRecorder{ResponseRecorder: httptest.NewRecorder()}
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, Prefix+"/kiosks/K-1/telemetry?metric=hardware.cpu_temp&format="+format, nil)
			as("viewer")(req)
			func() {
				defer func() {
					if r := recover(); r != nil && r != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
						panic(r)
					}
				}()
				s.ServeHTTP(rec, req)
			}()
			if len(rec.deadlines) == 0 {
				t.Fatal("it may take for ever")
			}
			for _, d := range rec.deadlines {
				if left := time.Until(d); left < 0 || left > writeTimeout {
					t.Errorf("a deadline in %v", left)
				}
			}
			if rec.writes != 2 {
				t.Errorf("%d writes, the second failed", rec.writes)
			}
		})
	}
}

// stuckRecorder is a client that takes one piece of an answer and no more.
type stuckRecorder struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
	writes    int
}

func (r *stuckRecorder) SetWriteDeadline(t time.Time) error {
	r.deadlines = append(r.deadlines, t)
	return nil
}

func (r *stuckRecorder) Write(b []byte) (int, error) {
	if r.writes++; r.writes > 1 {
		return 0, errInner
	}
	return r.ResponseRecorder.Write(b)
}

func TestAFaultyQueryIsRefusedAndNamesTheFault(t *testing.T) {
	const one = `"series":[{"name":"a","metric":"hardware.cpu_temp"}]`
	many := strings.Repeat(`{"metric":"hardware.cpu_temp"},`, maxQuerySeries) + `{"metric":"hardware.cpu_temp"}`
	for _, tt := range []struct {
		name, body string
		status     int
		field      string
	}{
		{"nothing", ``, 400, ""},
		{"no JSON", `{`, 400, ""},
		{"an array", `[]`, 400, ""},
		{"an unknown field", `{"seriess":[]}`, 422, "seriess"},
		{"a wrong type", `{"series":7}`, 422, "series"},
		{"no series", `{}`, 422, "series"},
		{"too many series", `{"series":[` + many + `]}`, 422, "series"},
		{"from after to", `{"from":"-1h","to":"-2h",` + one + `}`, 422, "from"},
		{"from as to", `{"from":"now","to":"now",` + one + `}`, 422, "from"},
		{"no time", `{"from":"yesterday",` + one + `}`, 422, "from"},
		{"the year 1", `{"from":"0001-01-01T00:00:00Z",` + one + `}`, 422, "from"},
		{"twenty years", `{"from":"-7300d",` + one + `}`, 422, "from"},
		{"step zero", `{"step":"0s",` + one + `}`, 422, "step"},
		{"a negative step", `{"step":"-5m",` + one + `}`, 422, "step"},
		{"a step of centuries", `{"step":"900000h",` + one + `}`, 422, "step"},
		{"a zone of another world", `{"tz":"Mars/Base",` + one + `}`, 422, "tz"},
		{"a path as zone", `{"tz":"../../../etc/passwd",` + one + `}`, 422, "tz"},
		{"no metric", `{"series":[{}]}`, 422, "series[0].metric"},
		{"an injected metric", `{"series":[{"metric":"hardware.cpu_temp\" FROM x; DROP DATABASE y --"}]}`, 422, "series[0].metric"},
		{"a state", `{"series":[{"metric":"peripherals.card_reader"}]}`, 422, "series[0].metric"},
		{"an injected serial", `{"series":[{"metric":"hardware.cpu_temp","kiosks":{"serials":["K-1","x' OR 'a'='a"]}}]}`, 422, "series[0].kiosks.serials[1]"},
		{"an unknown grouping", `{"step":"5m","series":[{"metric":"hardware.cpu_temp","group_by":"city"}]}`, 422, "series[0].group_by"},
		{"a grouping without step", `{"series":[{"metric":"hardware.cpu_temp","group_by":"site"}]}`, 422, "series[0].group_by"},
		{"an aggregate without step", `{"series":[{"metric":"hardware.cpu_temp","agg":"max"}]}`, 422, "series[0].agg"},
		{"a faulty name", `{"series":[{"name":"a/b","metric":"hardware.cpu_temp"}]}`, 422, "series[0].name"},
		{"a name twice", `{"series":[{"name":"a","metric":"hardware.cpu_temp"},{"name":"a","metric":"hardware.cpu_temp"}]}`, 422, "series[1].name"},
		{"a formula of nothing", `{"step":"5m","math":[{"name":"r","expr":"a/b"}],` + one + `}`, 422, "math[0]"},
		{"a formula of itself", `{"step":"5m","math":[{"name":"r","expr":"a/r"}],` + one + `}`, 422, "math[0]"},
		{"a long formula", `{"step":"5m","math":[{"name":"r","expr":"a/a/a"}],` + one + `}`, 422, "math[0]"},
		{"a formula without step", `{"math":[{"name":"r","expr":"a/a"}],` + one + `}`, 422, "math[0]"},
		{"a top of nothing", `{"top":{"of":"z"},` + one + `}`, 422, "top.of"},
		{"a top of none", `{"top":{"of":"a","k":-1},` + one + `}`, 422, "top.k"},
		{"an unknown order", `{"top":{"of":"a","order":"up"},` + one + `}`, 422, "top.order"},
		{"an unknown rank", `{"top":{"of":"a","by":"min"},` + one + `}`, 422, "top.by"},
		{"too many classes", `{"histogram":{"metric":"hardware.cpu_temp","buckets":100000}}`, 422, "histogram.buckets"},
		{"a histogram of no time", `{"histogram":{"metric":"hardware.cpu_temp","at":"later"}}`, 422, "histogram.at"},
		{"an unknown metric", `{"series":[{"metric":"hardware.cpu_tmp"}]}`, 404, ""},
		{"a histogram of an unknown metric", `{"histogram":{"metric":"nothing.like_it"}}`, 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := querySite(t)
			p := decode[problem](t, s.do("POST", "/query", tt.body, as("viewer")), tt.status)
			if tt.field != "" && (len(p.Violations) == 0 || p.Violations[0].Field != tt.field) || len(s.asked) != 0 {
				t.Errorf("violations %+v, want %s; asked %v", p.Violations, tt.field, s.asked)
			}
		})
	}
}

func TestAQueryMayListAsManyKiosksAsItSays(t *testing.T) {
	list := func(n int) string {
		serials := make([]string, n)
		for i := range serials {
			serials[i] = fmt.Sprintf(`"K-%0*d"`, protocol.MaxSerialLength-2, i)
		}
		return `{"series":[{"metric":"hardware.cpu_temp","kiosks":{"serials":[` + strings.Join(serials, ",") + `]}}]}`
	}
	s := querySite(t)
	decode[fullQuery](t, s.do("POST", "/query", list(maxQuerySerials), as("viewer")), 200)
	if p := decode[problem](t, s.do("POST", "/query", list(maxQuerySerials+1), as("viewer")), 422); len(p.Violations) == 0 || p.Violations[0].Field != "series[0].kiosks.serials" {
		t.Errorf("one more: %+v", p)
	}
	if p := decode[problem](t, s.do("POST", "/query", list(2*maxQuerySerials), as("viewer")), 413); !strings.Contains(p.Detail, "524288 bytes") {
		t.Errorf("far more: %+v", p)
	}
}

func TestAnUnknownMetricHasNearNames(t *testing.T) {
	s := querySite(t)
	for metric, want := range map[string]string{
		"hardware.cpu_tmp":   "near names are hardware.cpu_temp",
		"hw.cpu_temp":        "near names are hardware.cpu_temp",
		"vendor.sensor_8":    "near names are vendor.sensor_7",
		"network.latenzy":    "near names are network.latency",
		"nothing.like_it_at": "no kiosk has sent it",
	} {
		p := decode[problem](t, s.do("GET", "/kiosks/K-1/telemetry?metric="+metric, "", as("viewer")), 404)
		if !strings.Contains(p.Detail, want) {
			t.Errorf("%s: %q, want %q", metric, p.Detail, want)
		}
	}
}

func TestAQueryThatTakesTooLongOrNobodyWaitsFor(t *testing.T) {
	const body = `{"series":[{"metric":"hardware.cpu_temp"}]}`
	s := querySite(t)
	s.failing = fmt.Errorf("range: %w", context.DeadlineExceeded)
	if p := decode[problem](t, s.do("POST", "/query", body, as("viewer")), 503); !strings.Contains(p.Detail, "shorter range") {
		t.Errorf("too long: %q gives no advice", p.Detail)
	}
	s.failing = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, Prefix+"/query", strings.NewReader(body))
	as("viewer")(req)
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	if rec.Code != statusClientClosed {
		t.Errorf("the client has gone: %d", rec.Code)
	}
	s.failing = errors.New("anything")
	if rec := s.do("POST", "/query", body, as("viewer")); rec.Code != 500 {
		t.Errorf("a failure of ours: %d", rec.Code)
	}
}

func FuzzQuery(f *testing.F) {
	for _, body := range []string{
		`{"series":[{"metric":"hardware.cpu_temp"}]}`,
		`{"from":"-2h","to":"now","step":"5m","tz":"Europe/Madrid","series":[{"name":"a","metric":"hardware.cpu_temp","agg":"p95","kiosks":{"serials":["K-1"],"site":"Hall","tag":"a","model":"M"},"group_by":"tag"}],"math":[{"name":"r","expr":"a/a"}],"top":{"of":"r","k":3,"by":"last","order":"asc"}}`,
		`{"histogram":{"metric":"hardware.cpu_temp","at":"-1h","buckets":7,"kiosks":{"site":"Hall"}}}`,
	} {
		f.Add(body, false)
		f.Add(body, true)
	}
	f.Fuzz(func(t *testing.T, body string, csv bool) {
		s := querySite(t)
		s.points = minutes(1, 2, 3)
		path := "/query"
		if csv {
			path += "?format=csv"
		}
		if rec := s.do("POST", path, body, as("viewer")); rec.Code >= 500 {
			t.Errorf("%d: %s", rec.Code, rec.Body)
		}
	})
}

func TestPointsAreWrittenExactly(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	points := []Point{
		{at("2026-01-02T03:04:05Z"), 1.5}, {at("2026-01-02T23:59:59.999Z"), -0.000001}, {at("2026-01-03T00:00:00.01Z"), 1e-7}, {at("1969-12-31T23:59:59.5Z"), 1e21},
		{at("1971-01-01T00:00:00Z"), 123456789012345680}, {at("2026-03-02T10:00:00+05:30"), -3}, {at("2261-12-31T10:20:30Z"), 0.1 + 0.2}, {at("2026-01-02T03:04:05Z"), 0},
	}
	var got strings.Builder
	w := &pointWriter{to: &got, day: math.MinInt64}
	w.points(points)
	w.flush()
	var read []pointView
	if err := json.Unmarshal([]byte(got.String()), &read); err != nil || len(read) != len(points) {
		t.Fatalf("%v: %s", err, got.String())
	}
	for i, p := range points {
		if read[i] != (pointView{p.Time.UTC(), p.Value}) {
			t.Errorf("%v is written as %v", p, read[i])
		}
	}
}
