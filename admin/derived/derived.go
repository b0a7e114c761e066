// Package derived computes what rules see of a kiosk besides what it reports: where it stands, how far its clock is
// off, how long its certificate lasts, and when its supplies run out.
package derived

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"kioskfleet/admin/derived/forecast"
	"kioskfleet/admin/derived/location"
	"kioskfleet/admin/fleet"
)

// Names of the values of this package; those of location and forecast are named there.
const (
	ClockSkew       = "clock.skew"            // s, the kiosk's clock minus ours
	CertificateDays = "certificate.days_left" // days until the kiosk's certificate ends
)

// Names lists all values that rules may use.
func Names() []string {
	return []string{
		location.Distance, location.Moved, location.Jumped, ClockSkew, CertificateDays,
		forecast.PaperHours, forecast.InkHours, forecast.CashHours, forecast.DiskHours,
	}
}

// Kiosks gives registered kiosks; an error for a serial that is not one.
type Kiosks interface {
	Get(serial string) (*fleet.Kiosk, error)
}

// Presence gives the live state of a kiosk, never nil.
type Presence interface {
	Get(serial string) *fleet.Live
}

// Store keeps states for the next start.
type Store interface {
	SaveDerived(ctx context.Context, states []fleet.DerivedState, now time.Time) error
}

// Config describes Values. Kiosks, Presence and Store are required.
type Config struct {
	Kiosks   Kiosks
	Presence Presence
	Store    Store
	Now      func() time.Time // default time.Now
	Location location.Config
	// CertificateValidity is how long the certificates of kiosks last. A kiosk is thought to use the one that it
	// fetched last; 0: nothing is said of certificates.
	CertificateValidity time.Duration
}

// perCheckpoint bounds the states that one checkpoint writes only because an hour was completed: at each full hour
// that is so for all kiosks at once. What waits is not lost by a crash, only learnt a little less precisely.
const perCheckpoint = 500

// Values holds the derived values of all kiosks. It is safe for concurrent use; the readings of one kiosk come in
// the order of the journal.
type Values struct {
	cfg       Config
	watch     *location.Watch
	forecasts *forecast.Forecasts

	saving sync.Mutex // held while something is written

	mu     sync.RWMutex
	kiosks map[string]*entry
	urgent map[string]struct{} // to be saved at the next checkpoint
	grown  map[string]struct{} // to be saved some time
}

// entry is one kiosk's.
type entry struct {
	serial string
	values *Values

	mu       sync.Mutex // guards those below
	source   fleet.Source
	location location.State
}

// kept is what is kept of a kiosk for the next start.
type kept struct {
	Location location.State  `json:"location"`
	Forecast json.RawMessage `json:"forecast,omitempty"`
}

// New returns Values that know nothing yet.
func New(cfg Config) *Values {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Values{
		cfg: cfg, watch: location.New(cfg.Location), forecasts: forecast.New(),
		kiosks: map[string]*entry{}, urgent: map[string]struct{}{}, grown: map[string]struct{}{},
	}
}

// Forecasts returns the forecasts, which the readings feed as well.
func (v *Values) Forecasts() *forecast.Forecasts { return v.forecasts }

