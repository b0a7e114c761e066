// Package desk is where alerts are dealt with. The alert engine says which rules hold for which kiosks; the desk
// keeps the alerts, puts those of one cause into one incident, holds back what nobody needs to hear (of kiosks that
// are gone or worked on, and what people silenced), and does what people ask for: acknowledge, assign, snooze,
// comment, resolve.
//
// Every step is one transaction: alerts, incidents, the events of their timelines, which others tell the world of,
// and the state of the engine that it follows from. What could not be stored has not happened.
package desk

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/admin/alert/incident"
	"kioskfleet/admin/fleet"
)

// Keeper stores what happens.
type Keeper interface {
	// SaveAlerts stores all of a batch, or nothing.
	SaveAlerts(ctx context.Context, b fleet.AlertBatch) error
	// PruneAlerts removes up to limit alerts and as many incidents that were resolved before a time, and returns
	// how many.
	PruneAlerts(ctx context.Context, before time.Time, limit int) (int, error)
}

// Shelf gives what is needed to go on after a start.
type Shelf interface {
	// OpenAlerts returns the open alerts and incidents, and the resolved alerts of open incidents.
	OpenAlerts(ctx context.Context) ([]fleet.Alert, []fleet.Incident, error)
	// KnownAlerts returns which of these ids are stored.
	KnownAlerts(ctx context.Context, ids []string) (map[string]bool, error)
	Silences(ctx context.Context, endAfter time.Time) ([]fleet.Silence, error)
	MaintenanceWindows(ctx context.Context, endAfter time.Time) ([]fleet.MaintenanceWindow, error)
}

// Lists answers what people ask; the desk hands these methods on as they are.
type Lists interface {
	Alert(ctx context.Context, id string) (fleet.Alert, error)
	Alerts(ctx context.Context, f fleet.AlertFilter, cursor string, limit int) (page []fleet.Alert, next string, err error)
	AlertTimeline(ctx context.Context, alert string, before int64, limit int) ([]fleet.AlertEvent, error)
	CountAlerts(ctx context.Context, f fleet.AlertFilter) (map[fleet.Severity]int, error)
	Incident(ctx context.Context, id string) (fleet.Incident, error)
	Incidents(ctx context.Context, f fleet.IncidentFilter, cursor string, limit int) (page []fleet.Incident, next string, err error)
	IncidentTimeline(ctx context.Context, incident string, before int64, limit int) ([]fleet.AlertEvent, error)
	AlertStatistics(ctx context.Context, from, to time.Time) (fleet.AlertStatistics, error)
	Silence(ctx context.Context, id string) (fleet.Silence, error)
}

// Store is the database behind the desk.
type Store interface {
	Keeper
	Shelf
	Lists
}

// Fleet tells about kiosks. It may take locks of its own, but must not call the desk.
type Fleet interface {
	// Live returns what is known of a kiosk right now, nil when nothing is.
	Live(serial string) *fleet.Live
	// Kiosk returns a registered kiosk, nil when it is not registered.
	Kiosk(serial string) *fleet.Kiosk
	// Registered returns how many kiosks are registered at a site, on a network path or with an agent version;
	// 0 when that is not known.
	Registered(kind fleet.IncidentKind, name string) int
}

// Observer learns of alerts and incidents that changed, as they are now. It runs under a lock, in the order of the
// changes: it must return at once and must not call the desk.
type Observer func(alerts []fleet.Alert, incidents []fleet.Incident)

// Config says what a desk works with.
type Config struct {
	Store Store
	Fleet Fleet
	Now   func() time.Time
	Log   *slog.Logger
	// Incidents says when alerts become an incident; the zero value takes its defaults.
	Incidents incident.Config
	// Grace is how long the alerts of a kiosk that came back stay held back, so that its first values can close
	// them. 0: DefaultGrace.
	Grace time.Duration
	// Keep is how long resolved alerts are kept. 0: DefaultKeep.
	Keep time.Duration
}

// Defaults of Config.
const (
	DefaultGrace = 30 * time.Second
	DefaultKeep  = 400 * 24 * time.Hour
)

