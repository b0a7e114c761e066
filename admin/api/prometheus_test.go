package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// askPromQL makes a request below PrometheusPrefix. Its errors are not problems, so it goes around raw.
func (s *site) askPromQL(method, path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(s.t.Context(), method, PrometheusPrefix+path, strings.NewReader(body))
	req.Host = "fleet.example"
	for _, f := range change {
		f(req)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	return rec
}

func TestPromQLIsForThoseWhoMayRead(t *testing.T) {
	s := newSite(t, func(c *Config) {
		c.PromQL = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+r.URL.RawQuery+" "+string(body))
		})
	})
	if rec := s.askPromQL("POST", "/api/v1/query", "query=1", as("viewer")); rec.Code != http.StatusOK || rec.Body.String() != "POST /api/prometheus/api/v1/query  query=1" {
		t.Errorf("by token: %d %s", rec.Code, rec.Body)
	}
	rec := s.askPromQL("GET", "/api/v1/label/site/values?limit=1", "", withSession("viewer"))
	if rec.Code != http.StatusOK || rec.Body.String() != "GET /api/prometheus/api/v1/label/site/values limit=1 " || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("by session: %d %s", rec.Code, rec.Body)
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
		kind   string
	}{
		"nobody":                     {func(*http.Request) {}, 401, "unauthenticated"},
		"a token that is none":       {as("stranger"), 401, "unauthenticated"},
		"another scheme":             {header("Authorization", "Basic dmlld2VyOg=="), 401, "unauthenticated"},
		"a session that is none":     {withSession("stranger"), 401, "unauthenticated"},
		"another site's page":        {func(r *http.Request) { withSession("viewer")(r); r.Header.Set("Origin", "https://evil.example") }, 403, "forbidden"},
		"another site's page by GET": {func(r *http.Request) { r.Method = "GET"; r.Header.Set("Origin", "https://evil.example") }, 401, "unauthenticated"},
	} {
		rec := s.askPromQL("POST", "/api/v1/query", "query=1", c.change)
		var out struct{ Status, ErrorType, Error string }
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != c.status || out.Status != "error" || out.ErrorType != c.kind || out.Error == "" {
			t.Errorf("%s: %d %s, want %d %s", name, rec.Code, rec.Body, c.status, c.kind)
		}
	}
}

func TestReadyzTellsThisMachineWhatIsBehind(t *testing.T) {
	behind := errors.New("run influx bucket create")
	s := newSite(t, func(c *Config) { c.Behind = func(context.Context) error { return behind } })
	for name, c := range map[string]struct {
		change func(*http.Request)
		tells  bool
	}{
		"from here":             {func(r *http.Request) { r.RemoteAddr = "127.0.0.1:5" }, true},
		"from elsewhere":        {func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5" }, false},
		"through a proxy on it": {func(r *http.Request) { r.RemoteAddr = "127.0.0.1:5"; r.Header.Set("X-Forwarded-For", "192.0.2.1") }, false},
	} {
		rec := s.raw("GET", "/readyz", "", c.change)
		if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Body.String(), "ready, but") || strings.Contains(rec.Body.String(), behind.Error()) != c.tells {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	behind = nil
	if rec := s.raw("GET", "/readyz", ""); rec.Body.String() != "ready\n" {
		t.Errorf("in order: %s", rec.Body)
	}
}
