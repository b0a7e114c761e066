package api

import (
	"fmt"
	"io"
	"testing"
	"time"
)

// BenchmarkAnswer writes a day of 1,000 kiosks in windows of five minutes as JSON.
func BenchmarkAnswer(b *testing.B) {
	r := result{name: "a", metric: "hardware.cpu_temp", unit: "°C", agg: "mean", groupBy: byKiosk, source: "mixed"}
	for k := range 1000 {
		points := make([]Point, 288)
		for i := range points {
			points[i] = Point{start.Add(time.Duration(i) * 5 * time.Minute), 50 + float64(i*k%97)/60}
		}
		r.groups = append(r.groups, NamedSeries{fmt.Sprintf("SIM-KIOSK-%05d", k), points})
	}
	b.ReportAllocs()
	for b.Loop() {
		w := &pointWriter{to: io.Discard}
		if err := w.query(viewQuery(query{from: start, to: start}, "5m", []result{r}), []result{r}); err != nil {
			b.Fatal(err)
		}
	}
}
