package store

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func TestUsersAndTheirSessions(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	if n, err := s.CountUsers(ctx); err != nil || n != 0 {
		t.Errorf("%d users, %v", n, err)
	}
	ana, err := s.AddUser(ctx, fleet.User{Name: "ana", Role: fleet.RoleOperator, PasswordHash: "$old", CreatedAt: now}, "first start")
	must(t, err)
	bob, err := s.AddUser(ctx, fleet.User{Name: "bob", Role: fleet.RoleViewer, PasswordHash: "$b", CreatedAt: now}, "ana")
	must(t, err)
	if _, err := s.AddUser(ctx, fleet.User{Name: "ana", CreatedAt: now}, "bob"); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("the same name: %v", err)
	}
	if got, err := s.UserByName(ctx, "ana"); err != nil || got != ana {
		t.Errorf("user = %+v, %v; want %+v", got, err, ana)
	}
	if _, err := s.UserByName(ctx, "Ana"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("another name: %v", err)
	}
	if n, err := s.CountUsers(ctx); err != nil || n != 2 {
		t.Errorf("%d users, %v", n, err)
	}

	session := func(hash string, user int64, from time.Time) {
		t.Helper()
		must(t, s.AddWebSession(ctx, fleet.WebSession{Hash: hash, UserID: user, CreatedAt: from, ExpiresAt: from.Add(time.Hour)}))
	}
	holds := func(hash string, at time.Time, want string) {
		t.Helper()
		u, err := s.WebSessionUser(ctx, hash, at)
		if want == "" && !errors.Is(err, fleet.ErrNotFound) || want != "" && (err != nil || u.Name != want) {
			t.Errorf("session %s at %s: %s, %v; want %q", hash, at.Sub(now), u.Name, err, want)
		}
	}
	session("h1", ana.ID, now)
	session("h2", bob.ID, now)
	holds("h1", now, "ana")
	holds("h1", now.Add(time.Hour-time.Millisecond), "ana")
	holds("h1", now.Add(time.Hour), "")
	holds("h9", now, "")
	must(t, s.DeleteWebSession(ctx, "h2"))
	must(t, s.DeleteWebSession(ctx, "h2"))
	holds("h2", now, "")

	session("h3", bob.ID, now)
	must(t, s.SetPassword(ctx, "ana", "$new", "bob", now))
	holds("h1", now, "")
	holds("h3", now, "bob")
	if u, err := s.UserByName(ctx, "ana"); err != nil || u.PasswordHash != "$new" {
		t.Errorf("user = %+v, %v", u, err)
	}
	if err := s.SetPassword(ctx, "eve", "$new", "bob", now); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("password of nobody: %v", err)
	}

	session("h4", ana.ID, now.Add(2*time.Hour)) // sweeps what has expired
	var left int
	must(t, s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM web_sessions`).Scan(&left))
	if left != 1 {
		t.Errorf("%d sessions are kept", left)
	}
	if err := s.AddWebSession(ctx, fleet.WebSession{Hash: "h5", UserID: 99, CreatedAt: now, ExpiresAt: now}); err == nil {
		t.Error("a session of nobody was stored")
	}
	if got := audits(t, s); got != "first start user.add ana operator; ana user.add bob viewer; bob user.password ana" || strings.Contains(got, "$") {
		t.Errorf("audit = %s", got)
	}
}

func TestAPITokens(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	expires := now.Add(time.Hour)
	first := fleet.APIToken{ID: "a", Name: "grafana", Scope: fleet.ScopeRead, Hash: "h1", CreatedAt: now}
	second := fleet.APIToken{ID: "b", Name: "script", Scope: fleet.ScopeAdmin, Hash: "h2", CreatedAt: now.Add(time.Minute), ExpiresAt: &expires}
	must(t, s.AddAPIToken(ctx, first, "ana"))
	must(t, s.AddAPIToken(ctx, second, "ana"))
	if err := s.AddAPIToken(ctx, fleet.APIToken{ID: "c", Name: "grafana"}, "ana"); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("the same name: %v", err)
	}
	if got, err := s.APIToken(ctx, "b"); err != nil || !reflect.DeepEqual(got, second) {
		t.Errorf("token = %+v, %v", got, err)
	}
	if _, err := s.APIToken(ctx, "h2"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a token that is none: %v", err)
	}
	must(t, s.TouchAPIToken(ctx, "a", expires))
	first.LastUsedAt = &expires
	if all, err := s.APITokens(ctx); err != nil || !reflect.DeepEqual(all, []fleet.APIToken{second, first}) {
		t.Errorf("tokens = %+v, %v", all, err)
	}
	must(t, s.DeleteAPIToken(ctx, "a", "bob", now))
	if err := s.DeleteAPIToken(ctx, "a", "bob", now); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("withdrawn again: %v", err)
	}
	if got := audits(t, s); got != "ana token.add grafana read; ana token.add script admin; bob token.delete a" {
		t.Errorf("audit = %s", got)
	}
}

func TestEnrolmentTokens(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	addKiosk(t, s, "K-1")
	token := fleet.EnrollmentToken{ID: "t", Hash: "h", SerialPattern: "K-*", MaxUses: 2, MayRegister: true, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	must(t, s.AddEnrollmentToken(ctx, token, "ana"))
	if got, err := s.EnrollmentToken(ctx, "t", "h"); err != nil || got != token {
		t.Errorf("token = %+v, %v", got, err)
	}
	for _, wrong := range [][2]string{{"t", "x"}, {"t", ""}, {"t", "hh"}, {"u", "h"}, {"", ""}} {
		if got, err := s.EnrollmentToken(ctx, wrong[0], wrong[1]); !errors.Is(err, fleet.ErrTokenInvalid) || got != (fleet.EnrollmentToken{}) {
			t.Errorf("%q: %+v, %v", wrong, got, err)
		}
	}
	use := func(id, serial string, generation int64, at time.Time, want error) {
		t.Helper()
		if err := s.UseEnrollmentToken(ctx, id, serial, generation, at); !errors.Is(err, want) {
			t.Errorf("use of %s for %s: %v, want %v", id, serial, err, want)
		}
	}
	use("u", "K-1", 0, now, fleet.ErrTokenInvalid)
	use("t", "K-9", 0, now, fleet.ErrNotRegistered)
	use("t", "K-1", 1, now, fleet.ErrRevoked)
	use("t", "K-1", 0, now.Add(time.Hour), fleet.ErrTokenExpired)
	if got, err := s.EnrollmentToken(ctx, "t", "h"); err != nil || got.Uses != 0 {
		t.Errorf("refused uses were counted: %d, %v", got.Uses, err)
	}

	_, err := s.ChangeKiosk(ctx, "K-1", "ana", now, func(k *fleet.Kiosk) (fleet.Event, error) {
		k.Generation, k.RevokedAt = 1, &now
		return fleet.Event{Kind: fleet.EventRevoked}, nil
	})
	must(t, err)
	before, err := s.Kiosk(ctx, "K-1")
	must(t, err)
	use("t", "K-1", 1, now.Add(-time.Minute), nil)
	k, err := s.Kiosk(ctx, "K-1")
	if err != nil || k.RevokedAt != nil || !k.EnrolledAt.Equal(now.Add(-time.Minute)) || !k.UpdatedAt.After(before.UpdatedAt) {
		t.Errorf("kiosk = %+v, %v", k, err)
	}
	use("t", "K-1", 1, now, nil)
	use("t", "K-1", 1, now, fleet.ErrTokenUsedUp)

	older := fleet.EnrollmentToken{ID: "o", CreatedAt: now.Add(-time.Hour), ExpiresAt: now}
	must(t, s.AddEnrollmentToken(ctx, older, "ana"))
	if all, err := s.EnrollmentTokens(ctx); err != nil || len(all) != 2 || all[0].ID != "t" || all[0].Uses != 2 || all[1].ID != "o" {
		t.Errorf("tokens = %+v, %v", all, err)
	}
	must(t, s.DeleteEnrollmentToken(ctx, "t", "ana", now))
	use("t", "K-1", 1, now, fleet.ErrTokenInvalid)
	if err := s.DeleteEnrollmentToken(ctx, "t", "ana", now); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("withdrawn again: %v", err)
	}
	if got := audits(t, s); !strings.Contains(got, "enrolment:t kiosk.enrolled K-1; enrolment:t kiosk.enrolled K-1") || strings.Contains(got, " h") {
		t.Errorf("audit = %s", got)
	}
}

func TestATokenIsUsedExactlyAsOftenAsItMay(t *testing.T) {
	file := t.TempDir() + "/k.db"
	stores := []*Store{openAt(t, file), openAt(t, file)} // two processes
	addKiosk(t, stores[0], "K-1")
	const uses = 17
	must(t, stores[0].AddEnrollmentToken(t.Context(), fleet.EnrollmentToken{ID: "t", Hash: "h", MaxUses: uses, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}, "ana"))
	var succeeded, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			switch err := stores[i%2].UseEnrollmentToken(t.Context(), "t", "K-1", 0, now); {
			case err == nil:
				succeeded.Add(1)
			case errors.Is(err, fleet.ErrTokenUsedUp):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if token, err := stores[1].EnrollmentToken(t.Context(), "t", "h"); succeeded.Load() != uses || refused.Load() != 50-uses || err != nil || token.Uses != uses {
		t.Errorf("%d succeeded, %d refused, %d counted, %v", succeeded.Load(), refused.Load(), token.Uses, err)
	}
}

func TestAuditIsWritten(t *testing.T) {
	s := open(t)
	must(t, s.Audit(t.Context(), now, "ana", "backup", "all", "to disk"))
	if got := audits(t, s); got != "ana backup all to disk" {
		t.Errorf("audit = %s", got)
	}
}
