package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
)

// matrix reads an answer's result: series by serial, each a row of time in seconds and value.
func matrix(t *testing.T, w *httptest.ResponseRecorder) map[string][][2]float64 {
	t.Helper()
	var out struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d: %v: %s", w.Code, err, w.Body)
	}
	found := map[string][][2]float64{}
	for _, one := range out.Data.Result {
		for _, v := range one.Values {
			value, err := strconv.ParseFloat(v[1].(string), 64)
			if err != nil {
				t.Fatal(err)
			}
			found[one.Metric["serial"]] = append(found[one.Metric["serial"]], [2]float64{v[0].(float64), value})
		}
	}
	return found
}

// TestPromQLSaysWhatThePortSays compares the windows of PromQL with those of telemetry.Store for the same data. A
// range selector at t holds (t-range, t]; so the window that begins at s is the one at s+step-1ms.
func TestPromQLSaysWhatThePortSays(t *testing.T) {
	store := newStore(t)
	a := newAPI(t, store, nil)
	functions := map[telemetry.Aggregate]string{
		telemetry.AggregateMean: "avg_over_time", telemetry.AggregateMin: "min_over_time", telemetry.AggregateMax: "max_over_time",
		telemetry.AggregateLast: "last_over_time", telemetry.AggregateCount: "count_over_time", telemetry.AggregateSum: "sum_over_time",
	}
	const step = 5 * time.Minute
	to := noon.Add(time.Hour)
	for aggregate, function := range functions {
		t.Run(string(aggregate), func(t *testing.T) {
			want, err := store.Range(t.Context(), telemetry.Query{
				Metric: "hardware.cpu_temp", Serials: []string{"K-1", "K-2", "K-3"}, From: noon, To: to, Step: step, Aggregate: aggregate,
			})
			if err != nil {
				t.Fatal(err)
			}
			got := matrix(t, post(t, a, "/api/v1/query_range", values(
				"query", function+`(kiosk_hardware_cpu_temp_celsius{serial=~"K-[123]"}[5m])`,
				"start", seconds(noon.Add(step-time.Millisecond)), "end", seconds(to.Add(-time.Millisecond)), "step", "5m")))
			if len(got) != len(want) || len(want) != 3 {
				t.Fatalf("%d series, want %d", len(got), len(want))
			}
			for _, series := range want {
				points := got[series.Serial]
				if len(points) != len(series.Points) {
					t.Fatalf("%s: %d points, want %d", series.Serial, len(points), len(series.Points))
				}
				for i, p := range series.Points {
					at := seconds(p.Time.Add(step - time.Millisecond))
					if seconds(time.UnixMilli(int64(points[i][0]*1000+0.5))) != at || points[i][1] != p.Value {
						t.Errorf("%s: got %v, want %v at %s", series.Serial, points[i], p.Value, at)
					}
				}
			}
		})
	}
	t.Run("raw", func(t *testing.T) {
		want, err := store.Range(t.Context(), telemetry.Query{Metric: "custom.doors", Serials: []string{"K-2"}, From: noon, To: to})
		if err != nil {
			t.Fatal(err)
		}
		got := matrix(t, get(t, a, "/api/v1/query", values("query", `kiosk_custom_doors{serial="K-2"}[1h]`, "time", seconds(to.Add(-time.Millisecond)))))["K-2"]
		if len(got) != len(want[0].Points) {
			t.Fatalf("%d points, want %d", len(got), len(want[0].Points))
		}
		for i, p := range want[0].Points {
			if got[i][0] != float64(p.Time.UnixMilli())/1000 || got[i][1] != p.Value {
				t.Errorf("got %v, want %v", got[i], p)
			}
		}
	})
}

func seconds(t time.Time) string { return string(appendSeconds(nil, t.UnixMilli())) }

// deep nests n parentheses.
func deep(n int) string { return strings.Repeat("(", n) + "1" + strings.Repeat(")", n) }

