package engine

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
)

// State is what the engine knows of one kiosk. A rule that does not hold takes no room in it.
type State struct {
	Serial string       `json:"-"`
	Source fleet.Source `json:"-"` // of the last input
	// At is the time up to which deadlines were handled.
	At     time.Time            `json:"at"`
	Phases map[string]*Phase    `json:"phases,omitempty"` // by rule
	Came   map[string]time.Time `json:"came,omitempty"`   // when a metric of a rule with NoData came last, or was first waited for
	Past   []*Samples           `json:"past,omitempty"`   // of the rates that rules ask for
	// Reading is the last that counted as live, kept while something waits that it began; what falls due then is told with
	// its values.
	Reading *fleet.Reading `json:"reading,omitempty"`

	newest  *fleet.Reading // by the kiosk's clock, whether or not it counted as live
	reading *fleet.Reading // the last that counted as live; nil: none since the kiosk was gone
	live    *fleet.Live    // as at the last input
	kiosk   *fleet.Kiosk
	seen    bool      // there was an input
	kept    bool      // what is stored of it says more than nothing
	gap     bool      // we were away since the last input: what fell due meanwhile waits for the next
	frozen  bool      // of what the kiosk reports we have heard nothing since our restart
	due     time.Time // the next deadline, zero: none
}

// Phase is how far a rule has got.
type Phase struct {
	Since    time.Time   `json:"since,omitzero"` // the condition holds
	Open     bool        `json:"open,omitempty"`
	ID       string      `json:"id,omitempty"` // of the open alert
	OpenedAt time.Time   `json:"opened_at,omitzero"`
	Version  int64       `json:"version,omitempty"`  // of the rule, as the alert was last told
	Clearing time.Time   `json:"clearing,omitzero"`  // since when the open alert may close
	NoData   bool        `json:"no_data,omitempty"`  // it is open because a value does not come
	Opened   []time.Time `json:"opened,omitempty"`   // of late, for flapping
	Held     bool        `json:"held,omitempty"`     // it flaps
	Severity string      `json:"severity,omitempty"` // as told, for the alert's end
}

func (s *State) phase(name string) *Phase {
	p := s.Phases[name]
	if p == nil {
		p = &Phase{}
		if s.Phases == nil {
			s.Phases = map[string]*Phase{}
		}
		s.Phases[name] = p
	}
	return p
}

// rest forgets a phase that says nothing any more.
func (s *State) rest(name string, p *Phase) {
	p.forget(s.At)
	if !p.Open && p.Since.IsZero() && len(p.Opened) == 0 {
		delete(s.Phases, name)
	}
}

// opened notes that the alert opened.
func (p *Phase) opened(at time.Time) {
	p.forget(at)
	p.Opened = append(p.Opened, at)
	if len(p.Opened) > flapCount {
		p.Opened = slices.Delete(p.Opened, 0, len(p.Opened)-flapCount)
	}
}

// openedAt counts the openings in the millisecond of a time.
func (p *Phase) openedAt(at time.Time) int {
	n := 0
	for _, one := range p.Opened {
		if one.UnixMilli() == at.UnixMilli() {
			n++
		}
	}
	return n
}

// forget drops the openings that are too old to count.
func (p *Phase) forget(now time.Time) {
	p.Opened = slices.DeleteFunc(p.Opened, func(at time.Time) bool { return now.Sub(at) > flapWindow })
	if len(p.Opened) == 0 {
		p.Opened = nil
	}
}

// flaps reports whether the alert opened too often of late.
func (p *Phase) flaps(now time.Time) bool {
	p.forget(now)
	return len(p.Opened) >= flapCount
}

// shut makes an open phase one that waits for its condition. What held it open because it flapped is over.
func (p *Phase) shut() {
	if p.Held {
		p.Opened = nil
	}
	*p = Phase{Opened: p.Opened}
}

// clearFor returns for how long what closes an alert must hold.
func (s *State) clearFor(d *fleet.Rule, p *Phase) time.Duration {
	if p.Held {
		return max(d.ClearFor, flapHold)
	}
	return d.ClearFor
}

// note notes that a metric came.
func (s *State) note(metric string, at time.Time) {
	if s.Came == nil {
		s.Came = map[string]time.Time{}
	}
	s.Came[metric] = at
}

// oldest returns since when that metric of a rule is missing which has been for longest.
func (s *State) oldest(r Rule) time.Time {
	var oldest time.Time
	for i, metric := range r.Metrics() {
		if came := s.Came[metric]; i == 0 || came.Before(oldest) {
			oldest = came
		}
	}
	return oldest
}

