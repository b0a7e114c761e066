package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// Config says how to enrol. Platform is required.
type Config struct {
	Platform *Platform
	Tokens   Tokens
	// TokenWait is how long to wait for the token of a platform that is still starting; default 30 s.
	TokenWait time.Duration
	// Prepare, if set, runs before a serial's request and may register the kiosk; ca is the
	// fingerprint of the platform's authority. An error counts like one of the request.
	Prepare func(ctx context.Context, serial, ca string) error
	Backoff mqttclient.Backoff
	Log     *slog.Logger
}

// Enroller gives kiosks their identities. It is safe for concurrent use.
type Enroller struct {
	cfg Config

	mu     sync.Mutex                // guards the rest
	roots  map[string]*x509.CertPool // by fingerprint: all kiosks of a process share the pool
	warned time.Time                 // when the missing token was logged last
}

const (
	defaultTokenWait = 30 * time.Second
	// tokenPoll is the time between looks for a token that is not there yet.
	tokenPoll = 250 * time.Millisecond
	// tokenWarning is the time between log lines about it, from all kiosks of the process together.
	tokenWarning = 10 * time.Second
	// maxBackoff is short: somebody waits for a kiosk that is being installed.
	maxBackoff = 10 * time.Second
)

// New returns an enroller.
func New(cfg Config) *Enroller {
	if cfg.TokenWait == 0 {
		cfg.TokenWait = defaultTokenWait
	}
	if cfg.Backoff.Max == 0 {
		cfg.Backoff.Max = maxBackoff
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Enroller{cfg: cfg, roots: map[string]*x509.CertPool{}}
}

// Identity returns the identity that dir holds for the serial. It enrols when there is none, when
// the certificate has expired or is damaged, or when the token names another authority (the
// platform's data folder was made anew). An unreachable platform is tried again until ctx ends. When
// the token is another one than the stored certificate was fetched by, somebody has issued it because
// the old certificate was revoked: it is tried once, and what is stored stays if it is refused.
//
// Errors: ErrNoToken; *Problem when the platform refuses; an error that says which part of its
// answer is not to be trusted.
func (e *Enroller) Identity(ctx context.Context, dir, serial string) (Identity, error) {
	if err := protocol.CheckSerial(serial); err != nil {
		return Identity{}, err
	}
	log := e.cfg.Log.With("serial", serial)
	c, err := load(dir)
	if err == nil {
		err = c.check(serial, time.Now())
	}
	if err == nil {
		err = e.sameAuthority(c, log)
	}
	switch {
	case err == nil:
		c = e.freshened(ctx, c, dir, serial, log)
		return c.identity(serial, e.pool(c.root))
	case !errors.Is(err, fs.ErrNotExist):
		log.Info("enrolling again", "reason", err)
	}
	c, err = e.enroll(ctx, serial, log)
	if err != nil {
		return Identity{}, fmt.Errorf("enrol %s: %w", serial, err)
	}
	if err := c.store(dir); err != nil {
		return Identity{}, fmt.Errorf("enrol %s: %w", serial, err)
	}
	log.Info("enrolled", "kiosk_id", c.details.KioskID, "brokers", c.details.Brokers, "expires", c.chain[0].NotAfter)
	return c.identity(serial, e.pool(c.root))
}

// sameAuthority compares stored credentials with the token. A kiosk that has enrolled needs no token
// any more, so a missing or unreadable one is no fault.
func (e *Enroller) sameAuthority(c *credentials, log *slog.Logger) error {
	token, err := e.cfg.Tokens.Find()
	if err != nil {
		if !errors.Is(err, ErrNoToken) {
			log.Warn("the enrolment token cannot be read; using the stored certificate", "error", err)
		}
		return nil
	}
	if token.CA != pki.Fingerprint(c.root) {
		return errors.New("the stored certificate is of another authority than the enrolment token names")
	}
	return nil
}

// freshened returns new credentials where a new token gives them, else c.
func (e *Enroller) freshened(ctx context.Context, c *credentials, dir, serial string, log *slog.Logger) *credentials {
	token, err := e.cfg.Tokens.Find()
	if err != nil || c.details.TokenID == "" || token.ID == c.details.TokenID {
		return c
	}
	fresh, err := e.once(ctx, token, serial)
	if err == nil {
		err = fresh.store(dir)
	}
	if err != nil {
		log.Warn("the new enrolment token gives no certificate; using the stored one", "error", err)
		return c
	}
	log.Info("enrolled again with a new token", "kiosk_id", fresh.details.KioskID, "expires", fresh.chain[0].NotAfter)
	return fresh
}

// once asks for a certificate a single time.
func (e *Enroller) once(ctx context.Context, token protocol.EnrollmentToken, serial string) (*credentials, error) {
	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := pki.NewCSR(key, serial)
	if err != nil {
		return nil, err
	}
	return e.ask(ctx, token, protocol.EnrollRequest{Token: token.String(), Serial: serial, CSR: string(csr)}, key)
}

// enroll asks for a certificate until the platform gives or refuses one.
func (e *Enroller) enroll(ctx context.Context, serial string, log *slog.Logger) (*credentials, error) {
	key, err := pki.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := pki.NewCSR(key, serial)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	prepared := e.cfg.Prepare == nil
	for attempt := 0; ; attempt++ {
		token, err := e.cfg.Tokens.Find()
		if err != nil && (!errors.Is(err, ErrNoToken) || time.Since(began) > e.cfg.TokenWait) {
			return nil, err
		}
		if err == nil && !prepared {
			err = e.cfg.Prepare(ctx, serial, token.CA)
			prepared = err == nil
		}
		if err == nil {
			var c *credentials
			c, err = e.ask(ctx, token, protocol.EnrollRequest{Token: token.String(), Serial: serial, CSR: string(csr)}, key)
			if err == nil {
				return c, nil
			}
		}
		if !errors.Is(err, ErrNoToken) && !Temporary(err) && !e.renewed(token) {
			return nil, err
		}
		if err := e.pause(ctx, attempt, err, log); err != nil {
			return nil, err
		}
	}
}

// pause waits before the next attempt: longer each time, and as long as the platform asks.
func (e *Enroller) pause(ctx context.Context, attempt int, cause error, log *slog.Logger) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	delay := e.cfg.Backoff.Delay(attempt)
	var p *Problem
	switch {
	case errors.Is(cause, ErrNoToken):
		delay = tokenPoll
		e.warnOfToken(cause)
	case errors.As(cause, &p):
		delay = max(delay, p.RetryAfter)
		fallthrough
	default:
		log.Warn("cannot enrol yet", "error", cause, "retry_in", delay.Round(time.Millisecond))
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(delay):
		return nil
	}
}

