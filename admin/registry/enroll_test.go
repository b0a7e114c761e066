package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

func TestEnrolmentIsRefused(t *testing.T) {
	o := newOffice(t)
	o.register("K-1")
	o.register("K-A")
	good := func(serial string) func(string) (string, string, string) {
		return func(token string) (string, string, string) { return serial, token, token }
	}
	tests := []struct {
		name    string
		ask     func(token string) (serial, id, hash string)
		csr     func(serial string) string // default: a good one
		prepare func(token string)
		want    error
		field   string // of a ValidationError
	}{
		{name: "no such token", ask: func(string) (string, string, string) { return "K-1", "other", "other" }, want: fleet.ErrTokenInvalid},
		{name: "wrong secret", ask: func(token string) (string, string, string) { return "K-1", token, "guess" }, want: fleet.ErrTokenInvalid},
		{name: "no secret", ask: func(token string) (string, string, string) { return "K-1", token, "" }, want: fleet.ErrTokenInvalid},
		{name: "withdrawn", ask: good("K-1"), prepare: func(token string) {
			if err := o.DeleteToken(t.Context(), token, "ana"); err != nil {
				t.Error(err)
			}
		}, want: fleet.ErrTokenInvalid},
		{name: "expired", ask: good("K-1"), prepare: func(string) { o.pass(time.Hour) }, want: fleet.ErrTokenExpired},
		{name: "used up", ask: good("K-1"), prepare: func(token string) { o.mustEnrol("K-1", token) }, want: fleet.ErrTokenUsedUp},
		{name: "another serial", ask: good("X-1"), want: fleet.ErrTokenScope},
		{name: "not registered", ask: good("K-9"), want: fleet.ErrNotRegistered},
		{name: "registered in another case", ask: good("K-a"), want: fleet.ErrNotRegistered},
		{name: "no serial", ask: good(""), field: "serial"},
		{name: "a serial that is a topic", ask: good("K-1/#"), field: "serial"},
		{name: "no request", ask: good("K-1"), csr: func(string) string { return "" }, field: "csr"},
		{name: "a request that is none", ask: good("K-1"), csr: func(string) string {
			return "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"
		}, field: "csr"},
		{name: "the request of another kiosk", ask: good("K-1"), csr: func(string) string { return csr(t, "K-A") }, field: "csr"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o.token(tt.name, TokenRequest{})
			if tt.prepare != nil {
				tt.prepare(tt.name)
			}
			serial, id, hash := tt.ask(tt.name)
			makeRequest := func(serial string) string { return csr(t, serial) }
			if tt.csr != nil {
				makeRequest = tt.csr
			}
			request := makeRequest(serial)
			before, err := o.Tokens(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			o.told = nil
			answer, err := o.Enroll(t.Context(), protocol.EnrollRequest{Serial: serial, CSR: request}, id, hash)
			var invalid *fleet.ValidationError
			switch {
			case tt.field != "" && (!errors.As(err, &invalid) || invalid.Violations[0].Field != tt.field):
				t.Errorf("error = %v, want a fault of %s", err, tt.field)
			case tt.want != nil && !errors.Is(err, tt.want):
				t.Errorf("error = %v, want %v", err, tt.want)
			}
			if answer.Certificate != "" {
				t.Error("a refused enrolment got a certificate")
			}
			o.wantTold()
			if after, err := o.Tokens(t.Context()); err != nil || !slices.Equal(after, before) {
				t.Errorf("tokens are %+v after it, were %+v, %v", after, before, err)
			}
		})
	}
}

// revokingStore revokes a kiosk after its certificate was signed and before that is written down.
type revokingStore struct {
	Store
	revoke func()
}

func (s revokingStore) UseEnrollmentToken(ctx context.Context, id, serial string, generation int64, now time.Time) error {
	s.revoke()
	return s.Store.UseEnrollmentToken(ctx, id, serial, generation, now)
}

