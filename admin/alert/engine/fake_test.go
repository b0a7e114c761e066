package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// above is a rule that holds while a metric is above a limit, written by hand.
type above struct {
	fleet.Rule
	metric string
	limit  float64
	clear  float64 // below it an open alert closes; 0: as limit
	window time.Duration
	hours  [2]int // of the schedule, in the zone
}

func (r *above) Definition() *fleet.Rule { return &r.Rule }

func (r *above) value(v *rule.View) (float64, bool) {
	if r.window > 0 {
		if v.Rates == nil {
			return 0, false
		}
		return v.Rates.Rate(r.metric, r.window)
	}
	if v.Reading == nil {
		return 0, false
	}
	return v.Reading.Value(r.metric)
}

func truth(ok, holds bool) rule.Truth {
	switch {
	case !ok:
		return rule.Unknown
	case holds:
		return rule.True
	}
	return rule.False
}

func (r *above) Condition(v *rule.View) rule.Truth {
	x, ok := r.value(v)
	return truth(ok, x > r.limit)
}

func (r *above) Clear(v *rule.View) rule.Truth {
	x, ok := r.value(v)
	if r.clear != 0 {
		return truth(ok, x < r.clear)
	}
	return truth(ok, x <= r.limit)
}

func (r *above) Text(v *rule.View) string {
	x, _ := r.value(v)
	return fmt.Sprintf("%s is %g", r.metric, x)
}

func (r *above) Values(v *rule.View) []fleet.Value {
	x, ok := r.value(v)
	if !ok {
		return nil
	}
	return []fleet.Value{{Metric: r.metric, Value: x}}
}

func (r *above) InSchedule(v *rule.View) bool {
	return r.Schedule == nil || v.Now.UTC().Hour() >= r.hours[0] && v.Now.UTC().Hour() < r.hours[1]
}

func (r *above) NextBoundary(at time.Time, _ *time.Location) time.Time {
	if r.Schedule == nil {
		return time.Time{}
	}
	for t := at.UTC().Truncate(time.Hour).Add(time.Hour); ; t = t.Add(time.Hour) {
		if slices.Contains(r.hours[:], t.Hour()) {
			return t
		}
	}
}

func (r *above) Metrics() []string { return []string{r.metric} }

func (r *above) Windows() []rule.Window {
	if r.window > 0 {
		return []rule.Window{{Metric: r.metric, Length: r.window}}
	}
	return nil
}

func (r *above) AboutPresence() bool { return false }

// gone is a rule that holds while a kiosk is offline.
type gone struct{ above }

func (r *gone) Condition(v *rule.View) rule.Truth {
	return truth(true, v.Live.Presence == fleet.PresenceOffline)
}
func (r *gone) Clear(v *rule.View) rule.Truth {
	return truth(true, v.Live.Presence != fleet.PresenceOffline)
}
func (r *gone) Text(*rule.View) string          { return "offline" }
func (r *gone) Values(*rule.View) []fleet.Value { return nil }
func (r *gone) Metrics() []string               { return nil }
func (r *gone) AboutPresence() bool             { return true }

const temp = "hardware.cpu_temp"

func hot(more func(*above)) *above {
	r := &above{Rule: fleet.Rule{Name: "hot", Severity: fleet.SeverityWarning, Version: 1}, metric: temp, limit: 75}
	if more != nil {
		more(r)
	}
	return r
}

func off(wait time.Duration) *gone {
	return &gone{above{Rule: fleet.Rule{Name: "offline", Severity: fleet.SeverityCritical, For: wait, Version: 1}}}
}

var start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func reading(n int, seconds, value float64) *fleet.Reading {
	return &fleet.Reading{
		Serial: "K-1", Time: at(seconds), ReceivedAt: at(seconds), Source: fleet.Source{Record: uint64(n)},
		Values: []fleet.Value{{Metric: temp, Value: value}},
	}
}

// park is a fleet of which every kiosk is online.
type park struct {
	mu   sync.Mutex
	live map[string]*fleet.Live // others than online
	gone map[string]bool
}

func (p *park) Kiosk(serial string) *fleet.Kiosk {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[serial] {
		return nil
	}
	return &fleet.Kiosk{Serial: serial, Site: "Hall 1"}
}

func (p *park) Live(serial string) *fleet.Live {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.live[serial]; l != nil {
		return l
	}
	return &fleet.Live{Serial: serial, Presence: fleet.PresenceOnline}
}

func (p *park) Derived(string) rule.Derived { return nil }

func (p *park) set(serial string, presence fleet.Presence, why fleet.PresenceReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live == nil {
		p.live = map[string]*fleet.Live{}
	}
	p.live[serial] = &fleet.Live{Serial: serial, Presence: presence, PresenceReason: why}
}

// book is a desk that remembers.
type book struct {
	mu      sync.Mutex
	changes []fleet.AlertChange
	states  map[string]fleet.AlertEngineState
	broken  bool
	applied int
}

var errBroken = errors.New("the database is away")

func (b *book) Apply(_ context.Context, changes []fleet.AlertChange, states []fleet.AlertEngineState) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return errBroken
	}
	b.applied++
	if b.states == nil {
		b.states = map[string]fleet.AlertEngineState{}
	}
	b.changes = append(b.changes, changes...)
	for _, s := range states {
		b.states[s.Serial] = s
	}
	return nil
}

func (b *book) saved() []fleet.AlertEngineState {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []fleet.AlertEngineState
	for _, s := range b.states {
		if s.Data != nil {
			out = append(out, s)
		}
	}
	return out
}

func lines(changes []fleet.AlertChange) []string {
	out := []string{}
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%g %s %s", c.At.Sub(start).Seconds(), c.Kind, c.Alert.Rule))
	}
	return out
}

type fixed []Rule

func (f fixed) For(k *fleet.Kiosk) []Rule {
	if k == nil {
		return nil
	}
	return f
}
