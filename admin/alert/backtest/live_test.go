package backtest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/alert/engine"
	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// world is what a live engine lives in: a fleet as it is now, and a desk that remembers.
type world struct {
	mu     sync.Mutex
	kiosks map[string]*fleet.Kiosk
	live   map[string]*fleet.Live
	open   map[string]*fleet.Alert // by rule and kiosk
	alerts []*fleet.Alert
}

func (w *world) Kiosk(serial string) *fleet.Kiosk { return w.kiosks[serial] }
func (w *world) Derived(string) rule.Derived      { return nil }
func (w *world) Live(serial string) *fleet.Live {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.live[serial]
}

func (w *world) set(l *fleet.Live) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live[l.Serial] = l
}

func (w *world) Apply(_ context.Context, changes []fleet.AlertChange, _ []fleet.AlertEngineState) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range changes {
		switch c.Kind {
		case fleet.AlertEventOpened:
			a := c.Alert
			w.open[a.Rule+a.Serial] = &a
			w.alerts = append(w.alerts, &a)
		case fleet.AlertEventFlapping:
			a := w.open[c.Alert.Rule+c.Alert.Serial]
			a.Flapping, a.UpdatedAt = true, c.At
		case fleet.AlertEventResolved:
			a := w.open[c.Alert.Rule+c.Alert.Serial]
			if a.ID != c.Alert.ID {
				return fmt.Errorf("%s ends, but %s is open", c.Alert.ID, a.ID)
			}
			a.State, a.ResolvedAt, a.ResolvedWhy, a.UpdatedAt = c.Alert.State, c.Alert.ResolvedAt, c.Alert.ResolvedWhy, c.At
		}
	}
	return nil
}

// happening is a reading that comes, or presence that becomes another, or both at once: a kiosk is back.
type happening struct {
	at      time.Time
	serial  string
	reading *fleet.Reading
	event   *fleet.Event
}

// randomPast makes what happens to a kiosk in a time: readings with late ones, gaps, repeated ones, missing values, and
// connections that are lost.
func randomPast(random *rand.Rand, serial string, from time.Time, length time.Duration) []happening {
	var out []happening
	presence := fleet.PresenceOnline
	turn := func(at time.Time, to fleet.Presence, why fleet.PresenceReason) *fleet.Event {
		e := &fleet.Event{Serial: serial, At: at, Kind: fleet.EventPresence, From: string(presence), To: string(to), Reason: string(why)}
		presence = to
		return e
	}
	level := 72.0
	var last *fleet.Reading
	for at := from.Add(time.Duration(1+random.IntN(4000)) * time.Millisecond); at.Before(from.Add(length)); {
		level = max(60, min(90, level+random.NormFloat64()*2))
		r := &fleet.Reading{Serial: serial, Time: at, ReceivedAt: at, Status: protocol.StateOnline, Texts: []fleet.Text{{Metric: printer, Text: "ready"}}}
		if random.IntN(20) > 0 {
			r.Values = append(r.Values, fleet.Value{Metric: temp, Value: level})
		}
		if random.IntN(4) == 0 {
			r.Texts[0].Text = "paper_jam"
		}
		if random.IntN(10) == 0 {
			r.Status = protocol.StateBlocked
		}
		switch random.IntN(15) {
		case 0: // it was kept back
			r.Time = at.Add(-time.Duration(random.IntN(600)) * time.Second)
			r.Values = []fleet.Value{{Metric: temp, Value: 99}}
		case 1: // it comes again
			if last != nil {
				again := *last
				again.ReceivedAt = at
				r = &again
			}
		}
		last = r
		h := happening{at: at, serial: serial, reading: r}
		if presence != fleet.PresenceOnline {
			h.event = turn(at, fleet.PresenceOnline, fleet.ReasonReporting)
		}
		out = append(out, h)
		at = at.Add(5*time.Second + time.Duration(random.IntN(400)-200)*time.Millisecond)
		switch random.IntN(25) {
		case 0: // it is silent
			at = at.Add(time.Duration(random.IntN(180)) * time.Second)
		case 1: // it is gone
			out = append(out, happening{at: at, serial: serial, event: turn(at, fleet.PresenceOffline, fleet.ReasonConnectionLost)})
			at = at.Add(time.Duration(1+random.IntN(120)) * time.Second)
		}
	}
	return out
}

// liveAlerts lets everything happen to a live engine, each thing at its time.
func liveAlerts(t *testing.T, w *world, rules []fleet.Rule, all []happening, to time.Time) []*fleet.Alert {
	t.Helper()
	compiled, err := rule.CompileAll(rules)
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(engine.Config{Desk: w, Fleet: w, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	e.SetRules(engine.NewRules(rule.NewSet(compiled)))
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = e.Run(ctx) })
	for serial := range w.kiosks {
		e.Changed(serial, time.Now())
	}
	synctest.Wait()
	for _, h := range all {
		time.Sleep(time.Until(h.at))
		if h.event != nil {
			w.set(&fleet.Live{Serial: h.serial, Presence: fleet.Presence(h.event.To), PresenceReason: fleet.PresenceReason(h.event.Reason), PresenceSince: h.at})
			e.Changed(h.serial, h.at)
		}
		if h.reading != nil {
			e.Reading(h.reading)
		}
		synctest.Wait()
	}
	time.Sleep(time.Until(to))
	synctest.Wait()
	cancel()
	group.Wait()
	e.Finish(t.Context())
	return w.alerts
}