func TestWhatIsWrongIsSaidInPrometheusShape(t *testing.T) {
	a := newAPI(t, newStore(t), func(c *Config) { c.MaxSamples = 1000 })
	span := func(more ...string) url.Values {
		return values(append([]string{"query", "kiosk_custom_doors", "start", "1772452800", "end", "1772456400", "step", "60"}, more...)...)
	}
	with := func(name, value string) url.Values {
		form := span()
		form.Set(name, value)
		return form
	}
	for _, c := range []struct {
		name, path string
		form       url.Values
		status     int
		kind, text string
	}{
		{"bad PromQL names the position", "/api/v1/query", values("query", "sum(kiosk_x"), 400, "bad_data", "1:12: parse error"},
		{"no query", "/api/v1/query", nil, 400, "bad_data", `invalid parameter \"query\"`},
		{"a query that is too long", "/api/v1/query", values("query", deep(maxQueryBytes)), 400, "bad_data", "at most"},
		{"too many samples", "/api/v1/query_range", with("query", "kiosk_hardware_cpu_temp_celsius[30m]"), 400, "bad_data", "range"},
		{"too many samples in memory", "/api/v1/query", with("query", "kiosk_hardware_cpu_temp_celsius[1h]"), 422, "execution", "fewer kiosks"},
		{"a time that is none", "/api/v1/query", values("query", "1", "time", "yesterday"), 400, "bad_data", "yesterday"},
		{"a time that is no number", "/api/v1/query", values("query", "1", "time", "NaN"), 400, "bad_data", "NaN"},
		{"a time beyond all", "/api/v1/query", values("query", "1", "time", "1e300"), 400, "bad_data", "1e300"},
		{"a time that the engine does not know", "/api/v1/query", values("query", "1", "time", "1e11"), 400, "bad_data", "2262"},
		{"a start that the engine does not know", "/api/v1/query_range", values("query", "1", "start", "-1e12", "end", "1e12", "step", "3e9"), 400, "bad_data", "start"},
		{"no start", "/api/v1/query_range", with("start", ""), 400, "bad_data", "start"},
		{"end before start", "/api/v1/query_range", with("end", "1"), 400, "bad_data", "before"},
		{"no step", "/api/v1/query_range", with("step", ""), 400, "bad_data", "step"},
		{"step zero", "/api/v1/query_range", with("step", "0"), 400, "bad_data", "zero or negative"},
		{"step below zero", "/api/v1/query_range", with("step", "-15"), 400, "bad_data", "zero or negative"},
		{"a step below the resolution", "/api/v1/query_range", with("step", "0.0001"), 400, "bad_data", "zero or negative"},
		{"a step beyond all", "/api/v1/query_range", with("step", "1e200"), 400, "bad_data", "1e200"},
		{"too many steps", "/api/v1/query_range", with("start", "0"), 400, "bad_data", "11000 points"},
		{"everything there ever was", "/api/v1/query_range", values("query", "1", "start", "-9e9", "end", "9e9", "step", "1"), 400, "bad_data", "11000 points"},
		{"a bad timeout", "/api/v1/query", values("query", "1", "timeout", "soon"), 400, "bad_data", "timeout"},
		{"timeout zero", "/api/v1/query", values("query", "1", "timeout", "0"), 400, "bad_data", "positive"},
		{"a bad limit", "/api/v1/query", values("query", "1", "limit", "-1"), 400, "bad_data", "limit"},
		{"a bad lookback", "/api/v1/query", values("query", "1", "lookback_delta", "x"), 400, "bad_data", "lookback_delta"},
		{"series without selector", "/api/v1/series", nil, 400, "bad_data", "match[]"},
		{"series of everything", "/api/v1/series", values("match[]", `{site=~".*"}`), 400, "bad_data", "empty"},
		{"a bad selector", "/api/v1/labels", values("match[]", `{site=`), 400, "bad_data", "parse error"},
		{"too many selectors", "/api/v1/labels", url.Values{"match[]": strings.Split(strings.Repeat("x,", 101), ",")}, 400, "bad_data", "at most 100"},
		{"labels with end before start", "/api/v1/labels", values("start", "5", "end", "4"), 400, "bad_data", "before"},
		{"no label's name", "/api/v1/label/%FF/values", nil, 400, "bad_data", "invalid label name"},
		{"an unknown call", "/api/v1/admin/tsdb/delete_series", nil, 404, "not_found", "query_range"},
		{"bad metadata limit", "/api/v1/metadata", values("limit", "many"), 400, "bad_data", "limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := get(t, a, c.path, c.form)
			var out struct{ Status, ErrorType, Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != c.status || out.Status != "error" || out.ErrorType != c.kind || !strings.Contains(w.Body.String(), c.text) {
				t.Errorf("got %d %s, want %d %s with %q", w.Code, w.Body, c.status, c.kind, c.text)
			}
		})
	}
}

