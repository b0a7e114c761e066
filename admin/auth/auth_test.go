package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

var errDown = errors.New("down")

// fakeStore keeps people in memory.
type fakeStore struct {
	mu       sync.Mutex
	failing  error // of every call
	readOnly error // of every call that writes
	users    map[string]fleet.User
	sessions map[string]fleet.WebSession
	tokens   map[string]fleet.APIToken
	touches  int
	lookups  atomic.Int32 // of users by name
}

func (s *fakeStore) begin(writes bool) (func(), error) {
	s.mu.Lock()
	err := s.failing
	if err == nil && writes {
		err = s.readOnly
	}
	return s.mu.Unlock, err
}

func (s *fakeStore) AddUser(_ context.Context, u fleet.User, _ string) (fleet.User, error) {
	end, err := s.begin(true)
	defer end()
	if err != nil {
		return u, err
	}
	if _, ok := s.users[u.Name]; ok {
		return u, fleet.ErrExists
	}
	u.ID = int64(len(s.users) + 1)
	s.users[u.Name] = u
	return u, nil
}

func (s *fakeStore) UserByName(_ context.Context, name string) (fleet.User, error) {
	end, err := s.begin(false)
	defer end()
	s.lookups.Add(1)
	u, ok := s.users[name]
	if err == nil && !ok {
		err = fmt.Errorf("user %s: %w", name, fleet.ErrNotFound)
	}
	return u, err
}

func (s *fakeStore) CountUsers(context.Context) (int, error) {
	end, err := s.begin(false)
	defer end()
	return len(s.users), err
}

func (s *fakeStore) SetPassword(_ context.Context, name, hash, _ string, _ time.Time) error {
	end, err := s.begin(true)
	defer end()
	u, ok := s.users[name]
	if err == nil && !ok {
		err = fleet.ErrNotFound
	}
	if err != nil {
		return err
	}
	u.PasswordHash = hash
	s.users[name] = u
	clear(s.sessions)
	return nil
}

func (s *fakeStore) AddWebSession(_ context.Context, ws fleet.WebSession) error {
	end, err := s.begin(true)
	defer end()
	if err == nil {
		s.sessions[ws.Hash] = ws
	}
	return err
}

func (s *fakeStore) WebSessionUser(_ context.Context, hash string, now time.Time) (fleet.User, error) {
	end, err := s.begin(false)
	defer end()
	if err != nil {
		return fleet.User{}, err
	}
	if ws, ok := s.sessions[hash]; ok && ws.ExpiresAt.After(now) {
		for _, u := range s.users {
			if u.ID == ws.UserID {
				return u, nil
			}
		}
	}
	return fleet.User{}, fleet.ErrNotFound
}

func (s *fakeStore) DeleteWebSession(_ context.Context, hash string) error {
	end, err := s.begin(true)
	defer end()
	delete(s.sessions, hash)
	return err
}

func (s *fakeStore) AddAPIToken(_ context.Context, t fleet.APIToken, _ string) error {
	end, err := s.begin(true)
	defer end()
	if err == nil {
		s.tokens[t.ID] = t
	}
	return err
}

func (s *fakeStore) APIToken(_ context.Context, id string) (fleet.APIToken, error) {
	end, err := s.begin(false)
	defer end()
	t, ok := s.tokens[id]
	if err == nil && !ok {
		err = fleet.ErrNotFound
	}
	return t, err
}

func (s *fakeStore) APITokens(context.Context) ([]fleet.APIToken, error) {
	end, err := s.begin(false)
	defer end()
	var out []fleet.APIToken
	for _, t := range s.tokens {
		out = append(out, t)
	}
	return out, err
}

func (s *fakeStore) TouchAPIToken(context.Context, string, time.Time) error {
	end, err := s.begin(true)
	defer end()
	s.touches++
	return err
}

func (s *fakeStore) DeleteAPIToken(_ context.Context, id, _ string, _ time.Time) error {
	end, err := s.begin(true)
	defer end()
	delete(s.tokens, id)
	return err
}

// gate is an Auth on a fake store and a fake clock.
type gate struct {
	*Auth
	t     *testing.T
	store *fakeStore
	now   time.Time
}

