// Package registry knows which kiosks there are, lets them enrol, and decides which may connect.
package registry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/pki"
)

// Store keeps kiosks and enrolment tokens.
type Store interface {
	Kiosks(ctx context.Context) ([]fleet.Kiosk, error)
	Kiosk(ctx context.Context, serial string) (fleet.Kiosk, error)
	AddKiosk(ctx context.Context, k fleet.Kiosk, actor string, now time.Time) (fleet.Kiosk, error)
	ChangeKiosk(ctx context.Context, serial, actor string, now time.Time, f func(*fleet.Kiosk) (fleet.Event, error)) (fleet.Kiosk, error)
	DeleteKiosk(ctx context.Context, serial, actor string, now time.Time) error
	KioskChanges(ctx context.Context, after int64) ([]string, int64, error)
	LastKioskChange(ctx context.Context) (int64, error)

	AddEnrollmentToken(ctx context.Context, t fleet.EnrollmentToken, actor string) error
	EnrollmentTokens(ctx context.Context) ([]fleet.EnrollmentToken, error)
	EnrollmentToken(ctx context.Context, id, hash string) (fleet.EnrollmentToken, error)
	UseEnrollmentToken(ctx context.Context, id, serial string, generation int64, now time.Time) error
	DeleteEnrollmentToken(ctx context.Context, id, actor string, now time.Time) error
}

// Observer learns of each change, after it is stored. Kiosk is nil when the kiosk was deleted.
type Observer func(serial string, kiosk *fleet.Kiosk)

// pollEvery is how soon changes by other processes (admin's subcommands) are noticed.
const pollEvery = time.Second

// Registry caches every registration, so that a CONNECT costs no query. It is safe for concurrent use.
type Registry struct {
	store     Store
	authority *pki.Authority
	now       func() time.Time
	log       *slog.Logger
	validity  time.Duration // of kiosks' certificates
	observers []Observer

	telling sync.Mutex // held while the observers learn of a change, so that they learn in order

	mu     sync.RWMutex
	kiosks map[string]*fleet.Kiosk // values are never changed, only replaced
	seen   int64                   // newest change that the cache holds
}

// Config says how to make a Registry.
type Config struct {
	Store       Store
	Authority   *pki.Authority
	Now         func() time.Time
	Log         *slog.Logger
	Certificate time.Duration // validity of kiosks' certificates
}

// New loads every registration.
func New(ctx context.Context, cfg Config) (*Registry, error) {
	r := &Registry{store: cfg.Store, authority: cfg.Authority, now: cfg.Now, log: cfg.Log, validity: cfg.Certificate, kiosks: map[string]*fleet.Kiosk{}}
	// The position first: a change in between is then seen twice, not missed.
	seen, err := r.store.LastKioskChange(ctx)
	if err != nil {
		return nil, err
	}
	kiosks, err := r.store.Kiosks(ctx)
	if err != nil {
		return nil, err
	}
	for i := range kiosks {
		r.kiosks[kiosks[i].Serial] = &kiosks[i]
	}
	r.seen = seen
	return r, nil
}

// Observe adds an observer; call it before Run.
func (r *Registry) Observe(o Observer) { r.observers = append(r.observers, o) }

// Run follows changes made by other processes until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := r.follow(ctx); err != nil && ctx.Err() == nil {
				r.log.Error("cannot follow changes of kiosks", "error", err)
			}
		}
	}
}

