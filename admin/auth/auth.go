// Package auth says who makes a request: users by password and session cookie, scripts by API token.
// Secrets are stored as hashes only.
package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
)

// Store is what auth keeps.
type Store interface {
	AddUser(ctx context.Context, u fleet.User, actor string) (fleet.User, error)
	UserByName(ctx context.Context, name string) (fleet.User, error)
	CountUsers(ctx context.Context) (int, error)
	SetPassword(ctx context.Context, name, hash, actor string, now time.Time) error
	AddWebSession(ctx context.Context, ws fleet.WebSession) error
	WebSessionUser(ctx context.Context, hash string, now time.Time) (fleet.User, error)
	DeleteWebSession(ctx context.Context, hash string) error
	AddAPIToken(ctx context.Context, t fleet.APIToken, actor string) error
	APIToken(ctx context.Context, id string) (fleet.APIToken, error)
	APITokens(ctx context.Context) ([]fleet.APIToken, error)
	TouchAPIToken(ctx context.Context, id string, now time.Time) error
	DeleteAPIToken(ctx context.Context, id, actor string, now time.Time) error
}

// SessionLifetime is how long a browser stays logged in.
const SessionLifetime = 7 * 24 * time.Hour

// maxHashing bounds concurrent password checks: each takes 19 MiB and 20 ms of a core.
const maxHashing = 2

// touchEvery spaces the notes that a token was used, so that a busy script costs no write a request.
const touchEvery = time.Minute

// Auth checks credentials. It is safe for concurrent use.
type Auth struct {
	store    Store
	now      func() time.Time
	throttle *throttle
	hashing  chan struct{}

	mu      sync.Mutex
	touched map[string]time.Time // by token id
}

// New returns an Auth on the store.
func New(store Store, now func() time.Time) *Auth {
	return &Auth{store: store, now: now, throttle: newThrottle(), hashing: make(chan struct{}, maxHashing), touched: map[string]time.Time{}}
}

// HasUsers reports whether anybody can log in.
func (a *Auth) HasUsers(ctx context.Context) (bool, error) {
	n, err := a.store.CountUsers(ctx)
	return n > 0, err
}

// AddUser creates a user.
func (a *Auth) AddUser(ctx context.Context, name string, role fleet.Role, password, actor string) (fleet.User, error) {
	var v fleet.Violations
	name = strings.TrimSpace(name)
	checkName(&v, "username", name)
	if strings.HasPrefix(name, tokenActor) {
		v.Add("username", "must not begin with %s: the audit log names tokens so", tokenActor)
	}
	if !role.Includes(fleet.RoleViewer) {
		v.Add("role", "%q is unknown, use one of %v", role, fleet.Roles())
	}
	if len(password) < MinPasswordLength {
		v.Add("password", "must have at least %d characters", MinPasswordLength)
	}
	if err := v.Err(); err != nil {
		return fleet.User{}, err
	}
	return a.store.AddUser(ctx, fleet.User{Name: name, Role: role, PasswordHash: HashPassword(password), CreatedAt: a.now()}, actor)
}

// maxName bounds the names of users and tokens, in bytes.
const maxName = 64

// tokenActor begins the name under which a token acts.
const tokenActor = "token:"

func checkName(v *fleet.Violations, field, name string) {
	switch {
	case name == "" || len(name) > maxName:
		v.Add(field, "must have 1 to %d characters", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		v.Add(field, "must be UTF-8 without control characters")
	}
}

// SetPassword changes a user's password and ends the user's sessions.
func (a *Auth) SetPassword(ctx context.Context, name, password, actor string) error {
	if len(password) < MinPasswordLength {
		return fleet.Invalid("password", "must have at least %d characters", MinPasswordLength)
	}
	return a.store.SetPassword(ctx, name, HashPassword(password), actor, a.now())
}

// unknownUserHash is checked for names that do not exist, so that they take as long as the others.
var unknownUserHash = sync.OnceValue(func() string { return HashPassword(NewSecret()) })

// Login checks a password and returns the secret of a new session. A wrong name or password is
// fleet.ErrUnauthorized; too many of them a *TooManyError.
func (a *Auth) Login(ctx context.Context, name, password, remote string) (secret string, p fleet.Principal, err error) {
	keys := []string{"user:" + name[:min(len(name), maxName+1)], "remote:" + remote}
	if wait := a.throttle.wait(a.now(), keys); wait > 0 {
		return "", p, &TooManyError{After: wait}
	}
	u, err := a.store.UserByName(ctx, name)
	hash := u.PasswordHash
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		hash = unknownUserHash()
	case err != nil:
		return "", p, err
	}
	select {
	case a.hashing <- struct{}{}:
	case <-ctx.Done():
		return "", p, ctx.Err()
	}
	// Again: of many guesses that come at once, those that waited here must not be free.
	if wait := a.throttle.wait(a.now(), keys); wait > 0 {
		<-a.hashing
		return "", p, &TooManyError{After: wait}
	}
	ok := checkPassword(hash, password) && err == nil
	if !ok {
		a.throttle.failed(a.now(), keys)
	}
	<-a.hashing
	if !ok {
		return "", p, fmt.Errorf("wrong user name or password: %w", fleet.ErrUnauthorized)
	}
	a.throttle.succeeded(keys)
	secret = NewSecret()
	now := a.now()
	err = a.store.AddWebSession(ctx, fleet.WebSession{Hash: HashSecret(secret), UserID: u.ID, CreatedAt: now, ExpiresAt: now.Add(SessionLifetime)})
	return secret, principal(u), err
}

