package promapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry/embedded"
)

// noon is when the fixture's readings begin.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// kiosks are the fixture's: two models, one kiosk without a model, one without a site; K-9 has no readings.
var kiosks = []*fleet.Kiosk{
	{Serial: "K-1", Site: "hall-1", Model: "Tower 32"}, {Serial: "K-2", Site: "hall-1", Model: "Tower 24"},
	{Serial: "K-3", Site: "hall-2", Model: "Tower 32"}, {Serial: "K-4", Site: "hall-2"}, {Serial: "K-5", Model: "Tower 24"},
	{Serial: "K-9", Site: "hall-9", Model: "Desk"},
}

// newStore returns a store with an hour of readings of each kiosk, one every 15 seconds.
func newStore(t testing.TB) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	var readings []fleet.Reading
	for i := range 240 {
		for n, k := range kiosks[:5] {
			readings = append(readings, fleet.Reading{
				Serial: k.Serial, Site: k.Site, Time: noon.Add(time.Duration(i) * 15 * time.Second),
				Values: []fleet.Value{
					{Metric: "hardware.cpu_temp", Value: float64(40+n) + float64(i%8)/4},
					{Metric: "custom.paper_level", Value: float64(100 - i/4)},
					{Metric: "custom.doors", Value: float64(i)},
				},
			})
		}
	}
	if err := s.Append(t.Context(), readings); err != nil {
		t.Fatalf("Append: %v", err)
	}
	return s
}

// newAPI returns the API of a store; edit may change its configuration.
func newAPI(t testing.TB, store *embedded.Store, edit func(*Config)) *API {
	t.Helper()
	cfg := Config{
		Store:   func() (*embedded.Store, error) { return store, nil },
		Kiosks:  func() []*fleet.Kiosk { return kiosks },
		Version: "test", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return noon.Add(time.Hour) },
	}
	if edit != nil {
		edit(&cfg)
	}
	return New(cfg)
}

// get makes a GET request.
func get(t testing.TB, a *API, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	return serve(t.Context(), a, httptest.NewRequest(http.MethodGet, Prefix+path+"?"+form.Encode(), nil))
}

// post makes a POST request with the form in its body.
func post(t testing.TB, a *API, path string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, Prefix+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return serve(t.Context(), a, r)
}

func serve(ctx context.Context, a *API, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r.WithContext(ctx))
	return w
}
