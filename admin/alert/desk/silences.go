package desk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kioskfleet/admin/alert/matcher"
	"kioskfleet/admin/fleet"
)

// longestSilence is how long a silence or a maintenance window may last: what should be quiet for ever is no rule.
const longestSilence = 366 * 24 * time.Hour

// Bounds of what holds at one time.
const (
	maxSilences = 1000
	maxWindows  = 1000
)

// Silences returns the silences of a state, or all when it is empty: the one that ends first first.
func (d *Desk) Silences(ctx context.Context, state fleet.SilenceState) ([]fleet.Silence, error) {
	now := d.now()
	all, err := d.config.Store.Silences(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s fleet.Silence) bool { return state != "" && s.State(now) != state }), nil
}

// checkSpan adds the faults of the time of a silence or window to v.
func checkSpan(v *fleet.Violations, from, until, now time.Time) {
	switch {
	case until.IsZero():
		v.Add("until", "must be given: a silence that nobody ends hides what matters")
	case !until.After(from):
		v.Add("until", "must be after from")
	case !until.After(now):
		v.Add("until", "has passed already")
	case until.Sub(from) > longestSilence:
		v.Add("until", "is more than a year after from")
	}
}

// CreateSilence keeps alerts quiet that match, from From (zero: now) until Until. It gives the silence its id.
//
// Errors: *fleet.ValidationError that names each fault.
func (d *Desk) CreateSilence(ctx context.Context, s fleet.Silence, actor string) (fleet.Silence, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return fleet.Silence{}, fmt.Errorf("create a silence: %w", err)
	}
	err = d.change(ctx, func(r *draft) error {
		s.ID, s.CreatedBy, s.CreatedAt, s.EndedBy = id.String(), actor, r.at, ""
		if s.From.IsZero() {
			s.From = r.at
		}
		s.From, s.Until = s.From.UTC(), s.Until.UTC()
		var v fleet.Violations
		checkSpan(&v, s.From, s.Until, r.at)
		checkComment(&v, s.Comment, true)
		if len(r.silences) >= maxSilences {
			v.Add("matchers", "there are %d silences already: end some that are no longer needed", len(r.silences))
		}
		compiled, err := compileNarrow(s.Matchers)
		if err := withFaults(v, err); err != nil {
			return err
		}
		r.silences = append(slices.Clone(r.silences), silence{s, compiled})
		r.batch.Silences = append(r.batch.Silences, s)
		r.audit(actor, "silence.create", s.ID, matcher.String(s.Matchers)+" until "+s.Until.Format(time.RFC3339))
		r.recheckAll()
		d.replan = true
		return nil
	})
	if err != nil {
		return fleet.Silence{}, err
	}
	d.kick()
	return s, nil
}

// compileNarrow compiles the matchers of a silence, which must not be for every alert.
func compileNarrow(matchers []fleet.Matcher) (matcher.Matchers, error) {
	m, err := matcher.Compile(matchers)
	if err == nil && !m.Narrow() {
		err = fleet.Invalid("matchers", "match every alert: name a rule, a site or something else that narrows them")
	}
	return m, err
}

// withFaults adds what else was found to the violations of err.
func withFaults(v fleet.Violations, err error) error {
	if err == nil {
		return v.Err()
	}
	if more, ok := err.(*fleet.ValidationError); ok { //nolint:errorlint // it comes straight from a check
		return append(v, more.Violations...).Err()
	}
	return err
}

// EndSilence ends a silence before its time.
//
// Errors: fleet.ErrNotFound; *fleet.ValidationError when it has ended.
func (d *Desk) EndSilence(ctx context.Context, id, actor string) (fleet.Silence, error) {
	var ended fleet.Silence
	err := d.change(ctx, func(r *draft) (err error) {
		if ended, err = d.config.Store.Silence(ctx, id); err != nil {
			return err
		}
		if ended.State(r.at) == fleet.SilenceExpired {
			return fleet.Invalid("id", "silence %s ended at %s", id, ended.Until.Format(time.RFC3339))
		}
		ended.Until, ended.EndedBy = r.at, actor
		r.silences = slices.DeleteFunc(slices.Clone(r.silences), func(s silence) bool { return s.ID == id })
		r.batch.Silences = append(r.batch.Silences, ended)
		r.audit(actor, "silence.end", id, matcher.String(ended.Matchers))
		r.recheckAll()
		d.replan = true
		return nil
	})
	if err != nil {
		return fleet.Silence{}, err
	}
	d.kick()
	return ended, nil
}