// alertID makes the same id of the same rule, kiosk and time, and of how many there were of that time before.
func alertID(name, serial string, at time.Time, before int) string {
	text := name + "\x00" + serial + "\x00" + strconv.FormatInt(at.UnixMilli(), 10)
	if before > 0 {
		text += "\x00" + strconv.Itoa(before)
	}
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
}

// alert describes the open alert of a phase as it is now.
func (s *State) alert(r Rule, p *Phase, v *rule.View) fleet.Alert {
	d := r.Definition()
	p.Severity = string(d.Severity)
	a := fleet.Alert{
		ID: p.ID, Rule: d.Name, RuleVersion: d.Version, Serial: s.Serial, Severity: d.Severity, Labels: d.Labels, State: fleet.AlertOpen,
		NoData: p.NoData, Flapping: p.Held, Since: p.Since, OpenedAt: p.OpenedAt, UpdatedAt: v.Now,
		AboutPresence: r.AboutPresence(), Security: d.Security,
	}
	if p.NoData {
		a.Reason = noDataText(r, p.Since)
	} else {
		a.Reason, a.Values = r.Text(v), r.Values(v)
	}
	if k := v.Kiosk; k != nil {
		a.Site, a.Model, a.Tags = k.Site, k.Model, k.Tags
	}
	if l := v.Live; l != nil {
		a.AgentVersion, a.Network = l.AgentVersion, Network(v.Reading, l)
		if a.Model == "" {
			a.Model = l.Model
		}
	}
	return a
}

func noDataText(r Rule, since time.Time) string {
	text := "No data: " + strings.Join(r.Metrics(), ", ")
	if !since.IsZero() {
		text += " has not come since " + since.UTC().Format("15:04:05 MST")
	}
	return text
}

// resolved describes the end of a phase's alert.
func (s *State) resolved(name string, p *Phase, at time.Time, why string) fleet.AlertChange {
	return fleet.AlertChange{Kind: fleet.AlertEventResolved, At: at, Alert: fleet.Alert{
		ID: p.ID, Rule: name, RuleVersion: p.Version, Serial: s.Serial, Severity: fleet.Severity(p.Severity), State: fleet.AlertResolved,
		NoData: p.NoData, Flapping: p.Held, Since: p.Since, OpenedAt: p.OpenedAt, ResolvedAt: &at, ResolvedWhy: why, UpdatedAt: at,
	}}
}

// forget resolves every open alert of a kiosk that is no longer registered.
func (s *State) forget(at time.Time) []fleet.AlertChange {
	var out []fleet.AlertChange
	for _, name := range slices.Sorted(maps.Keys(s.Phases)) {
		if p := s.Phases[name]; p.Open {
			out = append(out, s.resolved(name, p, at, fleet.ResolvedKiosk))
		}
	}
	s.Phases, s.due = nil, time.Time{}
	return out
}

// idle reports whether the next start needs to know nothing of it but how far it has come.
func (s *State) idle() bool { return len(s.Phases) == 0 && len(s.Came) == 0 && len(s.Past) == 0 }

// waits reports whether a deadline of a rule is near that the last reading began.
func (s *State) waits() bool {
	for _, p := range s.Phases {
		if !p.Open || !p.Clearing.IsZero() {
			return true
		}
	}
	return false
}

// save returns what is kept of the state for the next start.
func (s *State) save() (fleet.AlertEngineState, error) {
	s.Reading = nil
	if s.waits() {
		s.Reading = s.reading
	}
	data, err := json.Marshal(s)
	if err != nil {
		return fleet.AlertEngineState{}, fmt.Errorf("alert state of %q: %w", s.Serial, err)
	}
	return fleet.AlertEngineState{Serial: s.Serial, Source: s.Source, Data: data}, nil
}

// load reads what save returned. An earlier run saved it, so the time since then is a gap.
func load(saved fleet.AlertEngineState) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(saved.Data, s); err != nil {
		return nil, fmt.Errorf("alert state of %q: %w", saved.Serial, err)
	}
	s.Serial, s.Source, s.kept = saved.Serial, saved.Source, true
	s.reading, s.newest = s.Reading, s.Reading
	maps.DeleteFunc(s.Phases, func(_ string, p *Phase) bool { return p == nil })
	s.Past = slices.DeleteFunc(s.Past, func(p *Samples) bool { return p == nil || len(p.Points) == 0 })
	for _, p := range s.Past {
		for i := range p.Points {
			p.Points[i].Count = max(p.Points[i].Count, 1)
		}
	}
	return s, nil
}
