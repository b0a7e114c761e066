package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var built = fstest.MapFS{
	".gitkeep":                  {},
	"index.html":                {Data: []byte("<!doctype html><title>page</title>")},
	"theme.js":                  {Data: []byte("theme()")},
	"favicon.svg":               {Data: []byte("<svg/>")},
	"assets/index-abc123.js":    {Data: []byte("run()")},
	"assets/index-abc123.css":   {Data: []byte("a{}")},
	"assets/inter-abc123.woff2": {Data: []byte("font")},
	"assets/land-abc123.json":   {Data: []byte("{}")},
}

const (
	forEver = "public, max-age=31536000, immutable"
	noCache = "no-cache"
	browser = "text/html,application/xhtml+xml,*/*;q=0.8"
)

func TestHandler(t *testing.T) {
	tests := []struct {
		name        string
		method      string
		path        string
		accept      string
		status      int
		contentType string
		cache       string
		body        string
	}{
		{"root", "GET", "/", browser, 200, "text/html; charset=utf-8", noCache, "<title>page"},
		{"index by name", "GET", "/index.html", browser, 200, "text/html; charset=utf-8", noCache, "<title>page"},
		{"route of the page", "GET", "/kiosks/SIM-KIOSK-001", browser, 200, "text/html; charset=utf-8", noCache, "<title>page"},
		{"route with a dot in the serial", "GET", "/kiosks/a.b", browser, 200, "text/html; charset=utf-8", noCache, "<title>page"},
		{"route asked by HEAD", "HEAD", "/login", browser, 200, "text/html; charset=utf-8", noCache, ""},
		{"script", "GET", "/assets/index-abc123.js", "*/*", 200, "text/javascript; charset=utf-8", forEver, "run()"},
		{"style", "GET", "/assets/index-abc123.css", "text/css", 200, "text/css; charset=utf-8", forEver, "a{}"},
		{"font", "GET", "/assets/inter-abc123.woff2", "*/*", 200, "font/woff2", forEver, "font"},
		{"data", "GET", "/assets/land-abc123.json", "*/*", 200, "application/json", forEver, "{}"},
		{"file without a hash", "GET", "/theme.js", "*/*", 200, "text/javascript; charset=utf-8", noCache, "theme()"},
		{"picture", "GET", "/favicon.svg", "image/*", 200, "image/svg+xml", noCache, "<svg/>"},
		{"missing asset is never the page", "GET", "/assets/index-old.js", browser, 404, "text/plain; charset=utf-8", "", "not found"},
		{"missing file for a script", "GET", "/nothing.json", "*/*", 404, "text/plain; charset=utf-8", "", "not found"},
		{"folder is no listing", "GET", "/assets/", browser, 404, "text/plain; charset=utf-8", "", "not found"},
		{"no way out of the folder", "GET", "/assets/../../embed.go", "*/*", 404, "text/plain; charset=utf-8", "", "not found"},
		{"the kept file is not served", "GET", "/.gitkeep", "*/*", 404, "text/plain; charset=utf-8", "", "not found"},
		{"only reading", "POST", "/", browser, 405, "text/plain; charset=utf-8", "", "not allowed"},
	}
	h := handler(built)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, nil)
			r.Header.Set("Accept", tt.accept)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			res := w.Result()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status {
				t.Errorf("status %d, want %d", res.StatusCode, tt.status)
			}
			if got := res.Header.Get("Content-Type"); got != tt.contentType {
				t.Errorf("content type %q, want %q", got, tt.contentType)
			}
			if got := res.Header.Get("Cache-Control"); got != tt.cache {
				t.Errorf("cache control %q, want %q", got, tt.cache)
			}
			if !strings.Contains(string(body), tt.body) || tt.body == "" && len(body) > 0 {
				t.Errorf("body %q, want %q in it", body, tt.body)
			}
		})
	}
}

func TestHandlerWithoutBuild(t *testing.T) {
	h := handler(fstest.MapFS{".gitkeep": {}})
	for _, path := range []string{"/", "/kiosks/x", "/assets/index.js"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("GET %s: status %d, want 503", path, w.Code)
		}
		if !strings.Contains(w.Body.String(), "make build") {
			t.Errorf("GET %s: %q does not say what to do", path, w.Body)
		}
	}
}

// The embedded folder must always give a handler: with the build the page, without it the advice.
func TestEmbedded(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept", browser)
	Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 200 or 503", w.Code)
	}
}
