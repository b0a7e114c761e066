package target

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"kioskfleet/admin/fleet"
)

// maxAnswer bounds how much of an answer is read.
const maxAnswer = 64 << 10

// poster posts JSON to one address. It follows no redirect: a signed message is for the address that was meant,
// and a redirect could lead it into another network.
type poster struct {
	target fleet.NotificationTarget
	now    func() time.Time
	client *http.Client
}

func newPoster(t fleet.NotificationTarget, now func() time.Time) poster {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 1, MaxIdleConnsPerHost: 1,
		IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: Timeout, MaxResponseHeaderBytes: maxAnswer,
	}
	return poster{target: t, now: now, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends the connection that is kept for the next message.
func (p poster) Close() { p.client.CloseIdleConnections() }

// post posts a body. Any answer of 200 to 299 is a success.
func (p poster) post(ctx context.Context, address string, body []byte, header http.Header) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return failure(err, p.target)
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "kioskfleet")
	res, err := p.client.Do(req)
	if err != nil {
		return failure(err, p.target)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil // what it says besides is its own affair, even if it does not get to the end of it
	}
	f := &Failure{Text: clean(fmt.Sprintf("HTTP %s", res.Status), p.target), Final: final(res.StatusCode)}
	if words := clean(string(said), p.target); err == nil && words != "" {
		f.Text += ": " + words
	}
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		f.Text += "; redirects are not followed, give the target its final address"
	}
	f.RetryAfter = p.retryAfter(res.Header.Get("Retry-After"))
	return f
}

// final reports whether an answer means that the same request will never be taken: 3xx and 4xx but for those
// that speak of the moment.
func final(status int) bool {
	passing := []int{http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests}
	return status >= 300 && status < 500 && !slices.Contains(passing, status)
}

// maxRetryAfter bounds what another side can ask for: a clock that is wrong must not silence a target for years.
const maxRetryAfter = 6 * time.Hour

// retryAfter reads the header of that name: seconds or a date (RFC 9110, 10.2.3).
func (p poster) retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, min(time.Duration(seconds)*time.Second, maxRetryAfter))
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(p.now()), maxRetryAfter))
	}
	return 0
}

// login takes user and password out of an address, for a header: the standard library would put them into its
// errors.
func login(address string) (without string, user *url.Userinfo) {
	u, err := url.Parse(address)
	if err != nil {
		return address, nil
	}
	user, u.User = u.User, nil
	return u.String(), user
}
