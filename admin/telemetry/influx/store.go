// Package influx keeps telemetry in InfluxDB, through the official client: version 1.8, 2 (with a
// DBRP mapping for the bucket) or 3, since it writes line protocol and reads InfluxQL, which all three
// understand.
//
// Every reading is one point of the measurement kiosk_telemetry: tags serial and site, a field for
// each metric under its name (hardware.cpu_temp), texts and the kiosk's status as string fields, times
// in milliseconds. Writing the same point again changes nothing in InfluxDB.
//
// Writes go through the client's blocking API, one request at a time, without its retries: the
// asynchronous one discards batches when its own queue is full or too old. Whoever calls Append keeps
// the readings until it returns nil.
package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"kioskfleet/admin/telemetry"
)

// DefaultTimeout is the Timeout of a Config that names none.
const DefaultTimeout = 20 * time.Second

// measurement holds all readings.
const measurement = "kiosk_telemetry"

// Config says where the server is and where in it the telemetry goes.
type Config struct {
	URL    string // such as http://localhost:8086
	Token  string // for 1.8 user:password; empty when the server asks for none
	Org    string // for 2; 1.8 and 3 do not ask
	Bucket string // for 1.8 the database, or database/retention-policy; for 3 the database

	// Retention is how long a database or bucket that Open creates keeps its points; 0 means for ever. One
	// that exists is left as it is.
	Retention time.Duration

	// Timeout bounds a write, and the wait for the first byte of an answer; 0 means DefaultTimeout. The
	// length of a query is up to the caller's context.
	Timeout time.Duration
	Logger  *slog.Logger // nil for silence
}

// Store is a telemetry.Store in InfluxDB.
type Store struct {
	client  influxdb2.Client
	http    influxhttp.Service
	writer  api.WriteAPIBlocking
	idle    interface{ CloseIdleConnections() }
	timeout time.Duration
	logger  *slog.Logger

	address          string // for messages: the URL without a password
	org, bucket      string
	database, policy string // the parts of the bucket's name
	retention        time.Duration
	closed           atomic.Bool
}

var _ telemetry.Store = (*Store)(nil)

// Open connects to the server and makes sure that it has the database or bucket, creating what is missing
// if the token may.
//
// Errors: a *telemetry.RetryAfterError while the server cannot be reached or is overloaded, and while
// something is missing there that the token may not create: the message then has the command to run, and
// wraps a *SetupError. Anything else needs another configuration, and the message says what to do.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s, err := newStore(cfg)
	if err != nil {
		return nil, fmt.Errorf("open influxdb: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.prepare(limited); err != nil {
		s.close()
		if ctx.Err() == nil && limited.Err() != nil { // too slow for us, not for the caller
			err = &telemetry.RetryAfterError{Err: err}
		}
		return nil, fmt.Errorf("open influxdb at %s: %w", s.address, err)
	}
	return s, nil
}

// newStore checks the configuration; it does not connect.
func newStore(cfg Config) (*Store, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the URL is not one such as http://localhost:8086")
	}
	database, policy, _ := strings.Cut(cfg.Bucket, "/")
	if database == "" {
		return nil, errors.New("no bucket was given (for InfluxDB 1.8 the database)")
	}
	if cfg.Retention != 0 && cfg.Retention < time.Hour {
		return nil, fmt.Errorf("retention %v is shorter than an hour, the least that InfluxDB takes", cfg.Retention)
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("timeout %v is negative", cfg.Timeout)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: min(cfg.Timeout, 5*time.Second)}).DialContext,
		TLSHandshakeTimeout:   min(cfg.Timeout, 5*time.Second),
		ResponseHeaderTimeout: cfg.Timeout,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	options := influxdb2.DefaultOptions().
		SetApplicationName("kioskfleet").
		SetPrecision(time.Millisecond).
		SetMaxRetries(0).
		SetHTTPClient(&http.Client{Transport: transport})
	client := influxdb2.NewClientWithOptions(u.String(), cfg.Token, options)
	return &Store{
		client:    client,
		http:      client.HTTPService(),
		writer:    client.WriteAPIBlocking(cfg.Org, cfg.Bucket),
		idle:      transport,
		timeout:   cfg.Timeout,
		logger:    cfg.Logger,
		address:   u.Redacted(),
		org:       cfg.Org,
		bucket:    cfg.Bucket,
		database:  database,
		policy:    policy,
		retention: cfg.Retention,
	}, nil
}

// prepare looks what server it is and whether it has our database.
func (s *Store) prepare(ctx context.Context) error {
	version, err := s.ping(ctx)
	if err != nil {
		return err
	}
	s.logger.Info("InfluxDB answers", "url", s.address, "version", version)
	switch major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), "."); major {
	case "3":
		return s.prepareV3(ctx)
	case "2":
		return s.prepareV2(ctx)
	default:
		return s.prepareV1(ctx) // one that was built from its source says "unknown"
	}
}

// ping returns the server's version: from the header, or as InfluxDB 3 has it also from the body.
func (s *Store) ping(ctx context.Context) (version string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http.ServerURL()+"ping", nil)
	if err != nil {
		return "", err
	}
	resp, err := s.http.DoHTTPRequestWithResponse(req, nil)
	if err != nil {
		return "", failed(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return "", answered(resp)
	}
	if version = resp.Header.Get("X-Influxdb-Version"); version != "" {
		return version, nil
	}
	var body struct{ Version string }
	_ = json.NewDecoder(io.LimitReader(resp.Body, maxErrorBody)).Decode(&body) // 1.8 and 2 send none
	return body.Version, nil
}

// Address returns the server's URL without a password, for messages.
func (s *Store) Address() string { return s.address }

// Close ends the use of the server; closing again does nothing.
func (s *Store) Close() error {
	if !s.closed.Swap(true) {
		s.close()
	}
	return nil
}

func (s *Store) close() {
	s.client.Close()
	s.idle.CloseIdleConnections()
}

// Sync does nothing: InfluxDB answers a write when its own log has it.
func (s *Store) Sync(context.Context) error { return nil }