// Reading takes a reading; call it after Presence knows of it. One that is not after what the kiosk's state already
// holds is skipped, as after a crash.
func (v *Values) Reading(r *fleet.Reading) {
	k, err := v.cfg.Kiosks.Get(r.Serial)
	if err != nil {
		return // it was deleted meanwhile
	}
	e := v.entry(r.Serial)
	e.mu.Lock()
	if r.Source != (fleet.Source{}) {
		if !r.Source.After(e.source) {
			e.mu.Unlock()
			return
		}
		e.source = r.Source
	}
	turned := v.watch.Step(&e.location, r, k.Location, v.cfg.Presence.Get(r.Serial).Remote)
	grown := v.forecasts.Reading(r)
	e.mu.Unlock()
	if !turned && !grown {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if turned {
		v.urgent[r.Serial] = struct{}{}
	} else {
		v.grown[r.Serial] = struct{}{}
	}
}

func (v *Values) entry(serial string) *entry {
	v.mu.RLock()
	e, ok := v.kiosks[serial]
	v.mu.RUnlock()
	if ok {
		return e
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok = v.kiosks[serial]; !ok {
		e = &entry{serial: serial, values: v}
		v.kiosks[serial] = e
	}
	return e
}

// Of is what rules see of one kiosk.
type Of struct {
	values *Values
	serial string
}

// For returns the values of a kiosk. They are always the latest, also when the kiosk was forgotten meanwhile.
func (v *Values) For(serial string) Of { return Of{v, serial} }

// Value returns a value by its name in rules, or false when nothing is known of it.
func (o Of) Value(name string) (float64, bool) {
	cfg := &o.values.cfg
	switch name {
	case location.Distance, location.Moved, location.Jumped:
		o.values.mu.RLock()
		e, ok := o.values.kiosks[o.serial]
		o.values.mu.RUnlock()
		if !ok {
			return 0, false
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.location.Value(name)
	case ClockSkew:
		l := cfg.Presence.Get(o.serial)
		return l.Skew.Seconds(), l.LastReading != nil
	case CertificateDays:
		k, err := cfg.Kiosks.Get(o.serial)
		if err != nil || k.EnrolledAt == nil || k.RevokedAt != nil || cfg.CertificateValidity <= 0 {
			return 0, false
		}
		return k.EnrolledAt.Add(cfg.CertificateValidity).Sub(cfg.Now()).Hours() / 24, true
	}
	return o.values.forecasts.Value(o.serial, name)
}

// Forget drops a kiosk that is no longer registered.
func (v *Values) Forget(serial string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.kiosks, serial)
	delete(v.urgent, serial)
	delete(v.grown, serial)
	v.forecasts.Forget(serial)
}

// Restore sets the states that an earlier run saved.
//
// Errors: a state that cannot be read; the kiosk begins anew then, and the others are restored.
func (v *Values) Restore(states []fleet.DerivedState) error {
	var first error
	for i := range states {
		d := &states[i]
		var k kept
		err := json.Unmarshal(d.Data, &k)
		if err == nil && len(k.Forecast) > 0 {
			err = v.forecasts.Restore(d.Serial, k.Forecast)
		}
		if err != nil {
			if first == nil {
				first = fmt.Errorf("restore the derived values of %s: %w", d.Serial, err)
			}
			continue
		}
		e := v.entry(d.Serial)
		e.mu.Lock()
		e.source, e.location = d.Source, k.Location
		e.mu.Unlock()
	}
	return first
}

// Checkpoint writes what must not be forgotten: that a kiosk was moved, or not any more. Of what was learnt it
// writes a part each time.
func (v *Values) Checkpoint(ctx context.Context) error { return v.save(ctx, perCheckpoint) }

// Finish writes all that changed; call it when no reading comes any more.
func (v *Values) Finish(ctx context.Context) error {
	v.mu.Lock()
	for serial := range v.kiosks {
		v.urgent[serial] = struct{}{}
	}
	v.mu.Unlock()
	return v.save(ctx, 0)
}

func (v *Values) save(ctx context.Context, more int) error {
	v.saving.Lock()
	defer v.saving.Unlock()
	v.mu.Lock()
	serials := v.urgent
	v.urgent = map[string]struct{}{}
	for serial := range v.grown {
		if more--; more < 0 {
			break
		}
		serials[serial] = struct{}{}
	}
	var entries []*entry
	for serial := range serials {
		delete(v.grown, serial)
		if e, ok := v.kiosks[serial]; ok {
			entries = append(entries, e)
		}
	}
	v.mu.Unlock()
	states := make([]fleet.DerivedState, 0, len(entries))
	var err error
	for _, e := range entries {
		var d fleet.DerivedState
		if d, err = e.state(); err != nil {
			break
		}
		states = append(states, d)
	}
	if err == nil && len(states) > 0 {
		slices.SortFunc(states, func(a, b fleet.DerivedState) int { return strings.Compare(a.Serial, b.Serial) })
		err = v.cfg.Store.SaveDerived(ctx, states, v.cfg.Now())
	}
	if err != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		maps.Copy(v.urgent, serials)
	}
	return err
}

// state returns what is to be kept, at one moment: the place in the journal belongs to all of it.
func (e *entry) state() (fleet.DerivedState, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	learnt, err := e.values.forecasts.Snapshot(e.serial)
	if err != nil {
		return fleet.DerivedState{}, err
	}
	data, err := json.Marshal(kept{Location: e.location, Forecast: learnt})
	if err != nil {
		return fleet.DerivedState{}, fmt.Errorf("encode the derived values of %s: %w", e.serial, err)
	}
	return fleet.DerivedState{Serial: e.serial, Source: e.source, Data: data}, nil
}
