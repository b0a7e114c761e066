package dashboards

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the dashboards below grafana/")

func TestTheFilesAreCurrent(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		path := filepath.Join("grafana", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): run make dashboards", path, err)
		}
	}
	// Nothing is left over of a dashboard that was renamed.
	err = filepath.WalkDir("grafana/dashboards", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && files[strings.TrimPrefix(filepath.ToSlash(path), "grafana/")] == nil {
			t.Errorf("%s is not written by this package any more", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// grafanaPage is what Grafana needs of a dashboard.
type grafanaPage struct {
	UID           string
	Title         string
	SchemaVersion int
	Panels        []grafanaPanel
	Templating    struct{ List []grafanaVariable }
}

type grafanaPanel struct {
	ID         int
	Type       string
	Title      string
	Interval   string
	Datasource struct{ Type, UID string }
	GridPos    struct{ X, Y, W, H int }
	Targets    []grafanaTarget
	Options    struct {
		ReduceOptions struct{ Fields string }
	}
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Steps []struct {
					Color string
					Value *float64
				}
			}
		}
		Overrides []struct {
			Matcher struct{ ID, Options string }
		}
	}
}

type grafanaTarget struct {
	RefID      string
	Datasource struct{ Type, UID string }
	// Of Prometheus.
	Expr, LegendFormat, Format string
	Instant, Range             bool
	// Of InfluxDB.
	Query, ResultFormat, Alias string
	RawQuery                   bool
}

type grafanaVariable struct {
	Name, Type, AllValue string
	Multi, IncludeAll    bool
	Query                any
	Current              struct{ Value any }
}

// readPages reads the committed files of one data source, by name of the dashboard.
func readPages(t *testing.T, source string) map[string]grafanaPage {
	t.Helper()
	pages := map[string]grafanaPage{}
	for _, d := range All() {
		text, err := os.ReadFile(filepath.Join("grafana", "dashboards", source, d.Name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var p grafanaPage
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatal(err)
		}
		pages[d.Name] = p
	}
	return pages
}

func TestGrafanaCanReadThePages(t *testing.T) {
	uids := map[string]string{"fleet/influxdb": "kioskfleet-fleet-influxdb", "fleet/prometheus": "kioskfleet-fleet-prometheus",
		"kiosk/influxdb": "kioskfleet-kiosk-influxdb", "kiosk/prometheus": "kioskfleet-kiosk-prometheus"}
	kinds := []string{"row", "timeseries", "stat", "bargauge", "table", "state-timeline"}
	for _, source := range []string{"influxdb", "prometheus"} {
		for name, p := range readPages(t, source) {
			t.Run(name+" "+source, func(t *testing.T) {
				if p.UID != uids[name+"/"+source] { // links of people hold it
					t.Errorf("the uid is %s", p.UID)
				}
				if p.Title == "" || p.SchemaVersion < 36 || len(p.Panels) < 10 {
					t.Errorf("title %q, schema version %d, %d panels", p.Title, p.SchemaVersion, len(p.Panels))
				}
				ids := map[int]bool{}
				taken := map[[2]int]string{}
				for _, panel := range p.Panels {
					if panel.ID == 0 || ids[panel.ID] {
						t.Errorf("%s has the id %d, as another one", panel.Title, panel.ID)
					}
					ids[panel.ID] = true
					if panel.Title == "" || !slices.Contains(kinds, panel.Type) {
						t.Errorf("panel %q of type %q", panel.Title, panel.Type)
					}
					g := panel.GridPos
					if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
						t.Errorf("%s is at %+v", panel.Title, g)
					}
					for x := g.X; x < g.X+g.W; x++ {
						for y := g.Y; y < g.Y+g.H; y++ {
							if other := taken[[2]int{x, y}]; other != "" {
								t.Fatalf("%s covers %s", panel.Title, other)
							}
							taken[[2]int{x, y}] = panel.Title
						}
					}
					checkPanel(t, source, panel)
				}
				if v := p.Templating.List[0]; v.Name != "datasource" || v.Type != "datasource" || v.Query != source || v.Current.Value != "kioskfleet-"+source {
					t.Errorf("the first variable is %+v", v)
				}
			})
		}
	}
}

func checkPanel(t *testing.T, source string, panel grafanaPanel) {
	if panel.Type == "row" {
		return
	}
	if panel.Datasource.Type != source || panel.Datasource.UID != "${datasource}" || len(panel.Targets) == 0 || panel.Interval == "" {
		t.Errorf("%s: %+v", panel.Title, panel)
	}
	refs := map[string]bool{}
	for _, target := range panel.Targets {
		if refs[target.RefID] || target.Datasource != panel.Datasource {
			t.Errorf("%s: %+v", panel.Title, target)
		}
		refs[target.RefID] = true
		if source == "influxdb" && (!target.RawQuery || target.Query == "" || target.ResultFormat == "") {
			t.Errorf("%s: %+v", panel.Title, target)
		}
		if source == "prometheus" && (target.Expr == "" || target.Instant == target.Range || target.Format == "") {
			t.Errorf("%s: %+v", panel.Title, target)
		}
	}
	var last *float64
	for i, step := range panel.FieldConfig.Defaults.Thresholds.Steps {
		if (step.Value == nil) != (i == 0) || step.Color == "" || last != nil && *step.Value <= *last {
			t.Errorf("%s has the thresholds %+v", panel.Title, panel.FieldConfig.Defaults.Thresholds.Steps)
		}
		last = step.Value
	}
	for _, o := range panel.FieldConfig.Overrides {
		if o.Matcher.ID != "byName" || o.Matcher.Options == "" {
			t.Errorf("%s has the override %+v", panel.Title, o)
		}
	}
}

func TestUnitsAndThresholdsAreThoseOfTheCatalogue(t *testing.T) {
	found := 0
	for _, panel := range readPages(t, "prometheus")["kiosk"].Panels {
		if panel.Title != "CPU temperature" {
			continue
		}
		found++
		d := panel.FieldConfig.Defaults
		if d.Unit != "celsius" || len(d.Thresholds.Steps) != 3 || *d.Thresholds.Steps[1].Value != 35 || *d.Thresholds.Steps[2].Value != 75 || d.Thresholds.Steps[1].Color != "green" {
			t.Errorf("%+v", d)
		}
	}
	if found != 2 {
		t.Errorf("%d panels, want the latest value and the lines", found)
	}
}

func TestTheProvisioningFilesFitTheDashboards(t *testing.T) {
	for _, source := range []string{"influxdb", "prometheus"} {
		var file struct {
			APIVersion  int `yaml:"apiVersion"`
			Datasources []struct {
				UID, Type, Access, URL string
				JSONData               map[string]string `yaml:"jsonData"`
				SecureJSONData         map[string]string `yaml:"secureJsonData"`
			}
		}
		read(t, "grafana/provisioning/datasources/kioskfleet-"+source+".yaml", &file)
		if len(file.Datasources) != 1 || file.APIVersion != 1 {
			t.Fatalf("%+v", file)
		}
		d := file.Datasources[0]
		if d.UID != "kioskfleet-"+source || d.Type != source || d.Access != "proxy" || d.URL == "" || d.JSONData["httpHeaderName1"] != "Authorization" || d.SecureJSONData["httpHeaderValue1"] == "" {
			t.Errorf("%+v", d)
		}
	}
	var file struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	read(t, "grafana/provisioning/dashboards/kioskfleet.yaml", &file)
	if file.APIVersion != 1 || len(file.Providers) != 1 || file.Providers[0].Type != "file" || file.Providers[0].Options.Path == "" {
		t.Errorf("%+v", file)
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
