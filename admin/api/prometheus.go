package api

import (
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// PrometheusPrefix is the path below which programs that know PromQL find what a Prometheus server has.
const PrometheusPrefix = "/api/prometheus"

// prometheusErrors answers errors of the guards in the form that clients of Prometheus understand.
func (s *Server) prometheusErrors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err == nil || c.Response().Committed {
			return err
		}
		p := s.problemOf(err)
		if p.unexpected {
			s.log.Error("request failed", "request_id", requestID(c), "method", c.Request().Method, "path", c.Request().URL.Path, "error", err)
		}
		if p.Status == http.StatusUnauthorized {
			c.Response().Header().Set("WWW-Authenticate", `Bearer realm="kioskfleet"`)
		}
		if p.retryAfter > 0 {
			c.Response().Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
		}
		return c.JSON(p.Status, struct {
			Status    string `json:"status"`
			ErrorType string `json:"errorType"`
			Error     string `json:"error"`
		}{"error", errorType(p.Status), p.Title + ": " + p.Detail})
	}
}

// errorType names an error as Prometheus does, where it has a name for it.
func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusServiceUnavailable:
		return "unavailable"
	case statusClientClosed:
		return "canceled"
	case http.StatusInternalServerError:
		return "internal"
	}
	return "bad_data"
}
