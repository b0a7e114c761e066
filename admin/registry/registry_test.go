package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// office is a registry on a real database, with a fake clock, and what its observers were told.
type office struct {
	*Registry
	t     *testing.T
	store *store.Store
	ca    *pki.Authority
	mu    sync.Mutex
	now   time.Time
	told  []string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, now: time.Now().UTC()}
	var err error
	if o.ca, err = pki.OpenAuthority(t.TempDir(), o.now); err != nil {
		t.Fatal(err)
	}
	if o.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "r.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.store.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Registry = o.open()
	o.Observe(func(serial string, k *fleet.Kiosk) {
		what := "gone"
		if k != nil {
			what = fmt.Sprintf("generation %d", k.Generation)
		}
		o.told = append(o.told, serial+" "+what)
	})
	return o
}

// open makes another registry on the same database, as another process would.
func (o *office) open() *Registry {
	o.t.Helper()
	r, err := New(o.t.Context(), Config{Store: o.store, Authority: o.ca, Now: o.clockNow, Log: slog.New(slog.DiscardHandler), Certificate: time.Hour})
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

func (o *office) clockNow() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

func (o *office) register(serial string) *fleet.Kiosk {
	o.t.Helper()
	k, err := o.Add(o.t.Context(), fleet.Kiosk{Serial: serial}, "ana")
	if err != nil {
		o.t.Fatal(err)
	}
	return k
}

// token issues an enrolment token whose id and secret's hash are its name.
func (o *office) token(name string, req TokenRequest) {
	o.t.Helper()
	if req.SerialPattern == "" {
		req.SerialPattern = "K-*"
	}
	if req.MaxUses == 0 {
		req.MaxUses = 1
	}
	if req.ExpiresIn == 0 {
		req.ExpiresIn = time.Hour
	}
	if _, _, err := o.CreateToken(o.t.Context(), req, Credentials{ID: name, Secret: "secret", Hash: name}, "ana"); err != nil {
		o.t.Fatal(err)
	}
}

func csr(t *testing.T, name string) string {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pki.NewCSR(key, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// enrol returns what the certificate says that the registry issued.
func (o *office) enrol(r *Registry, serial, token string) (pki.Identity, error) {
	o.t.Helper()
	answer, err := r.Enroll(o.t.Context(), protocol.EnrollRequest{Serial: serial, CSR: csr(o.t, serial)}, token, token)
	if err != nil {
		return pki.Identity{}, err
	}
	certs, err := pki.ParseCertificates([]byte(answer.Certificate))
	if err != nil {
		o.t.Fatal(err)
	}
	id, err := pki.IdentityOf(certs[0])
	if err != nil {
		o.t.Fatal(err)
	}
	if k, err := r.Get(serial); err != nil || k.ID != answer.KioskID || answer.Chain != string(o.ca.PEM()) {
		o.t.Errorf("answer = %+v for %+v", answer, k)
	}
	return id, nil
}

func (o *office) mustEnrol(serial, token string) pki.Identity {
	o.t.Helper()
	id, err := o.enrol(o.Registry, serial, token)
	if err != nil {
		o.t.Fatal(err)
	}
	return id
}

func (o *office) wantTold(want ...string) {
	o.t.Helper()
	if !slices.Equal(o.told, want) {
		o.t.Errorf("observers were told %q, want %q", o.told, want)
	}
	o.told = nil
}

func TestAdmission(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.token("t", TokenRequest{MaxUses: 10})
	o.register("K-1")
	first := o.mustEnrol("K-1", "t")
	admitted := func(id pki.Identity, want error) {
		t.Helper()
		if err := o.Admit(id); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("Admit(%+v) = %v, want %v", id, err, want)
		}
	}
	admitted(first, nil)
	admitted(pki.Identity{Serial: "K-9"}, fleet.ErrNotRegistered)
	admitted(pki.Identity{Serial: "k-1"}, fleet.ErrNotRegistered)

	if _, err := o.Revoke(ctx, "K-1", "ana"); err != nil {
		t.Fatal(err)
	}
	admitted(first, fleet.ErrRevoked)
	if k, _ := o.Get("K-1"); k.RevokedAt == nil {
		t.Error("a revoked kiosk does not say so")
	}
	second := o.mustEnrol("K-1", "t")
	admitted(second, nil)
	admitted(first, fleet.ErrRevoked)
	if k, _ := o.Get("K-1"); k.RevokedAt != nil || k.EnrolledAt == nil || second.Generation != 1 {
		t.Errorf("after it enrolled again: %+v, generation %d", k, second.Generation)
	}

	if err := o.Delete(ctx, "K-1", "ana"); err != nil {
		t.Fatal(err)
	}
	admitted(second, fleet.ErrNotRegistered)
	o.register("K-1")
	admitted(first, fleet.ErrRevoked)
	admitted(second, fleet.ErrRevoked) // registered anew, its old certificates stay worthless
	third := o.mustEnrol("K-1", "t")
	admitted(third, nil)
	admitted(second, fleet.ErrRevoked)
}

// Certificates of another tool that uses the same CA carry no generation.
func TestACertificateWithoutAGenerationIsOfTheFirst(t *testing.T) {
	o := newOffice(t)
	o.register("K-1")
	if err := o.Admit(pki.Identity{Serial: "K-1"}); err != nil {
		t.Error(err)
	}
	if _, err := o.Revoke(t.Context(), "K-1", "ana"); err != nil {
		t.Fatal(err)
	}
	if err := o.Admit(pki.Identity{Serial: "K-1"}); !errors.Is(err, fleet.ErrRevoked) {
		t.Errorf("after a revocation: %v", err)
	}
}

func TestChangesByAnotherProcessAreSeen(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	other := o.open()
	follow := func() {
		t.Helper()
		if err := o.follow(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Add(ctx, fleet.Kiosk{Serial: "K-1", Site: "Mall"}, "cli"); err != nil {
		t.Fatal(err)
	}
	// A kiosk does not wait for the next look.
	if err := o.Admit(pki.Identity{Serial: "K-1"}); err != nil {
		t.Errorf("a kiosk that was registered a moment ago: %v", err)
	}
	o.wantTold("K-1 generation 0")
	follow()
	o.wantTold()
	if o.SiteOf("K-1") != "Mall" || o.SiteOf("K-9") != "" {
		t.Errorf("sites %q, %q", o.SiteOf("K-1"), o.SiteOf("K-9"))
	}

	site := "Airport"
	for range 3 { // within one millisecond of the clock
		if _, err := other.Change(ctx, "K-1", fleet.KioskPatch{Site: &site}, "cli"); err != nil {
			t.Fatal(err)
		}
	}
	follow()
	o.wantTold("K-1 generation 0")
	if o.SiteOf("K-1") != "Airport" {
		t.Errorf("site = %q", o.SiteOf("K-1"))
	}

	if _, err := other.Revoke(ctx, "K-1", "cli"); err != nil {
		t.Fatal(err)
	}
	o.token("t", TokenRequest{})
	id, err := o.enrol(other, "K-1", "t")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Admit(id); err != nil {
		t.Errorf("a certificate that is newer than what is known: %v", err)
	}
	follow()
	o.wantTold("K-1 generation 1")
	if err := o.Admit(pki.Identity{Serial: "K-1"}); !errors.Is(err, fleet.ErrRevoked) {
		t.Errorf("after a revocation by the other: %v", err)
	}

	if err := other.Delete(ctx, "K-1", "cli"); err != nil {
		t.Fatal(err)
	}
	follow()
	o.wantTold("K-1 gone")
	if _, err := o.Get("K-1"); !errors.Is(err, fleet.ErrNotFound) || len(o.All()) != 0 {
		t.Errorf("after a deletion by the other: %v, %d kiosks", err, len(o.All()))
	}

	if _, err := other.Add(ctx, fleet.Kiosk{Serial: "K-1"}, "cli"); err != nil {
		t.Fatal(err)
	}
	if err := other.Delete(ctx, "K-1", "cli"); err != nil {
		t.Fatal(err)
	}
	follow()
	o.wantTold()

	newest, err := o.store.LastKioskChange(ctx)
	if again := o.open(); err != nil || o.seen != newest || again.seen != newest {
		t.Errorf("followed up to %d, a new registry to %d, the newest change is %d, %v", o.seen, again.seen, newest, err)
	}
}

func TestOwnChangesAreToldOnce(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.token("t", TokenRequest{})
	o.register("K-1")
	site := "Mall"
	if _, err := o.Change(ctx, "K-1", fleet.KioskPatch{Site: &site}, "ana"); err != nil {
		t.Fatal(err)
	}
	o.mustEnrol("K-1", "t")
	if _, err := o.Revoke(ctx, "K-1", "ana"); err != nil {
		t.Fatal(err)
	}
	o.wantTold("K-1 generation 0", "K-1 generation 0", "K-1 generation 0", "K-1 generation 1")
	for range 2 {
		if err := o.follow(ctx); err != nil {
			t.Fatal(err)
		}
	}
	o.wantTold()
	if err := o.Delete(ctx, "K-1", "ana"); err != nil {
		t.Fatal(err)
	}
	if err := o.follow(ctx); err != nil {
		t.Fatal(err)
	}
	o.wantTold("K-1 gone")
}

// The clock of a machine may be set back; a revocation must count all the same.
func TestARevocationCountsAlsoAfterTheClockWasSetBack(t *testing.T) {
	for _, where := range []string{"here", "by another process"} {
		t.Run(where, func(t *testing.T) {
			o := newOffice(t)
			other := o.open()
			o.token("t", TokenRequest{MaxUses: 2})
			o.register("K-1")
			id := o.mustEnrol("K-1", "t")
			o.told = nil
			o.pass(-time.Minute)
			by := o.Registry
			if where != "here" {
				by = other
			}
			if _, err := by.Revoke(t.Context(), "K-1", "ana"); err != nil {
				t.Fatal(err)
			}
			if err := o.follow(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := o.Admit(id); !errors.Is(err, fleet.ErrRevoked) {
				t.Errorf("Admit = %v", err)
			}
			o.wantTold("K-1 generation 1")
			o.pass(-time.Minute)
			if err := o.Admit(o.mustEnrol("K-1", "t")); err != nil {
				t.Errorf("enrolled again: %v", err)
			}
			if k, _ := o.Get("K-1"); k.RevokedAt != nil {
				t.Error("enrolled again, and still shown as revoked")
			}
		})
	}
}

// slowStore lets a test act between the database's answer and its use.
type slowStore struct {
	Store
	after func()
}

func (s *slowStore) Kiosk(ctx context.Context, serial string) (fleet.Kiosk, error) {
	k, err := s.Store.Kiosk(ctx, serial)
	if f := s.after; f != nil {
		s.after = nil
		f()
	}
	return k, err
}

func TestWhatWasReadBeforeAChangeDoesNotUndoIt(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	slow := &slowStore{Store: o.store}
	o.Registry.store = slow
	slow.after = func() { o.register("K-1") }
	if err := o.Admit(pki.Identity{Serial: "K-1"}); err != nil {
		t.Errorf("registered while it connects: %v", err)
	}
	o.wantTold("K-1 generation 0")

	slow.after = func() {
		if _, err := o.Revoke(ctx, "K-1", "ana"); err != nil {
			t.Error(err)
		}
	}
	if err := o.refresh(ctx, "K-1"); err != nil {
		t.Fatal(err)
	}
	if k, _ := o.Get("K-1"); k.Generation != 1 {
		t.Errorf("generation = %d: the revocation is undone", k.Generation)
	}
	o.wantTold("K-1 generation 1")

	slow.after = func() {
		if err := o.Delete(ctx, "K-1", "ana"); err != nil {
			t.Error(err)
		}
	}
	if err := o.refresh(ctx, "K-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Get("K-1"); !errors.Is(err, fleet.ErrNotFound) {
		t.Error("the deletion is undone")
	}
	o.wantTold("K-1 gone")
}

type brokenStore struct{ Store }

func (brokenStore) Kiosk(context.Context, string) (fleet.Kiosk, error) {
	return fleet.Kiosk{}, errDown
}
func (brokenStore) KioskChanges(context.Context, int64) ([]string, int64, error) {
	return nil, 0, errDown
}
func (brokenStore) Kiosks(context.Context) ([]fleet.Kiosk, error) { return nil, errDown }

var errDown = errors.New("down")

func TestADatabaseThatIsAwayChangesNothing(t *testing.T) {
	o := newOffice(t)
	o.register("K-1")
	o.Registry.store = brokenStore{o.store}
	if err := o.Admit(pki.Identity{Serial: "K-1"}); err != nil {
		t.Errorf("a kiosk that is known: %v", err)
	}
	if err := o.Admit(pki.Identity{Serial: "K-2"}); !errors.Is(err, errDown) {
		t.Errorf("a kiosk that is not: %v", err)
	}
	if err := o.follow(t.Context()); !errors.Is(err, errDown) || len(o.All()) != 1 {
		t.Errorf("follow = %v, %d kiosks", err, len(o.All()))
	}
	if _, err := New(t.Context(), Config{Store: brokenStore{o.store}, Now: o.clockNow}); !errors.Is(err, errDown) {
		t.Errorf("New = %v", err)
	}
}

func TestKiosksAreCheckedBeforeTheyAreStored(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	k, err := o.Add(ctx, fleet.Kiosk{Serial: " K-1 ", Site: " Mall ", Tags: []string{"b", " a", "b"}, Timezone: "Europe/Madrid", Location: &fleet.Location{Lat: -90, Lng: 180}}, "ana")
	if err != nil || k.Serial != "K-1" || k.Site != "Mall" || strings.Join(k.Tags, " ") != "a b" || k.ID == 0 {
		t.Fatalf("added %+v, %v", k, err)
	}
	if _, err := o.Add(ctx, fleet.Kiosk{Serial: "K-1"}, "ana"); !errors.Is(err, fleet.ErrExists) {
		t.Errorf("the same serial again: %v", err)
	}
	o.told = nil
	long := strings.Repeat("x", 65)
	for name, tt := range map[string]struct {
		kiosk fleet.Kiosk
		field string
	}{
		"no serial":      {fleet.Kiosk{}, "serial"},
		"bad serial":     {fleet.Kiosk{Serial: "a/b"}, "serial"},
		"long site":      {fleet.Kiosk{Serial: "K-2", Site: long}, "site"},
		"control":        {fleet.Kiosk{Serial: "K-2", Site: "a\nb"}, "site"},
		"not UTF-8":      {fleet.Kiosk{Serial: "K-2", Model: "\xff"}, "model"},
		"empty tag":      {fleet.Kiosk{Serial: "K-2", Tags: []string{""}}, "tags"},
		"many tags":      {fleet.Kiosk{Serial: "K-2", Tags: manyTags()}, "tags"},
		"time zone":      {fleet.Kiosk{Serial: "K-2", Timezone: "Mars/Olympus"}, "timezone"},
		"this machine's": {fleet.Kiosk{Serial: "K-2", Timezone: "Local"}, "timezone"},
		"latitude":       {fleet.Kiosk{Serial: "K-2", Location: &fleet.Location{Lat: 90.1}}, "location.lat"},
		"longitude":      {fleet.Kiosk{Serial: "K-2", Location: &fleet.Location{Lng: -180.1}}, "location.lng"},
	} {
		_, err := o.Add(ctx, tt.kiosk, "ana")
		var invalid *fleet.ValidationError
		if !errors.As(err, &invalid) || invalid.Violations[0].Field != tt.field {
			t.Errorf("%s: %v, want a fault of %s", name, err, tt.field)
		}
	}
	bad := []string{long}
	if _, err := o.Change(ctx, "K-1", fleet.KioskPatch{Tags: &bad}, "ana"); err == nil {
		t.Error("a bad tag was taken")
	}
	if _, err := o.Change(ctx, "K-9", fleet.KioskPatch{}, "ana"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("change of nobody: %v", err)
	}
	if _, err := o.Revoke(ctx, "K-9", "ana"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("revocation of nobody: %v", err)
	}
	if err := o.Delete(ctx, "K-9", "ana"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("deletion of nobody: %v", err)
	}
	o.wantTold()
	if stored, err := o.store.Kiosk(ctx, "K-1"); err != nil || strings.Join(stored.Tags, " ") != "a b" || len(o.All()) != 1 {
		t.Errorf("after refused changes: %+v, %v, %d kiosks", stored, err, len(o.All()))
	}
}

func manyTags() []string {
	var tags []string
	for i := range 33 {
		tags = append(tags, fmt.Sprint("tag", i))
	}
	return tags
}

func TestRunFollowsUntilItsContextEnds(t *testing.T) {
	o := newOffice(t)
	r := o.open()
	r.store = &countingStore{Store: o.store}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		time.Sleep(3*pollEvery + pollEvery/2)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if n := r.store.(*countingStore).looked; n != 3 {
		t.Errorf("looked for changes %d times in %s", n, 3*pollEvery+pollEvery/2)
	}
}

// countingStore has no changes; a failure must not end the registry.
type countingStore struct {
	Store
	looked int
}

func (s *countingStore) KioskChanges(_ context.Context, after int64) ([]string, int64, error) {
	s.looked++
	if s.looked == 1 {
		return nil, 0, errDown
	}
	return nil, after, nil
}
