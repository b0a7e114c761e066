// Package web holds the operators' page: its TypeScript sources, and the handler that serves what
// `npm run build` makes of them. The build is embedded, not committed; without it the handler says so.
package web

import (
	"bytes"
	"embed"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// all: because dist holds only .gitkeep before the first build, and embedding nothing is an error.
//
//go:embed all:dist
var dist embed.FS

// contentTypes are those of the build's files. They are fixed here because mime.TypeByExtension
// follows the machine's own tables, some of which lack fonts or call scripts text/plain.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
}

// Handler serves the page. Files below /assets/ carry a hash in their name and may be kept for ever;
// everything else is asked for again each time. Any other path that a browser navigates to gets
// index.html, because the page has its own routes; what is neither a file nor a navigation is 404.
// Without a build every request is answered 503 with what to do.
//
// The handler is safe for concurrent use.
func Handler() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // "dist" is a valid path, so this cannot happen
	}
	return handler(files)
}

func handler(files fs.FS) http.Handler {
	index, err := fs.ReadFile(files, "index.html")
	if err != nil {
		return http.HandlerFunc(notBuilt)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		if body, err := fs.ReadFile(files, name); err == nil && name != ".gitkeep" {
			serve(w, r, name, body)
			return
		}
		// A missing asset must not become a page: a script that is HTML fails in a confusing way.
		if strings.HasPrefix(name+"/", "assets/") || !acceptsHTML(r) {
			http.NotFound(w, r)
			return
		}
		serve(w, r, "index.html", index)
	})
}

func serve(w http.ResponseWriter, r *http.Request, name string, body []byte) {
	header := w.Header()
	header.Set("Content-Type", contentType(name))
	header.Set("X-Content-Type-Options", "nosniff")
	if strings.HasPrefix(name, "assets/") {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		header.Set("Cache-Control", "no-cache")
	}
	// Embedded files have no time of change, and ServeContent then sets none; it still answers HEAD
	// and ranges.
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

func contentType(name string) string {
	ext := path.Ext(name)
	if t, ok := contentTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// acceptsHTML reports whether the client navigates: browsers then name text/html, while scripts'
// requests and pictures do not.
func acceptsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func notBuilt(w http.ResponseWriter, _ *http.Request) {
	const text = "The web page is not part of this binary. Run `make build`, which builds it with npm, and start again.\n"
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(text))
}
