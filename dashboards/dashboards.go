// Package dashboards defines the Grafana dashboards once and writes them for both stores: as InfluxQL for
// InfluxDB, and as PromQL for the embedded store behind /api/prometheus. Titles, units and thresholds come
// from the catalogue of metrics, so a dashboard says the same as the platform's own page.
//
// The files below grafana/ are made from here; a test tells when they are not up to date.
package dashboards

import (
	"kioskfleet/internal/protocol"
)

//go:generate go test . -run TestTheFilesAreCurrent -update

// Dashboard is a page of panels, laid out from left to right in the order given.
type Dashboard struct {
	Name      string // part of uid and file name
	Title     string
	Text      string // what it is for
	Variables []Variable
	Rows      []Row
}

// Row is a titled group of panels.
type Row struct {
	Title  string
	Panels []Panel
}

// Variable lets people choose values of a label.
type Variable struct {
	Label string // site, serial or model
	Title string
	// One says that a single value is chosen; otherwise any number, or all.
	One bool
}

// Kind is how a panel shows what it finds.
type Kind string

// The kinds of panels. All but the first and the last show one value for the whole time range.
const (
	KindLines  Kind = "timeseries"
	KindStat   Kind = "stat"
	KindBars   Kind = "bargauge"
	KindTable  Kind = "table"
	KindStates Kind = "state-timeline"
)

// Panel is one picture.
type Panel struct {
	Title   string
	Text    string
	Kind    Kind
	Width   int // of 24
	Height  int
	Queries []Query
	// Unit and thresholds are those of the first query's metric, unless this says that it counts.
	Counts bool
	// Band draws the second query and the third as the edges of a band around the first.
	Band bool
}

// Aggregate reduces the readings of a window, or the values of several kiosks, to one.
type Aggregate string

// The aggregates. Pool is for Query.Across only.
const (
	Mean  Aggregate = "mean"
	Min   Aggregate = "min"
	Max   Aggregate = "max"
	Last  Aggregate = "last"
	Count Aggregate = "count"
	P95   Aggregate = "p95"
	Pool  Aggregate = ""
)

// Query asks for one metric of the chosen kiosks. Its windows are the steps of the picture, or the whole time
// range where one value is shown.
type Query struct {
	Metric string
	Over   Aggregate // of the readings in a window: mean, min, max or last
	By     []string  // labels by which there is a value each; none: one for all
	// Across makes one value of the kiosks' values in a group: min, max, p95 or count. Pool takes all readings
	// of the group together instead.
	Across Aggregate
	Top    int    // the so many kiosks with the largest values; 0: all
	Hourly bool   // the change per hour instead of the value
	Name   string // in legends and as a column; empty: the values of By
	State  bool   // a text, which only InfluxDB has; the embedded store shows whether there are readings
}

// title returns what the catalogue calls a metric.
func title(metric string) string {
	m, _ := protocol.LookupMetric(metric)
	return m.Text
}