func newGate(t *testing.T) *gate {
	g := &gate{
		t: t, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		store: &fakeStore{users: map[string]fleet.User{}, sessions: map[string]fleet.WebSession{}, tokens: map[string]fleet.APIToken{}},
	}
	g.Auth = New(g.store, func() time.Time { return g.now })
	return g
}

const password = "password"

// addUser adds a user whose password's hash is a cheap one, for the tests to be fast.
func (g *gate) addUser(name string, role fleet.Role) {
	g.t.Helper()
	if _, err := g.store.AddUser(g.t.Context(), fleet.User{Name: name, Role: role, PasswordHash: referenceHash}, "test"); err != nil {
		g.t.Fatal(err)
	}
}

func TestLoginGivesASession(t *testing.T) {
	g := newGate(t)
	ctx := t.Context()
	if has, err := g.HasUsers(ctx); has || err != nil {
		t.Errorf("users at the start: %v, %v", has, err)
	}
	g.addUser("ana", fleet.RoleOperator)
	if has, err := g.HasUsers(ctx); !has || err != nil {
		t.Errorf("no users: %v", err)
	}
	secret, p, err := g.Login(ctx, "ana", password, "r")
	if err != nil || p != (fleet.Principal{Name: "ana", Role: fleet.RoleOperator}) {
		t.Fatalf("login: %+v, %v", p, err)
	}
	second, _, err := g.Login(ctx, "ana", password, "r")
	if err != nil || second == secret {
		t.Errorf("the same session twice, %v", err)
	}
	if _, ok := g.store.sessions[secret]; ok {
		t.Error("the session's secret is stored")
	}
	if p, err := g.BySession(ctx, secret); err != nil || p.Name != "ana" || p.Token {
		t.Errorf("by session: %+v, %v", p, err)
	}
	for name, bad := range map[string]string{"none": "", "another": NewSecret(), "its hash": HashSecret(secret)} {
		if _, err := g.BySession(ctx, bad); !errors.Is(err, fleet.ErrUnauthorized) {
			t.Errorf("session %s: %v", name, err)
		}
	}
	g.now = g.now.Add(SessionLifetime)
	if _, err := g.BySession(ctx, secret); !errors.Is(err, fleet.ErrUnauthorized) {
		t.Errorf("after its time: %v", err)
	}
	g.now = g.now.Add(-time.Second)
	if _, err := g.BySession(ctx, secret); err != nil {
		t.Errorf("before its time is over: %v", err)
	}
	if err := g.Logout(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := g.BySession(ctx, secret); !errors.Is(err, fleet.ErrUnauthorized) {
		t.Errorf("after logout: %v", err)
	}
	if _, err := g.BySession(ctx, second); err != nil {
		t.Errorf("logout ended another session: %v", err)
	}
	if err := g.SetPassword(ctx, "ana", "another horse", "ana"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.BySession(ctx, second); !errors.Is(err, fleet.ErrUnauthorized) {
		t.Errorf("after a new password: %v", err)
	}
	if _, _, err := g.Login(ctx, "ana", password, "r"); !errors.Is(err, fleet.ErrUnauthorized) {
		t.Errorf("with the old password: %v", err)
	}
	if _, _, err := g.Login(ctx, "ana", "another horse", "r"); err != nil {
		t.Errorf("with the new password: %v", err)
	}
}

func TestWrongNameAndWrongPasswordLookTheSame(t *testing.T) {
	g := newGate(t)
	g.addUser("ana", fleet.RoleAdmin)
	var texts []string
	for _, try := range [][2]string{{"ana", "wrong password"}, {"ana", ""}, {"eve", password}, {"Ana", password}, {"", password}, {strings.Repeat("x", 10_000), "y"}} {
		secret, p, err := g.Login(t.Context(), try[0], try[1], "r"+try[1])
		if !errors.Is(err, fleet.ErrUnauthorized) || secret != "" || p != (fleet.Principal{}) {
			t.Errorf("%.10q: %q, %+v, %v", try, secret, p, err)
		} else {
			texts = append(texts, err.Error())
		}
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q tells more than %q", text, texts[0])
		}
	}
	for key := range g.throttle.entries {
		if len(key) > 100 {
			t.Errorf("a key of %d bytes is remembered", len(key))
		}
	}
}

func TestADatabaseThatIsAwayIsNoWrongPassword(t *testing.T) {
	g := newGate(t)
	ctx := t.Context()
	g.addUser("ana", fleet.RoleAdmin)
	token, text, err := g.CreateAPIToken(ctx, "n", fleet.ScopeRead, 0, "ana")
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := g.Login(ctx, "ana", password, "r")
	if err != nil {
		t.Fatal(err)
	}
	g.store.failing = errDown
	for range 2 * freeAttempts {
		if _, _, err := g.Login(ctx, "ana", password, "r"); !errors.Is(err, errDown) {
			t.Fatalf("login: %v", err)
		}
	}
	if _, err := g.BySession(ctx, secret); !errors.Is(err, errDown) || errors.Is(err, fleet.ErrUnauthorized) {
		t.Errorf("session: %v", err)
	}
	if _, err := g.ByToken(ctx, text); !errors.Is(err, errDown) {
		t.Errorf("token: %v", err)
	}
	// A full disk: who is known gets in, as far as nothing must be written.
	g.store.failing, g.store.readOnly = nil, errDown
	if p, err := g.ByToken(ctx, text); err != nil || p.Name != "token:"+token.Name {
		t.Errorf("token on a full disk: %+v, %v", p, err)
	}
	if _, _, err := g.Login(ctx, "ana", password, "r"); !errors.Is(err, errDown) {
		t.Errorf("login on a full disk: %v", err)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	g := newGate(t)
	ctx := t.Context()
	g.addUser("ana", fleet.RoleAdmin)
	for range freeAttempts {
		if _, _, err := g.Login(ctx, "ana", "wrong password", "r"); !errors.Is(err, fleet.ErrUnauthorized) {
			t.Fatal(err)
		}
	}
	waits := func(name, remote string, want time.Duration) {
		t.Helper()
		_, _, err := g.Login(ctx, name, password, remote)
		var tooMany *TooManyError
		if !errors.As(err, &tooMany) || tooMany.After != want {
			t.Errorf("%s from %s: %v, want to wait %s", name, remote, err, want)
		}
	}
	waits("ana", "r", time.Second)
	waits("ana", "elsewhere", time.Second) // by name
	waits("eve", "r", time.Second)         // by address
	g.now = g.now.Add(time.Second / 2)
	waits("ana", "r", time.Second/2) // to ask while waiting costs nothing more
	if _, _, err := g.Login(ctx, "bob", "wrong password", "elsewhere"); !errors.Is(err, fleet.ErrUnauthorized) {
		t.Errorf("somebody else: %v", err)
	}
	g.now = g.now.Add(time.Second / 2)
	if _, _, err := g.Login(ctx, "ana", password, "r"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	for range 2 {
		if _, _, err := g.Login(ctx, "ana", "wrong password", "r"); !errors.Is(err, fleet.ErrUnauthorized) {
			t.Errorf("a success did not start over: %v", err)
		}
	}
}

func TestManyGuessesAtOnceAreNotFree(t *testing.T) {
	g := newGate(t)
	g.addUser("ana", fleet.RoleAdmin)
	for range maxHashing {
		g.hashing <- struct{}{} // others are at it, so that all guesses come before the first is checked
	}
	const guesses = 40
	var checked, refused atomic.Int32
	var wg sync.WaitGroup
	for range guesses {
		wg.Go(func() {
			_, _, err := g.Login(t.Context(), "ana", "wrong password", "r")
			var tooMany *TooManyError
			switch {
			case errors.As(err, &tooMany):
				refused.Add(1)
			case errors.Is(err, fleet.ErrUnauthorized):
				checked.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); g.store.lookups.Load() < guesses; {
		if time.Now().After(deadline) {
			t.Fatalf("%d guesses have come", g.store.lookups.Load())
		}
		runtime.Gosched()
	}
	for range maxHashing {
		<-g.hashing
	}
	wg.Wait()
	if n := checked.Load(); n < freeAttempts || n >= freeAttempts+maxHashing || n+refused.Load() != guesses {
		t.Errorf("%d of %d guesses were checked, %d refused", n, guesses, refused.Load())
	}
	if len(g.hashing) != 0 {
		t.Errorf("%d places for hashing are not given back", len(g.hashing))
	}
}

func TestLoginDoesNotWaitForEver(t *testing.T) {
	g := newGate(t)
	g.addUser("ana", fleet.RoleAdmin)
	for range maxHashing {
		g.hashing <- struct{}{} // others are at it
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := g.Login(ctx, "ana", password, "r"); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

func TestUsersAreChecked(t *testing.T) {
	tests := []struct {
		name     string
		user     string
		role     fleet.Role
		password string
		want     string // field at fault
	}{
		{"good", " ana ", fleet.RoleViewer, "correct horse", ""},
		{"shortest password", "ana", fleet.RoleAdmin, strings.Repeat("x", MinPasswordLength), ""},
		{"other alphabets", "Ñandú 山", fleet.RoleTechnician, "correct horse", ""},
		{"no name", "  ", fleet.RoleViewer, "correct horse", "username"},
		{"longest name", strings.Repeat("x", 64), fleet.RoleViewer, "correct horse", ""},
		{"long name", strings.Repeat("x", 65), fleet.RoleViewer, "correct horse", "username"},
		{"control character", "a\nb", fleet.RoleViewer, "correct horse", "username"},
		{"not UTF-8", "a\xff", fleet.RoleViewer, "correct horse", "username"},
		{"like a token", "token:grafana", fleet.RoleViewer, "correct horse", "username"},
		{"no role", "ana", "", "correct horse", "role"},
		{"unknown role", "ana", "root", "correct horse", "role"},
		{"role in another case", "ana", "Admin", "correct horse", "role"},
		{"short password", "ana", fleet.RoleViewer, strings.Repeat("x", MinPasswordLength-1), "password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(t)
			u, err := g.AddUser(t.Context(), tt.user, tt.role, tt.password, "test")
			if tt.want == "" {
				if err != nil || u.Name != strings.TrimSpace(tt.user) || u.Role != tt.role || !u.CreatedAt.Equal(g.now) || strings.Contains(u.PasswordHash, tt.password) {
					t.Errorf("user = %+v, %v", u, err)
				}
				return
			}
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) || len(invalid.Violations) != 1 || invalid.Violations[0].Field != tt.want || len(g.store.users) != 0 {
				t.Errorf("error = %v, want a fault of %s; %d users", err, tt.want, len(g.store.users))
			}
			if strings.Contains(fmt.Sprint(err), tt.password) && tt.password != "" {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
	g := newGate(t)
	g.addUser("ana", fleet.RoleViewer)
	if _, err := g.AddUser(t.Context(), "ana", fleet.RoleViewer, "correct horse", "test"); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("the same name: %v", err)
	}
	var invalid *fleet.ValidationError
	if err := g.SetPassword(t.Context(), "ana", "short", "test"); !errors.As(err, &invalid) {
		t.Errorf("a short new password: %v", err)
	}
}

func TestGuessingTokensIsSlowedDownByAddress(t *testing.T) {
	g := newGate(t)
	ctx := t.Context()
	_, text, err := g.CreateAPIToken(ctx, "dashboard", fleet.ScopeRead, 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	for range freeAttempts {
		if _, err := g.LoginByToken(ctx, text+"x", "r"); !errors.Is(err, fleet.ErrUnauthorized) {
			t.Fatal(err)
		}
	}
	var tooMany *TooManyError
	if _, err := g.LoginByToken(ctx, text, "r"); !errors.As(err, &tooMany) || tooMany.After != firstDelay {
		t.Errorf("the right token after too many wrong ones: %v", err)
	}
	if _, err := g.LoginByToken(ctx, text, "another"); err != nil {
		t.Errorf("from another address: %v", err)
	}
	if _, err := g.ByToken(ctx, text); err != nil {
		t.Errorf("a look at a token that is in use: %v", err)
	}
}

func TestAPITokens(t *testing.T) {
	g := newGate(t)
	ctx := t.Context()
	token, text, err := g.CreateAPIToken(ctx, " grafana ", fleet.ScopeCommand, time.Hour, "ana")
	if err != nil || token.Name != "grafana" || !token.ExpiresAt.Equal(g.now.Add(time.Hour)) {
		t.Fatalf("token = %+v, %v", token, err)
	}
	id, secret, err := parseAPIToken(text)
	if err != nil || id != token.ID || token.Hash != HashSecret(secret) || strings.Contains(fmt.Sprint(g.store.tokens), secret) {
		t.Errorf("text %s of %+v, %v", text, token, err)
	}
	if p, err := g.ByToken(ctx, text); err != nil || p != (fleet.Principal{Name: "token:grafana", Role: fleet.RoleOperator, Token: true}) {
		t.Errorf("principal = %+v, %v", p, err)
	}
	other, _, err := g.CreateAPIToken(ctx, "other", fleet.ScopeRead, 0, "ana")
	if err != nil || other.ExpiresAt != nil {
		t.Fatalf("token = %+v, %v", other, err)
	}
	refused := func(what, text string) {
		t.Helper()
		if p, err := g.ByToken(ctx, text); !errors.Is(err, fleet.ErrUnauthorized) || p != (fleet.Principal{}) {
			t.Errorf("%s: %+v, %v", what, p, err)
		} else if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the secret", what)
		}
	}
	refused("empty", "")
	refused("a secret alone", secret)
	refused("another prefix", "kfe1."+id+"."+secret)
	refused("wrong secret", formatAPIToken(id, NewSecret()))
	refused("no secret", formatAPIToken(id, ""))
	refused("the stored hash", formatAPIToken(id, token.Hash))
	refused("the secret of another", formatAPIToken(other.ID, secret))
	refused("unknown", formatAPIToken(NewID(), secret))
	refused("more at its end", text+".x")

	g.now = g.now.Add(time.Hour - 1)
	if _, err := g.ByToken(ctx, text); err != nil {
		t.Errorf("before its time is over: %v", err)
	}
	g.now = g.now.Add(1)
	refused("expired", text)
	g.now = g.now.Add(-time.Minute)
	if err := g.DeleteAPIToken(ctx, id, "ana"); err != nil {
		t.Fatal(err)
	}
	refused("withdrawn", text)
	if all, err := g.APITokens(ctx); err != nil || len(all) != 1 {
		t.Errorf("%d tokens, %v", len(all), err)
	}
}

func TestTokenRequestsAreChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		token   string
		scope   fleet.Scope
		expires time.Duration
		want    string
	}{
		"no name":           {" ", fleet.ScopeRead, 0, "name"},
		"long name":         {strings.Repeat("x", 65), fleet.ScopeRead, 0, "name"},
		"control character": {"a\x00", fleet.ScopeRead, 0, "name"},
		"no scope":          {"n", "", 0, "scope"},
		"unknown scope":     {"n", "write", 0, "scope"},
		"in the past":       {"n", fleet.ScopeRead, -1, "expires_in"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			_, text, err := g.CreateAPIToken(t.Context(), tt.token, tt.scope, tt.expires, "ana")
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) || len(invalid.Violations) != 1 || invalid.Violations[0].Field != tt.want || text != "" || len(g.store.tokens) != 0 {
				t.Errorf("error = %v, want a fault of %s", err, tt.want)
			}
		})
	}
}

func TestScopesGiveRoles(t *testing.T) {
	for scope, want := range map[fleet.Scope]fleet.Role{
		fleet.ScopeRead: fleet.RoleViewer, fleet.ScopeCommand: fleet.RoleOperator, fleet.ScopeAdmin: fleet.RoleAdmin, "what comes next": fleet.RoleViewer,
	} {
		if got := scope.Role(); got != want {
			t.Errorf("%s gives %s, want %s", scope, got, want)
		}
	}
}

func TestTheUseOfATokenIsNotedNowAndThen(t *testing.T) {
	g := newGate(t)
	_, text, err := g.CreateAPIToken(t.Context(), "n", fleet.ScopeRead, 0, "ana")
	if err != nil {
		t.Fatal(err)
	}
	use := func(want int) {
		t.Helper()
		for range 10 {
			if _, err := g.ByToken(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		if g.store.touches != want {
			t.Errorf("%d notes, want %d", g.store.touches, want)
		}
	}
	use(1)
	g.now = g.now.Add(touchEvery - 1)
	use(1)
	g.now = g.now.Add(1)
	use(2)
}
