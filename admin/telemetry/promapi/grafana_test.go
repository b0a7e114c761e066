package promapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden answers")

// TestGrafanasRequests makes the requests that Grafana's Prometheus data source makes, in their exact form:
// range and instant queries by POST with times in seconds of the epoch and a step in seconds, everything that
// lists something with the range of the dashboard and a limit of 40000, label values and metadata by GET. The
// variables are substituted already, as Grafana does before it sends.
func TestGrafanasRequests(t *testing.T) {
	a := newAPI(t, newStore(t), nil)
	const from, to = "1772452800", "1772456400" // noon and an hour later
	span := func(more ...string) url.Values { return values(append([]string{"start", from, "end", to}, more...)...) }
	for _, c := range []struct {
		name, method, path string
		form               url.Values
	}{
		{"health-check", "POST", "/api/v1/query", values("query", "1+1", "time", "4")},
		{"build-info", "GET", "/api/v1/status/buildinfo", nil},
		{"instant", "POST", "/api/v1/query", values("query", `kiosk_hardware_cpu_temp_celsius{site=~"hall-1"}`, "time", to)},
		{"instant-at-fraction", "POST", "/api/v1/query", values("query", `scalar(kiosk_custom_paper_level_percent{serial="K-1"})`, "time", "1772454600.5")},
		{"instant-matrix", "POST", "/api/v1/query", values("query", `kiosk_hardware_cpu_temp_celsius{serial="K-1"}[1m]`, "time", to)},
		{"instant-string", "POST", "/api/v1/query", values("query", `"a \"text\""`, "time", to)},
		{"range", "POST", "/api/v1/query_range", span("query", `avg by (site) (kiosk_hardware_cpu_temp_celsius{serial=~"K-1|K-3"})`, "step", "900")},
		{"range-get", "GET", "/api/v1/query_range", span("query", `max by (model) (kiosk_hardware_cpu_temp_celsius)`, "step", "1800")},
		{"range-rate-interval", "POST", "/api/v1/query_range", span("query", `sum by (serial) (rate(kiosk_custom_doors{model="Tower 32"}[1m0s]))`, "step", "1200")},
		{"range-quantile", "POST", "/api/v1/query_range", span("query", `quantile(0.95, kiosk_hardware_cpu_temp_celsius{model!=""})`, "step", "1800", "timeout", "60s")},
		{"range-empty", "POST", "/api/v1/query_range", span("query", `kiosk_unknown`, "step", "15")},
		{"range-limit", "POST", "/api/v1/query_range", span("query", `kiosk_custom_paper_level_percent`, "step", "3600", "limit", "2")},
		{"exemplars", "POST", "/api/v1/query_exemplars", span("query", `kiosk_custom_doors`)},
		{"metric-names", "GET", "/api/v1/label/__name__/values", span("limit", "40000")},
		{"label-names", "POST", "/api/v1/labels", span("limit", "40000")},
		{"label-names-match", "POST", "/api/v1/labels", span("limit", "40000", "match[]", `{serial="K-5"}`)},
		{"label-names-no-model", "POST", "/api/v1/labels", span("limit", "40000", "match[]", `{serial="K-4"}`)},
		{"label-values", "GET", "/api/v1/label/site/values", span("limit", "40000")},
		{"label-values-match", "GET", "/api/v1/label/serial/values", span("limit", "40000", "match[]", `kiosk_hardware_cpu_temp_celsius{site=~"hall-1|hall-2",model="Tower 32"}`)},
		{"label-values-model", "GET", "/api/v1/label/model/values", span("limit", "40000", "match[]", `kiosk_hardware_cpu_temp_celsius{site="hall-1"}`)},
		{"label-values-limit", "GET", "/api/v1/label/serial/values", span("limit", "1")},
		{"series", "POST", "/api/v1/series", span("limit", "40000", "match[]", `{__name__="kiosk_custom_paper_level_percent",model!=""}`)},
		{"series-any", "POST", "/api/v1/series", span("limit", "3", "match[]", `{__name__!=""}`)},
		{"series-two-selectors", "POST", "/api/v1/series", span("match[]", `kiosk_custom_doors{model="Tower 24"}`, "match[]", `kiosk_custom_doors{serial="K-2"}`)},
		{"metadata", "GET", "/api/v1/metadata", values("metric", "kiosk_hardware_cpu_temp_celsius")},
		{"metadata-all", "GET", "/api/v1/metadata", values("limit", "40000")},
		{"metadata-unknown", "GET", "/api/v1/metadata", values("metric", "kiosk_unknown", "limit_per_metric", "1")},
		{"format", "POST", "/api/v1/format_query", values("query", `sum(rate( kiosk_custom_doors [5m]))by(site)`)},
		{"bad-promql", "POST", "/api/v1/query_range", span("query", `avg by (site) (kiosk_custom_doors{serial="K-1")`, "step", "900")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w *httptest.ResponseRecorder
			if c.method == "POST" {
				w = post(t, a, c.path, c.form)
			} else {
				w = get(t, a, c.path, c.form)
			}
			if want := c.name != "bad-promql"; (w.Code == http.StatusOK) != want {
				t.Errorf("status %d", w.Code)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			golden(t, c.name, w.Body.Bytes())
		})
	}
}

// values makes a form of names and values.
func values(pairs ...string) url.Values {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var text bytes.Buffer
	if err := json.Indent(&text, got, "", " "); err != nil {
		t.Fatalf("it is not JSON: %v: %s", err, got)
	}
	text.WriteByte('\n')
	file := filepath.Join("testdata", name+".json")
	normal := goVersion(text.String())
	if *update {
		if err := os.WriteFile(file, []byte(normal), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if normal != string(want) {
		t.Errorf("got %s\nwant %s", normal, want)
	}
}

// goVersion blanks out what differs between the machines that run the test.
func goVersion(text string) string {
	if before, after, ok := strings.Cut(text, `"goVersion": "`); ok {
		_, after, _ = strings.Cut(after, `"`)
		return before + `"goVersion": "go"` + after
	}
	return text
}