// Preview returns the open alerts that a silence with these matchers would keep quiet, worst and newest first.
//
// Errors: as of CreateSilence.
func (d *Desk) Preview(ctx context.Context, matchers []fleet.Matcher) ([]fleet.Alert, error) {
	m, err := compileNarrow(matchers)
	if err != nil {
		return nil, err
	}
	out := []fleet.Alert{}
	err = d.change(ctx, func(*draft) error {
		for _, a := range d.open {
			if m.Matches(matcher.Labels(a)) {
				out = append(out, *a)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b fleet.Alert) int {
		return cmp.Or(a.Severity.Rank()-b.Severity.Rank(), b.OpenedAt.Compare(a.OpenedAt), cmp.Compare(b.ID, a.ID))
	})
	return out, err
}

// Maintenance returns the maintenance windows that have not ended, or all that are kept: the one that ends first
// first.
func (d *Desk) Maintenance(ctx context.Context, all bool) ([]fleet.MaintenanceWindow, error) {
	after := d.now()
	if all {
		after = time.Time{}
	}
	return d.config.Store.MaintenanceWindows(ctx, after)
}

// CreateMaintenance plans a time in which kiosks are worked on, from From (zero: now) until Until. It gives the
// window its id.
//
// Errors: *fleet.ValidationError that names each fault.
func (d *Desk) CreateMaintenance(ctx context.Context, w fleet.MaintenanceWindow, actor string) (fleet.MaintenanceWindow, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return fleet.MaintenanceWindow{}, fmt.Errorf("create a maintenance window: %w", err)
	}
	err = d.change(ctx, func(r *draft) error {
		w.ID, w.CreatedBy, w.CreatedAt = id.String(), actor, r.at
		if w.From.IsZero() {
			w.From = r.at
		}
		w.From, w.Until = w.From.UTC(), w.Until.UTC()
		var v fleet.Violations
		checkSpan(&v, w.From, w.Until, r.at)
		checkComment(&v, w.Comment, false)
		if s := &w.Scope; len(s.Serials)+len(s.Sites)+len(s.Tags)+len(s.Models) == 0 {
			v.Add("scope", "is for every kiosk: name serials, sites, tags or models")
		}
		matcher.CheckScope(&v, "scope", &w.Scope)
		if w.Schedule != nil {
			matcher.CheckSchedule(&v, "schedule", w.Schedule)
		}
		if len(r.windows) >= maxWindows {
			v.Add("scope", "there are %d maintenance windows already: delete some", len(r.windows))
		}
		if err := v.Err(); err != nil {
			return err
		}
		r.windows = append(slices.Clone(r.windows), w)
		r.batch.Windows = append(r.batch.Windows, w)
		r.audit(actor, "maintenance.create", w.ID, "until "+w.Until.Format(time.RFC3339))
		r.recheckAll()
		d.replan = true
		return nil
	})
	if err != nil {
		return fleet.MaintenanceWindow{}, err
	}
	d.kick()
	return w, nil
}

// DeleteMaintenance removes a maintenance window, or returns fleet.ErrNotFound. Kiosks that it covered raise alerts
// at once.
func (d *Desk) DeleteMaintenance(ctx context.Context, id, actor string) error {
	err := d.change(ctx, func(r *draft) error {
		r.windows = slices.DeleteFunc(slices.Clone(r.windows), func(w fleet.MaintenanceWindow) bool { return w.ID == id })
		r.batch.RemovedWindows = append(r.batch.RemovedWindows, id)
		r.audit(actor, "maintenance.delete", id, "")
		r.recheckAll()
		d.replan = true
		return nil
	})
	d.kick()
	return err
}

// InMaintenance reports whether a maintenance window covers a kiosk at a time. It waits for nobody.
func (d *Desk) InMaintenance(serial string, at time.Time) bool {
	windows := d.covering.Load()
	if windows == nil || len(*windows) == 0 {
		return false
	}
	k := d.config.Fleet.Kiosk(serial)
	return k != nil && slices.ContainsFunc(*windows, func(w fleet.MaintenanceWindow) bool { return covers(&w, k, at) })
}
