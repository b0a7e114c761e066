package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// Debug is the part of a configuration that lets developers look inside a running program.
type Debug struct {
	Addr string `key:"addr" usage:"loopback address of the Go profiler, empty: none"`
}

// Validate returns an error that names the key at fault.
func (d Debug) Validate() error {
	if d.Addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(d.Addr)
	if err != nil {
		return fmt.Errorf("debug.addr: %q is not host:port", d.Addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("debug.addr: %s is not a loopback address, and the profiler asks nobody who they are", d.Addr)
	}
	return nil
}

// Profiler serves the Go profiler on a listener of its own, so that nothing of it is ever reachable by
// way of a page.
type Profiler struct {
	listener net.Listener
	server   *http.Server
}

const profilerHeaderTimeout = 10 * time.Second

// Listen returns a profiler that listens and does not serve yet; nil if there is to be none.
func (d Debug) Listen(ctx context.Context) (*Profiler, error) {
	if d.Addr == "" {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", d.Addr)
	if err != nil {
		return nil, fmt.Errorf("debug.addr %s: %w", d.Addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &Profiler{l, &http.Server{Handler: mux, ReadHeaderTimeout: profilerHeaderTimeout}}, nil
}

// URL is where the profiler is.
func (p *Profiler) URL() string { return "http://" + p.listener.Addr().String() }

// Serve serves until Close, and returns nil then.
func (p *Profiler) Serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("profiler: %w", err)
	}
	return nil
}

// Close ends the profiler, and the profiles that are being taken.
func (p *Profiler) Close() error {
	err := p.server.Close()
	if closed := p.listener.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
