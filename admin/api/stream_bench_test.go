package api

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// BenchmarkAlertToStream tells the hub of alerts, one after the other, and waits until a client has read them from its
// connection: while nothing else happens, while 3,000 kiosks report once a second and change once in ten seconds, and
// when all of them have changed at once, as in an outage.
func BenchmarkAlertToStream(b *testing.B) {
	for _, when := range []struct {
		name   string
		kiosks int
		outage bool
	}{{"quiet", 0, false}, {"3000 kiosks report", 3000, false}, {"3000 kiosks change", 3000, true}} {
		b.Run(when.name, func(b *testing.B) {
			kiosks := when.kiosks
			w, hub := newWorld(), NewHub()
			for i := range kiosks {
				w.add(fmt.Sprintf("K-%04d", i), func(_ *fleet.Kiosk, l *fleet.Live) { l.LastReading = benchReading(i) })
			}
			server, err := New(Config{
				Registry: w, Presence: presences{w}, Auth: gatekeeper{w}, Hub: hub, Web: http.NotFoundHandler(), Now: time.Now, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				b.Fatal(err)
			}
			listener := httptest.NewServer(server)
			defer listener.Close()
			defer hub.Close()
			heard := hearAlerts(b, listener.URL)

			ctx, stop := context.WithCancel(b.Context())
			defer stop()
			go bustle(ctx, hub, kiosks)
			var took []time.Duration
			for i := range b.N {
				for k := range kiosks {
					if when.outage {
						hub.Kiosk(fmt.Sprintf("K-%04d", k))
					}
				}
				begin := time.Now()
				hub.Alert(fleet.Alert{ID: fmt.Sprint(i), Serial: "K-0001", Severity: fleet.SeverityCritical, State: fleet.AlertOpen, OpenedAt: begin, UpdatedAt: begin})
				<-heard
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

func benchReading(i int) *fleet.Reading {
	r := &fleet.Reading{Time: start, ReceivedAt: start, Seq: uint64(i)}
	for m := range 15 {
		r.Values = append(r.Values, fleet.Value{Metric: fmt.Sprintf("hardware.sensor_%d", m), Value: float64(i) + 0.25})
	}
	return r
}

// bustle tells the hub of readings and changes as a fleet makes them, until ctx ends.
func bustle(ctx context.Context, hub *Hub, kiosks int) {
	const part = 10 * time.Millisecond
	tick := time.NewTicker(part)
	defer tick.Stop()
	for next := 0; kiosks > 0; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range kiosks * int(part) / int(time.Second) {
			serial := fmt.Sprintf("K-%04d", next%kiosks)
			hub.Reading(serial)
			if next%10 == 0 {
				hub.Kiosk(serial)
			}
			next++
		}
	}
}

// hearAlerts opens a stream, until the server ends it. What it returns gets something for each alert.
func hearAlerts(b *testing.B, url string) <-chan struct{} {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url+Prefix+"/events", nil)
	if err != nil {
		b.Fatal(err)
	}
	as("viewer")(req)
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // the goroutine below does
	if err != nil {
		b.Fatal(err)
	}
	heard := make(chan struct{}, 1)
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	if _, err := lines.ReadString('\n'); err != nil { // it is connected
		b.Fatal(err)
	}
	go func() {
		defer res.Body.Close() //nolint:errcheck // it was only read
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "event: alert") {
				heard <- struct{}{}
			}
		}
	}()
	return heard
}
