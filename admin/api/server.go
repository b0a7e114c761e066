// Package api is admin's HTTP side: the REST API of openapi.yaml, live events over SSE, health and
// metrics, and the operators' page. It decides who may call what and how errors look; what the calls
// do lies in the packages that admin/app connects.
package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.yaml.in/yaml/v3"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

//go:embed openapi.yaml
var contract []byte

// Prefix is the path below which the API lives.
const Prefix = "/api/v1"

// Config says what the API works on. Only Behind, Classify, Metrics and PromQL may be nil, and the parts from
// Alerts to Trainer: the calls of one that is not there are unknown.
type Config struct {
	Registry  Registry
	Enrolment Enrolment
	Presence  Presence
	Commands  Commands
	History   History
	Series    Series
	Letters   Letters
	Settling  Settling
	Intake    Intake
	Auth      Auth

	Alerts        Alerts
	Rules         Rules
	Backtest      Backtest
	Notifications Notifications
	Availability  Availability
	Forecasts     Forecasts

	Anomalies   AnomalyLists
	AnomalyCare AnomalyCare // served only together with Anomalies
	Models      Models
	Trainer     Trainer

	Hub    *Hub
	Web    http.Handler // the operators' page
	Ready  Check
	Behind Check // what does not work yet although it is ready
	// Classify says how to answer errors of packages that the API does not know.
	Classify func(error) (Fault, bool)
	// PromQL serves PrometheusPrefix to those who may read; nil for nobody.
	PromQL  http.Handler
	Metrics prometheus.Gatherer
	Secure  bool // cookies only over HTTPS
	Now     func() time.Time
	Log     *slog.Logger
}

// Server is the HTTP handler.
type Server struct {
	cfg  Config
	log  *slog.Logger
	echo *echo.Echo
	spec []byte // the contract as JSON
	csrf *http.CrossOriginProtection
}

// contractJSON is the contract as JSON.
var contractJSON = sync.OnceValues(func() ([]byte, error) {
	var doc any
	if err := yaml.Unmarshal(contract, &doc); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
})

// New returns the handler.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, echo: echo.New(), csrf: http.NewCrossOriginProtection()}
	var err error
	if s.spec, err = contractJSON(); err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.handleError
	s.echo.Use(s.identify, s.recoverPanics, securityHeaders, s.observe)
	s.routes()
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// adder adds a route below Prefix.
type adder func(method, path string, h echo.HandlerFunc, more ...echo.MiddlewareFunc)

// below returns a function that adds a route below Prefix, behind guards. Echo's groups would put the
// guards before unknown paths as well: those of the last group, for everybody.
func (s *Server) below(guards ...echo.MiddlewareFunc) adder {
	return func(method, path string, h echo.HandlerFunc, more ...echo.MiddlewareFunc) {
		s.echo.Add(method, Prefix+path, h, slices.Concat([]echo.MiddlewareFunc{noStore}, guards, more)...)
	}
}

