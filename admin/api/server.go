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

// Config says what the API works on. Only Classify and Metrics may be nil.
type Config struct {
	Registry  Registry
	Enrolment Enrolment
	Presence  Presence
	Commands  Commands
	History   History
	Series    Series
	Auth      Auth
	Hub       *Hub
	Web       http.Handler // the operators' page
	Ready     Check
	// Classify says how to answer errors of packages that the API does not know.
	Classify func(error) (Fault, bool)
	Metrics  prometheus.Gatherer
	Secure   bool // cookies only over HTTPS
	Now      func() time.Time
	Log      *slog.Logger
}

// Server is the HTTP handler.
type Server struct {
	cfg  Config
	log  *slog.Logger
	echo *echo.Echo
	spec []byte // the contract as JSON
	csrf *http.CrossOriginProtection
}

// New returns the handler.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, echo: echo.New(), csrf: http.NewCrossOriginProtection()}
	var doc any
	if err := yaml.Unmarshal(contract, &doc); err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	var err error
	if s.spec, err = json.Marshal(doc); err != nil {
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

func (s *Server) routes() {
	e := s.echo
	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	e.GET("/readyz", s.ready)
	if s.cfg.Metrics != nil {
		e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{})), s.metricsAccess)
	}
	e.GET("/docs", s.docs)

	open := e.Group(Prefix, noStore)
	open.POST("/session", s.login, s.sameOrigin)
	open.POST("/enroll", s.enroll)
	open.GET("/openapi.json", s.openapi)

	viewer := open.Group("", s.authenticate, s.sameOrigin, s.require(fleet.RoleViewer))
	viewer.DELETE("/session", s.logout)
	viewer.GET("/me", s.me)
	viewer.GET("/kiosks", s.listKiosks)
	viewer.GET("/kiosks/:serial", s.getKiosk)
	viewer.GET("/kiosks/:serial/telemetry", s.telemetry)
	viewer.GET("/kiosks/:serial/commands", s.listCommands)
	viewer.GET("/kiosks/:serial/events", s.listEvents)
	viewer.GET("/commands/:id", s.getCommand)
	viewer.GET("/summary", s.summary)
	viewer.GET("/sites", s.sites)
	viewer.GET("/metrics", s.metrics)
	viewer.GET("/events", s.stream)
	viewer.POST("/kiosks/:serial/commands", s.sendCommand) // the command's name decides which role it needs

	admin := open.Group("", s.authenticate, s.sameOrigin, s.require(fleet.RoleAdmin))
	admin.POST("/kiosks", s.registerKiosk)
	admin.PATCH("/kiosks/:serial", s.changeKiosk)
	admin.DELETE("/kiosks/:serial", s.deleteKiosk)
	admin.POST("/kiosks/:serial/revocation", s.revokeKiosk)
	admin.GET("/enrollment-tokens", s.listEnrollmentTokens)
	admin.POST("/enrollment-tokens", s.createEnrollmentToken)
	admin.DELETE("/enrollment-tokens/:id", s.deleteEnrollmentToken)
	admin.GET("/tokens", s.listTokens)
	admin.POST("/tokens", s.createToken)
	admin.DELETE("/tokens/:id", s.deleteToken)

	e.Any("/api/*", func(echo.Context) error {
		return echo.NewHTTPError(http.StatusNotFound, "there is no such resource; "+Prefix+"/openapi.json lists them")
	})
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
	return c.String(http.StatusOK, "ready\n")
}

func (s *Server) openapi(c echo.Context) error {
	return c.JSONBlob(http.StatusOK, s.spec)
}

func (s *Server) metrics(c echo.Context) error {
	out := page[metricView]{Items: []metricView{}}
	for _, m := range protocol.Metrics() {
		v := metricView{Name: m.Name, Unit: m.Unit, Kind: string(m.Kind), Description: m.Text}
		if m.Kind == protocol.KindGauge {
			lowest, highest := m.Min, m.Max
			v.Min, v.Max = &lowest, &highest
		}
		out.Items = append(out.Items, v)
	}
	return c.JSON(http.StatusOK, out)
}
