package promapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzRequest makes requests of any form to any call: each is answered with JSON in Prometheus' shape, and none
// with an error of ours.
func FuzzRequest(f *testing.F) {
	calls := []string{"query", "query_range", "query_exemplars", "format_query", "series", "labels", "label/site/values", "label/model/values", "metadata", "status/buildinfo"}
	for i, form := range []string{
		"query=1%2B1&time=4", "query=rate(kiosk_custom_doors[1m0s])&start=1772452800&end=1772456400&step=15&limit=1",
		"query=x%7Bmodel%3D~%22T.*%22%7D&time=2026-03-02T12:00:00.5Z&timeout=1m&lookback_delta=10s", "match[]=%7Bmodel!%3D%22%22%7D&start=1&end=2",
		"match[]=kiosk_custom_doors&match[]=%7Bmodel%3D%22%22%7D&limit=40000", "query=%22%FF%22", "query=x[5m:]@end() offset -1d", "start=-1e12&end=1e12&step=1e9&query=1",
		"query=label_replace(kiosk_custom_doors,%22model%22,%22$1%22,%22serial%22,%22(.*)%22)&time=1772452800", "%gh&&=;", "query=vector(NaN)/0&time=-0.0005", "step=9e99&query=1&start=1&end=1",
	} {
		f.Add(uint8(i), form)
	}
	a := newAPI(f, newStore(f), func(c *Config) { c.MaxSamples, c.Timeout = 20_000, time.Second })
	f.Fuzz(func(t *testing.T, call uint8, form string) {
		path := Prefix + "/api/v1/" + calls[int(call)%len(calls)]
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if call%2 == 0 {
			r = httptest.NewRequest(http.MethodGet, path, nil)
			r.URL = &url.URL{Path: path, RawQuery: form}
		}
		w := serve(t.Context(), a, r)
		var out struct {
			Status, ErrorType, Error string
			Data                     any
		}
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%d: %v: %s", w.Code, err, w.Body)
		}
		good := w.Code == http.StatusOK && out.Status == "success" && out.Data != nil
		bad := w.Code >= 400 && w.Code != http.StatusInternalServerError && out.Status == "error" && out.ErrorType != "" && out.Error != ""
		if !good && !bad {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
