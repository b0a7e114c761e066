package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

// refused is a conflict that says in its own words what stands in the way.
type refused struct{}

func (refused) Error() string { return "model m1 is at work already" }
func (refused) Unwrap() error { return fleet.ErrConflict }

func TestAConflictThatExplainsItselfGetsNoAdvice(t *testing.T) {
	s := newSite(t)
	s.echo.GET("/fails", func(echo.Context) error { return refused{} })
	if p := decode[problem](t, s.raw("GET", "/fails", ""), 409); p.Title != "Conflict" || p.Detail != "model m1 is at work already" {
		t.Errorf("problem = %+v", p)
	}
}

func TestEachErrorIsAProblem(t *testing.T) {
	tests := []struct {
		err    error
		status int
		title  string
		detail string // part of it
		retry  string
	}{
		{fleet.ErrNotFound, 404, "Not found", "not found", ""},
		{fleet.ErrExists, 409, "Already exists", "already exists", ""},
		{fleet.ErrConflict, 409, "Changed meanwhile", "load it again", ""},
		{fleet.ErrUnauthorized, 401, "Not logged in", "not logged in", ""},
		{fleet.ErrForbidden, 403, "Not allowed", "not allowed", ""},
		{fleet.ErrTokenInvalid, 401, "Enrolment token not valid", "admin enroll-token create", ""},
		{fleet.ErrTokenExpired, 401, "Enrolment token expired", "admin enroll-token create", ""},
		{fleet.ErrTokenUsedUp, 403, "Enrolment token used up", "issue one with more uses", ""},
		{fleet.ErrTokenScope, 403, "Enrolment token not for this serial", "", ""},
		{fleet.ErrNotRegistered, 403, "Kiosk not registered", "admin kiosk add", ""},
		{fleet.ErrRevoked, 403, "Kiosk revoked", "", ""},
		{fleet.ErrUnavailable, 503, "Not available yet", "", "1"},
		{context.DeadlineExceeded, 503, "Took too long", "", "1"},
		{context.Canceled, 499, "Request cancelled", "", ""},
		{errInner, 500, "Internal error", "request id", ""},
		{fleet.Invalid("metric", "is odd"), 422, "Invalid input", "metric: is odd", ""},
		{errLater, 429, "Slowly", "later", "3"},
	}
	for _, tt := range tests {
		for name, err := range map[string]error{"bare": tt.err, "wrapped": fmt.Errorf("kiosk K-1: %w", tt.err)} {
			t.Run(fmt.Sprintf("%v, %s", tt.err, name), func(t *testing.T) {
				s := newSite(t, func(c *Config) {
					c.Classify = func(err error) (Fault, bool) {
						return Fault{Status: 429, Title: "Slowly", RetryAfter: 2100 * time.Millisecond}, strings.Contains(err.Error(), errLater.Error())
					}
				})
				s.echo.GET("/fails", func(echo.Context) error { return err })
				rec := s.raw("GET", "/fails", "")
				p := decode[problem](t, rec, tt.status)
				if p.Title != tt.title || !strings.Contains(p.Detail, tt.detail) || rec.Header().Get("Retry-After") != tt.retry {
					t.Errorf("problem = %+v, Retry-After %q", p, rec.Header().Get("Retry-After"))
				}
				if (rec.Header().Get("WWW-Authenticate") != "") != (tt.status == 401) {
					t.Errorf("WWW-Authenticate = %q", rec.Header().Get("WWW-Authenticate"))
				}
				if tt.status == 422 && (len(p.Violations) != 1 || p.Violations[0] != fleet.Violation{Field: "metric", Reason: "is odd"}) {
					t.Errorf("violations = %+v", p.Violations)
				}
			})
		}
	}
}

var errLater = fmt.Errorf("come back later")

