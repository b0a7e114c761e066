package dashboards

import (
	"encoding/json"
	"fmt"

	"kioskfleet/internal/protocol"
)

// object is a JSON object; encoding/json writes its keys in order, so the files are stable.
type object = map[string]any

// schemaVersion is Grafana's version of the dashboard's JSON that this is: that of Grafana 10, which later
// ones bring up to date by themselves.
const schemaVersion = 39

// minStep is the shortest step of a picture; with shorter ones the windows of slow kiosks would be empty.
const minStep = "30s"

// language writes a panel's queries for one kind of data source.
type language interface {
	name() string       // of the folder, and part of uids
	datasource() string // Grafana's type of the data source
	has(label string) bool
	variable(v Variable, before []Variable) any
	targets(p Panel, chosen []Variable) []object
}

func languages() []language { return []language{influxql{}, promql{}} }

// Files returns the dashboards as Grafana reads them, by path below grafana/.
func Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, l := range languages() {
		for _, d := range All() {
			text, err := json.MarshalIndent(page(d, l), "", "  ")
			if err != nil {
				return nil, fmt.Errorf("dashboard %s for %s: %w", d.Name, l.name(), err)
			}
			files["dashboards/"+l.name()+"/"+d.Name+".json"] = append(text, '\n')
		}
	}
	return files, nil
}

// uid names a dashboard for ever: links hold it.
func uid(d string, l language) string { return "kioskfleet-" + d + "-" + l.name() }

func refID(i int) string { return string(rune('A' + i)) }

// wholeRange reports whether the panel shows one value for the whole time range.
func (p Panel) wholeRange() bool { return p.Kind != KindLines && p.Kind != KindStates }

func page(d Dashboard, l language) object {
	source := object{"type": l.datasource(), "uid": "${datasource}"}
	variables := []object{{
		"name": "datasource", "label": "Data source", "type": "datasource", "query": l.datasource(), "refresh": 1, "hide": 0,
		"current": object{"selected": false, "text": "Kiosk Fleet", "value": "kioskfleet-" + l.name()}, "multi": false, "includeAll": false, "options": []object{}, "regex": "",
	}}
	var chosen []Variable
	for _, v := range d.Variables {
		if !l.has(v.Label) {
			continue
		}
		one := object{
			"name": v.Label, "label": v.Title, "type": "query", "datasource": source, "query": l.variable(v, chosen),
			"refresh": 2, "sort": 1, "multi": !v.One, "includeAll": !v.One, "hide": 0, "regex": "", "options": []object{}, "current": object{},
		}
		if !v.One {
			one["allValue"] = ".*" // also kiosks that have none
			one["current"] = object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}}
		}
		variables = append(variables, one)
		chosen = append(chosen, v)
	}
	return object{
		"uid": uid(d.Name, l), "title": d.Title, "description": d.Text, "tags": []string{"kioskfleet"},
		"schemaVersion": schemaVersion, "version": 1, "editable": true, "graphTooltip": 1, "timezone": "", "refresh": "30s",
		"time": object{"from": "now-6h", "to": "now"}, "timepicker": object{}, "annotations": object{"list": []object{}},
		"templating": object{"list": variables}, "panels": layOut(d, l, source, chosen),
		"links": []object{{"type": "dashboards", "title": "Kiosk Fleet", "tags": []string{"kioskfleet"}, "asDropdown": true, "includeVars": true, "keepTime": true, "targetBlank": false}},
	}
}

// width is Grafana's number of columns.
const width = 24

// layOut places the panels of each row from left to right.
func layOut(d Dashboard, l language, source object, chosen []Variable) []object {
	var panels []object
	id, y := 0, 0
	add := func(p object, x, w, h int) {
		id++
		p["id"], p["gridPos"] = id, object{"x": x, "y": y, "w": w, "h": h}
		panels = append(panels, p)
	}
	for _, row := range d.Rows {
		add(object{"type": "row", "title": row.Title, "collapsed": false, "panels": []object{}}, 0, width, 1)
		y++
		x, tallest := 0, 0
		for _, p := range row.Panels {
			if p.Width == 0 {
				p.Width, p.Height = 4, 4
			}
			if x+p.Width > width {
				x, y, tallest = 0, y+tallest, 0
			}
			add(panel(p, l, source, chosen), x, p.Width, p.Height)
			x, tallest = x+p.Width, max(tallest, p.Height)
		}
		y += tallest
	}
	return panels
}

