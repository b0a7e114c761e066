package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"kioskfleet/admin/auth"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/registry"
	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/protocol"
)

// Files in the data folder that tell people and the spawner how to get in.
const (
	passwordFile      = "initial-admin-password"
	spawnerTokenFile  = "spawner-token"
	spawnerAccessFile = "spawner-api-token"

	firstUser = "admin"
)

// ensureFirstUser creates the user admin when nobody can log in yet, with the configured password or
// a random one, which it keeps in the data folder. It returns a random password for printing, once.
func ensureFirstUser(ctx context.Context, a *auth.Auth, cfg *Config) (printed string, err error) {
	exists, err := a.HasUsers(ctx)
	if err != nil || exists {
		return "", err
	}
	password := cfg.Admin.Password
	if password == "" {
		password = auth.NewSecret()[:24]
		printed = password
		// The file first: a crash in between leaves a password nobody has, and the next start makes another.
		if err := durablefile.Write(cfg.path(passwordFile), []byte(password+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	if _, err := a.AddUser(ctx, firstUser, fleet.RoleAdmin, password, "first start"); err != nil {
		return "", fmt.Errorf("create the user %s: %w", firstUser, err)
	}
	return printed, nil
}

const (
	developmentPattern  = "SIM-KIOSK-*"
	developmentUses     = 1_000_000
	developmentLifetime = 365 * 24 * time.Hour
	developmentAccess   = "spawner-development"
)

// ensureDevelopmentTokens writes what the spawner needs into the data folder: an enrolment token that
// may register simulated kiosks, and an API token by which it says where they stand.
func ensureDevelopmentTokens(ctx context.Context, e *enrolment, a *auth.Auth, cfg *Config, log *slog.Logger) error {
	text, err := os.ReadFile(cfg.path(spawnerTokenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !e.usable(ctx, string(text)) {
		_, token, err := e.create(ctx, registry.TokenRequest{
			SerialPattern: developmentPattern, MaxUses: developmentUses, ExpiresIn: developmentLifetime, MayRegister: true,
		}, "development mode")
		if err != nil {
			return err
		}
		if err := durablefile.Write(cfg.path(spawnerTokenFile), []byte(token+"\n"), 0o600); err != nil {
			return err
		}
		log.Info("development mode: wrote an enrolment token for simulated kiosks", "file", cfg.path(spawnerTokenFile), "serials", developmentPattern)
	}

	access, err := os.ReadFile(cfg.path(spawnerAccessFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := a.ByToken(ctx, strings.TrimSpace(string(access))); err == nil {
		return nil
	} else if !errors.Is(err, fleet.ErrUnauthorized) {
		return err
	}
	tokens, err := a.APITokens(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Name == developmentAccess { // its file was lost
			if err := a.DeleteAPIToken(ctx, t.ID, "development mode"); err != nil {
				return err
			}
		}
	}
	_, secret, err := a.CreateAPIToken(ctx, developmentAccess, fleet.ScopeAdmin, developmentLifetime, "development mode")
	if err != nil {
		return err
	}
	return durablefile.Write(cfg.path(spawnerAccessFile), []byte(secret+"\n"), 0o600)
}

// enrolment joins the registry with what makes and hashes secrets, and adds the brokers to the answer.
type enrolment struct {
	registry *registry.Registry
	brokers  func() []string
}

// Create issues an ordinary enrolment token, for serials that are registered.
func (e *enrolment) Create(ctx context.Context, pattern string, maxUses int, expiresIn time.Duration, actor string) (fleet.EnrollmentToken, string, error) {
	return e.create(ctx, registry.TokenRequest{SerialPattern: pattern, MaxUses: maxUses, ExpiresIn: expiresIn}, actor)
}

func (e *enrolment) create(ctx context.Context, req registry.TokenRequest, actor string) (fleet.EnrollmentToken, string, error) {
	secret := auth.NewSecret()
	return e.registry.CreateToken(ctx, req, registry.Credentials{ID: auth.NewID(), Secret: secret, Hash: auth.HashSecret(secret)}, actor)
}

// List returns the enrolment tokens, newest first.
func (e *enrolment) List(ctx context.Context) ([]fleet.EnrollmentToken, error) {
	return e.registry.Tokens(ctx)
}

// Delete withdraws an enrolment token.
func (e *enrolment) Delete(ctx context.Context, id, actor string) error {
	return e.registry.DeleteToken(ctx, id, actor)
}

// Enroll redeems a token for a certificate.
func (e *enrolment) Enroll(ctx context.Context, req protocol.EnrollRequest) (protocol.EnrollResponse, error) {
	token, err := protocol.ParseEnrollmentToken(req.Token)
	if err != nil {
		return protocol.EnrollResponse{}, fmt.Errorf("%w: %w", fleet.ErrTokenInvalid, err)
	}
	answer, err := e.registry.Enroll(ctx, req, token.ID, auth.HashSecret(token.Secret))
	answer.Brokers = e.brokers()
	return answer, err
}

// usable reports whether the text is a token that can still enrol.
func (e *enrolment) usable(ctx context.Context, text string) bool {
	token, err := protocol.ParseEnrollmentToken(text)
	return err == nil && e.registry.TokenUsable(ctx, token, auth.HashSecret(token.Secret))
}