func TestAnInternalErrorIsInTheLogUnderItsRequestID(t *testing.T) {
	var log strings.Builder
	s := newSite(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s.failing = errInner
	p := decode[problem](t, s.do("GET", "/tokens", "", as("admin")), 500)
	if !strings.Contains(log.String(), "request_id="+p.RequestID) || !strings.Contains(log.String(), errInner.Error()) {
		t.Errorf("log = %s", log.String())
	}
	log.Reset()
	s.failing = fleet.ErrUnavailable
	if s.do("GET", "/tokens", "", as("admin")); log.Len() != 0 {
		t.Errorf("an expected error is in the log: %s", log.String())
	}
}

func TestAPanicIsAnInternalError(t *testing.T) {
	var log strings.Builder
	s := newSite(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Web = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/abort" {
				panic(http.ErrAbortHandler)
			}
			panic("oops")
		})
	})
	p := decode[problem](t, s.raw("GET", "/", ""), 500)
	if !strings.Contains(log.String(), "oops") || !strings.Contains(log.String(), "request_id="+p.RequestID) {
		t.Errorf("log = %s", log.String())
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Error("a handler that aborts its connection is not let through")
		}
	}()
	s.raw("GET", "/abort", "")
}

func TestBodiesAreReadStrictly(t *testing.T) {
	tests := []struct {
		name   string
		method string
		path   string
		body   string
		status int
		field  string
		detail string
	}{
		{"good", "POST", "/kiosks", `{"serial":"K-2","site":"Lobby","tags":["a"],"location":{"lat":1,"lng":2}}`, 201, "", ""},
		{"space around", "POST", "/kiosks", " \n{\"serial\":\"K-2\"}\n ", 201, "", ""},
		{"empty", "POST", "/kiosks", "", 400, "", "empty"},
		{"only space", "POST", "/kiosks", "  ", 400, "", "empty"},
		{"not JSON", "POST", "/kiosks", "serial=K-2", 400, "", "not valid JSON"},
		{"cut off", "POST", "/kiosks", `{"serial":"K-2"`, 400, "", "not valid JSON"},
		{"something after it", "POST", "/kiosks", `{"serial":"K-2"}{}`, 400, "", "nothing after it"},
		{"a bracket after it", "POST", "/kiosks", `{"serial":"K-2"}]`, 400, "", "nothing after it"},
		{"an array", "POST", "/kiosks", `[{"serial":"K-2"}]`, 400, "", "must be a JSON object, not array"},
		{"a text", "POST", "/kiosks", `"K-2"`, 400, "", "must be a JSON object, not string"},
		{"unknown field", "POST", "/kiosks", `{"serial":"K-2","colour":"red"}`, 422, "colour", "is not a known field"},
		{"unknown field inside", "POST", "/kiosks", `{"serial":"K-2","location":{"lat":1,"lng":2,"alt":3}}`, 422, "alt", "is not a known field"},
		{"number for text", "POST", "/kiosks", `{"serial":7}`, 422, "serial", "must be a string, not number"},
		{"text for array", "POST", "/kiosks", `{"serial":"K-2","tags":"a"}`, 422, "tags", "must be an array, not string"},
		{"text for object", "POST", "/kiosks", `{"serial":"K-2","location":"here"}`, 422, "location", "must be an object, not string"},
		{"text for number", "POST", "/kiosks", `{"serial":"K-2","location":{"lat":"1","lng":2}}`, 422, "location.lat", "must be a number, not string"},
		{"fraction for a count", "POST", "/enrollment-tokens", `{"serial_pattern":"*","max_uses":1.5}`, 422, "max_uses", "must be a whole number, not number 1.5"},
		{"number that is too large", "POST", "/enrollment-tokens", `{"serial_pattern":"*","max_uses":1e99}`, 422, "max_uses", "must be a whole number"},
		{"too large", "POST", "/kiosks", `{"serial":"` + strings.Repeat("K", maxBodyBytes) + `"}`, 413, "", "more than 65536 bytes"},
		{"as large as allowed", "POST", "/kiosks", `{"serial":"K-2"}` + strings.Repeat(" ", maxBodyBytes-16), 201, "", ""},
		{"the domain's faults", "POST", "/kiosks", `{"serial":"K 2"}`, 422, "serial", ""},
		{"already there", "POST", "/kiosks", `{"serial":"K-1"}`, 409, "", ""},
		{"no change", "PATCH", "/kiosks/K-1", `{}`, 200, "", ""},
		{"unknown field of a patch", "PATCH", "/kiosks/K-1", `{"serial":"K-2"}`, 422, "serial", "is not a known field"},
		{"bad lifetime", "POST", "/enrollment-tokens", `{"serial_pattern":"*","expires_in":"soon"}`, 422, "expires_in", `"soon" is not a positive duration`},
		{"bad lifetime of a token", "POST", "/tokens", `{"name":"n","scope":"read","expires_in":"-1h"}`, 422, "expires_in", ""},
		{"bad lifetime of a command", "POST", "/kiosks/K-1/commands", `{"name":"ping","expires_in":"0s"}`, 422, "expires_in", ""},
		{"unknown field of a command", "POST", "/kiosks/K-1/commands", `{"name":"ping","serial":"K-9"}`, 422, "serial", ""},
		{"number for a command", "POST", "/kiosks/K-1/commands", `{"name":1}`, 422, "name", "must be a string, not number"},
		{"unknown field of an enrolment", "POST", "/enroll", `{"token":"t","password":"x"}`, 422, "password", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := callSite(t)
			rec := s.do(tt.method, tt.path, tt.body, as("admin"))
			if rec.Code != tt.status {
				t.Fatalf("status = %d, want %d: %s", rec.Code, tt.status, rec.Body)
			}
			if tt.status < 400 {
				return
			}
			p := decode[problem](t, rec, tt.status)
			if !strings.Contains(p.Detail, tt.detail) || strings.Contains(p.Detail, "struct") {
				t.Errorf("detail = %q, want %q", p.Detail, tt.detail)
			}
			if tt.field != "" && (len(p.Violations) != 1 || p.Violations[0].Field != tt.field) {
				t.Errorf("violations = %+v, want %s", p.Violations, tt.field)
			}
			if tt.status != 409 && len(s.calls)+len(s.sent) != 0 {
				t.Errorf("it was done: %v %v", s.calls, s.sent)
			}
		})
	}
}

