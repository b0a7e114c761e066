package api

import (
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// cookieLifetime matches the session's on the server, which is what counts.
const cookieLifetime = 7 * 24 * time.Hour

func (s *Server) login(c echo.Context) error {
	var req struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	var v fleet.Violations
	if req.Username == "" {
		v.Add("username", "is missing")
	}
	if req.Password == "" {
		v.Add("password", "is missing")
	}
	if err := v.Err(); err != nil {
		return err
	}
	remote, _, _ := net.SplitHostPort(c.Request().RemoteAddr)
	secret, p, err := s.cfg.Auth.Login(c.Request().Context(), req.Username, req.Password, remote)
	if err != nil {
		return err
	}
	c.SetCookie(s.cookie(secret, cookieLifetime))
	return c.JSON(http.StatusOK, viewMe(p))
}

func (s *Server) logout(c echo.Context) error {
	if secret, ok := c.Get(keySession).(string); ok {
		if err := s.cfg.Auth.Logout(c.Request().Context(), secret); err != nil {
			return err
		}
		c.SetCookie(s.cookie("", -time.Second))
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) cookie(value string, lifetime time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: int(lifetime.Seconds()),
		HttpOnly: true, Secure: s.cfg.Secure, SameSite: http.SameSiteStrictMode,
	}
}

func (s *Server) me(c echo.Context) error {
	return c.JSON(http.StatusOK, viewMe(principal(c)))
}
