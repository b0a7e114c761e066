// Package availability keeps for how long each kiosk could serve customers, and answers for kiosks, sites and the
// fleet by day, week and month. It learns of changes of verdicts when they happen and writes them down within a
// second; a kiosk whose verdict stays costs nothing. docs/adr/0012-verdict-and-availability.md says what counts as
// what.
package availability

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Store keeps packed weeks and what the time of each kiosk counts as.
type Store interface {
	AvailabilityStates(ctx context.Context) (states []fleet.AvailabilityState, alive time.Time, err error)
	SaveAvailability(ctx context.Context, c fleet.AvailabilityChange) error
	AvailabilityWeeks(ctx context.Context, serial, site string, first, last int64, found func(fleet.AvailabilityWeek) error) error
	DeleteAvailability(ctx context.Context, beforeWeek int64) error
}

// Config says how to make a Book. All but Maintenance are required.
type Config struct {
	Store Store
	// Site returns a kiosk's site, and false for one that is not registered.
	Site func(serial string) (string, bool)
	// Maintenance reports whether a kiosk was in a maintenance window at that time; nil: there are none. It is asked
	// for every kiosk each ten seconds, at whole multiples of them.
	Maintenance func(serial string, at time.Time) bool
	Retention   time.Duration // how long records are kept
	Now         func() time.Time
	Log         *slog.Logger
}

const (
	flushEvery = time.Second
	sweepEvery = 10 * time.Second
	pruneEvery = 24 * time.Hour
	// flushAtOnce is how many kiosks one transaction writes; others wait for the database meanwhile.
	flushAtOnce = 500
	// maxPending bounds the spells that wait for a database that does not take them. Beyond it time is not counted
	// at all, and Dropped says how often.
	maxPending = 200_000
	// maxBridge is the longest time without the platform over which a kiosk that comes back as it was is taken to
	// have stayed so.
	maxBridge = time.Hour
	// patience is how long after a start a kiosk may take to come back and still count as having been there.
	patience = 5 * time.Minute
)

// spell is a time in which a kiosk counted as one kind. Unix milliseconds.
type spell struct {
	kind     kind
	site     string
	from, to int64
}

// doubt is about the time since the platform was last there, until the kiosk has shown how it is. Unix milliseconds.
type doubt struct{ from, start int64 }

// account is one kiosk's.
type account struct {
	site    string
	verdict kind // what it counts as outside of windows
	window  bool // in a maintenance window when it was last looked
	kind    kind
	since   int64   // Unix ms
	pending []spell // ended and not written yet, in order
	doubt   *doubt
}

// Book keeps availability. It is safe for concurrent use.
type Book struct {
	cfg     Config
	dropped atomic.Uint64
	doubts  atomic.Int64 // accounts in doubt

	saving sync.RWMutex // held to write and, shared, to read: a query sees each spell once

	mu      sync.Mutex // guards the rest
	kiosks  map[string]*account
	ended   map[string][]spell // of kiosks that were deleted, not written yet
	dirty   map[string]struct{}
	pending int   // spells in all
	alive   int64 // when the run before was last there, Unix ms; 0: there was none
	failed  bool  // the latest write failed
}

// Open loads what an earlier run wrote. Kiosks that were deleted meanwhile count until that run was last there.
func Open(ctx context.Context, cfg Config) (*Book, error) {
	b := &Book{cfg: cfg, kiosks: map[string]*account{}, ended: map[string][]spell{}, dirty: map[string]struct{}{}}
	states, alive, err := cfg.Store.AvailabilityStates(ctx)
	if err != nil {
		return nil, err
	}
	if !alive.IsZero() {
		b.alive = alive.UnixMilli()
	}
	for _, s := range states {
		a := &account{site: s.Site, kind: kindNamed(s.Kind), since: s.Since.UnixMilli()}
		a.verdict = a.kind
		b.kiosks[s.Serial] = a
		if !s.Doubt.IsZero() {
			// It had not come back when that run ended.
			b.move(s.Serial, a, s.Doubt.UnixMilli(), unknown)
			a.verdict = unknown
		}
		site, known := cfg.Site(s.Serial)
		switch {
		case !known:
			b.end(s.Serial, a, b.alive)
		case site != a.site:
			b.relocate(s.Serial, a, b.alive, site)
		}
	}
	return b, nil
}

// Restore compares with the states that presence restored, which may be a second newer; call it before the tracker
// tells anything.
func (b *Book) Restore(lives []*fleet.Live) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range lives {
		a := b.kiosks[l.Serial]
		if a == nil || l.Presence == fleet.PresenceNever {
			continue
		}
		a.verdict = kindOf(l)
		if at := l.VerdictSince.UnixMilli(); a.kind != maintenance && at > a.since {
			b.move(l.Serial, a, at, a.verdict)
		}
	}
}

// kindOf returns what a kiosk's time counts as outside of maintenance windows. Maintenance that the kiosk reports
// counts while it is there to report it.
func kindOf(l *fleet.Live) kind {
	if l.Presence == fleet.PresenceOnline && l.Status == string(protocol.StateMaintenance) {
		return maintenance
	}
	switch l.Verdict {
	case fleet.VerdictCanServe:
		return canServe
	case fleet.VerdictDegraded:
		return degraded
	case fleet.VerdictCannotServe:
		return cannotServe
	}
	return unknown
}

