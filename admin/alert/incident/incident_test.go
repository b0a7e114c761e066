package incident_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/alert/incident"
	"kioskfleet/admin/fleet"
)

var start = time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)

// world keeps alerts and incidents as the desk does.
type world struct {
	state     *incident.State
	config    incident.Config
	sites     map[string]int // registered kiosks
	alerts    map[string]*fleet.Alert
	order     []string
	incidents map[string]fleet.Incident
	opened    []string
}

func newWorld(sites map[string]int) *world {
	return &world{
		state: incident.New(incident.Config{}, nil, nil), sites: sites,
		alerts: map[string]*fleet.Alert{}, incidents: map[string]fleet.Incident{},
	}
}

func (w *world) registered(kind fleet.IncidentKind, name string) int {
	if name == "0.9-trial" {
		return 4
	}
	n := 0
	for site, kiosks := range w.sites {
		if kind != fleet.IncidentSite || site == name {
			n += kiosks
		}
	}
	return n
}

func (w *world) step(alerts ...*fleet.Alert) {
	c := w.state.Step(incident.Input{Alerts: alerts, Registered: w.registered})
	w.state.Commit(c)
	for _, a := range alerts {
		if w.alerts[a.ID] == nil {
			w.order = append(w.order, a.ID)
		}
		w.alerts[a.ID] = a
	}
	for _, i := range c.Incidents {
		w.incidents[i.ID] = i
		if c.Opened[i.ID] {
			w.opened = append(w.opened, i.ID)
		}
	}
	for alert, id := range c.Joined {
		w.alerts[alert].IncidentID = id
	}
}

// restart builds the state anew from what is stored.
func (w *world) restart() {
	var open []fleet.Incident
	for _, i := range w.incidents {
		if i.State == fleet.AlertOpen {
			open = append(open, i)
		}
	}
	var alerts []fleet.Alert
	for _, id := range w.order {
		alerts = append(alerts, *w.alerts[id])
	}
	w.state = incident.New(w.config, open, alerts)
}

func alert(rule, site string, n int, after time.Duration) *fleet.Alert {
	serial := fmt.Sprintf("%s-%02d", site, n)
	return &fleet.Alert{
		ID: rule + "/" + serial, Rule: rule, Serial: serial, Site: site, State: fleet.AlertOpen,
		Severity: fleet.SeverityWarning, OpenedAt: start.Add(after),
	}
}

func resolved(a *fleet.Alert, after time.Duration) *fleet.Alert {
	b := *a
	at := start.Add(after)
	b.State, b.ResolvedAt = fleet.AlertResolved, &at
	return &b
}

// titles lists incidents in the order in which they opened: state, alerts in them, title.
func (w *world) titles() string {
	var out []string
	for _, id := range w.opened {
		in := 0
		for _, a := range w.alerts {
			if a.IncidentID == id {
				in++
			}
		}
		i := w.incidents[id]
		out = append(out, fmt.Sprintf("%s, %d alerts, %d open, %s: %s", i.State, in, i.Open, i.Severity, i.Title))
	}
	return strings.Join(out, "\n")
}

func alone(w *world) (n int) {
	for _, a := range w.alerts {
		if a.IncidentID == "" {
			n++
		}
	}
	return n
}

func many(rule, site string, n int, every time.Duration) (out []*fleet.Alert) {
	for i := range n {
		out = append(out, alert(rule, site, i, time.Duration(i)*every))
	}
	return out
}

func with(alerts []*fleet.Alert, f func(a *fleet.Alert)) []*fleet.Alert {
	for _, a := range alerts {
		f(a)
	}
	return alerts
}