func (r *Registry) follow(ctx context.Context) error {
	r.mu.RLock()
	after := r.seen
	r.mu.RUnlock()
	serials, newest, err := r.store.KioskChanges(ctx, after)
	if err != nil {
		return err
	}
	for _, serial := range serials {
		if err := r.refresh(ctx, serial); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.seen = max(r.seen, newest)
	r.mu.Unlock()
	return nil
}

// refresh brings one cached kiosk up to date and tells the observers if it changed.
func (r *Registry) refresh(ctx context.Context, serial string) error {
	r.mu.RLock()
	before := r.kiosks[serial]
	r.mu.RUnlock()
	k, err := r.store.Kiosk(ctx, serial)
	switch {
	case err == nil:
		// Unless it was deleted after we asked.
		r.put(serial, &k, func(old *fleet.Kiosk) bool { return newer(&k, old) && (old != nil || before == nil) })
	case isNotFound(err):
		// Unless it was registered after we asked.
		r.put(serial, nil, func(old *fleet.Kiosk) bool { return old == before })
	default:
		return err
	}
	return nil
}

// replace puts a kiosk into the cache, unless it was read before a change that the cache already holds.
func (r *Registry) replace(serial string, fresh *fleet.Kiosk) {
	r.put(serial, fresh, func(old *fleet.Kiosk) bool { return newer(fresh, old) })
}

// newer reports whether a kiosk, nil for a deletion, is not an earlier state of the one in the cache.
func newer(fresh, old *fleet.Kiosk) bool {
	return old == nil || fresh == nil || old.ID != fresh.ID || !fresh.UpdatedAt.Before(old.UpdatedAt)
}

// put replaces a cached kiosk if the one there passes, and tells the observers if that changed anything.
func (r *Registry) put(serial string, fresh *fleet.Kiosk, passes func(old *fleet.Kiosk) bool) {
	r.telling.Lock()
	defer r.telling.Unlock()
	r.mu.Lock()
	old := r.kiosks[serial]
	same := old == nil && fresh == nil ||
		old != nil && fresh != nil && old.UpdatedAt.Equal(fresh.UpdatedAt) && old.ID == fresh.ID
	if !passes(old) {
		r.mu.Unlock()
		return
	}
	if fresh == nil {
		delete(r.kiosks, serial)
	} else {
		r.kiosks[serial] = fresh
	}
	r.mu.Unlock()
	if same {
		return
	}
	for _, o := range r.observers {
		o(serial, fresh)
	}
}

// Get returns a registered kiosk, or fleet.ErrNotFound. The caller must not change it.
func (r *Registry) Get(serial string) (*fleet.Kiosk, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if k, ok := r.kiosks[serial]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("kiosk %s: %w", serial, fleet.ErrNotFound)
}

// All returns every registered kiosk in no order. The caller must not change them.
func (r *Registry) All() []*fleet.Kiosk {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]*fleet.Kiosk, 0, len(r.kiosks))
	for _, k := range r.kiosks {
		out = append(out, k)
	}
	return out
}

// SiteOf returns a kiosk's site, empty when unknown.
func (r *Registry) SiteOf(serial string) string {
	if k, err := r.Get(serial); err == nil {
		return k.Site
	}
	return ""
}

// ModelOf returns a kiosk's model, empty when unknown.
func (r *Registry) ModelOf(serial string) string {
	if k, err := r.Get(serial); err == nil {
		return k.Model
	}
	return ""
}

// Admit reports whether the holder of a certificate may connect: fleet.ErrNotRegistered or
// fleet.ErrRevoked if not.
func (r *Registry) Admit(id pki.Identity) error {
	r.mu.RLock()
	k, ok := r.kiosks[id.Serial]
	r.mu.RUnlock()
	if !ok {
		// Another process may just have registered it.
		ctx, cancel := context.WithTimeout(context.Background(), admitTimeout)
		defer cancel()
		if err := r.refresh(ctx, id.Serial); err != nil {
			return err
		}
		var err error
		if k, err = r.Get(id.Serial); err != nil {
			return fleet.ErrNotRegistered
		}
	}
	if id.Generation < k.Generation {
		return fleet.ErrRevoked
	}
	return nil
}

const admitTimeout = 2 * time.Second

// Add registers a kiosk.
func (r *Registry) Add(ctx context.Context, k fleet.Kiosk, actor string) (*fleet.Kiosk, error) {
	if err := k.Normalise(); err != nil {
		return nil, err
	}
	added, err := r.store.AddKiosk(ctx, k, actor, r.clock())
	if err != nil {
		return nil, err
	}
	r.replace(k.Serial, &added)
	return &added, nil
}

// Change applies a patch to a kiosk.
func (r *Registry) Change(ctx context.Context, serial string, patch fleet.KioskPatch, actor string) (*fleet.Kiosk, error) {
	return r.change(ctx, serial, actor, func(k *fleet.Kiosk) (fleet.Event, error) {
		k.Apply(patch)
		return fleet.Event{Kind: fleet.EventChanged}, k.Normalise()
	})
}

// Revoke makes every certificate issued to the kiosk so far worthless. It stays registered and may
// enrol again.
func (r *Registry) Revoke(ctx context.Context, serial, actor string) (*fleet.Kiosk, error) {
	return r.change(ctx, serial, actor, func(k *fleet.Kiosk) (fleet.Event, error) {
		k.Generation++
		now := r.clock()
		k.RevokedAt = &now
		return fleet.Event{Kind: fleet.EventRevoked}, nil
	})
}

func (r *Registry) change(ctx context.Context, serial, actor string, f func(*fleet.Kiosk) (fleet.Event, error)) (*fleet.Kiosk, error) {
	k, err := r.store.ChangeKiosk(ctx, serial, actor, r.clock(), f)
	if err != nil {
		return nil, err
	}
	r.replace(serial, &k)
	return &k, nil
}

// Delete removes a kiosk from the registry.
func (r *Registry) Delete(ctx context.Context, serial, actor string) error {
	if err := r.store.DeleteKiosk(ctx, serial, actor, r.clock()); err != nil {
		return err
	}
	r.replace(serial, nil)
	return nil
}

// clock is now in the store's resolution.
func (r *Registry) clock() time.Time { return r.now().UTC().Truncate(time.Millisecond) }
