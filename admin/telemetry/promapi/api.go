// Package promapi serves the embedded store in the way that a Prometheus server does, so that Grafana's
// Prometheus data source and other programs that know PromQL can read it: query, query_range, series,
// labels, label values, metadata, buildinfo and format_query, by GET or POST. It only reads.
//
// Queries run in Prometheus' own PromQL engine, with limits on samples, time and how many run at once.
// The label model is not stored; it is added to every series from the registry, see models.go.
package promapi

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/embedded"
)

// Prefix is the path below which the API lives; a data source's URL ends with it.
const Prefix = "/api/prometheus"

// Defaults of a Config.
const (
	DefaultMaxSamples = 5_000_000 // 16 bytes each
	DefaultTimeout    = 30 * time.Second
	DefaultQueue      = 64
)

// lookback is how long a kiosk's latest point counts as its value now, as in Prometheus.
const lookback = 5 * time.Minute

// subqueryStep is the step of a subquery that names none.
const subqueryStep = time.Minute

// Config says what the API reads and how much of it at a time.
type Config struct {
	// Store returns the store to read, or why there is none now: telemetry.ErrNotReady.
	Store func() (*embedded.Store, error)
	// Kiosks returns the registered kiosks, which say their model; nobody changes them.
	Kiosks func() []*fleet.Kiosk

	MaxSamples int           // that one query may hold in memory; 0 means DefaultMaxSamples
	Timeout    time.Duration // of one request, its wait in the queue included; 0 means DefaultTimeout
	Concurrent int           // requests that run at once; 0 means one for each processor, at least two
	Queue      int           // requests that wait for their turn, more are refused; 0 means DefaultQueue

	Version    string // of the product, for buildinfo
	Now        func() time.Time
	Registerer prometheus.Registerer // for the engine's own metrics; nil for none
	Log        *slog.Logger
}

// API is the HTTP handler. It expects paths with Prefix, and callers who may read.
type API struct {
	cfg    Config
	engine *promql.Engine
	parser parser.Parser
	gate   *gate
	mux    *http.ServeMux
}

// New returns the handler.
func New(cfg Config) *API {
	if cfg.MaxSamples == 0 {
		cfg.MaxSamples = DefaultMaxSamples
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Concurrent == 0 {
		cfg.Concurrent = max(2, runtime.GOMAXPROCS(0))
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	a := &API{cfg: cfg, parser: parser.NewParser(parser.Options{}), gate: newGate(cfg.Concurrent, cfg.Queue), mux: http.NewServeMux()}
	a.engine = promql.NewEngine(promql.EngineOpts{
		Reg: cfg.Registerer, MaxSamples: cfg.MaxSamples, Timeout: cfg.Timeout, LookbackDelta: lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: a.parser,
	})
	a.handle("query", a.reading(a.query), http.MethodGet, http.MethodPost)
	a.handle("query_range", a.reading(a.queryRange), http.MethodGet, http.MethodPost)
	a.handle("query_exemplars", a.exemplars, http.MethodGet, http.MethodPost)
	a.handle("format_query", a.formatQuery, http.MethodGet, http.MethodPost)
	a.handle("series", a.reading(a.series), http.MethodGet, http.MethodPost)
	a.handle("labels", a.reading(a.labelNames), http.MethodGet, http.MethodPost)
	a.handle("label/{name}/values", a.reading(a.labelValues), http.MethodGet)
	a.handle("metadata", a.metadata, http.MethodGet)
	a.handle("status/buildinfo", a.buildInfo, http.MethodGet)
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, fault(http.StatusNotFound, "not_found", "there is no such call; "+Prefix+"/api/v1/ has query, query_range, series, labels, label/<name>/values, metadata, format_query and status/buildinfo"))
	})
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// call answers a request. It returns what goes under "data".
type call func(ctx context.Context, r *request) (answer, error)

// handle adds a call. Other methods than the given ones are answered 405.
func (a *API) handle(path string, f call, methods ...string) {
	a.mux.HandleFunc(Prefix+"/api/v1/"+path, func(w http.ResponseWriter, hr *http.Request) {
		r, err := parse(w, hr, methods)
		if err != nil {
			writeError(w, faultOf(err))
			return
		}
		defer r.finish()
		ctx, cancel := context.WithTimeout(hr.Context(), a.cfg.Timeout)
		defer cancel()
		out, err := f(ctx, r)
		if err != nil {
			fault := faultOf(err)
			if fault.status == http.StatusInternalServerError {
				a.cfg.Log.Error("PromQL request failed", "path", hr.URL.Path, "error", err)
			}
			writeError(w, fault)
			return
		}
		// A client that does not read must not keep its turn for ever. The deadline is for this answer only.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.cfg.Timeout))
		if err := writeAnswer(hr.Context(), w, out); err != nil {
			a.cfg.Log.Debug("PromQL answer not delivered", "path", hr.URL.Path, "error", err)
		}
	})
}

// readingCall answers a request from the store.
type readingCall func(ctx context.Context, r *request, store *modelled) (answer, error)

// reading opens the store, waits for the request's turn, and ends the request when its client goes, its time
// is up or the store is to be closed. The request keeps its turn until its answer is written.
func (a *API) reading(f readingCall) call {
	return func(ctx context.Context, r *request) (answer, error) {
		timeout, err := r.timeout()
		if err != nil {
			return answer{}, err
		}
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		store, err := a.cfg.Store()
		if err != nil {
			return answer{}, err
		}
		leave, err := a.gate.enter(ctx)
		if err != nil {
			return answer{}, err
		}
		r.onFinish(leave)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		closing := store.Closing()
		go func() {
			select {
			case <-closing:
				cancel()
			case <-ctx.Done():
			}
		}()
		out, err := f(ctx, r, &modelled{Queryable: store, kiosks: a.cfg.Kiosks})
		if err != nil {
			select {
			case <-closing: // whatever the engine makes of it
				err = telemetry.ErrClosed
			default:
			}
		}
		return out, err
	}
}