func TestIncidents(t *testing.T) {
	later := func(d time.Duration) func(*fleet.Alert) {
		return func(a *fleet.Alert) { a.OpenedAt = a.OpenedAt.Add(d) }
	}
	version := func(a *fleet.Alert) { a.AgentVersion = "1.4.2" }
	network := func(a *fleet.Alert) { a.Network, a.AgentVersion = "10.1.2.0/24", "1.4.2" }
	for _, tt := range []struct {
		name   string
		sites  map[string]int
		alerts []*fleet.Alert
		want   string
		alone  int
	}{
		{"thirty of thirty", map[string]int{"Terminal 2": 30}, many("offline", "Terminal 2", 30, time.Second),
			"open, 30 alerts, 30 open, warning: Terminal 2: 30 of 30 kiosks offline", 0},
		{"one of thirty", map[string]int{"Terminal 2": 30}, many("offline", "Terminal 2", 1, 0), "", 1},
		{"eight of thirty are too few", map[string]int{"Terminal 2": 30}, many("offline", "Terminal 2", 8, 0), "", 8},
		{"nine are enough", map[string]int{"Terminal 2": 30}, many("offline", "Terminal 2", 9, 0),
			"open, 9 alerts, 9 open, warning: Terminal 2: 9 of 30 kiosks offline", 0},
		{"two of two are too few", map[string]int{"Gate": 2}, many("offline", "Gate", 2, 0), "", 2},
		{"a slow trickle", map[string]int{"Gate": 5}, many("offline", "Gate", 5, 61*time.Second), "", 5},
		{"each within a minute of the one before", map[string]int{"Gate": 5}, many("offline", "Gate", 5, time.Minute),
			"open, 5 alerts, 5 open, warning: Gate: 5 of 5 kiosks offline", 0},
		{"what comes much later joins", map[string]int{"Gate": 5},
			append(many("offline", "Gate", 4, 0), alert("offline", "Gate", 4, time.Hour)),
			"open, 5 alerts, 5 open, warning: Gate: 5 of 5 kiosks offline", 0},
		{"what was long before does not", map[string]int{"Gate": 5},
			append(many("offline", "Gate", 1, 0), with(many("offline", "Gate", 5, 0)[1:], later(time.Hour))...),
			"open, 4 alerts, 4 open, warning: Gate: 4 of 5 kiosks offline", 1},
		{"two sites", map[string]int{"Gate": 4, "Pier": 4}, append(many("offline", "Gate", 4, 0), many("offline", "Pier", 4, 0)...),
			"open, 4 alerts, 4 open, warning: Gate: 4 of 4 kiosks offline\nopen, 4 alerts, 4 open, warning: Pier: 4 of 4 kiosks offline", 0},
		{"two rules that have nothing to do with each other", map[string]int{"Gate": 8},
			append(many("offline", "Gate", 4, 0), with(many("cash_full", "Gate", 8, 0)[4:], later(0))...),
			"open, 4 alerts, 4 open, warning: Gate: 4 of 8 kiosks offline\nopen, 4 alerts, 4 open, warning: Gate: 4 of 8 kiosks with a full cash box", 0},
		{"silent, then gone, and unable to serve: one power failure", map[string]int{"Gate": 8},
			append(append(many("stale", "Gate", 2, 0), many("cannot_serve", "Gate", 3, 0)...), with(many("offline", "Gate", 8, 0), later(50*time.Second))...),
			"open, 13 alerts, 13 open, warning: Gate: 8 of 8 kiosks offline", 0},
		{"other rules of the same kiosks at the same time", map[string]int{"Gate": 8},
			append(many("latency_high", "Gate", 8, 0), with(many("offline", "Gate", 8, 0), later(50*time.Second))...),
			"open, 16 alerts, 16 open, warning: Gate: 8 of 8 kiosks with latency high", 0},
		{"another trouble of the same kiosks an hour later", map[string]int{"Gate": 8},
			append(many("latency_high", "Gate", 8, 0), with(many("offline", "Gate", 8, 0), later(time.Hour))...),
			"open, 8 alerts, 8 open, warning: Gate: 8 of 8 kiosks with latency high\nopen, 8 alerts, 8 open, warning: Gate: 8 of 8 kiosks offline", 0},
		{"a bad version over several sites", map[string]int{"Gate": 2, "Pier": 2, "Hall": 2},
			with(slices.Concat(many("cannot_serve", "Gate", 2, 0), many("cannot_serve", "Pier", 1, 0), many("cannot_serve", "Hall", 1, 0)), version),
			"open, 4 alerts, 4 open, warning: Agent 1.4.2: 4 of 6 kiosks unable to serve at 3 sites", 0},
		{"a network before a version", map[string]int{"Gate": 2, "Pier": 2},
			with(append(many("offline", "Gate", 2, 0), many("offline", "Pier", 2, 0)...), network),
			"open, 4 alerts, 4 open, warning: Network 10.1.2.0/24: 4 of 4 kiosks offline at 2 sites", 0},
		{"a site before a network", map[string]int{"Gate": 3, "Pier": 3},
			with(append(many("offline", "Gate", 3, 0), many("offline", "Pier", 2, 0)...), network),
			"open, 3 alerts, 3 open, warning: Gate: 3 of 3 kiosks offline", 2},
		{"one version at one site is the site's, or nobody's", map[string]int{"Gate": 30},
			with(many("offline", "Gate", 4, 0), func(a *fleet.Alert) { a.AgentVersion = "0.9-trial" }), "", 4},
		{"the platform itself", nil, with(many("platform_disk", "", 3, 0), func(a *fleet.Alert) { a.Serial = "" }), "", 3},
	} {
		for _, way := range []string{"at once", "one by one", "with restarts"} {
			t.Run(tt.name+" "+way, func(t *testing.T) {
				w := newWorld(tt.sites)
				var copies []*fleet.Alert
				for _, a := range tt.alerts {
					b := *a
					copies = append(copies, &b)
				}
				if way == "at once" {
					w.step(copies...)
				} else {
					for _, a := range copies {
						w.step(a)
						if way == "with restarts" {
							w.restart()
						}
					}
				}
				if got := w.titles(); got != tt.want {
					t.Errorf("got\n%s\nwant\n%s", got, tt.want)
				}
				if got := alone(w); got != tt.alone {
					t.Errorf("%d alerts are alone, not %d", got, tt.alone)
				}
			})
		}
	}
}

