package dashboards

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
	"kioskfleet/admin/telemetry/influx"
	"kioskfleet/admin/telemetry/promapi"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/influxd"
)

// The time range of the dashboards under test.
var (
	end   = time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC)
	start = end.Add(-time.Hour)
)

// step is what Grafana makes of such a range in a wide panel: not less than the panel's own least step.
const step = 30 * time.Second

// kiosks are two of a hall, one of another with a name that regular expressions read otherwise, and one
// without site and model.
var kiosks = []*fleet.Kiosk{
	{Serial: "K-1", Site: "Hall 1", Model: "Tower 32"}, {Serial: "K-2", Site: "Hall 1", Model: "Tower 24"},
	{Serial: "K-3", Site: "Hall (2.b)", Model: "Tower 32"}, {Serial: "K-4"},
}

// readings are an hour of every metric of the catalogue, one reading every 15 seconds.
func readings() []fleet.Reading {
	var all []fleet.Reading
	for i := range 240 {
		for n, k := range kiosks {
			r := fleet.Reading{Serial: k.Serial, Site: k.Site, Status: "online", Time: start.Add(time.Duration(i) * 15 * time.Second)}
			for at, m := range protocol.StoredMetrics() {
				if m.Kind == protocol.KindState {
					r.Texts = append(r.Texts, fleet.Text{Metric: m.Name, Text: "ready"})
				} else {
					r.Values = append(r.Values, fleet.Value{Metric: m.Name, Value: m.Min + (m.Max-m.Min)*float64((7*i+31*n+5*at)%100)/100})
				}
			}
			all = append(all, r)
		}
	}
	return all
}

// a source answers what Grafana asks of a data source.
type source interface {
	// ask runs a panel's query and returns what it finds: series of values.
	ask(t *testing.T, target grafanaTarget, text string) []series
	// list runs a variable's query.
	list(t *testing.T, query string) []string
	// join writes several values of a variable.
	join(values []string) string
}

type series struct {
	labels string
	values []float64 // without those that are none
	texts  []string
}

// TestEveryQueryOfEveryPanelFindsData runs the committed files against both real stores, filled through the
// product's adapters, with the variables substituted as Grafana does.
func TestEveryQueryOfEveryPanelFindsData(t *testing.T) {
	sources := map[string]source{"influxdb": newInflux(t), "prometheus": newPrometheus(t)}
	// Of each choice the answers of the two stores are kept, to be compared.
	answers := map[string]map[string][]series{}
	for name, from := range sources {
		for page, p := range readPages(t, name) {
			variables := map[string]grafanaVariable{}
			for _, v := range p.Templating.List {
				variables[v.Name] = v
			}
			for choice, chosen := range choices(page) {
				t.Run(page+" "+name+" "+choice, func(t *testing.T) {
					values := map[string]string{}
					for _, label := range []string{"site", "model", "serial"} { // in their order on the page
						v, ok := variables[label]
						if !ok {
							continue
						}
						offered := from.list(t, substitute(queryOf(v), values))
						for _, value := range chosen[label] {
							if !slices.Contains(offered, value) {
								t.Errorf("the variable %s offers %q, not %s", label, offered, value)
							}
						}
						if values[label] = v.AllValue; len(chosen[label]) > 0 {
							values[label] = from.join(chosen[label])
						}
					}
					asked := 0
					for _, panel := range p.Panels {
						for _, target := range panel.Targets {
							asked++
							text := substitute(target.Expr+target.Query, values)
							found := from.ask(t, target, text)
							if !hasData(found) {
								t.Errorf("%s finds nothing: %s: %v", panel.Title, text, found)
							}
							key := page + "/" + choice + "/" + panel.Title + "/" + target.RefID
							if panel.Type == "stat" {
								if answers[key] == nil {
									answers[key] = map[string][]series{}
								}
								answers[key][name] = found
							}
						}
					}
					if asked < 20 {
						t.Errorf("only %d queries", asked)
					}
				})
			}
		}
	}
	for key, both := range answers {
		a, b := numbers(both["influxdb"]), numbers(both["prometheus"])
		if len(a) != len(b) {
			t.Errorf("%s: %v from InfluxDB, %v from the embedded store", key, a, b)
			continue
		}
		for i := range a {
			if math.Abs(a[i]-b[i]) > 1e-9*math.Max(1, math.Abs(a[i])) {
				t.Errorf("%s: %v from InfluxDB, %v from the embedded store", key, a, b)
			}
		}
	}
	if len(answers) < 30 {
		t.Errorf("only %d values were compared", len(answers))
	}
}