func TestAKioskRevokedWhileItEnrolsStaysRevoked(t *testing.T) {
	o := newOffice(t)
	other := o.open()
	o.register("K-1")
	o.token("t", TokenRequest{})
	o.Registry.store = revokingStore{o.store, func() {
		if _, err := other.Revoke(t.Context(), "K-1", "ana"); err != nil {
			t.Error(err)
		}
	}}
	if _, err := o.enrol(o.Registry, "K-1", "t"); !errors.Is(err, fleet.ErrRevoked) {
		t.Errorf("error = %v", err)
	}
	k, err := o.store.Kiosk(t.Context(), "K-1")
	tokens, tokensErr := o.Tokens(t.Context())
	if err != nil || tokensErr != nil || k.RevokedAt == nil || tokens[0].Uses != 0 {
		t.Errorf("kiosk %+v, tokens %+v, %v, %v", k, tokens, err, tokensErr)
	}
}

func TestATokenMayRegister(t *testing.T) {
	o := newOffice(t)
	o.token("dev", TokenRequest{SerialPattern: "SIM-*", MaxUses: 3, MayRegister: true})
	id := o.mustEnrol("SIM-1", "dev")
	if err := o.Admit(id); err != nil {
		t.Error(err)
	}
	k, err := o.Get("SIM-1")
	if err != nil || k.EnrolledAt == nil {
		t.Errorf("kiosk = %+v, %v", k, err)
	}
	if _, err := o.enrol(o.Registry, "K-1", "dev"); !errors.Is(err, fleet.ErrTokenScope) {
		t.Errorf("a serial that is not its own: %v", err)
	}
	o.mustEnrol("SIM-1", "dev") // again: it is registered by now
	if tokens, err := o.Tokens(t.Context()); err != nil || tokens[0].Uses != 2 {
		t.Errorf("tokens = %+v, %v", tokens, err)
	}
}

