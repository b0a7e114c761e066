// Package enroll gets a kiosk its identity: it finds the enrolment token, makes the private key,
// asks the platform for a certificate, checks the answer, and keeps all of it in a folder. The key
// never leaves that folder.
package enroll

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"kioskfleet/internal/pki"
)

const (
	requestTimeout = 30 * time.Second
	// connections bounds the simultaneous requests of a process that enrols many kiosks: each costs
	// the platform a signature and a disk write.
	connections = 16
	maxAnswer   = 1 << 20 // bytes
)

// Platform is the platform's REST API, as kiosks and the spawner use it. One is shared by all
// kiosks of a process; it is safe for concurrent use.
type Platform struct {
	base  *url.URL
	slots chan struct{}

	mu      sync.Mutex
	clients map[string]*http.Client // by the fingerprint of the CA to trust
}

// NewPlatform returns the API at adminURL. Over https the server must prove the CA that each request
// names; plain http is refused unless the host is a loopback address, because the token is a secret.
func NewPlatform(adminURL string) (*Platform, error) {
	u, err := url.Parse(adminURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("admin.url: %q is not an address such as https://admin.example:8443", adminURL)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("admin.url: %s would send the enrolment token in plain text: use https, plain http is only for loopback addresses", adminURL)
	}
	return &Platform{base: u, slots: make(chan struct{}, connections), clients: map[string]*http.Client{}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Request is one call of the REST API.
type Request struct {
	Method string
	Path   string // below the platform's address, with the query
	CA     string // fingerprint of the authority to trust over https
	Bearer string // token; may be empty
	// IdempotencyKey makes it harmless to send the request again; may be empty.
	IdempotencyKey string
	In             any // sent as JSON; nil: no body
}

// Post sends in as JSON to a path and decodes the answer into out, as Do does.
func (p *Platform) Post(ctx context.Context, ca, path, bearer string, in, out any) error {
	return p.Do(ctx, Request{Method: http.MethodPost, Path: path, CA: ca, Bearer: bearer, In: in}, out)
}

// Do sends a request and decodes the answer into out unless that is nil. It waits while too many
// requests are under way.
//
// Errors: *Problem for an answer that is no success; a transport's error when there was none.
func (p *Platform) Do(ctx context.Context, r Request, out any) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var body io.Reader
	if r.In != nil {
		text, err := json.Marshal(r.In)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	target := strings.TrimSuffix(p.base.String(), "/") + r.Path
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if r.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.Bearer)
	}
	if r.IdempotencyKey != "" {
		req.Header.Set("Idempotency-Key", r.IdempotencyKey)
	}
	resp, err := p.client(r.CA).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", target, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return problemOf(resp, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", target, err)
	}
	return nil
}

// client returns the shared client that trusts the given CA.
func (p *Platform) client(ca string) *http.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.clients[ca]; ok {
		return c
	}
	pinned := pki.PinnedClient(ca, p.base.Hostname())
	verify := pinned.VerifyConnection
	pinned.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verify(state); err != nil {
			return &trustError{err}
		}
		return nil
	}
	c := &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     pinned,
			ForceAttemptHTTP2:   true,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxConnsPerHost:     connections,
			MaxIdleConnsPerHost: connections,
			IdleConnTimeout:     30 * time.Second,
		},
		// A redirect would carry the token to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.clients[ca] = c
	return c
}

// trustError is a server that could not prove to be the right one.
type trustError struct{ error }

func (e *trustError) Unwrap() error { return e.error }

// Problem is an answer of the platform that is no success (RFC 9457).
type Problem struct {
	Status     int    `json:"-"`
	Title      string `json:"title"`
	Detail     string `json:"detail"`
	Violations []struct {
		Field  string `json:"field"`
		Reason string `json:"reason"`
	} `json:"violations"`
	RetryAfter time.Duration `json:"-"` // 0 when the platform does not say
}

// Error says status, title, detail and violations in one line.
func (p *Problem) Error() string {
	parts := []string{"admin answered " + strconv.Itoa(p.Status)}
	for _, s := range []string{p.Title, p.Detail} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, v := range p.Violations {
		parts = append(parts, v.Field+" "+v.Reason)
	}
	return strings.Join(parts, ": ")
}

// Temporary reports whether the same request may succeed later.
func (p *Problem) Temporary() bool {
	return p.Status >= 500 || p.Status == http.StatusTooManyRequests || p.Status == http.StatusRequestTimeout
}

// maxRetryAfter bounds how long a server can make a kiosk wait.
const maxRetryAfter = time.Minute

func problemOf(resp *http.Response, text []byte) *Problem {
	p := &Problem{}
	if json.Unmarshal(text, p) != nil || p.Title == "" {
		p = &Problem{Title: http.StatusText(resp.StatusCode)}
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		p.RetryAfter = min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	return p
}