func (s *Server) routes() {
	e := s.echo
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", s.ready)
	if s.cfg.Metrics != nil {
		e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{})), s.metricsAccess)
	}
	e.GET("/docs", s.docs, s.authenticate)

	open := s.below()
	open(http.MethodPost, "/session", s.login, s.sameOrigin)
	open(http.MethodPost, "/enroll", s.enroll)

	viewer := s.below(s.authenticate, s.sameOrigin, s.require(fleet.RoleViewer))
	viewer(http.MethodDelete, "/session", s.logout)
	viewer(http.MethodGet, "/openapi.json", s.openapi)
	viewer(http.MethodGet, "/me", s.me)
	viewer(http.MethodGet, "/kiosks", s.listKiosks)
	viewer(http.MethodGet, "/kiosks/:serial", s.getKiosk)
	viewer(http.MethodGet, "/kiosks/:serial/telemetry", s.telemetry)
	viewer(http.MethodPost, "/query", s.query)
	viewer(http.MethodGet, "/kiosks/:serial/commands", s.listCommands)
	viewer(http.MethodGet, "/kiosks/:serial/events", s.listEvents)
	viewer(http.MethodGet, "/commands/:id", s.getCommand)
	viewer(http.MethodGet, "/summary", s.summary)
	viewer(http.MethodGet, "/sites", s.sites)
	viewer(http.MethodGet, "/metrics", s.metrics)
	viewer(http.MethodGet, "/events", s.stream)
	viewer(http.MethodGet, "/ingest", s.intake)
	viewer(http.MethodGet, "/dead-letters", s.listLetters)
	viewer(http.MethodGet, "/dead-letters/:id", s.getLetter)
	viewer(http.MethodPost, "/kiosks/:serial/commands", s.sendCommand) // the command's name decides which role it needs

	operator := s.below(s.authenticate, s.sameOrigin, s.require(fleet.RoleOperator))
	operator(http.MethodDelete, "/dead-letters", s.discardLetters)
	operator(http.MethodPost, "/dead-letters/replay", s.replayLetters)
	operator(http.MethodDelete, "/dead-letters/:id", s.discardLetter)
	operator(http.MethodPost, "/dead-letters/:id/replay", s.replayLetter)

	admin := s.below(s.authenticate, s.sameOrigin, s.require(fleet.RoleAdmin))
	admin(http.MethodPost, "/kiosks", s.registerKiosk)
	admin(http.MethodPatch, "/kiosks/:serial", s.changeKiosk)
	admin(http.MethodDelete, "/kiosks/:serial", s.deleteKiosk)
	admin(http.MethodPost, "/kiosks/:serial/revocation", s.revokeKiosk)
	admin(http.MethodGet, "/enrollment-tokens", s.listEnrollmentTokens)
	admin(http.MethodPost, "/enrollment-tokens", s.createEnrollmentToken)
	admin(http.MethodDelete, "/enrollment-tokens/:id", s.deleteEnrollmentToken)
	admin(http.MethodGet, "/tokens", s.listTokens)
	admin(http.MethodPost, "/tokens", s.createToken)
	admin(http.MethodDelete, "/tokens/:id", s.deleteToken)

	s.alertRoutes(viewer, operator, admin)
	s.anomalyRoutes(viewer, operator, admin)
	if s.cfg.PromQL != nil {
		e.Any(PrometheusPrefix+"/*", echo.WrapHandler(s.cfg.PromQL), noStore, s.prometheusErrors, s.authenticate, s.sameOrigin, s.require(fleet.RoleViewer))
	}
	e.Any("/api/*", func(echo.Context) error {
		return echo.NewHTTPError(http.StatusNotFound, "there is no such resource; "+Prefix+"/openapi.json lists them")
	}, noStore)
	e.GET("/*", echo.WrapHandler(s.cfg.Web))
	e.HEAD("/*", echo.WrapHandler(s.cfg.Web))
}

// readyTimeout bounds what a readiness check may take.
const readyTimeout = 2 * time.Second

func (s *Server) ready(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if err := s.cfg.Ready(ctx); err != nil {
		return c.String(http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
	}
	if s.cfg.Behind != nil {
		if err := s.cfg.Behind(ctx); err != nil {
			text := "the log says what does not work yet"
			if fromHere(c.Request()) { // it may name other servers
				text = err.Error()
			}
			return c.String(http.StatusOK, "ready, but not complete: "+text+"\n")
		}
	}
	return c.String(http.StatusOK, "ready\n")
}

func (s *Server) openapi(c echo.Context) error {
	return c.JSONBlob(http.StatusOK, s.spec)
}

func (s *Server) metrics(c echo.Context) error {
	out := page[metricView]{Items: []metricView{}}
	for _, m := range protocol.StoredMetrics() {
		v := metricView{Name: m.Name, Unit: m.Unit, Kind: string(m.Kind), Description: m.Text}
		if m.Kind == protocol.KindGauge {
			lowest, highest := m.Min, m.Max
			v.Min, v.Max = &lowest, &highest
		}
		out.Items = append(out.Items, v)
	}
	return c.JSON(http.StatusOK, out)
}
