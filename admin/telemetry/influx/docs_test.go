package influx

import (
	"os"
	"regexp"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/testkit/influxd"
)

// TestTheDocumentedQueriesFindData runs the examples of docs/influxdb.md.
func TestTheDocumentedQueriesFindData(t *testing.T) {
	text, err := os.ReadFile("../../../docs/influxdb.md")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, fresh(influxd.Start(t)))
	for i := range 30 {
		mustAppend(t, s, fleet.Reading{
			Serial: "K-1", Site: "Hall 1", Status: "online", Time: time.Now().Add(-time.Duration(i) * time.Minute),
			Values: []fleet.Value{{Metric: "hardware.cpu_temp", Value: 50}, {Metric: "hardware.cpu_usage", Value: 20}, {Metric: "hardware.disk_usage", Value: 70}, {Metric: "custom.paper_level", Value: 60}},
			Texts:  []fleet.Text{{Metric: "peripherals.printer_status", Text: []string{"ready", "paper_jam"}[i%2]}},
		})
	}
	examples := regexp.MustCompile("(?s)```influxql\n(.*?)\n```").FindAllSubmatch(text, -1)
	if len(examples) < 5 {
		t.Fatalf("only %d examples", len(examples))
	}
	for _, e := range examples {
		rows := 0
		err := ask(t.Context(), s.Store, string(e[1]), func(piece *answer[[]any]) error {
			for _, result := range piece.Results {
				for _, series := range result.Series {
					rows += len(series.Values)
				}
			}
			return nil
		})
		if err != nil || rows == 0 {
			t.Errorf("%s: %d rows, %v", e[1], rows, err)
		}
	}
}
