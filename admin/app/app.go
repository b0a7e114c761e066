// Package app wires admin together: it is the only place that knows every part. New builds them in one
// straight line, each registering how it is closed; Run serves until its context ends and then closes
// them, last in first out.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/train"
	"kioskfleet/admin/api"
	"kioskfleet/admin/auth"
	"kioskfleet/admin/availability"
	"kioskfleet/admin/command"
	"kioskfleet/admin/ingest"
	"kioskfleet/admin/ingest/journal"
	"kioskfleet/admin/presence"
	"kioskfleet/admin/registry"
	"kioskfleet/admin/store"
	"kioskfleet/admin/telemetry"
	"kioskfleet/admin/telemetry/rollup"
	"kioskfleet/admin/web"
	"kioskfleet/broker/server"
	"kioskfleet/internal/daemon"
	"kioskfleet/internal/pki"
)

// App is a running admin. Create it with New, drive it with Run.
type App struct {
	cfg *Config
	log *slog.Logger

	// InitialPassword is the random password of the user admin when this start made it, else empty.
	InitialPassword string

	registry *registry.Registry
	tracker  *presence.Tracker
	outflow  *presence.Outflow
	alerts   alerts
	// anomalies looks for what no rule was made for, models is what it may know of new kiosks.
	anomalies *anomaly.Watch
	models    *model.Registry
	trainer   *train.Runner
	// availability is how long kiosks could serve.
	availability *availability.Book
	ladder       *command.Ladder
	ingest       *ingest.Ingest
	series       *telemetry.Lazy
	rollups      *rollup.Store // around series
	hub          *api.Hub
	link         link
	listener     net.Listener
	server       *http.Server
	debug        *daemon.Profiler // nil: none
	store        *store.Store

	closers []closer
}

type closer struct {
	name  string
	close func() error
}

const databaseFile = "kioskfleet.db"

