package desk

import (
	"context"
	"maps"
	"slices"
	"time"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

// How the desk keeps house.
const (
	pruneAtOnce = 500              // alerts removed in one transaction
	pruneAgain  = time.Second      // after a full step
	pruneEvery  = time.Hour        // otherwise
	retryAfter  = 5 * time.Second  // when the database refuses
	longest     = 10 * time.Minute // between two looks, should somebody set the clock
)

// Changed tells the desk that a kiosk's presence, reported state or registration has changed. It returns at once
// and may be called under any lock.
func (d *Desk) Changed(serial string) {
	d.dirtyMu.Lock()
	d.dirty[serial] = true
	d.dirtyMu.Unlock()
	d.kick()
}

// Run does what is due at its time: it begins and ends silences, maintenance and snoozes, holds alerts back when a
// kiosk goes and lets them go when it is back, and removes what is too old. It returns when ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wake := d.wake
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-wake:
		}
		wake = d.wake
		err := d.prune(ctx)
		var next time.Time
		if err == nil {
			next, err = d.due(ctx)
		}
		if err != nil && ctx.Err() == nil {
			d.config.Log.Error("the alert desk cannot work off what is due; it tries again", "error", err)
			next, wake = d.now().Add(retryAfter), nil
		}
		timer.Reset(min(max(next.Sub(d.now()), 0), longest))
	}
}

// due works off everything that is due and returns when the next is, at the latest; zero: nothing is known to come.
func (d *Desk) due(ctx context.Context) (next time.Time, err error) {
	d.dirtyMu.Lock()
	dirty := d.dirty
	d.dirty = map[string]bool{}
	d.dirtyMu.Unlock()

	var at time.Time
	err = d.change(ctx, func(r *draft) error {
		at = r.at
		if reached(d.snoozeEnds, at) {
			r.awake()
		}
		if d.recheck || reached(d.turns, at) {
			r.dropEnded()
			r.recheckAll()
			return nil
		}
		for serial, ends := range d.graceEnds {
			if reached(ends, at) {
				dirty[serial] = true
			}
		}
		for _, serial := range slices.Sorted(maps.Keys(dirty)) {
			r.recheckKiosk(serial)
		}
		return nil
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		return time.Time{}, err // all is loaded anew before the next step, and all is looked at
	}
	if d.recheck || d.replan || reached(d.turns, at) || reached(d.snoozeEnds, at) {
		d.recheck, d.replan = false, false
		d.plan(at)
	}
	next = earlier(earlier(d.turns, d.snoozeEnds), d.pruneAt)
	for serial, ends := range d.graceEnds {
		if reached(ends, at) {
			delete(d.graceEnds, serial)
		} else {
			next = earlier(next, ends)
		}
	}
	return next, nil
}

// reached reports whether a deadline has come; the zero one never does.
func reached(deadline, at time.Time) bool { return !deadline.IsZero() && !at.Before(deadline) }

// earlier returns the earlier of two deadlines.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// plan finds out when the next silence or maintenance begins or ends, and the next snooze ends.
func (d *Desk) plan(at time.Time) {
	d.turns, d.snoozeEnds = time.Time{}, time.Time{}
	turn := func(t time.Time) {
		if t.After(at) {
			d.turns = earlier(d.turns, t)
		}
	}
	for i := range d.silences {
		turn(d.silences[i].From)
		turn(d.silences[i].Until)
	}
	for i := range d.windows {
		w := &d.windows[i]
		turn(w.From)
		turn(w.Until)
		if w.Schedule == nil || !within(at, w.From, w.Until) {
			continue
		}
		for serial := range d.ofKiosk {
			if k := d.config.Fleet.Kiosk(serial); serial != "" && k != nil && matcher.Covers(&w.Scope, k) {
				_, until := matcher.Scheduled(w.Schedule, at, matcher.Zone(k))
				turn(until)
			}
		}
	}
	for _, a := range d.open {
		if a.SnoozedUntil != nil {
			d.snoozeEnds = earlier(d.snoozeEnds, *a.SnoozedUntil)
		}
	}
	for _, i := range d.incidents {
		if i.SnoozedUntil != nil {
			d.snoozeEnds = earlier(d.snoozeEnds, *i.SnoozedUntil)
		}
	}
}

// awake ends the snoozes whose time has come.
func (r *draft) awake() {
	for _, id := range slices.Sorted(maps.Keys(r.d.open)) {
		if until := r.look(id).SnoozedUntil; until != nil && reached(*until, r.at) {
			a := r.alert(id)
			a.SnoozedUntil = nil
			r.tell(a, fleet.AlertEventAwake, "", "no longer snoozed: %s", a.Reason)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.d.incidents)) {
		if until := r.d.incidents[id].SnoozedUntil; until != nil && reached(*until, r.at) {
			i := r.incident(id)
			i.SnoozedUntil = nil
			r.tellOf(i, fleet.AlertEventAwake, "", "no longer snoozed: %s", i.Title)
		}
	}
}

// dropEnded forgets silences and maintenance windows that are over.
func (r *draft) dropEnded() {
	r.silences, r.windows = nil, nil
	for _, s := range r.d.silences {
		if r.at.Before(s.Until) {
			r.silences = append(r.silences, s)
		}
	}
	for _, w := range r.d.windows {
		if r.at.Before(w.Until) {
			r.windows = append(r.windows, w)
		}
	}
}

func (r *draft) recheckAll() {
	for _, serial := range slices.Sorted(maps.Keys(r.d.ofKiosk)) {
		r.recheckKiosk(serial)
	}
}

func (r *draft) recheckKiosk(serial string) {
	for _, rule := range slices.Sorted(maps.Keys(r.d.ofKiosk[serial])) {
		id := r.d.ofKiosk[serial][rule]
		a := r.look(id)
		if !a.Open() {
			continue
		}
		why := r.suppression(a)
		if why != a.Suppressed {
			r.suppress(r.alert(id), why)
		}
		if why == fleet.SuppressedOffline {
			if live := r.d.config.Fleet.Live(serial); live != nil && live.Presence == fleet.PresenceOnline {
				r.d.graceEnds[serial] = live.PresenceSince.Add(r.d.config.Grace)
			}
		}
	}
}

// prune removes a step of what is too old when it is time for it.
func (d *Desk) prune(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if !reached(d.pruneAt, now) {
		return nil
	}
	n, err := d.config.Store.PruneAlerts(ctx, now.Add(-d.config.Keep), pruneAtOnce)
	if err != nil {
		return err
	}
	d.pruneAt = now.Add(pruneEvery)
	if n >= pruneAtOnce {
		d.pruneAt = now.Add(pruneAgain)
	}
	return nil
}
