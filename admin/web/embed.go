// Package web holds the operators' page: its TypeScript sources, and the built files that the binary
// carries.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// Handler serves the built page. Paths that are no file get the page itself, which routes by path;
// hashed assets are cached for ever, the page never.
func Handler() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	return handler(files)
}

func handler(files fs.FS) http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
		info, err := fs.Stat(files, name)
		isFile := err == nil && !info.IsDir() && name != "index.html" && !strings.HasPrefix(path.Base(name), ".")
		switch {
		case isFile && strings.HasPrefix(name, "assets/"):
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			server.ServeHTTP(w, r)
		case isFile:
			w.Header().Set("Cache-Control", "no-cache")
			server.ServeHTTP(w, r)
		case strings.HasPrefix(name, "assets/"):
			http.NotFound(w, r)
		default:
			page(w, r, files)
		}
	})
}

func page(w http.ResponseWriter, r *http.Request, files fs.FS) {
	text, err := fs.ReadFile(files, "index.html")
	if err != nil {
		http.Error(w, "the page was not built into this binary: run `make build`", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	if r.Method != http.MethodHead {
		_, _ = w.Write(text)
	}
}