// TestTheResultIsWhatLiveFound is the promise of a backtest: for rules on what kiosks report, over what came as it
// came, it finds the alerts that live found, where other rules were looked at as well and time was looked at at another
// pace, each with the same id, times, reason and values.
func TestTheResultIsWhatLiveFound(t *testing.T) {
	var rules []fleet.Rule
	for name, more := range map[string]func(r *fleet.Rule){
		"at_once":  func(*fleet.Rule) {},
		"waits":    func(r *fleet.Rule) { r.For = 17 * time.Second },
		"clears":   func(r *fleet.Rule) { r.Clear, r.ClearFor = temp+" < 72", 11*time.Second },
		"no_data":  func(r *fleet.Rule) { r.NoData = 23 * time.Second },
		"rate":     func(r *fleet.Rule) { r.Condition = `rate(hardware.cpu_temp, "2m") > 60` },
		"text":     func(r *fleet.Rule) { r.Condition, r.For = printer+` == "paper_jam"`, 4*time.Second },
		"status":   func(r *fleet.Rule) { r.Condition = `status == "blocked" or hardware.cpu_temp > 80` },
		"default":  func(r *fleet.Rule) { r.Condition = `(hardware.cpu_temp ?? 80) > 75 and has(hardware.cpu_temp)` },
		"schedule": func(r *fleet.Rule) { r.Schedule = &fleet.Schedule{From: "01:10", To: "01:20"} },
		"offline_too": func(r *fleet.Rule) {
			r.Condition, r.For = `presence == "offline" or hardware.cpu_temp > 80`, 6*time.Second
		},
	} {
		r := hot(more)
		r.Name = name
		rules = append(rules, r)
	}
	found := map[string]int{}
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			from := time.Now().UTC()
			to := from.Add(25 * time.Minute)
			w := &world{kiosks: map[string]*fleet.Kiosk{}, live: map[string]*fleet.Live{}, open: map[string]*fleet.Alert{}}
			p := &past{oldest: from, now: to}
			var all []happening
			for n := range 3 {
				k := &fleet.Kiosk{Serial: fmt.Sprintf("K-%d", n), Site: "Hall", Timezone: "Europe/Madrid"}
				w.kiosks[k.Serial] = k
				p.kiosks = append(p.kiosks, k)
				before := from.Add(-time.Minute)
				w.set(&fleet.Live{Serial: k.Serial, Presence: fleet.PresenceOnline, PresenceReason: fleet.ReasonReporting, PresenceSince: before})
				p.log(fleet.Event{Serial: k.Serial, At: before, Kind: fleet.EventPresence, From: "never", To: "online", Reason: "reporting"})
				all = append(all, randomPast(random, k.Serial, from, to.Sub(from))...)
			}
			all = slices.DeleteFunc(all, func(h happening) bool { return !h.at.Before(to) })
			slices.SortStableFunc(all, func(a, b happening) int { return a.at.Compare(b.at) })
			for i := range all {
				if e := all[i].event; e != nil {
					p.log(*e)
				}
				if r := all[i].reading; r != nil {
					r.Source = fleet.Source{Record: uint64(i + 1)}
					p.readings = append(p.readings, *r)
				}
			}
			live := liveAlerts(t, w, rules, all, to)
			slices.SortFunc(live, func(a, b *fleet.Alert) int { return compare(one{a, 0}, one{b, 0}) })
			for _, r := range rules {
				got, err := p.backtest().Run(t.Context(), fleet.BacktestRequest{Rule: r, From: from, To: to})
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				for _, a := range live {
					if a.Rule == r.Name {
						want = append(want, text(t, a))
					}
				}
				for i := range max(len(want), len(got.Alerts)) {
					have := "nothing"
					if i < len(got.Alerts) {
						have = text(t, &got.Alerts[i])
					}
					if i >= len(want) {
						want = append(want, "nothing")
					}
					if have != want[i] {
						t.Errorf("seed %d, rule %s, alert %d:\nbacktest %s\nlive     %s", seed, r.Name, i, have, want[i])
						break
					}
				}
				found[r.Name] += len(got.Alerts)
			}
		})
	}
	for _, r := range rules {
		if found[r.Name] < 10 {
			t.Errorf("rule %s found %d alerts only: this proves little", r.Name, found[r.Name])
		}
	}
}

func text(t *testing.T, a *fleet.Alert) string {
	t.Helper()
	out, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
