package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"kioskfleet/admin/telemetry"
)

// maxErrorBody bounds what is read of an answer that is no data.
const maxErrorBody = 64 << 10

// statusError is an answer of the server other than success.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("the server answers %d %s", e.code, http.StatusText(e.code))
	}
	return fmt.Sprintf("the server answers %d: %s", e.code, e.message)
}

// aboutData reports whether the server refuses what was sent rather than who sent it or when.
func (e *statusError) aboutData() bool {
	switch e.code {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return true
	}
	return false
}

// failed returns the caller's reason when the caller ended the request; otherwise the connection did,
// and that passes by itself.
func failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &telemetry.RetryAfterError{Err: err}
}

// exchange sends a request and returns an answer whose status is 2xx; the caller closes its body.
func (s *Store) exchange(req *http.Request, contentType string) (*http.Response, error) {
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	resp, err := s.http.DoHTTPRequestWithResponse(req, nil)
	if err != nil {
		return nil, failed(req.Context(), err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, answered(resp)
	}
	return resp, nil
}

// answered returns the error for an answer whose status is not 2xx. It reads the body, which the caller
// closes.
func answered(resp *http.Response) error {
	e := &statusError{code: resp.StatusCode, message: resp.Header.Get("X-Influxdb-Error")}
	if e.message == "" {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // whatever there is of it
		e.message = messageOf(body)
	}
	return classified(e, resp.Header.Get("Retry-After"))
}

// refused says of an answer to a question, which the store itself has made, that it is not the asker's fault.
func refused(err error) error {
	var status *statusError
	var later *telemetry.RetryAfterError
	if errors.As(err, &status) && !errors.As(err, &later) {
		return fmt.Errorf("%w: %w", telemetry.ErrRefused, err)
	}
	return err
}

// messageOf finds the message in the body of an answer: 1.8 and 3 call it error, 2 message.
func messageOf(body []byte) string {
	var known struct{ Error, Message string }
	if json.Unmarshal(body, &known) == nil && known.Error+known.Message != "" {
		return known.Error + known.Message
	}
	return strings.TrimSpace(string(body))
}

// notWritten returns the error of the client's write API in our words.
func notWritten(ctx context.Context, err error) error {
	var e *influxhttp.Error
	if !errors.As(err, &e) || e.StatusCode == 0 {
		return failed(ctx, err)
	}
	message := e.Message
	if message == "" {
		message = e.Header.Get("X-Influxdb-Error")
	}
	return classified(&statusError{code: e.StatusCode, message: message}, e.Header.Get("Retry-After"))
}

// classified marks the answers that a later try may turn into success.
func classified(e *statusError, retryAfter string) error {
	if e.code != http.StatusTooManyRequests && e.code < http.StatusInternalServerError {
		return e
	}
	return &telemetry.RetryAfterError{After: delay(retryAfter, time.Now()), Err: e}
}

// delay reads a Retry-After header: seconds or a date (RFC 9110, 10.2.3); 0 when it says nothing.
func delay(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
