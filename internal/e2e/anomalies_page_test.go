package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
)

// oddKiosk gives a kiosk a day of readings, and two anomalies: one that goes on and one that is over. They are put into
// the database as the detectors would, so that what the page shows does not depend on what they find.
func oddKiosk(t *testing.T, p *platform, serial string) {
	t.Helper()
	const every = 10 * time.Minute
	now := time.Now().UTC().Truncate(time.Second)
	var readings []string
	for at := now.Add(-26 * time.Hour); at.Before(now); at = at.Add(every) {
		readings = append(readings, fmt.Sprintf(`{"timestamp":%q,"serial":%q,"hardware":{"cpu_temp":%.1f,"cpu_usage":%.1f},"environmental":{"humidity":41}}`,
			at.Format(time.RFC3339), serial, 50+float64(at.Minute())/20, 30+float64(at.Minute())/5))
	}
	p.sends(t, serial, "["+strings.Join(readings, ",")+"]")
	var band []fleet.AnomalyBand
	for hour := range 24 {
		band = append(band, fleet.AnomalyBand{Hour: hour, Low: 48 + float64(hour%4), High: 54 + float64(hour%4)})
	}
	over := now.Add(-4 * time.Hour)
	db, err := store.Open(t.Context(), p.path("kioskfleet.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.SaveAnomalies(t.Context(), []fleet.Anomaly{
		{
			ID: serial + ".1", Serial: serial, Site: "Hall", OpenedAt: now.Add(-30 * time.Minute), PeakAt: now.Add(-10 * time.Minute), Score: 0.997, Detector: "built-in",
			Text: "CPU temperature is 63 °C; with this CPU usage 48 to 54 °C is usual", Sensors: []fleet.AnomalySensor{
				{Metric: "hardware.cpu_temp", Kind: fleet.AnomalyRelation, Share: 0.8, Value: 63, Low: 48, High: 54, With: []string{"hardware.cpu_usage"}, Band: band,
					Text: "CPU temperature is 63 °C; with this CPU usage 48 to 54 °C is usual"},
				{Metric: "hardware.cpu_usage", Kind: fleet.AnomalyRelation, Share: 0.2, Value: 31, Text: "CPU usage is 31 %"},
			},
		},
		{
			ID: serial + ".0", Serial: serial, Site: "Hall", OpenedAt: now.Add(-9 * time.Hour), PeakAt: over.Add(-time.Hour), ClosedAt: &over, Score: 0.991, Detector: "built-in",
			Text: "Humidity does not move any more", Sensors: []fleet.AnomalySensor{{Metric: "environmental.humidity", Kind: fleet.AnomalyStuck, Share: 1, Value: 41, Text: "Humidity does not move any more"}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the readings in the store", func() error {
		var out struct{ Points []struct{ Value float64 } }
		if err := p.try("GET", "/kiosks/"+serial+"/telemetry?metric=hardware.cpu_temp&from=-30h", nil, http.StatusOK, &out); err != nil {
			return err
		}
		if len(out.Points) != len(readings) {
			return fmt.Errorf("%d of %d", len(out.Points), len(readings))
		}
		return nil
	})
}

func TestTheBrowserShowsAnomaliesAndTakesWhatPeopleSayOfThem(t *testing.T) {
	needsPage(t)
	p := startAdmin(t, nil)
	const serial = "SIM-KIOSK-ODD"
	oddKiosk(t, p, serial)
	p.inBrowser(t, "anomalies.spec.mjs", serial)
	var one struct {
		Feedback struct{ Verdict, Comment, By string }
	}
	p.call(t, "GET", "/anomalies/"+serial+".1", nil, http.StatusOK, &one)
	if one.Feedback.Verdict != "noise" || one.Feedback.Comment != "The fan was dead." || one.Feedback.By != "admin" {
		t.Errorf("what was said is %+v", one.Feedback)
	}
}
