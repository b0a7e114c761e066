package app

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestTheProfilerIsForThisMachineOnly(t *testing.T) {
	for addr, ok := range map[string]bool{
		"": true, "127.0.0.1:6060": true, "localhost:0": true, "[::1]:6060": true,
		":6060": false, "0.0.0.0:6060": false, "192.0.2.1:6060": false, "6060": false,
	} {
		cfg := DefaultConfig()
		cfg.Debug.Addr = addr
		err := cfg.Validate()
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "debug.addr") {
			t.Errorf("debug.addr %q: %v", addr, err)
		}
	}
}

func TestTheProfilerServesProfilesAndNothingElse(t *testing.T) {
	d, err := listenDebug(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.serve() }()
	for path, status := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/profile?seconds=1": 200, "/": 404} {
		res, err := http.Get(d.url() + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != status || len(text) == 0 {
			t.Errorf("%s: status %d with %d bytes, want %d", path, res.StatusCode, len(text), status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := listenDebug(t.Context(), "127.0.0.1:none"); err == nil || !strings.Contains(err.Error(), "debug.addr") {
		t.Errorf("a port that is none: %v", err)
	}
}
