package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// defaultTokenLifetime is how long an enrolment token is good when nobody says.
const defaultTokenLifetime = 24 * time.Hour

func (s *Server) enroll(c echo.Context) error {
	var req protocol.EnrollRequest
	if err := body(c, &req); err != nil {
		return err
	}
	answer, err := s.cfg.Enrolment.Enroll(c.Request().Context(), req)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) listEnrollmentTokens(c echo.Context) error {
	tokens, err := s.cfg.Enrolment.List(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list(tokens, viewEnrollmentToken))
}

func (s *Server) createEnrollmentToken(c echo.Context) error {
	req := struct {
		SerialPattern string `json:"serial_pattern"`
		MaxUses       int    `json:"max_uses"`
		ExpiresIn     string `json:"expires_in"`
	}{MaxUses: 1}
	if err := body(c, &req); err != nil {
		return err
	}
	expiresIn, err := optionalDuration("expires_in", req.ExpiresIn, defaultTokenLifetime)
	if err != nil {
		return err
	}
	t, text, err := s.cfg.Enrolment.Create(c.Request().Context(), req.SerialPattern, req.MaxUses, expiresIn, principal(c).Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, createdEnrollmentTokenView{t.ID, text, t.SerialPattern, t.MaxUses, t.ExpiresAt})
}

func (s *Server) deleteEnrollmentToken(c echo.Context) error {
	if err := s.cfg.Enrolment.Delete(c.Request().Context(), c.Param("id"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) listTokens(c echo.Context) error {
	tokens, err := s.cfg.Auth.APITokens(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, list(tokens, viewToken))
}

func (s *Server) createToken(c echo.Context) error {
	var req struct {
		Name      string      `json:"name"`
		Scope     fleet.Scope `json:"scope"`
		ExpiresIn string      `json:"expires_in"`
	}
	if err := body(c, &req); err != nil {
		return err
	}
	expiresIn, err := optionalDuration("expires_in", req.ExpiresIn, 0)
	if err != nil {
		return err
	}
	t, text, err := s.cfg.Auth.CreateAPIToken(c.Request().Context(), req.Name, req.Scope, expiresIn, principal(c).Name)
	if err != nil {
		return err
	}
	v := viewToken(t)
	v.Token = text
	return c.JSON(http.StatusCreated, v)
}

func (s *Server) deleteToken(c echo.Context) error {
	if err := s.cfg.Auth.DeleteAPIToken(c.Request().Context(), c.Param("id"), principal(c).Name); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func list[T, V any](items []T, view func(T) V) page[V] {
	out := page[V]{Items: make([]V, len(items))}
	for i, item := range items {
		out.Items[i] = view(item)
	}
	return out
}
