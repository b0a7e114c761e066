package api

import (
	"encoding/csv"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestAvailabilityIsAskedForOnQuartersOfAnHour(t *testing.T) {
	// It is 05:06:07 in UTC, 06:06:07 in Madrid.
	for query, want := range map[string]string{
		"":                                 "fleet/ 2026-02-26T00:00 to 2026-03-04T05:15 by  in UTC",
		"tz=Europe/Madrid&period=day":      "fleet/ 2026-02-25T23:00 to 2026-03-04T05:15 by day in Europe/Madrid",
		"scope=kiosk&name=K-1&from=-24h":   "kiosk/K-1 2026-03-03T05:00 to 2026-03-04T05:15 by  in UTC",
		"scope=site&from=-2h&to=-1h":       "site/ 2026-03-04T03:00 to 2026-03-04T04:15 by  in UTC",
		"from=2026-03-01T00:00:00%2B01:00": "fleet/ 2026-02-28T23:00 to 2026-03-04T05:15 by  in UTC",
		// What is given exactly is asked for exactly: whoever keeps it says what is wrong.
		"from=2026-03-01T00:07:00Z&to=2026-03-02T00:07:00Z&period=month": "fleet/ 2026-03-01T00:07 to 2026-03-02T00:07 by month in UTC",
	} {
		s := callSite(t)
		decode[availabilityView](t, s.do("GET", "/availability?"+query, "", as("viewer")), 200)
		q := s.watched.query
		if got := fmt.Sprintf("%s/%s %s to %s by %s in %s", q.Scope, q.Name, q.From.Format("2006-01-02T15:04"), q.To.Format("2006-01-02T15:04"), q.Period, q.Zone); got != want {
			t.Errorf("%s asks for %s, want %s", query, got, want)
		}
	}
}

func TestAvailabilityShowsSharesAndSeconds(t *testing.T) {
	s := callSite(t)
	s.rows = append(s.rows, fleet.Availability{Scope: "site", Name: "Yard", From: start, To: start.Add(time.Hour), Maintenance: 3600, Kiosks: 1})
	got := decode[availabilityView](t, s.do("GET", "/availability?scope=site", "", as("viewer")), 200)
	if len(got.Items) != 2 || got.TZ != "UTC" || got.Scope != "site" {
		t.Fatalf("answer = %+v", got)
	}
	hall, yard := got.Items[0], got.Items[1]
	if hall.Name != "Hall" || hall.Seconds != (verdictsSeconds{6000, 600, 540, 0}) || hall.Maintenance != 60 || hall.Share == nil || math.Abs(*hall.Share-6600.0/7140) > 1e-9 {
		t.Errorf("Hall = %+v", hall)
	}
	if yard.Share != nil || yard.Maintenance != 3600 {
		t.Errorf("Yard, of which nothing counts: %+v", yard)
	}
}

func TestAvailabilityComesAsCSV(t *testing.T) {
	s := callSite(t)
	s.rows = append(s.rows, fleet.Availability{Scope: "site", Name: "=1+1", From: start, To: start.Add(time.Hour), Kiosks: 1})
	want := [][]string{
		{"scope", "name", "from", "to", "kiosks", "share", "can_serve_seconds", "degraded_seconds", "cannot_serve_seconds", "unknown_seconds", "maintenance_seconds"},
		{"site", "Hall", "2026-03-04T06:06:07+01:00", "2026-03-04T07:06:07+01:00", "2", "0.9243697478991597", "6000", "600", "540", "0", "60"},
		{"site", "'=1+1", "2026-03-04T06:06:07+01:00", "2026-03-04T07:06:07+01:00", "1", "", "0", "0", "0", "0", "0"},
	}
	for name, change := range map[string]string{"by parameter": "&format=csv", "by header": ""} {
		rec := s.do("GET", "/availability?scope=site&tz=Europe/Madrid"+change, "", as("viewer"), header("Accept", "text/csv"))
		rows, err := csv.NewReader(strings.NewReader(rec.Body.String())).ReadAll()
		if err != nil || rec.Code != 200 || !reflect.DeepEqual(rows, want) {
			t.Errorf("%s: %d %v %v", name, rec.Code, err, rows)
		}
		if got := rec.Header().Get("Content-Disposition"); got != `attachment; filename="availability.csv"` {
			t.Errorf("%s: Content-Disposition %s", name, got)
		}
	}
}

func TestVisitsLookAWeekAhead(t *testing.T) {
	s := callSite(t)
	got := decode[page[visitView]](t, s.do("GET", "/visits", "", as("viewer")), 200)
	if len(got.Items) != 1 || got.Items[0].Site != "Hall" || len(got.Items[0].Items) != 1 || got.Items[0].Items[0].Text != "bring a paper roll" || s.horizon != 7*24*time.Hour {
		t.Errorf("visits = %+v within %v", got, s.horizon)
	}
	if got = decode[page[visitView]](t, s.do("GET", "/visits?within=2d&site=Elsewhere", "", as("viewer")), 200); got.Items == nil || len(got.Items) != 0 || s.horizon != 48*time.Hour {
		t.Errorf("elsewhere: %+v within %v", got, s.horizon)
	}
}

func TestAForecastThatNeverEndsHasNoHours(t *testing.T) {
	s := callSite(t)
	s.watched.forecasts = append(s.watched.forecasts, fleet.Forecast{Metric: "peripherals.printer_paper_level", Level: 90, PerHour: 0, Hours: math.Inf(1), Earliest: 500, Latest: math.Inf(1), At: start})
	got := decode[page[forecastView]](t, s.do("GET", "/kiosks/K-1/forecasts", "", as("viewer")), 200)
	if len(got.Items) != 2 || *got.Items[0].Hours != 60 || *got.Items[0].Earliest != 50 || *got.Items[0].Latest != 80 {
		t.Fatalf("forecasts = %+v", got)
	}
	if f := got.Items[1]; f.Hours != nil || f.Latest != nil || f.Earliest == nil || *f.Earliest != 500 {
		t.Errorf("forecast = %+v", f)
	}
}