// Desk deals with alerts and incidents. It is safe for concurrent use; changes happen one after the other.
type Desk struct {
	Lists
	config    Config
	observers []Observer
	wake      chan struct{} // to Run: something may be due; one slot is enough

	dirtyMu sync.Mutex
	dirty   map[string]bool // kiosks that changed; at most as many as there are

	mu         sync.Mutex
	open       map[string]*fleet.Alert // by id; what it points at is never changed
	ofKiosk    map[string]map[string]string
	incidents  map[string]*fleet.Incident // open ones; as of open
	correlator *incident.State
	silences   []silence                                 // that have not ended
	windows    []fleet.MaintenanceWindow                 // that have not ended
	covering   atomic.Pointer[[]fleet.MaintenanceWindow] // the same, for who must not wait
	graceEnds  map[string]time.Time                      // of kiosks that came back and have alerts that are held back
	// unsure says that a transaction failed and nobody knows whether it took place: the database is asked before
	// the next step.
	unsure bool
	// recheck says that every open alert must be looked at: whether it is held back may have changed. Replan says
	// that the next deadlines may be others.
	recheck, replan bool
	turns           time.Time // when the next silence or maintenance begins or ends
	snoozeEnds      time.Time // the next one
	pruneAt         time.Time
}

// New returns a desk with the open alerts and incidents of the store.
func New(ctx context.Context, config Config) (*Desk, error) {
	config.Grace = cmp.Or(config.Grace, DefaultGrace)
	config.Keep = cmp.Or(config.Keep, DefaultKeep)
	d := &Desk{Lists: config.Store, config: config, wake: make(chan struct{}, 1), dirty: map[string]bool{}}
	d.pruneAt = d.now()
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Observe adds an observer; call it before anything else.
func (d *Desk) Observe(o Observer) { d.observers = append(d.observers, o) }

func (d *Desk) now() time.Time { return d.config.Now().UTC() }

// load takes everything from the store.
func (d *Desk) load(ctx context.Context) error {
	alerts, incidents, err := d.config.Store.OpenAlerts(ctx)
	if err != nil {
		return fmt.Errorf("start the alert desk: %w", err)
	}
	silences, err := d.config.Store.Silences(ctx, d.now())
	if err != nil {
		return fmt.Errorf("start the alert desk: %w", err)
	}
	windows, err := d.config.Store.MaintenanceWindows(ctx, d.now())
	if err != nil {
		return fmt.Errorf("start the alert desk: %w", err)
	}
	d.open, d.ofKiosk, d.incidents = map[string]*fleet.Alert{}, map[string]map[string]string{}, map[string]*fleet.Incident{}
	d.graceEnds = map[string]time.Time{}
	for i := range alerts {
		if alerts[i].Open() {
			d.put(&alerts[i])
		}
	}
	for i := range incidents {
		d.incidents[incidents[i].ID] = &incidents[i]
	}
	d.correlator = incident.New(d.config.Incidents, incidents, alerts)
	d.silences = nil
	for _, s := range silences {
		compiled, err := compileSilence(s)
		if err != nil {
			return fmt.Errorf("start the alert desk: silence %s: %w", s.ID, err)
		}
		d.silences = append(d.silences, compiled)
	}
	d.windows = windows
	d.covering.Store(&windows)
	d.unsure, d.recheck = false, true
	return nil
}

// put remembers an alert as it is now, or forgets one that is resolved. Of a kiosk, alerts are found by rule.
func (d *Desk) put(a *fleet.Alert) {
	rules := d.ofKiosk[a.Serial]
	if a.Open() {
		d.open[a.ID] = a
		if rules == nil {
			rules = map[string]string{}
			d.ofKiosk[a.Serial] = rules
		}
		rules[a.Rule] = a.ID
		return
	}
	delete(d.open, a.ID)
	if rules[a.Rule] == a.ID {
		delete(rules, a.Rule)
	}
	if len(rules) == 0 {
		delete(d.ofKiosk, a.Serial)
	}
}

// change makes a draft, lets f work on it, and stores what came of it.
func (d *Desk) change(ctx context.Context, f func(r *draft) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	unsure := d.unsure
	if unsure {
		if err := d.load(ctx); err != nil {
			return err
		}
	}
	r := newDraft(d)
	if err := f(r); err != nil {
		return err
	}
	if err := r.commit(ctx); err != nil {
		return err
	}
	if unsure {
		d.kick() // to look at all that was loaded; while nothing can be stored, Run waits instead
	}
	return nil
}

// kick makes Run look at what is due.
func (d *Desk) kick() {
	select {
	case d.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}