// Changed takes a change of a kiosk at that time by our clock; old is nil for one that was not known. It returns at
// once. One kiosk's changes come in order; a time that is before the last one counts as that.
func (b *Book) Changed(old, now *fleet.Live, at time.Time) {
	k := kindOf(now)
	if now.Presence == fleet.PresenceNever || old != nil && old.Presence != fleet.PresenceNever && kindOf(old) == k && b.doubts.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	ms := at.UnixMilli()
	a := b.kiosks[now.Serial]
	if a == nil {
		if site, known := b.cfg.Site(now.Serial); known {
			b.kiosks[now.Serial] = &account{site: site, verdict: k, kind: k, since: ms}
			b.dirty[now.Serial] = struct{}{}
		}
		return
	}
	a.verdict = k
	switch {
	case now.Presence == fleet.PresenceOffline && now.PresenceReason == fleet.ReasonAdminRestart:
		if a.doubt == nil {
			b.restarted(now, a, ms)
		}
	case a.doubt == nil:
		b.settle(now.Serial, a, ms)
	case shows(now, a.doubt):
		b.resolve(now.Serial, a, ms)
	}
}

// shows reports whether a kiosk has shown since the start how it is: it has reported, or come and gone.
func shows(l *fleet.Live, d *doubt) bool {
	if l.Presence != fleet.PresenceOnline {
		return true
	}
	return l.LastReading != nil && l.LastReading.ReceivedAt.UnixMilli() >= d.start
}

// restarted begins the doubt about a kiosk that was there before the platform went down.
func (b *Book) restarted(l *fleet.Live, a *account, start int64) {
	if a.kind == unknown {
		return
	}
	known := min(max(b.alive, a.since, l.LastSeen.UnixMilli()), start)
	if start-known > maxBridge.Milliseconds() {
		b.move(l.Serial, a, known, unknown)
		b.settle(l.Serial, a, start)
		return
	}
	a.doubt = &doubt{from: known, start: start}
	b.doubts.Add(1)
	b.dirty[l.Serial] = struct{}{}
}

// resolve ends the doubt about a kiosk: it stayed as it was if it is so again, else nobody knows.
func (b *Book) resolve(serial string, a *account, ms int64) {
	if a.effective() != a.kind {
		b.move(serial, a, a.doubt.from, unknown)
	}
	a.doubt = nil
	b.doubts.Add(-1)
	b.dirty[serial] = struct{}{}
	b.settle(serial, a, ms)
}

func (a *account) effective() kind {
	if a.window {
		return maintenance
	}
	return a.verdict
}

// settle lets the kiosk's time count as what it is now.
func (b *Book) settle(serial string, a *account, ms int64) { b.move(serial, a, ms, a.effective()) }

func (b *Book) move(serial string, a *account, ms int64, k kind) {
	if a.kind == k {
		return
	}
	b.close(a, ms)
	a.kind = k
	b.dirty[serial] = struct{}{}
}

// close ends the spell that is open; the next begins there.
func (b *Book) close(a *account, ms int64) {
	ms = max(ms, a.since)
	switch {
	case ms == a.since:
	case b.pending >= maxPending:
		b.dropped.Add(1)
	default:
		b.pending++
		a.pending = append(a.pending, spell{a.kind, a.site, a.since, ms})
	}
	a.since = ms
}

func (b *Book) relocate(serial string, a *account, ms int64, site string) {
	b.close(a, ms)
	a.site = site
	b.dirty[serial] = struct{}{}
}

func (b *Book) end(serial string, a *account, ms int64) {
	if a.doubt != nil {
		a.verdict, a.window = unknown, false
		b.resolve(serial, a, ms)
	}
	b.close(a, ms)
	b.ended[serial] = append(b.ended[serial], a.pending...)
	delete(b.kiosks, serial)
	delete(b.dirty, serial)
}

// Registered follows the registry: a kiosk moved to another site, or, nil, was deleted. It returns at once.
func (b *Book) Registered(serial string, k *fleet.Kiosk) {
	ms := b.cfg.Now().UnixMilli()
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.kiosks[serial]
	switch {
	case a == nil:
	case k == nil:
		b.end(serial, a, ms)
	case k.Site != a.site:
		b.relocate(serial, a, ms, k.Site)
	}
}

// sweep looks for windows that began or ended, and for kiosks that did not come back.
func (b *Book) sweep(at time.Time) {
	at = at.Truncate(sweepEvery)
	ms := at.UnixMilli()
	b.mu.Lock()
	serials := slices.Collect(maps.Keys(b.kiosks))
	b.mu.Unlock()
	windows := make([]bool, len(serials))
	for i, serial := range serials {
		windows[i] = b.cfg.Maintenance != nil && b.cfg.Maintenance(serial, at)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, serial := range serials {
		a := b.kiosks[serial]
		if a == nil {
			continue
		}
		a.window = windows[i]
		if a.doubt == nil {
			b.settle(serial, a, ms)
		} else if ms-a.doubt.start >= patience.Milliseconds() {
			b.resolve(serial, a, ms)
		}
	}
}

// Run looks and writes until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	var swept, pruned time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-flush.C:
		}
		now := b.cfg.Now()
		if sweep := now.Truncate(sweepEvery); !sweep.Equal(swept) {
			swept = sweep
			b.sweep(sweep)
			_ = b.flush(ctx, true) // it is tried again, and said in the log
		} else {
			_ = b.flush(ctx, false)
		}
		if now.Sub(pruned) >= pruneEvery {
			pruned = now
			if err := b.cfg.Store.DeleteAvailability(ctx, weekOf(now.Add(-b.cfg.Retention).UnixMilli())); err != nil && ctx.Err() == nil {
				b.cfg.Log.Error("old availability not removed, trying again tomorrow", "error", err)
			}
		}
	}
}

// Finish writes what is left; call it when nothing changes any more.
func (b *Book) Finish(ctx context.Context) { _ = b.flush(ctx, true) }

// Dropped returns how many spells were not counted because the database did not take them for too long.
func (b *Book) Dropped() uint64 { return b.dropped.Load() }