// New builds admin: it opens the stores and both ports, and serves nobody yet. A failed New has
// closed what it had opened.
func New(ctx context.Context, cfg *Config, log *slog.Logger) (_ *App, err error) {
	a := &App{cfg: cfg, log: log, hub: api.NewHub()}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	now := time.Now
	authority, err := pki.OpenAuthority(cfg.path("pki"), now())
	if err != nil {
		return nil, err
	}
	internal, err := newServerCertificate(authority, cfg, log)
	if err != nil {
		return nil, err
	}
	if a.store, err = store.Open(ctx, cfg.path(databaseFile)); err != nil {
		return nil, err
	}
	a.onClose("database", a.store.Close)

	users := auth.New(a.store, now)
	if a.InitialPassword, err = ensureFirstUser(ctx, users, cfg); err != nil {
		return nil, err
	}
	if a.registry, err = registry.New(ctx, registry.Config{
		Store: a.store, Authority: authority, Now: now, Log: log, Certificate: cfg.PKI.KioskValidity,
	}); err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	a.tracker = presence.New(now)
	verdicts, err := cfg.verdicts()
	if err != nil {
		return nil, err
	}
	if verdicts != nil {
		a.tracker.UseVerdicts(verdicts, a.registry.ModelOf)
	}
	a.tracker.Observe(tellHub(a.hub))
	// The broker is opened below; what publishes reaches it through the link.
	publisher := publisherFunc(func(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error {
		return a.link.Publish(ctx, topic, qos, retain, payload)
	})
	a.outflow = presence.NewOutflow(a.tracker, a.store, publisher, log)
	states, err := a.store.Live(ctx)
	if err != nil {
		return nil, err
	}
	a.tracker.Restore(states)
	a.outflow.PublishAll()
	if err := a.openAnomalies(ctx, metrics); err != nil {
		return nil, err
	}
	a.tellAnomalies()
	if err := a.openAlerts(ctx, publisher, metrics); err != nil {
		return nil, err
	}
	if a.availability, err = openAvailability(ctx, cfg, a.store, a.registry, a.tracker, a.alerts.desk.InMaintenance, metrics, log); err != nil {
		return nil, err
	}
	if a.ladder, err = command.New(ctx, a.store, publisher, a.tracker, now, log); err != nil {
		return nil, err
	}
	a.ladder.Observe(a.hub.Command)

	var readable opened
	a.series = telemetry.NewLazy(func(ctx context.Context) (telemetry.Store, error) {
		s, err := openSeries(ctx, cfg, metrics, log)
		readable.note(s)
		return s, err
	}, log)
	readable.series = a.series
	a.onClose("time series", a.series.Close)
	if a.rollups, err = openRollups(ctx, cfg, a.series, a.store, log); err != nil {
		return nil, err
	}

	records, err := journal.Open(journal.Config{
		Dir: cfg.path("journal"), MaxBytes: int64(cfg.Journal.MaxSize), MinFreeBytes: int64(cfg.Journal.MinFree), KeepFor: cfg.Journal.Keep, Log: log,
	})
	if err != nil {
		return nil, err
	}
	a.onClose("journal", records.Close)
	if a.ingest, err = ingest.Open(ingest.Config{
		Journal: records, Live: &live{a.registry, a.tracker, a.outflow, a.ladder, &a.alerts, a.anomalies}, DeadLetters: a.store,
		Series: series{a.rollups}, Rejected: rejectedReadings, Retry: retryAfter, Lost: lostPoints,
		SiteOf: a.registry.SiteOf, Window: cfg.Telemetry.Window, Log: log, Metrics: metrics,
	}); err != nil {
		return nil, err
	}
	if err := a.openLink(authority, internal, integrators(cfg, users), metrics); err != nil {
		return nil, err
	}
	a.registry.Observe(a.followRegistry)
	a.trainer = a.newTrainer(a.rollups, a.models)
	metrics.MustRegister(newFleetCollector(a))

	enrolment := &enrolment{registry: a.registry, brokers: a.brokers}
	if cfg.Dev {
		if err := ensureDevelopmentTokens(ctx, enrolment, users, cfg, log); err != nil {
			return nil, fmt.Errorf("development mode: %w", err)
		}
	}
	handler, err := api.New(api.Config{
		Registry: a.registry, Enrolment: enrolment, Presence: a.tracker, Commands: commands{a.ladder}, History: a.store,
		Series: newQuestions(a.rollups, now), Letters: a.store, Settling: a.settling(now), Intake: a.ingest, Auth: users, Hub: a.hub, Web: web.Handler(), Ready: a.ready, Behind: a.behind, Classify: classify,
		Alerts: a.alerts.desk, Rules: ruleBook{a.alerts.rules}, Notifications: a.alerts.notifier, Availability: a.availability,
		Forecasts: a.alerts.derived.Forecasts(), Backtest: past{newBacktest(a.registry, a.tracker, a.store, a.rollups, a.ingest, now)},
		Anomalies: a.store, AnomalyCare: a.anomalies, Models: models{a.models, a.store.Audit}, Trainer: trainer{a.trainer},
		PromQL:  newPromQL(cfg, &readable, a.registry, metrics, log),
		Metrics: metrics, Secure: cfg.HTTP.TLS != TLSOff, Now: now, Log: log,
	})
	if err != nil {
		return nil, err
	}
	if cfg.Debug.Addr != "" {
		if a.debug, err = cfg.Debug.Listen(ctx); err != nil {
			return nil, err
		}
		a.onClose("profiler", a.debug.Close)
	}
	return a, a.listen(ctx, handler, internal)
}

type publisherFunc func(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error

func (f publisherFunc) Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error {
	return f(ctx, topic, qos, retain, payload)
}

func (a *App) openLink(authority *pki.Authority, certificate func() (*tls.Certificate, error), readers *server.Integrators, metrics prometheus.Registerer) error {
	in := func() *ingest.Ingest { return a.ingest }
	if a.cfg.Broker.Mode == BrokerExternal {
		l, err := newOuterBroker(a.cfg, authority, a.registry, in, time.Now(), a.log)
		a.link = l
		return err
	}
	l, err := newInnerBroker(a.cfg, certificate, authority.Pool(), a.registry, in, readers, metrics, a.log)
	if err != nil {
		return err
	}
	a.link = l
	a.onClose("broker", l.server.Close)
	return nil
}

// Timeouts of the HTTP server. There is none for writing: the live stream sets its own.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

func (a *App) listen(ctx context.Context, handler http.Handler, internal func() (*tls.Certificate, error)) error {
	var err error
	if a.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", a.cfg.HTTP.Addr); err != nil {
		return fmt.Errorf("http.addr %s: %w", a.cfg.HTTP.Addr, err)
	}
	a.onClose("http", func() error {
		if err := a.listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	a.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	certificate := internal
	switch a.cfg.HTTP.TLS {
	case TLSOff:
		return nil
	case TLSFiles:
		files, err := pki.NewFileCertificate(a.cfg.HTTP.CertFile, a.cfg.HTTP.KeyFile, a.log)
		if err != nil {
			return fmt.Errorf("http.cert_file, http.key_file: %w", err)
		}
		certificate = files.Get
	}
	a.listener = tls.NewListener(a.listener, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
	})
	return nil
}

// HTTPAddr is the address that page and API have, with the port chosen for port 0.
func (a *App) HTTPAddr() string { return a.listener.Addr().String() }

// URL is the address of the page.
func (a *App) URL() string {
	scheme := "http"
	if a.cfg.HTTP.TLS != TLSOff {
		scheme = "https"
	}
	return scheme + "://" + a.HTTPAddr()
}

// brokers are the broker addresses that kiosks are told.
func (a *App) brokers() []string {
	if len(a.cfg.Broker.Advertise) > 0 {
		return a.cfg.Broker.Advertise
	}
	return a.link.addresses(a.cfg.Hosts[0])
}

// ready is nil once kiosks can connect and operators can log in. Time series may still be opening:
// readings are already taken, and questions for them answer 503.
func (a *App) ready(ctx context.Context) error {
	return errors.Join(a.link.ready(), a.store.Ping(ctx))
}

// behind returns why time series cannot be asked yet, though admin is ready.
func (a *App) behind(context.Context) error {
	if err := a.series.Ready(); err != nil {
		return fmt.Errorf("readings are taken and kept, but %w", err)
	}
	return nil
}

// stopTimeout bounds how long requests may take to finish at the end.
const stopTimeout = 2 * time.Second

// Run serves until ctx ends or a part fails, then stops everything in the reverse order of its making.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	group, ctx := errgroup.WithContext(ctx)
	// The stages end one after another: first nobody new is let in, last what was taken is written.
	intake, stopIntake := context.WithCancel(context.WithoutCancel(ctx))
	defer stopIntake()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	// Detectors are loaded with what the fleet knows: first its model, then who loads them.
	modelled := make(chan struct{})
	group.Go(func() error { a.followModels(ctx, func() { close(modelled) }); return nil })
	<-modelled

	group.Go(func() error { return a.series.Run(ctx) })
	group.Go(func() error { return a.rollups.Run(ctx) })
	group.Go(func() error { return a.registry.Run(ctx) })
	group.Go(func() error { return a.ladder.Run(ctx) })
	group.Go(func() error { return a.outflow.Run(work) })
	group.Go(func() error { return a.availability.Run(work) })
	group.Go(func() error { return a.anomalies.Run(work) })
	group.Go(func() error { return a.trainer.Run(ctx) })
	group.Go(func() error { return a.alerts.engine.Run(work) })
	group.Go(func() error { return a.alerts.desk.Run(work) })
	group.Go(func() error { return a.alerts.notifier.Run(ctx) })
	group.Go(func() error { return a.runPlatform(ctx) })
	group.Go(func() error { return a.followHangups(ctx) })
	group.Go(func() error {
		defer stopWork()
		return a.ingest.Run(intake)
	})
	group.Go(func() error {
		defer stopIntake()
		return a.link.run(ctx)
	})
	group.Go(func() error {
		if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		a.hub.Close()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if err := a.server.Shutdown(stop); err != nil {
			return a.server.Close()
		}
		return nil
	})
	running := []any{"page", a.URL(), "brokers", a.brokers(), "data", a.cfg.DataDir}
	if addr := a.IntegratorsAddr(); addr != "" {
		running = append(running, "integrators", addr)
	}
	if a.debug != nil {
		group.Go(a.debug.Serve)
		context.AfterFunc(ctx, func() { _ = a.debug.Close() })
		running = append(running, "debug", a.debug.URL())
	}
	a.log.Info("kiosk fleet admin is running", running...)
	err := group.Wait()
	a.outflow.Finish(context.WithoutCancel(ctx))
	a.availability.Finish(context.WithoutCancel(ctx))
	return errors.Join(err, a.alerts.finish(context.WithoutCancel(ctx)), a.anomalies.Finish(context.WithoutCancel(ctx)))
}

// Close releases what New opened when Run is never called.
func (a *App) Close() { a.close() }

func (a *App) onClose(name string, f func() error) {
	a.closers = append(a.closers, closer{name, f})
}

func (a *App) close() {
	for len(a.closers) > 0 {
		last := a.closers[len(a.closers)-1]
		a.closers = a.closers[:len(a.closers)-1]
		if err := last.close(); err != nil {
			a.log.Error("not closed cleanly", "part", last.name, "error", err)
		}
	}
}
