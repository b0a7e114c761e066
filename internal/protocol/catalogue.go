package protocol

import (
	"math"
	"strings"
)

// Kind says how a metric behaves.
type Kind string

// Kinds of metrics.
const (
	KindGauge Kind = "gauge" // a number that goes up and down
	KindState Kind = "state" // one of a few words
)

// Metric describes a known metric of a reading. Min and Max bound normal operation (not validity);
// both are 0 where no range is known.
type Metric struct {
	Name string // group.field, as in hardware.cpu_temp
	Unit string // as people write it: °C, %, ms, dBm, m, °; empty for states and plain numbers
	Min  float64
	Max  float64
	Kind Kind
	Text string // what it measures
}

// Possible returns the bounds of what a metric's values can be at all, as its unit says; infinite where it says nothing.
func (m Metric) Possible() (low, high float64) {
	switch m.Unit {
	case "%":
		return 0, 100
	case "ms", "m", "AQI":
		return 0, math.Inf(1)
	}
	return math.Inf(-1), math.Inf(1)
}

// IsSupply reports whether a metric is the level of something that people fill up or empty.
func IsSupply(name string) bool {
	return name == "custom.paper_level" || name == "custom.ink_level" || name == "custom.cash_level"
}

// metrics are the fields of the original design note with its ranges of normal operation.
var metrics = []Metric{
	{"environmental.temperature", "°C", 18, 30, KindGauge, "Room temperature"},
	{"environmental.humidity", "%", 30, 70, KindGauge, "Relative humidity"},
	{"environmental.air_quality", "AQI", 0, 100, KindGauge, "Air quality index, lower is better"},
	{"hardware.cpu_temp", "°C", 35, 75, KindGauge, "CPU temperature"},
	{"hardware.cpu_usage", "%", 10, 95, KindGauge, "CPU usage"},
	{"hardware.ram_usage", "%", 20, 90, KindGauge, "Memory in use"},
	{"hardware.disk_usage", "%", 30, 99, KindGauge, "Disk in use"},
	{"location.lat", "°", -90, 90, KindGauge, "Latitude, WGS 84"},
	{"location.lng", "°", -180, 180, KindGauge, "Longitude, WGS 84"},
	{"location.accuracy", "m", 1, 10, KindGauge, "Radius of the position's uncertainty"},
	{"network.latency", "ms", 5, 300, KindGauge, "Round trip to the broker"},
	{"network.signal_strength", "dBm", -90, -30, KindGauge, "Received signal strength"},
	{"custom.paper_level", "%", 0, 100, KindGauge, "Paper left"},
	{"custom.ink_level", "%", 0, 100, KindGauge, "Ink left"},
	{"custom.cash_level", "%", 0, 100, KindGauge, "Cash box filled"},
	{"peripherals.printer_status", "", 0, 0, KindState, "Printer: ready, low_ink, paper_jam, offline"},
	{"peripherals.cash_acceptor", "", 0, 0, KindState, "Cash acceptor: ready, full, error"},
	{"peripherals.card_reader", "", 0, 0, KindState, "Card reader: ready, error"},
}

// AnomalyScore is the metric of how unusual a kiosk is.
const AnomalyScore = "anomaly.score"

// computed are what the platform works out of a kiosk's readings and keeps beside them.
var computed = []Metric{
	{AnomalyScore, "", 0, 0.99, KindGauge, "Anomaly score, 0 (as ever) to 1"},
}

// computedGroup is the group of all of them.
const computedGroup = "anomaly"

// Metrics returns the catalogue of the known metrics of readings, in display order. The caller may keep the slice.
func Metrics() []Metric { return append([]Metric(nil), metrics...) }

// StoredMetrics returns Metrics and what the platform computes of each kiosk: all that is known to be found in the time
// series.
func StoredMetrics() []Metric { return append(Metrics(), computed...) }

// IsComputed reports whether a metric is of the group that belongs to the platform: a kiosk cannot report it.
func IsComputed(name string) bool {
	return len(name) > len(computedGroup) && name[len(computedGroup)] == '.' && name[:len(computedGroup)] == computedGroup
}

// LookupMetric finds a known metric by name, a computed one as well. For an unknown one it returns a plain gauge of that
// name and false: kiosks may have sensors that the catalogue does not know.
func LookupMetric(name string) (Metric, bool) {
	for _, list := range [...][]Metric{metrics, computed} {
		for _, m := range list {
			if m.Name == name {
				return m, true
			}
		}
	}
	return Metric{Name: name, Kind: KindGauge}, false
}

// maxMetricName bounds a metric's full name in bytes.
const maxMetricName = 96

// ValidMetricName reports whether name is group.field in ASCII letters, digits and
// underscores, neither part starting with a digit.
func ValidMetricName(name string) bool {
	group, field, ok := strings.Cut(name, ".")
	return ok && len(name) <= maxMetricName && validWord(group) && validWord(field)
}

func validWord(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for _, r := range []byte(s) {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// Capabilities of the kiosks that the original design note describes: the peripherals a kiosk has.
const (
	CapabilityPrinter      = "printer"
	CapabilityCashAcceptor = "cash_acceptor"
	CapabilityCardReader   = "card_reader"
)
