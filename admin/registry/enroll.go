package registry

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// Bounds of an enrolment token.
const (
	maxTokenUses     = 1_000_000
	maxTokenLifetime = 366 * 24 * time.Hour
)

// TokenRequest says what an enrolment token is for. Secret and Hash come from the caller, so that
// this package knows nothing of how secrets are made.
type TokenRequest struct {
	SerialPattern string
	MaxUses       int
	ExpiresIn     time.Duration
	MayRegister   bool
}

// Credentials are a fresh secret, its identifier and the hash that is stored of it.
type Credentials struct{ ID, Secret, Hash string }

// CreateToken issues an enrolment token and returns its text, which is shown this once.
func (r *Registry) CreateToken(ctx context.Context, req TokenRequest, c Credentials, actor string) (fleet.EnrollmentToken, string, error) {
	var v fleet.Violations
	if req.SerialPattern == "" {
		v.Add("serial_pattern", "is missing; a pattern such as SIM-KIOSK-* says which kiosks may use the token")
	} else if _, err := path.Match(req.SerialPattern, "x"); err != nil {
		v.Add("serial_pattern", "%q is not a glob", req.SerialPattern)
	}
	if req.MaxUses < 1 || req.MaxUses > maxTokenUses {
		v.Add("max_uses", "must be 1 to %d", maxTokenUses)
	}
	if req.ExpiresIn <= 0 || req.ExpiresIn > maxTokenLifetime {
		v.Add("expires_in", "must be a positive duration of at most %s", maxTokenLifetime)
	}
	if err := v.Err(); err != nil {
		return fleet.EnrollmentToken{}, "", err
	}
	now := r.clock()
	t := fleet.EnrollmentToken{
		ID: c.ID, Hash: c.Hash, SerialPattern: req.SerialPattern, MaxUses: req.MaxUses,
		MayRegister: req.MayRegister, CreatedAt: now, ExpiresAt: now.Add(req.ExpiresIn),
	}
	if err := r.store.AddEnrollmentToken(ctx, t, actor); err != nil {
		return fleet.EnrollmentToken{}, "", err
	}
	text := protocol.EnrollmentToken{ID: c.ID, Secret: c.Secret, CA: r.authority.Fingerprint()}
	return t, text.String(), nil
}

// Tokens lists the enrolment tokens, newest first.
func (r *Registry) Tokens(ctx context.Context) ([]fleet.EnrollmentToken, error) {
	return r.store.EnrollmentTokens(ctx)
}

// DeleteToken withdraws an enrolment token.
func (r *Registry) DeleteToken(ctx context.Context, id, actor string) error {
	return r.store.DeleteEnrollmentToken(ctx, id, actor, r.clock())
}

// Enroll issues a certificate for a registered kiosk. hash is the hash of the token's secret.
//
// Errors: fleet.ErrTokenInvalid, ErrTokenExpired, ErrTokenUsedUp, ErrTokenScope, ErrNotRegistered,
// or a *fleet.ValidationError about serial or csr. Nothing is changed by a refused enrolment.
func (r *Registry) Enroll(ctx context.Context, req protocol.EnrollRequest, tokenID, hash string) (protocol.EnrollResponse, error) {
	var none protocol.EnrollResponse
	if err := protocol.CheckSerial(req.Serial); err != nil {
		return none, fleet.Invalid("serial", "%v", err)
	}
	token, err := r.store.EnrollmentToken(ctx, tokenID, hash)
	if err != nil {
		return none, err
	}
	now := r.clock()
	switch {
	case !now.Before(token.ExpiresAt):
		return none, fleet.ErrTokenExpired
	case !matches(token.SerialPattern, req.Serial):
		return none, fmt.Errorf("%w: it is for %s", fleet.ErrTokenScope, token.SerialPattern)
	case token.Uses >= token.MaxUses:
		return none, fleet.ErrTokenUsedUp
	}
	csr, err := pki.ParseCSR([]byte(req.CSR))
	if err != nil {
		return none, fleet.Invalid("csr", "%v", err)
	}
	if csr.Subject.CommonName != req.Serial {
		return none, fleet.Invalid("csr", "its common name is %q but the serial is %q", csr.Subject.CommonName, req.Serial)
	}
	kiosk, err := r.store.Kiosk(ctx, req.Serial)
	if isNotFound(err) && token.MayRegister {
		var added *fleet.Kiosk
		if added, err = r.Add(ctx, fleet.Kiosk{Serial: req.Serial}, "enrolment:"+token.ID); errors.Is(err, fleet.ErrExists) {
			kiosk, err = r.store.Kiosk(ctx, req.Serial)
		} else if err == nil {
			kiosk = *added
		}
	}
	if isNotFound(err) {
		return none, fleet.ErrNotRegistered
	}
	if err != nil {
		return none, err
	}
	cert, err := r.authority.SignKiosk(csr, req.Serial, kiosk.Generation, r.validity, now)
	if err != nil {
		return none, err
	}
	if err := r.store.UseEnrollmentToken(ctx, token.ID, req.Serial, kiosk.Generation, now); err != nil {
		return none, err
	}
	if err := r.refresh(ctx, req.Serial); err != nil {
		return none, err
	}
	return protocol.EnrollResponse{
		Certificate: string(pki.EncodeCertificate(cert)),
		Chain:       string(r.authority.PEM()),
		KioskID:     kiosk.ID,
	}, nil
}

// matches reports whether a serial fits a glob; serials hold no slash, so * matches any run.
func matches(pattern, serial string) bool {
	ok, err := path.Match(pattern, serial)
	return err == nil && ok
}

func isNotFound(err error) bool { return errors.Is(err, fleet.ErrNotFound) }

// TokenUsable reports whether a token can still enrol somebody at this platform.
func (r *Registry) TokenUsable(ctx context.Context, token protocol.EnrollmentToken, hash string) bool {
	t, err := r.store.EnrollmentToken(ctx, token.ID, hash)
	return err == nil && token.CA == r.authority.Fingerprint() && r.clock().Before(t.ExpiresAt) && t.Uses < t.MaxUses
}
