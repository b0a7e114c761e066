package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// sessionCookie is the name of the browser's cookie.
const sessionCookie = "kioskfleet_session"

const (
	keyPrincipal = "principal"
	keySession   = "session"
	keyRequestID = "request_id"
)

// identify gives each request an id, which errors and the log carry.
func (s *Server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := uuid.NewString()
		c.Set(keyRequestID, id)
		c.Response().Header().Set("X-Request-Id", id)
		return next(c)
	}
}

func requestID(c echo.Context) string {
	id, _ := c.Get(keyRequestID).(string)
	return id
}

// recoverPanics turns a panic into an internal error; the process lives on.
func (s *Server) recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			if e, ok := r.(error); ok && errors.Is(e, http.ErrAbortHandler) {
				panic(r)
			}
			s.log.Error("panic in a handler", "request_id", requestID(c), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = errors.New("panic")
		}()
		return next(c)
	}
}

// securityHeaders keep the page to its own origin: no foreign scripts, styles or frames.
func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		return next(c)
	}
}

// observe logs each request at debug level.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		s.log.Debug("request", "request_id", requestID(c), "method", c.Request().Method, "path", c.Request().URL.Path, "status", c.Response().Status, "took", time.Since(start))
		return nil
	}
}

func noStore(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		return next(c)
	}
}

// authenticate finds out who makes the request: by bearer token, else by session cookie.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		p, err := s.whoIs(c)
		if err != nil {
			return err
		}
		c.Set(keyPrincipal, p)
		return next(c)
	}
}

func (s *Server) whoIs(c echo.Context) (fleet.Principal, error) {
	ctx := c.Request().Context()
	if header := c.Request().Header.Get("Authorization"); header != "" {
		scheme, token, ok := strings.Cut(header, " ")
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			return fleet.Principal{}, fmt.Errorf("the Authorization header must be 'Bearer <API token>': %w", fleet.ErrUnauthorized)
		}
		return s.cfg.Auth.ByToken(ctx, strings.TrimSpace(token))
	}
	cookie, err := c.Cookie(sessionCookie)
	if err != nil {
		return fleet.Principal{}, fmt.Errorf("log in with POST %s/session or send an API token: %w", Prefix, fleet.ErrUnauthorized)
	}
	c.Set(keySession, cookie.Value)
	return s.cfg.Auth.BySession(ctx, cookie.Value)
}

func principal(c echo.Context) fleet.Principal {
	p, _ := c.Get(keyPrincipal).(fleet.Principal)
	return p
}

// sameOrigin refuses changes that another site's page makes with the user's cookie. Requests with a
// token are exempt: a foreign page does not have it.
func (s *Server) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !principal(c).Token {
			if err := s.csrf.Check(c.Request()); err != nil {
				return fmt.Errorf("the request comes from another origin: %w", fleet.ErrForbidden)
			}
		}
		return next(c)
	}
}

// require lets through who has at least the role.
func (s *Server) require(role fleet.Role) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := allow(c, role); err != nil {
				return err
			}
			return next(c)
		}
	}
}

func allow(c echo.Context, role fleet.Role) error {
	if p := principal(c); !p.Role.Includes(role) {
		return fmt.Errorf("%s has the role %s, this needs %s: %w", p.Name, p.Role, role, fleet.ErrForbidden)
	}
	return nil
}

// metricsAccess opens /metrics to loopback addresses, and to tokens from elsewhere.
func (s *Server) metricsAccess(next echo.HandlerFunc) echo.HandlerFunc {
	guarded := s.authenticate(next)
	return func(c echo.Context) error {
		if fromHere(c.Request()) {
			return next(c)
		}
		return guarded(c)
	}
}

// fromHere reports whether a request comes from this machine. A proxy on it forwards for others, so a
// forwarded request counts as from elsewhere.
func fromHere(r *http.Request) bool {
	return isLoopback(r.RemoteAddr) && r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == ""
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
