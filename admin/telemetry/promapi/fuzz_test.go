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