func TestNestedExpressionsAreBounded(t *testing.T) {
	a := newAPI(t, newStore(t), nil)
	for name, nest := range map[string]func(n int) string{
		"parentheses": deep,
		"signs":       func(n int) string { return strings.Repeat("-", n) + "1" },
		"sums":        func(n int) string { return strings.Repeat("1+", n) + "1" },
		"powers":      func(n int) string { return strings.Repeat("1^", n) + "1" },
		"comparisons": func(n int) string { return strings.Repeat("1 <= bool ", n) + "1" },
		"sets":        func(n int) string { return strings.Repeat("x or ", n) + "x" },
		"aggregates":  func(n int) string { return strings.Repeat("sum(", n) + "x" + strings.Repeat(")", n) },
		"subqueries":  func(n int) string { return "max_over_time(x" + strings.Repeat("[1m:1m]", n) + ")" },
	} {
		t.Run(name, func(t *testing.T) {
			w := post(t, a, "/api/v1/query", values("query", nest(maxParts+1)))
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "operators and brackets") {
				t.Errorf("%d: %.200s", w.Code, w.Body)
			}
			if w := post(t, a, "/api/v1/query", values("query", nest(maxParts/2-2))); strings.Contains(w.Body.String(), "operators and brackets") {
				t.Errorf("half as many are too many: %d: %.200s", w.Code, w.Body)
			}
		})
	}
	// What Grafana makes of a variable with many values is long, but flat.
	serials := strings.TrimSuffix(strings.Repeat("SIM-KIOSK-(001)|", 5000), "|")
	if w := post(t, a, "/api/v1/query", values("query", fmt.Sprintf("x{serial=~%q}", serials))); w.Code != http.StatusOK {
		t.Errorf("many serials: %d: %.200s", w.Code, w.Body)
	}
}

func TestSubqueriesAreBounded(t *testing.T) {
	a := newAPI(t, newStore(t), func(c *Config) { c.MaxSamples = 10_000 })
	ranged := values("start", "0", "end", "9000000000", "step", "1000000")
	for _, c := range []struct {
		name, path, query string
		form              url.Values
		bounded           bool
	}{
		{"a step as small as can be", "/api/v1/query", "max_over_time(vector(1)[10000d:1ms])", values(), true},
		{"small steps between the steps of a range", "/api/v1/query_range", "max_over_time(vector(1)[1m:1ms])", ranged, true},
		{"the step of one that names none", "/api/v1/query", "max_over_time(x[8d:])", values(), true},
		{"one within another", "/api/v1/query", "max_over_time(max_over_time(x[1h:1s])[7000s:1s])", values(), true},
		{"several", "/api/v1/query", "max_over_time(x[9000s:1s]) + (-max_over_time(x[9000s:1s]))", values(), true},
		{"as a parameter", "/api/v1/query", "topk(scalar(max_over_time(x[10001s:1s])), x)", values(), true},
		{"at a fixed time", "/api/v1/query", "max_over_time(x[10001s:1s] @ 5)", values(), true},
		{"ranges beyond all", "/api/v1/query", "max_over_time(max_over_time(max_over_time(x[200y:1ms])[200y:200y])[200y:200y])", values(), true},
		{"as many as there may be", "/api/v1/query", "max_over_time(kiosk_custom_doors[9999s:1s])", values(), false},
		{"a wide one", "/api/v1/query_range", "max_over_time(vector(1)[100y:1y])", ranged, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.form.Set("query", c.query)
			w := post(t, a, c.path, c.form)
			if bounded := w.Code == http.StatusUnprocessableEntity && strings.Contains(w.Body.String(), "steps; give them"); bounded != c.bounded {
				t.Errorf("%d: %.200s", w.Code, w.Body)
			}
		})
	}
}

