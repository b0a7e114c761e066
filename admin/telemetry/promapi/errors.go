package promapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"

	"kioskfleet/admin/telemetry"
)

// statusClientGone is what is noted when the client went before the answer (nginx's convention, and
// Prometheus').
const statusClientGone = 499

// faultError is an error as the client shall see it.
type faultError struct {
	status     int
	kind       string // Prometheus' errorType
	text       string
	retryAfter time.Duration // 0: none
}

func (e *faultError) Error() string { return e.text }

func fault(status int, kind, text string) *faultError {
	return &faultError{status: status, kind: kind, text: text}
}

// badParameter says what is wrong with a parameter, in Prometheus' words.
func badParameter(name string, err error) *faultError {
	return fault(http.StatusBadRequest, "bad_data", fmt.Sprintf("invalid parameter %q: %v", name, err))
}

// openingPause is how soon a store that is still opening may be asked again.
const openingPause = time.Second

// faultOf returns the answer for an error. The statuses and types are Prometheus' own; its documentation
// has them under "HTTP API, Format overview".
func faultOf(err error) *faultError {
	var known *faultError
	var tooMany promql.ErrTooManySamples
	var canceled promql.ErrQueryCanceled
	var timeout promql.ErrQueryTimeout
	var stored promql.ErrStorage
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, telemetry.ErrNotReady), errors.Is(err, telemetry.ErrClosed):
		f := fault(http.StatusServiceUnavailable, "unavailable", err.Error())
		f.retryAfter = openingPause
		return f
	case errors.As(err, &tooMany):
		return fault(http.StatusUnprocessableEntity, "execution", err.Error()+"; ask for fewer kiosks, a shorter range or a larger step, or raise prometheus.max_samples")
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return fault(http.StatusServiceUnavailable, "timeout", err.Error()+"; ask for fewer kiosks, a shorter range or a larger step")
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return fault(statusClientGone, "canceled", err.Error())
	case errors.As(err, &stored):
		return fault(http.StatusInternalServerError, "internal", "the store could not be read; the log says why")
	}
	return fault(http.StatusUnprocessableEntity, "execution", err.Error())
}

// writeError writes an error in Prometheus' shape.
func writeError(w http.ResponseWriter, f *faultError) {
	WriteError(w, f.status, f.kind, f.text, f.retryAfter)
}

// WriteError writes an error as Prometheus does. Its kind is one such as bad_data, execution or
// unavailable; retryAfter 0 means that the client is not told when to come back.
func WriteError(w http.ResponseWriter, status int, kind, text string, retryAfter time.Duration) {
	body, err := json.Marshal(struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}{"error", kind, strings.ToValidUTF8(text, "�")})
	if err != nil { // three valid strings always can be written
		body = nil
	}
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// Unsupported answers every request that PromQL needs the embedded store, with what to do instead.
func Unsupported() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteError(w, http.StatusNotImplemented, "not_implemented",
			"telemetry.backend is influxdb, and PromQL is for the embedded store; ask InfluxDB itself with InfluxQL: docs/influxdb.md has the schema, docs/integrators.md the data source for Grafana", 0)
	})
}