func TestAnIncidentClosesWithItsLastAlert(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		w := newWorld(map[string]int{"Gate": 4})
		alerts := many("offline", "Gate", 4, 0)
		alerts[2].Severity = fleet.SeverityCritical
		w.step(alerts...)
		for i, want := range []string{
			"open, 4 alerts, 3 open, critical: Gate: 4 of 4 kiosks offline",
			"open, 4 alerts, 2 open, critical: Gate: 4 of 4 kiosks offline",
			"open, 4 alerts, 1 open, warning: Gate: 4 of 4 kiosks offline",
			"resolved, 4 alerts, 0 open, warning: Gate: 4 of 4 kiosks offline",
		} {
			if restarts {
				w.restart()
			}
			r := *w.alerts[alerts[i].ID]
			w.step(resolved(&r, time.Duration(i+1)*time.Minute))
			if got := w.titles(); got != want {
				t.Errorf("after %d: %s, not %s", i+1, got, want)
			}
		}
		if i := w.incidents[w.opened[0]]; i.ResolvedAt == nil || !i.ResolvedAt.Equal(start.Add(4*time.Minute)) || !i.OpenedAt.Equal(start) {
			t.Errorf("it was open from %v to %v", i.OpenedAt, i.ResolvedAt)
		}
		w.step(alert("offline", "Gate", 0, time.Hour))
		if len(w.opened) != 1 {
			t.Errorf("one alert after it opened another: %s", w.titles())
		}
	}
}

func TestResolvedAlertsNoLongerWait(t *testing.T) {
	w := newWorld(map[string]int{"Gate": 4})
	alerts := many("offline", "Gate", 3, time.Second)
	w.step(alerts[0])
	w.step(resolved(alerts[0], time.Second), alerts[1], alerts[2])
	if len(w.opened) != 0 {
		t.Error(w.titles())
	}
}

func TestAStepChangesNothingBeforeCommit(t *testing.T) {
	w := newWorld(map[string]int{"Gate": 4})
	alerts := many("offline", "Gate", 4, 0)
	in := func(a ...*fleet.Alert) incident.Input { return incident.Input{Alerts: a, Registered: w.registered} }
	w.step(alerts[:2]...)
	first := w.state.Step(in(alerts[2:]...))
	again := w.state.Step(in(alerts[2:]...))
	if !reflect.DeepEqual(first.Incidents, again.Incidents) || len(first.Opened) != 1 || len(again.Opened) != 1 {
		t.Fatalf("%v, then %v", first.Incidents, again.Incidents)
	}
	w.state.Commit(again)
	first = w.state.Step(in(resolved(alerts[0], time.Hour), resolved(alerts[1], time.Hour)))
	again = w.state.Step(in(resolved(alerts[0], time.Hour)))
	if again.Incidents[0].Open != 3 || first.Incidents[0].Open != 2 {
		t.Errorf("%d open, not 3 (2 in the step that was dropped: %d)", again.Incidents[0].Open, first.Incidents[0].Open)
	}
}

func TestADroppedStepLeavesThoseThatWait(t *testing.T) {
	w := newWorld(map[string]int{"Gate": 4})
	alerts := many("offline", "Gate", 4, 0)
	w.step(alerts[:2]...)
	w.state.Step(incident.Input{Alerts: []*fleet.Alert{resolved(alerts[0], time.Second)}, Registered: w.registered})
	w.step(alerts[2:]...)
	if got, want := w.titles(), "open, 4 alerts, 4 open, warning: Gate: 4 of 4 kiosks offline"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestSuppressedIncidents(t *testing.T) {
	w := newWorld(map[string]int{"Gate": 4})
	alerts := with(many("offline", "Gate", 4, 0), func(a *fleet.Alert) { a.Suppressed = fleet.SuppressedMaintenance })
	w.step(alerts...)
	id := w.opened[0]
	if got := w.incidents[id].Suppressed; got != fleet.SuppressedMaintenance {
		t.Errorf("all of its alerts are suppressed, it is %q", got)
	}
	told := *w.alerts[alerts[1].ID]
	told.Suppressed = ""
	w.step(&told)
	if got := w.incidents[id].Suppressed; got != "" {
		t.Errorf("one alert is told, it is %q", got)
	}
}