func TestMadeLabelsAreBounded(t *testing.T) {
	a := newAPI(t, newStore(t), nil)
	joined := func(n, labels int) string {
		return strings.Repeat("label_join(", n) + "x" + strings.Repeat(`, "l", "-"`+strings.Repeat(`, "l"`, labels)+")", n)
	}
	for _, c := range []struct {
		name, query string
		bounded     bool
	}{
		{"joins within joins", joined(30, 2), true},
		{"a join of many", joined(1, 100), true},
		{"a replacement by many groups", `label_replace(x, "l", "` + strings.Repeat("$1", 100) + `", "serial", "(.*)")`, true},
		{"a long replacement in brackets", `label_replace(x, "l", (("` + strings.Repeat("l", 3000) + `")), "serial", "(.*)")`, true},
		{"joins within other things", "sum by (l) (-(" + joined(30, 2) + " or x))", true},
		{"as people use them", `label_replace(label_join(x, "l", " / ", "site", "model", "serial"), "l", "kiosk $1 at $2", "l", "(.*)/(.*)")`, false},
		{"many beside each other", strings.Repeat(joined(1, 3)+" or ", 100) + "x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := post(t, a, "/api/v1/query", values("query", c.query))
			if bounded := w.Code == http.StatusBadRequest && strings.Contains(w.Body.String(), "labels too long"); bounded != c.bounded || !bounded && w.Code != http.StatusOK {
				t.Errorf("%d: %.200s", w.Code, w.Body)
			}
		})
	}
}

