package dashboards

import (
	"kioskfleet/internal/protocol"
)

// reporting is the metric by which to see whether a kiosk reports: every agent sends it.
const reporting = "hardware.cpu_usage"

// All returns every dashboard.
func All() []Dashboard { return []Dashboard{Fleet(), Kiosk()} }

// Fleet returns the dashboard of all kiosks, by site.
func Fleet() Dashboard {
	return Dashboard{
		Name: "fleet", Title: "Kiosk Fleet", Text: "All kiosks by site: how many report, which are out of the normal range, how the sites compare.",
		Variables: []Variable{{Label: "site", Title: "Site"}, {Label: "model", Title: "Model"}},
		Rows: []Row{
			{"At a glance, over the time range", []Panel{
				{Title: "Kiosks that reported", Kind: KindStat, Counts: true, Queries: []Query{{Metric: reporting, Over: Last, Across: Count}}},
				extreme("Highest CPU temperature", "hardware.cpu_temp", Max),
				extreme("Fullest disk", "hardware.disk_usage", Max),
				extreme("Lowest paper level", "custom.paper_level", Min),
				extreme("Lowest ink level", "custom.ink_level", Min),
				{Title: "Mean round trip", Kind: KindStat, Queries: []Query{{Metric: "network.latency", Over: Mean}}},
			}},
			{"Out of the ordinary", []Panel{
				top("Ten hottest kiosks", "hardware.cpu_temp"),
				top("Ten slowest connections", "network.latency"),
				top("Ten fullest cash boxes", "custom.cash_level"),
				{Title: "Kiosks", Text: "The latest value of each kiosk in the time range.", Kind: KindTable, Width: 24, Height: 10, Queries: latest(
					"hardware.cpu_temp", "hardware.cpu_usage", "hardware.ram_usage", "hardware.disk_usage", "network.latency", "custom.paper_level", "custom.cash_level")},
			}},
			{"Sites", []Panel{
				{Title: "Kiosks that report", Kind: KindLines, Width: 12, Height: 8, Counts: true, Queries: []Query{{Metric: reporting, Over: Last, By: []string{"site"}, Across: Count}}},
				{Title: "CPU temperature of the fleet", Text: "Of the kiosks' means in each step.", Kind: KindLines, Width: 12, Height: 8, Queries: []Query{
					{Metric: "hardware.cpu_temp", Over: Mean, Name: "mean"},
					{Metric: "hardware.cpu_temp", Over: Mean, Across: P95, Name: "95th percentile"},
					{Metric: "hardware.cpu_temp", Over: Mean, Across: Max, Name: "highest"},
				}},
				bySite("environmental.temperature"), bySite("environmental.humidity"), bySite("environmental.air_quality"),
				bySite("hardware.cpu_temp"), bySite("hardware.ram_usage"), bySite("hardware.disk_usage"),
				bySite("network.latency"), bySite("network.signal_strength"), bySite("custom.paper_level"),
				{Title: "Paper used per hour", Text: "Below zero it is used up; a jump above is a refill.", Kind: KindLines, Width: 8, Height: 8,
					Queries: []Query{{Metric: "custom.paper_level", Over: Mean, By: []string{"site"}, Hourly: true}}},
				bySite("custom.ink_level"), bySite("custom.cash_level"),
			}},
		},
	}
}

// Kiosk returns the dashboard of one kiosk.
func Kiosk() Dashboard {
	one := Dashboard{
		Name: "kiosk", Title: "Kiosk", Text: "One kiosk: its latest values, its states, and every metric with its lowest and highest value in each step.",
		Variables: []Variable{{Label: "site", Title: "Site"}, {Label: "serial", Title: "Kiosk", One: true}},
		Rows: []Row{{Title: "Latest values"}, {"States", []Panel{
			{Title: "State of the kiosk", Kind: KindStates, Width: 24, Height: 4, Queries: []Query{{Metric: "status", State: true, Name: "State"}}},
			{Title: "Peripherals", Kind: KindStates, Width: 24, Height: 6, Queries: []Query{
				{Metric: "peripherals.printer_status", State: true, Name: "Printer"},
				{Metric: "peripherals.cash_acceptor", State: true, Name: "Cash acceptor"},
				{Metric: "peripherals.card_reader", State: true, Name: "Card reader"},
			}},
		}}, {Title: "Metrics"}},
	}
	for _, m := range protocol.StoredMetrics() {
		if m.Kind != protocol.KindGauge || m.Name == "location.lat" || m.Name == "location.lng" {
			continue
		}
		one.Rows[0].Panels = append(one.Rows[0].Panels, Panel{Title: m.Text, Kind: KindStat, Queries: []Query{{Metric: m.Name, Over: Last, By: []string{"serial"}}}})
		one.Rows[2].Panels = append(one.Rows[2].Panels, Panel{
			Title: m.Text, Text: "The mean of each step, with its lowest and highest value.", Kind: KindLines, Width: 12, Height: 8, Band: true,
			Queries: []Query{{Metric: m.Name, Over: Mean, Name: "mean"}, {Metric: m.Name, Over: Min, Name: "lowest"}, {Metric: m.Name, Over: Max, Name: "highest"}},
		})
	}
	return one
}

// extreme shows the highest or lowest value of any kiosk, thresholds and all.
func extreme(name, metric string, aggregate Aggregate) Panel {
	over := aggregate
	if aggregate == Min { // of a level that is refilled, the latest counts
		over = Last
	}
	return Panel{Title: name, Kind: KindStat, Queries: []Query{{Metric: metric, Over: over, Across: aggregate}}}
}

// top shows the ten kiosks with the highest values.
func top(name, metric string) Panel {
	return Panel{Title: name, Text: "By the highest value in the time range.", Kind: KindBars, Width: 8, Height: 8, Queries: []Query{{Metric: metric, Over: Max, By: []string{"serial"}, Top: 10}}}
}

func bySite(metric string) Panel {
	return Panel{Title: title(metric), Text: "The mean of all readings of the site.", Kind: KindLines, Width: 8, Height: 8, Queries: []Query{{Metric: metric, Over: Mean, By: []string{"site"}}}}
}

// latest asks for the newest value of several metrics, as columns of a table.
func latest(metrics ...string) []Query {
	var all []Query
	for _, m := range metrics {
		all = append(all, Query{Metric: m, Over: Last, By: []string{"serial", "site"}, Name: title(m)})
	}
	return all
}
