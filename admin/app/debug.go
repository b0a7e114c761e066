package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
)

// debugServer serves the Go profiler on a listener of its own, so that nothing of it is ever reachable
// by way of the page.
type debugServer struct {
	listener net.Listener
	server   *http.Server
}

func listenDebug(ctx context.Context, addr string) (*debugServer, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("debug.addr %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return &debugServer{l, &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}}, nil
}

func (d *debugServer) url() string { return "http://" + d.listener.Addr().String() }

func (d *debugServer) serve() error {
	if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("profiler: %w", err)
	}
	return nil
}

// Close ends the profiler, and the profiles that are being taken.
func (d *debugServer) Close() error {
	err := d.server.Close()
	if closed := d.listener.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