func TestProblemsOfHeadHaveNoBody(t *testing.T) {
	s := newSite(t)
	if rec := s.raw("HEAD", "/api/v1/nothing", ""); rec.Code != 404 || rec.Body.Len() != 0 {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

func TestReadiness(t *testing.T) {
	s := newSite(t)
	if rec := s.raw("GET", "/readyz", ""); rec.Code != 200 {
		t.Errorf("ready: %d", rec.Code)
	}
	s.ready = fleet.ErrUnavailable
	if rec := s.raw("GET", "/readyz", ""); rec.Code != 503 || !strings.Contains(rec.Body.String(), "not available yet") {
		t.Errorf("not ready: %d %s", rec.Code, rec.Body)
	}
	if rec := s.raw("GET", "/healthz", ""); rec.Code != 200 {
		t.Errorf("health while not ready: %d", rec.Code)
	}
}

func TestTheContractIsServedAndReadable(t *testing.T) {
	s := newSite(t)
	doc := decode[map[string]any](t, s.do("GET", "/openapi.json", "", as("viewer")), 200)
	if doc["openapi"] == nil || doc["paths"] == nil {
		t.Errorf("openapi.json = %v", doc)
	}
	if rec := s.raw("GET", "/docs", ""); rec.Code != 401 {
		t.Errorf("/docs without a login: %d", rec.Code)
	}
	page := s.raw("GET", "/docs", "", as("viewer")).Body.String()
	for _, want := range []string{"/api/v1/kiosks/{serial}/commands", "Tell a kiosk to do something", "Idempotency-Key", "PATCH"} {
		if !strings.Contains(page, want) {
			t.Errorf("/docs lacks %q", want)
		}
	}
}
