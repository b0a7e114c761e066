package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// problem is the body of every error, RFC 9457.
type problem struct {
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Detail     string            `json:"detail,omitempty"`
	RequestID  string            `json:"request_id"`
	Violations []fleet.Violation `json:"violations,omitempty"`

	retryAfter time.Duration
	unexpected bool // it is our fault and belongs in the log
}

// statusClientClosed is logged when the client went before the answer (nginx's convention).
const statusClientClosed = 499

// sentinels maps the domain's errors to HTTP, once. The first that matches counts.
var sentinels = []struct {
	err    error
	status int
	title  string
}{
	{fleet.ErrNotFound, http.StatusNotFound, "Not found"},
	{fleet.ErrExists, http.StatusConflict, "Already exists"},
	{fleet.ErrConflict, http.StatusConflict, "Changed meanwhile"},
	{fleet.ErrUnauthorized, http.StatusUnauthorized, "Not logged in"},
	{fleet.ErrForbidden, http.StatusForbidden, "Not allowed"},
	{fleet.ErrTokenInvalid, http.StatusUnauthorized, "Enrolment token not valid"},
	{fleet.ErrTokenExpired, http.StatusUnauthorized, "Enrolment token expired"},
	{fleet.ErrTokenUsedUp, http.StatusForbidden, "Enrolment token used up"},
	{fleet.ErrTokenScope, http.StatusForbidden, "Enrolment token not for this serial"},
	{fleet.ErrNotRegistered, http.StatusForbidden, "Kiosk not registered"},
	{fleet.ErrRevoked, http.StatusForbidden, "Kiosk revoked"},
	{fleet.ErrUnavailable, http.StatusServiceUnavailable, "Not available yet"},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "Took too long"},
	{context.Canceled, statusClientClosed, "Request cancelled"},
}

// advice says what to do about an error, by its sentinel.
var advice = map[error]string{
	fleet.ErrTokenInvalid:  "issue a new one with `admin enroll-token create` or POST /api/v1/enrollment-tokens",
	fleet.ErrTokenExpired:  "issue a new one with `admin enroll-token create` or POST /api/v1/enrollment-tokens",
	fleet.ErrTokenUsedUp:   "issue one with more uses",
	fleet.ErrConflict:      "load it again and repeat the change",
	fleet.ErrNotRegistered: "register its serial first with `admin kiosk add` or POST /api/v1/kiosks",
}

func (s *Server) problemOf(err error) problem {
	var invalid *fleet.ValidationError
	var echoErr *echo.HTTPError
	switch {
	case errors.As(err, &invalid):
		return problem{Title: "Invalid input", Status: http.StatusUnprocessableEntity, Detail: err.Error(), Violations: invalid.Violations}
	case errors.As(err, &echoErr):
		return problem{Title: http.StatusText(echoErr.Code), Status: echoErr.Code, Detail: fmt.Sprint(echoErr.Message)}
	}
	if s.cfg.Classify != nil {
		if fault, ok := s.cfg.Classify(err); ok {
			return problem{Title: fault.Title, Status: fault.Status, Detail: err.Error(), retryAfter: fault.RetryAfter}
		}
	}
	for _, m := range sentinels {
		if errors.Is(err, m.err) {
			detail := err.Error()
			if errors.Is(m.err, fleet.ErrConflict) && !strings.Contains(detail, m.err.Error()) {
				return problem{Title: http.StatusText(m.status), Status: m.status, Detail: detail} // it says itself what is to be done
			}
			if a := advice[m.err]; a != "" {
				detail += ": " + a
			}
			p := problem{Title: m.title, Status: m.status, Detail: detail}
			if m.status == http.StatusServiceUnavailable {
				p.retryAfter = time.Second
			}
			return p
		}
	}
	return problem{Title: "Internal error", Status: http.StatusInternalServerError, Detail: "the request failed for a reason of ours; the log has it under this request id", unexpected: true}
}

// handleError writes an error as a problem; echo calls it for every error of a handler.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	p := s.problemOf(err)
	p.Type = "about:blank"
	p.RequestID = requestID(c)
	if p.unexpected {
		s.log.Error("request failed", "request_id", p.RequestID, "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
	}
	header := c.Response().Header()
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="kioskfleet"`)
	}
	if p.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	header.Set(echo.HeaderContentType, "application/problem+json")
	c.Response().WriteHeader(p.Status)
	if c.Request().Method == http.MethodHead {
		return
	}
	if err := json.NewEncoder(c.Response()).Encode(p); err != nil {
		s.log.Debug("error not delivered", "request_id", p.RequestID, "error", err)
	}
}

// Bounds of a request's body. A query or backtest may list as many of the longest serials as it may.
const (
	maxBodyBytes      = 64 << 10
	maxQueryBodyBytes = 512 << 10
)

// body reads a JSON body strictly: unknown fields, trailing text and other types are errors that say so.
func body(c echo.Context, into any) error { return bodyUpTo(c, maxBodyBytes, into) }

func bodyUpTo(c echo.Context, most int64, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, most))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return echo.NewHTTPError(http.StatusBadRequest, "the body must be one JSON object and nothing after it")
	}
	var tooLarge *http.MaxBytesError
	var typeErr *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return echo.NewHTTPError(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", most))
	case errors.As(err, &typeErr) && typeErr.Field == "":
		return echo.NewHTTPError(http.StatusBadRequest, "the body must be a JSON object, not "+typeErr.Value)
	case errors.As(err, &typeErr):
		return fleet.Invalid(typeErr.Field, "must be %s, not %s", inWords(typeErr.Type), typeErr.Value)
	case errors.Is(err, io.EOF):
		return echo.NewHTTPError(http.StatusBadRequest, "the body is empty; a JSON object is expected")
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fleet.Invalid(strings.Trim(field, `"`), "is not a known field")
	}
	return echo.NewHTTPError(http.StatusBadRequest, "the body is not valid JSON: "+err.Error())
}

// inWords says which JSON a Go type takes.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float64:
		return "a number"
	}
	return "a whole number"
}