// choices are what people may choose on a page, by name; a variable that is left out is All.
func choices(page string) map[string]map[string][]string {
	if page == "fleet" {
		return map[string]map[string][]string{
			"all": {}, "one site": {"site": {"Hall 1"}}, "two sites": {"site": {"Hall 1", "Hall (2.b)"}}, "an odd name": {"site": {"Hall (2.b)"}},
		}
	}
	return map[string]map[string][]string{"a kiosk": {"serial": {"K-2"}}, "one of a site": {"site": {"Hall (2.b)"}, "serial": {"K-3"}}, "one without a site": {"serial": {"K-4"}}}
}

func queryOf(v grafanaVariable) string {
	if q, ok := v.Query.(map[string]any); ok {
		return q["query"].(string)
	}
	return v.Query.(string)
}

// substitute does what Grafana does to a query before it sends it.
func substitute(text string, values map[string]string) string {
	rate := max(step+15*time.Second, 4*15*time.Second) // by the interval of the data source
	for _, pair := range [][2]string{
		{"$timeFilter", fmt.Sprintf("time >= %dms and time <= %dms", start.UnixMilli(), end.UnixMilli())},
		{"$__interval_ms", strconv.FormatInt(step.Milliseconds(), 10)}, {"$__interval", "30s"},
		{"$__rate_interval", rate.String()}, {"$__range", fmt.Sprintf("%ds", int(end.Sub(start).Seconds()))},
		{"$__from", strconv.FormatInt(start.UnixMilli(), 10)}, {"$__to", strconv.FormatInt(end.UnixMilli(), 10)},
	} {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	for name, value := range values {
		text = strings.ReplaceAll(text, "$"+name, value)
	}
	return text
}

func hasData(all []series) bool {
	return slices.ContainsFunc(all, func(s series) bool { return len(s.values)+len(s.texts) > 0 })
}

func numbers(all []series) []float64 {
	var out []float64
	for _, s := range all {
		out = append(out, s.values...)
	}
	slices.Sort(out)
	return out
}

// prometheus is the embedded store behind the platform's Prometheus API.
type prometheus struct{ api http.Handler }

func newPrometheus(t *testing.T) *prometheus {
	t.Helper()
	s, err := embedded.Open(embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Append(t.Context(), readings()); err != nil {
		t.Fatal(err)
	}
	return &prometheus{promapi.New(promapi.Config{
		Store: func() (*embedded.Store, error) { return s, nil }, Kiosks: func() []*fleet.Kiosk { return kiosks },
		Now: func() time.Time { return end }, Log: slog.New(slog.DiscardHandler),
	})}
}

func (p *prometheus) do(t *testing.T, method, path string, form url.Values, into any) {
	t.Helper()
	r := httptest.NewRequest(method, promapi.Prefix+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if method == http.MethodGet {
		r = httptest.NewRequest(method, promapi.Prefix+path+"?"+form.Encode(), nil)
	}
	w := httptest.NewRecorder()
	p.api.ServeHTTP(w, r.WithContext(t.Context()))
	if w.Code != http.StatusOK {
		t.Fatalf("%v: %d %s", form, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

func (p *prometheus) ask(t *testing.T, target grafanaTarget, text string) []series {
	t.Helper()
	form := url.Values{"query": {text}, "time": {fmt.Sprint(end.Unix() - 1)}}
	path := "/api/v1/query"
	if target.Range {
		path = "/api/v1/query_range"
		form = url.Values{"query": {text}, "start": {fmt.Sprint(start.Unix())}, "end": {fmt.Sprint(end.Unix())}, "step": {fmt.Sprint(step.Seconds())}}
	}
	var out struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  []any
				Values [][]any
			}
		}
	}
	p.do(t, http.MethodPost, path, form, &out)
	var all []series
	for _, r := range out.Data.Result {
		one := series{labels: fmt.Sprint(r.Metric)}
		if r.Value != nil {
			r.Values = append(r.Values, r.Value)
		}
		for _, v := range r.Values {
			n, err := strconv.ParseFloat(v[1].(string), 64)
			if err != nil {
				t.Fatal(err)
			}
			one.values = append(one.values, n)
		}
		all = append(all, one)
	}
	return all
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

func (p *prometheus) list(t *testing.T, query string) []string {
	t.Helper()
	m := labelValues.FindStringSubmatch(query)
	if m == nil {
		t.Fatalf("%s is not one that Grafana knows", query)
	}
	var out struct{ Data []string }
	p.do(t, http.MethodGet, "/api/v1/label/"+m[2]+"/values", url.Values{
		"match[]": {m[1]}, "start": {fmt.Sprint(start.Unix())}, "end": {fmt.Sprint(end.Unix())}, "limit": {"40000"},
	}, &out)
	return out.Data
}

// join escapes twice: for the regular expression, and for the text that it stands in.
func (p *prometheus) join(values []string) string {
	escaped := make([]string, len(values))
	for i, v := range values {
		escaped[i] = strings.ReplaceAll(regexp.QuoteMeta(v), `\`, `\\`)
	}
	if len(escaped) == 1 {
		return escaped[0]
	}
	return "(" + strings.Join(escaped, "|") + ")"
}

// influxDB is a real InfluxDB 1.8.
type influxDB struct{ url string }

const database = "kioskfleet"

func newInflux(t *testing.T) *influxDB {
	t.Helper()
	server := influxd.Start(t)
	s, err := influx.Open(t.Context(), influx.Config{URL: server.URL, Bucket: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var store telemetry.Store = s
	if err := store.Append(t.Context(), readings()); err != nil {
		t.Fatal(err)
	}
	return &influxDB{server.URL}
}

type influxRow struct {
	Tags    map[string]string
	Columns []string
	Values  [][]any
}

func (i *influxDB) do(t *testing.T, query string) []influxRow {
	t.Helper()
	res, err := http.PostForm(i.url+"/query", url.Values{"db": {database}, "epoch": {"ms"}, "q": {query}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Results []struct {
			Error  string
			Series []influxRow
		}
		Error string
	}
	if err := json.Unmarshal(text, &out); err != nil || out.Error != "" || len(out.Results) != 1 || out.Results[0].Error != "" {
		t.Fatalf("%s: %v %s", query, err, text)
	}
	return out.Results[0].Series
}

func (i *influxDB) ask(t *testing.T, target grafanaTarget, text string) []series {
	t.Helper()
	var all []series
	for _, row := range i.do(t, text) {
		one := series{labels: fmt.Sprint(row.Tags)}
		for _, v := range row.Values {
			for at, cell := range v {
				switch cell := cell.(type) {
				case float64:
					if row.Columns[at] != "time" {
						one.values = append(one.values, cell)
					}
				case string:
					one.texts = append(one.texts, cell)
				}
			}
		}
		// A legend that names a tag is of use only if the answer has it.
		if tag, ok := strings.CutPrefix(target.Alias, "$tag_"); ok && row.Tags != nil {
			if _, has := row.Tags[tag]; !has {
				t.Errorf("%s: no tag %s", text, tag)
			}
		}
		all = append(all, one)
	}
	return all
}

func (i *influxDB) list(t *testing.T, query string) []string {
	t.Helper()
	var all []string
	for _, row := range i.do(t, query) {
		for _, v := range row.Values {
			all = append(all, v[slices.Index(row.Columns, "value")].(string))
		}
	}
	return all
}

func (i *influxDB) join(values []string) string {
	escaped := make([]string, len(values))
	for at, v := range values {
		escaped[at] = regexp.QuoteMeta(v)
	}
	if len(escaped) == 1 {
		return escaped[0]
	}
	return "(" + strings.Join(escaped, "|") + ")"
}
