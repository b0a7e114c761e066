package daemon

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
		err := Debug{addr}.Validate()
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "debug.addr: ") {
			t.Errorf("debug.addr %q: %v", addr, err)
		}
	}
}

func TestThereIsNoProfilerWithoutAnAddress(t *testing.T) {
	if p, err := (Debug{}).Listen(t.Context()); p != nil || err != nil {
		t.Errorf("%v, %v", p, err)
	}
}

func TestTheProfilerServesProfilesAndNothingElse(t *testing.T) {
	p, err := Debug{"127.0.0.1:0"}.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve() }()
	for path, status := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/profile?seconds=1": 200, "/": 404} {
		res, err := http.Get(p.URL() + path)
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
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := (Debug{"127.0.0.1:none"}).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "debug.addr") {
		t.Errorf("a port that is none: %v", err)
	}
}