func TestAFormThatIsTooLarge(t *testing.T) {
	w := post(t, newAPI(t, newStore(t), nil), "/api/v1/query", values("query", strings.Repeat("x", maxFormBytes)))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOnlyReadingMethods(t *testing.T) {
	a := newAPI(t, newStore(t), nil)
	for path, method := range map[string]string{"/api/v1/query": "DELETE", "/api/v1/label/site/values": "POST", "/api/v1/metadata": "PUT"} {
		w := serve(t.Context(), a, httptest.NewRequest(method, Prefix+path, nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: %d", method, path, w.Code)
		}
	}
}

func TestAStoreThatIsNotOpen(t *testing.T) {
	store := newStore(t)
	opening := newAPI(t, store, func(c *Config) {
		c.Store = func() (*embedded.Store, error) { return nil, fmt.Errorf("%w: replaying", telemetry.ErrNotReady) }
	})
	closed := newAPI(t, store, nil)
	store.Close()
	for name, a := range map[string]*API{"opening": opening, "closed": closed} {
		w := post(t, a, "/api/v1/query", values("query", "kiosk_custom_doors"))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"errorType":"unavailable"`) {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	if w := get(t, opening, "/api/v1/status/buildinfo", nil); w.Code != http.StatusOK {
		t.Errorf("buildinfo needs no store, and got %d", w.Code)
	}
}

// endless is an expression that takes a minute or more, unless it is stopped.
const endless = `sum_over_time((time() + sum(kiosk_custom_doors))[90d:500ms])`

// begin makes a request in the background and returns once it has its turn.
func begin(t *testing.T, a *API, ctx context.Context) <-chan *httptest.ResponseRecorder {
	t.Helper()
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		form := values("query", endless, "time", "1772456400")
		done <- serve(ctx, a, httptest.NewRequest(http.MethodGet, Prefix+"/api/v1/query?"+form.Encode(), nil))
	}()
	eventually(t, func() bool { return len(a.gate.turns) == cap(a.gate.turns) })
	return done
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to hold")
		}
	}
}

func one(c *Config) { c.Concurrent, c.Queue, c.MaxSamples = 1, 1, 1<<40 }

func TestAQueryEndsWhenItsClientGoes(t *testing.T) {
	a := newAPI(t, newStore(t), one)
	ctx, cancel := context.WithCancel(t.Context())
	done := begin(t, a, ctx)
	cancel()
	if w := <-done; w.Code != statusClientGone {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post(t, a, "/api/v1/query", values("query", "1")); w.Code != http.StatusOK {
		t.Errorf("its turn is not free again: %d %s", w.Code, w.Body)
	}
}

func TestAQueryEndsWhenItsTimeIsUp(t *testing.T) {
	a := newAPI(t, newStore(t), func(c *Config) { c.MaxSamples = 1 << 40 })
	w := post(t, a, "/api/v1/query", values("query", endless, "time", "1772456400", "timeout", "50ms"))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"errorType":"timeout"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAQueryEndsWhenTheStoreIsToBeClosed(t *testing.T) {
	store := newStore(t)
	a := newAPI(t, store, one)
	done := begin(t, a, t.Context())
	if err := store.Close(); err != nil { // it waits for the query
		t.Error(err)
	}
	if w := <-done; w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestMoreQueriesWaitAndTooManyAreRefused(t *testing.T) {
	a := newAPI(t, newStore(t), one)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := begin(t, a, ctx)
	waiting := make(chan *httptest.ResponseRecorder, 1)
	go func() { waiting <- post(t, a, "/api/v1/query", values("query", "1")) }()
	eventually(t, func() bool { return len(a.gate.places) == 2 })

	w := post(t, a, "/api/v1/query", values("query", "1"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("one too many: %d %s", w.Code, w.Body)
	}
	cancel()
	<-running
	if w := <-waiting; w.Code != http.StatusOK {
		t.Errorf("the one that waited: %d %s", w.Code, w.Body)
	}
	if len(a.gate.places) != 0 || len(a.gate.turns) != 0 {
		t.Error("a turn was not given back")
	}
}

func TestManyAtOnce(t *testing.T) {
	a := newAPI(t, newStore(t), nil)
	want := post(t, a, "/api/v1/query", values("query", "avg by (model) (kiosk_custom_doors)")).Body.String()
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if got := post(t, a, "/api/v1/query", values("query", "avg by (model) (kiosk_custom_doors)")).Body.String(); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	group.Wait()
}

func TestUnsupportedSaysWhatToDo(t *testing.T) {
	w := httptest.NewRecorder()
	Unsupported().ServeHTTP(w, httptest.NewRequest(http.MethodPost, Prefix+"/api/v1/query", nil))
	if w.Code != http.StatusNotImplemented || !strings.Contains(w.Body.String(), "InfluxQL") || !strings.Contains(w.Body.String(), `"status":"error"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheVersionIsThatOfTheEngine(t *testing.T) {
	text, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	// The library of Prometheus 3.16.0 is v0.316.0.
	if part := strings.Split(prometheusVersion, "."); !strings.Contains(string(text), fmt.Sprintf("prometheus/prometheus v0.%s%02s.%s\n", part[0], part[1], part[2])) {
		t.Errorf("go.mod has another Prometheus than %s", prometheusVersion)
	}
}

// TestTheDocumentedQueriesAreAnswered runs the examples of docs/integrators.md.
func TestTheDocumentedQueriesAreAnswered(t *testing.T) {
	text, err := os.ReadFile("../../../docs/integrators.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "```promql\n")
	examples, _, _ := strings.Cut(after, "\n```")
	if !ok || strings.Count(examples, "\n") < 3 {
		t.Fatalf("there are no examples: %q", examples)
	}
	a := newAPI(t, newStore(t), nil)
	for query := range strings.SplitSeq(examples, "\n") {
		if w := post(t, a, "/api/v1/query", values("query", query, "time", "1772456400")); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestAClientThatDoesNotReadLosesItsTurn(t *testing.T) {
	a := newAPI(t, newStore(t), func(c *Config) { c.Concurrent, c.Timeout = 1, 2*time.Second })
	server := httptest.NewServer(a)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	// Each answer has some megabytes, more than the buffers between us hold.
	const everything = `{__name__=~"kiosk.+"}`
	another := func(n int) string {
		return fmt.Sprintf(` or label_replace(%s, "x", "%d", "", "")`, everything, n)
	}
	query := values("query", everything+another(1)+another(2), "start", "1772452800", "end", "1772456400", "step", "0.4").Encode()
	for range 4 {
		fmt.Fprintf(conn, "POST %s/api/v1/query_range HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", Prefix, len(query), query)
	}
	eventually(t, func() bool { return len(a.gate.turns) == 1 })
	// Nobody reads, and yet another client gets the turn in the end: the first one's is taken away.
	eventually(t, func() bool {
		res, err := server.Client().Get(server.URL + Prefix + "/api/v1/query?query=1")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK && len(a.gate.turns) == 0
	})
	// The answers end in the middle of one.
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	text, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection is still open")
	}
	if n := strings.Count(string(text), "HTTP/1.1 200 OK"); n >= 4 && strings.HasSuffix(string(text), "0\r\n\r\n") {
		t.Errorf("%d whole answers were sent to nobody", n)
	}
}