func TestATokenThatMayRegisterIsUsedByManyAtOnce(t *testing.T) {
	o := newOffice(t)
	o.token("dev", TokenRequest{SerialPattern: "SIM-*", MaxUses: 100, MayRegister: true})
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			if _, err := o.enrol(o.Registry, fmt.Sprintf("SIM-%d", i%8), "dev"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(o.All()); n != 8 {
		t.Errorf("%d kiosks registered, want 8", n)
	}
}

func TestAOneUseTokenEnrolsOne(t *testing.T) {
	o := newOffice(t)
	other := o.open()
	for i := range 10 {
		o.register(fmt.Sprintf("K-%d", i))
	}
	o.token("once", TokenRequest{MaxUses: 1})
	var enrolled, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		r := []*Registry{o.Registry, other}[i%2] // two processes
		wg.Go(func() {
			switch _, err := o.enrol(r, fmt.Sprintf("K-%d", i/2), "once"); {
			case err == nil:
				enrolled.Add(1)
			case errors.Is(err, fleet.ErrTokenUsedUp):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if enrolled.Load() != 1 || refused.Load() != 19 {
		t.Errorf("%d enrolled, %d refused", enrolled.Load(), refused.Load())
	}
	n := 0
	for _, k := range o.All() {
		if err := o.refresh(t.Context(), k.Serial); err != nil {
			t.Fatal(err)
		}
		if k, _ := o.Get(k.Serial); k.EnrolledAt != nil {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d kiosks are marked as enrolled", n)
	}
}

func TestTokensAreChecked(t *testing.T) {
	o := newOffice(t)
	good := TokenRequest{SerialPattern: "K-*", MaxUses: 1, ExpiresIn: time.Hour}
	with := func(f func(*TokenRequest)) TokenRequest { r := good; f(&r); return r }
	tests := []struct {
		name string
		req  TokenRequest
		want string
	}{
		{"good", good, ""},
		{"range", with(func(r *TokenRequest) { r.SerialPattern = "K-[0-9]?" }), ""},
		{"no pattern", with(func(r *TokenRequest) { r.SerialPattern = "" }), "serial_pattern"},
		{"open range", with(func(r *TokenRequest) { r.SerialPattern = "K-[0-9" }), "serial_pattern"},
		{"open range first", with(func(r *TokenRequest) { r.SerialPattern = "[" }), "serial_pattern"},
		{"trailing escape", with(func(r *TokenRequest) { r.SerialPattern = `K-\` }), "serial_pattern"},
		{"no uses", with(func(r *TokenRequest) { r.MaxUses = 0 }), "max_uses"},
		{"negative uses", with(func(r *TokenRequest) { r.MaxUses = -1 }), "max_uses"},
		{"too many uses", with(func(r *TokenRequest) { r.MaxUses = maxTokenUses + 1 }), "max_uses"},
		{"no lifetime", with(func(r *TokenRequest) { r.ExpiresIn = 0 }), "expires_in"},
		{"too long a lifetime", with(func(r *TokenRequest) { r.ExpiresIn = maxTokenLifetime + 1 }), "expires_in"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token, text, err := o.CreateToken(t.Context(), tt.req, Credentials{ID: fmt.Sprintf("id%d", i), Secret: "s3cret", Hash: fmt.Sprintf("h%d", i)}, "ana")
			if tt.want != "" {
				var invalid *fleet.ValidationError
				if !errors.As(err, &invalid) || len(invalid.Violations) != 1 || invalid.Violations[0].Field != tt.want {
					t.Errorf("error = %v, want a fault of %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := protocol.ParseEnrollmentToken(text)
			if err != nil || parsed.ID != token.ID || parsed.Secret != "s3cret" || parsed.CA != o.ca.Fingerprint() {
				t.Errorf("text = %+v, %v", parsed, err)
			}
			if strings.Contains(fmt.Sprint(token), "s3cret") {
				t.Error("the stored token holds its secret")
			}
			if !token.ExpiresAt.Equal(token.CreatedAt.Add(tt.req.ExpiresIn)) {
				t.Errorf("token = %+v", token)
			}
		})
	}
	all, err := o.Tokens(t.Context())
	if err != nil || len(all) != 2 {
		t.Errorf("%d tokens stored, %v", len(all), err)
	}
}

func TestATokensPatternIsAGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, serial string
		want            bool
	}{
		{"SIM-KIOSK-*", "SIM-KIOSK-001", true},
		{"SIM-KIOSK-*", "SIM-KIOSK-", true},
		{"SIM-KIOSK-*", "XSIM-KIOSK-1", false},
		{"SIM-KIOSK-*", "sim-kiosk-1", false},
		{"*", "anything", true},
		{"K-?", "K-1", true},
		{"K-?", "K-12", false},
		{"K-[0-4]", "K-4", true},
		{"K-[0-4]", "K-5", false},
		{"K.1", "K-1", false},
		{"K-1", "K-1", true},
		{"K-1", "K-11", false},
		{"*-1", "A-B-1", true},
	} {
		if got := matches(tt.pattern, tt.serial); got != tt.want {
			t.Errorf("matches(%q, %q) = %v", tt.pattern, tt.serial, got)
		}
	}
}

func TestTokenUsable(t *testing.T) {
	o := newOffice(t)
	o.register("K-1")
	o.token("t", TokenRequest{})
	usable := func(change func(*protocol.EnrollmentToken), hash string) bool {
		token := protocol.EnrollmentToken{ID: "t", Secret: "secret", CA: o.ca.Fingerprint()}
		if change != nil {
			change(&token)
		}
		return o.TokenUsable(t.Context(), token, hash)
	}
	if !usable(nil, "t") {
		t.Error("a fresh token is not usable")
	}
	if usable(nil, "guess") || usable(func(e *protocol.EnrollmentToken) { e.ID = "x" }, "t") || usable(func(e *protocol.EnrollmentToken) { e.CA = "of another platform" }, "t") {
		t.Error("a foreign token is usable")
	}
	o.pass(time.Hour)
	if usable(nil, "t") {
		t.Error("an expired token is usable")
	}
	o.pass(-time.Hour)
	o.mustEnrol("K-1", "t")
	if usable(nil, "t") {
		t.Error("a used-up token is usable")
	}
}