// Logout ends a session.
func (a *Auth) Logout(ctx context.Context, secret string) error {
	return a.store.DeleteWebSession(ctx, HashSecret(secret))
}

// BySession returns who holds a session's secret, or fleet.ErrUnauthorized.
func (a *Auth) BySession(ctx context.Context, secret string) (fleet.Principal, error) {
	u, err := a.store.WebSessionUser(ctx, HashSecret(secret), a.now())
	if errors.Is(err, fleet.ErrNotFound) {
		return fleet.Principal{}, fmt.Errorf("the session has ended, log in again: %w", fleet.ErrUnauthorized)
	}
	return principal(u), err
}

// ByToken returns the API token's holder, or fleet.ErrUnauthorized.
func (a *Auth) ByToken(ctx context.Context, text string) (fleet.Principal, error) {
	refused := func(why string) (fleet.Principal, error) {
		return fleet.Principal{}, fmt.Errorf("%s: %w", why, fleet.ErrUnauthorized)
	}
	id, secret, err := parseAPIToken(text)
	if err != nil {
		return refused("the bearer token is not an API token")
	}
	t, err := a.store.APIToken(ctx, id)
	if errors.Is(err, fleet.ErrNotFound) || err == nil && subtle.ConstantTimeCompare([]byte(t.Hash), []byte(HashSecret(secret))) != 1 {
		return refused("the API token is not valid or was withdrawn")
	}
	if err != nil {
		return fleet.Principal{}, err
	}
	now := a.now()
	if t.ExpiresAt != nil && !now.Before(*t.ExpiresAt) {
		return refused("the API token has expired")
	}
	if a.dueForTouch(id, now) {
		// A note for people: a disk that is full must not lock scripts out.
		_ = a.store.TouchAPIToken(ctx, id, now)
	}
	return fleet.Principal{Name: tokenActor + t.Name, Role: t.Scope.Role(), Token: true}, nil
}

// LoginByToken is ByToken for a client that logs in with an API token as its password: too many wrong ones from
// one address are a *TooManyError.
func (a *Auth) LoginByToken(ctx context.Context, text, remote string) (fleet.Principal, error) {
	keys := []string{"remote:" + remote}
	if wait := a.throttle.wait(a.now(), keys); wait > 0 {
		return fleet.Principal{}, &TooManyError{After: wait}
	}
	p, err := a.ByToken(ctx, text)
	switch {
	case errors.Is(err, fleet.ErrUnauthorized):
		a.throttle.failed(a.now(), keys)
	case err == nil:
		a.throttle.succeeded(keys)
	}
	return p, err
}

func (a *Auth) dueForTouch(id string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.touched[id]) < touchEvery {
		return false
	}
	a.touched[id] = now
	return true
}

// CreateAPIToken issues a token and returns its text, which is shown this once. expiresIn 0 means never.
func (a *Auth) CreateAPIToken(ctx context.Context, name string, scope fleet.Scope, expiresIn time.Duration, actor string) (fleet.APIToken, string, error) {
	var v fleet.Violations
	name = strings.TrimSpace(name)
	checkName(&v, "name", name)
	known := false
	for _, s := range fleet.Scopes() {
		known = known || s == scope
	}
	if !known {
		v.Add("scope", "%q is unknown, use one of %v", scope, fleet.Scopes())
	}
	if expiresIn < 0 {
		v.Add("expires_in", "must not be negative")
	}
	if err := v.Err(); err != nil {
		return fleet.APIToken{}, "", err
	}
	secret := NewSecret()
	t := fleet.APIToken{ID: NewID(), Name: name, Scope: scope, Hash: HashSecret(secret), CreatedAt: a.now()}
	if expiresIn > 0 {
		at := t.CreatedAt.Add(expiresIn)
		t.ExpiresAt = &at
	}
	if err := a.store.AddAPIToken(ctx, t, actor); err != nil {
		return fleet.APIToken{}, "", err
	}
	return t, formatAPIToken(t.ID, secret), nil
}

// APITokens lists the tokens, newest first.
func (a *Auth) APITokens(ctx context.Context) ([]fleet.APIToken, error) {
	return a.store.APITokens(ctx)
}

// DeleteAPIToken withdraws a token.
func (a *Auth) DeleteAPIToken(ctx context.Context, id, actor string) error {
	return a.store.DeleteAPIToken(ctx, id, actor, a.now())
}

func principal(u fleet.User) fleet.Principal { return fleet.Principal{Name: u.Name, Role: u.Role} }