func panel(p Panel, l language, source object, chosen []Variable) object {
	targets := l.targets(p, chosen)
	for _, t := range targets {
		t["datasource"] = source
	}
	out := object{"type": string(p.Kind), "title": p.Title, "description": p.Text, "datasource": source, "targets": targets, "interval": minStep}
	defaults := object{}
	if !p.Counts {
		defaults = scale(p.Queries[0].Metric)
	}
	if p.Queries[0].Hourly {
		delete(defaults, "thresholds")
		defaults["unit"] = "none"
	}
	overrides := []object{}
	reduceOptions := object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}
	switch p.Kind {
	case KindLines:
		defaults["color"] = object{"mode": "palette-classic"} // many lines must be told apart
		defaults["custom"] = object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": false, "thresholdsStyle": object{"mode": "dashed"}}
		out["options"] = object{"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": object{"mode": "multi", "sort": "desc"}}
		if p.Band {
			overrides = append(overrides,
				override(p.Queries[1].Name, "custom.lineWidth", 0), override(p.Queries[2].Name, "custom.lineWidth", 0),
				override(p.Queries[2].Name, "custom.fillBelowTo", p.Queries[1].Name), override(p.Queries[2].Name, "custom.fillOpacity", 20))
		}
	case KindStat:
		out["options"] = object{"reduceOptions": reduceOptions, "colorMode": "value", "graphMode": "none", "textMode": "value", "justifyMode": "auto", "orientation": "auto"}
	case KindBars:
		if l.datasource() == "influxdb" { // a row each, not a series each
			reduceOptions = object{"calcs": []string{}, "fields": "/^v$/", "values": true, "limit": p.Queries[0].Top}
		}
		out["options"] = object{"reduceOptions": reduceOptions, "displayMode": "gradient", "orientation": "horizontal", "showUnfilled": true}
	case KindTable:
		defaults = object{}
		for _, q := range p.Queries {
			s := scale(q.Metric)
			for _, property := range []string{"unit", "thresholds"} {
				if s[property] != nil {
					overrides = append(overrides, override(q.Name, property, s[property]))
				}
			}
			overrides = append(overrides, override(q.Name, "custom.cellOptions", object{"type": "color-text"}))
		}
		overrides = append(overrides, override("serial", "links", []object{{"title": "Open the kiosk", "url": "/d/" + uid("kiosk", l) + "?var-serial=${__value.text}&${datasource:queryparam}&${__url_time_range}"}}))
		out["options"] = object{"showHeader": true, "cellHeight": "sm"}
		out["transformations"] = columns(p, targets)
	case KindStates:
		defaults = object{"custom": object{"fillOpacity": 70, "lineWidth": 0, "spanNulls": false}, "mappings": stateColours()}
		out["options"] = object{"mergeValues": true, "showValue": "auto", "rowHeight": 0.8, "legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true}}
	}
	out["fieldConfig"] = object{"defaults": defaults, "overrides": overrides}
	return out
}

// states are the words of kiosks and peripherals by colour. The 1 is that of a kiosk with readings.
var states = []struct {
	colour string
	words  []string
}{
	{"green", []string{"online", "ready"}},
	{"yellow", []string{"low_ink", "restarting", "updating"}},
	{"blue", []string{"maintenance"}},
	{"red", []string{"blocked", "paper_jam", "offline", "full", "error"}},
}

func stateColours() []object {
	colours := object{"1": object{"text": "reporting", "color": "green", "index": 0}}
	for _, s := range states {
		for _, word := range s.words {
			colours[word] = object{"color": s.colour, "index": len(colours)}
		}
	}
	return []object{{"type": "value", "options": colours}}
}

// columns puts the answers of a table's queries side by side, under the names of the metrics.
func columns(p Panel, targets []object) []object {
	names := object{}
	if len(targets) > 1 {
		for i, q := range p.Queries {
			names["Value #"+refID(i)] = q.Name
		}
	}
	return []object{
		{"id": "merge", "options": object{}},
		{"id": "organize", "options": object{"excludeByName": object{"Time": true}, "renameByName": names, "indexByName": object{"serial": 0, "site": 1}}}, //nolint:misspell // Grafana's word
	}
}

func override(field, property string, value any) object {
	return object{"matcher": object{"id": "byName", "options": field}, "properties": []object{{"id": property, "value": value}}}
}

// units are Grafana's names of the catalogue's units.
var units = map[string]string{"°C": "celsius", "%": "percent", "ms": "ms", "m": "lengthm", "°": "degree", "dBm": "dBm", "AQI": "suffix: AQI", "": "none"}

// scale returns unit and colours of a metric: green is the range of normal operation.
func scale(metric string) object {
	m, known := protocol.LookupMetric(metric)
	out := object{"unit": units[m.Unit], "color": object{"mode": "palette-classic"}}
	if !known || m.Min == m.Max {
		return out
	}
	out["thresholds"] = object{"mode": "absolute", "steps": []object{
		{"color": "blue", "value": nil}, {"color": "green", "value": m.Min}, {"color": "red", "value": m.Max},
	}}
	out["color"] = object{"mode": "thresholds"}
	if m.Unit == "%" {
		out["min"], out["max"] = 0, 100
	}
	return out
}
