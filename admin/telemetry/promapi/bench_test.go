package promapi

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry/embedded"
)

// BenchmarkFleet asks for one panel of a dashboard: 200 kiosks, six hours of a reading every 15 seconds, in
// steps of five minutes.
func BenchmarkFleet(b *testing.B) {
	store, err := embedded.Open(embedded.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	var many []*fleet.Kiosk
	for n := range 200 {
		many = append(many, &fleet.Kiosk{Serial: fmt.Sprintf("K-%03d", n), Site: fmt.Sprintf("hall-%d", n%10), Model: []string{"Tower 32", "Tower 24"}[n%2]})
	}
	for i := range 6 * 240 {
		batch := make([]fleet.Reading, len(many))
		for n, k := range many {
			batch[n] = fleet.Reading{Serial: k.Serial, Site: k.Site, Time: noon.Add(time.Duration(i) * 15 * time.Second), Values: []fleet.Value{{Metric: "hardware.cpu_temp", Value: float64(40 + (i+n)%20)}}}
		}
		if err := store.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	a := newAPI(b, store, func(c *Config) { c.Kiosks = func() []*fleet.Kiosk { return many } })
	for name, query := range map[string]string{
		"mean-by-site": `sum by (site) (sum_over_time(kiosk_hardware_cpu_temp_celsius[5m])) / sum by (site) (count_over_time(kiosk_hardware_cpu_temp_celsius[5m]))`,
		"p95":          `quantile(0.95, avg_over_time(kiosk_hardware_cpu_temp_celsius[5m]))`,
		"by-model":     `avg by (model) (kiosk_hardware_cpu_temp_celsius{model=~"Tower.*"})`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := post(b, a, "/api/v1/query_range", values("query", query, "start", seconds(noon), "end", seconds(noon.Add(6*time.Hour)), "step", "300"))
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