// warnOfToken says now and then that the token is missing.
func (e *Enroller) warnOfToken(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); now.Sub(e.warned) > tokenWarning {
		e.warned = now
		e.cfg.Log.Warn("waiting for an enrolment token", "error", err, "at_most", e.cfg.TokenWait)
	}
}

// renewed reports whether there is another token by now: admin in development mode writes a new one
// when its data folder is new.
func (e *Enroller) renewed(used protocol.EnrollmentToken) bool {
	now, err := e.cfg.Tokens.Find()
	return err == nil && now != used
}

// ask makes one request and checks the answer: the root must be the one that the token names, and the
// certificate ours.
func (e *Enroller) ask(ctx context.Context, token protocol.EnrollmentToken, req protocol.EnrollRequest, key crypto.Signer) (*credentials, error) {
	var answer protocol.EnrollResponse
	if err := e.cfg.Platform.Post(ctx, token.CA, protocol.EnrollPath, "", req, &answer); err != nil {
		return nil, err
	}
	leaf, err := pki.ParseCertificates([]byte(answer.Certificate))
	if err != nil {
		return nil, &answerError{fmt.Errorf("answer's certificate: %w", err)}
	}
	chain, err := pki.ParseCertificates([]byte(answer.Chain))
	if err != nil {
		return nil, &answerError{fmt.Errorf("answer's chain: %w", err)}
	}
	i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return pki.Fingerprint(c) == token.CA })
	if i < 0 {
		return nil, &answerError{errors.New("the answer's chain does not end at the authority that the enrolment token names: wrong server, or a token of another platform")}
	}
	c := &credentials{
		key:     key,
		chain:   append(leaf[:1:1], chain...),
		root:    chain[i],
		details: details{TokenID: token.ID, Certificate: pki.Fingerprint(leaf[0]), KioskID: answer.KioskID, Brokers: answer.Brokers},
	}
	if err := c.check(req.Serial, time.Now()); err != nil {
		return nil, &answerError{fmt.Errorf("the platform's answer: %w", err)}
	}
	return c, nil
}

// answerError is an answer that is not to be trusted; asking again would not help.
type answerError struct{ error }

func (e *answerError) Unwrap() error { return e.error }

// Temporary reports whether a failed request is worth repeating: the platform was not reached, or
// said so itself.
func Temporary(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return p.Temporary()
	}
	var trust *trustError
	var answer *answerError
	return !errors.As(err, &trust) && !errors.As(err, &answer)
}

func (e *Enroller) pool(root *x509.Certificate) *x509.CertPool {
	e.mu.Lock()
	defer e.mu.Unlock()
	fingerprint := pki.Fingerprint(root)
	if pool, ok := e.roots[fingerprint]; ok {
		return pool
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	e.roots[fingerprint] = pool
	return pool
}
