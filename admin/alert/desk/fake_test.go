package desk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/alert/desk"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
	"kioskfleet/internal/protocol"
)

// kiosks is a fleet that tests arrange.
type kiosks struct {
	mu     sync.Mutex
	live   map[string]*fleet.Live
	kiosks map[string]*fleet.Kiosk
}

func (k *kiosks) Live(serial string) *fleet.Live {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.live[serial]
}

func (k *kiosks) Kiosk(serial string) *fleet.Kiosk {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kiosks[serial]
}

func (k *kiosks) Registered(kind fleet.IncidentKind, name string) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kiosk := range k.kiosks {
		if kind == fleet.IncidentSite && kiosk.Site == name {
			n++
		}
	}
	return n
}

// failing is a store that refuses, or that stores and then says that it did not.
type failing struct {
	*store.Store
	mu            sync.Mutex
	before, after error
}

func (f *failing) refuse(before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *failing) SaveAlerts(ctx context.Context, b fleet.AlertBatch) error {
	f.mu.Lock()
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil {
		return before
	}
	return errors.Join(f.Store.SaveAlerts(ctx, b), after)
}

// world is a desk over a real database, at the time of a synctest bubble.
type world struct {
	t     *testing.T
	file  string
	store *failing
	fleet *kiosks
	desk  *desk.Desk
	keep  time.Duration // of resolved alerts; 0: the default
	stop  func()

	toldAlerts    []fleet.Alert
	toldIncidents []fleet.Incident
	seen          int64 // last event that was listed
}

// inWorld runs f in a bubble, with a fleet of sites and their numbers of kiosks. Kiosks are called <site>-<n>.
func inWorld(t *testing.T, sites map[string]int, f func(w *world)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kioskfleet.db")
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, file: file, fleet: &kiosks{live: map[string]*fleet.Live{}, kiosks: map[string]*fleet.Kiosk{}}}
		for site, n := range sites {
			for i := range n {
				serial := fmt.Sprintf("%s-%d", site, i)
				w.fleet.kiosks[serial] = &fleet.Kiosk{Serial: serial, Site: site, Timezone: "Europe/Madrid"}
				w.present(serial, fleet.PresenceOnline)
			}
		}
		w.start()
		defer func() { w.stop() }()
		f(w)
	})
}

func (w *world) start() {
	w.t.Helper()
	s, err := store.Open(context.Background(), w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = &failing{Store: s}
	w.desk, err = desk.New(context.Background(), desk.Config{
		Store: w.store, Fleet: w.fleet, Now: time.Now, Log: slog.New(slog.DiscardHandler), Keep: w.keep,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.desk.Observe(func(alerts []fleet.Alert, incidents []fleet.Incident) {
		w.toldAlerts, w.toldIncidents = append(w.toldAlerts, alerts...), append(w.toldIncidents, incidents...)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.desk.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
	}
	synctest.Wait()
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// after lets time pass.
func (w *world) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) live(serial string, f func(l *fleet.Live)) {
	w.fleet.mu.Lock()
	l := fleet.Live{Serial: serial}
	if before := w.fleet.live[serial]; before != nil {
		l = *before
	}
	f(&l)
	w.fleet.live[serial] = &l
	w.fleet.mu.Unlock()
	if w.desk != nil {
		w.desk.Changed(serial)
		synctest.Wait()
	}
}

func (w *world) present(serial string, p fleet.Presence) {
	w.live(serial, func(l *fleet.Live) { l.Presence, l.PresenceSince = p, time.Now() })
}

func (w *world) reports(serial string, state protocol.State) {
	w.live(serial, func(l *fleet.Live) { l.LastReading = &fleet.Reading{Serial: serial, Status: state} })
}

// alertOf makes what the engine says of an alert; its id is rule/serial.
func alertOf(rule, serial string) fleet.Alert {
	site, _, _ := strings.Cut(serial, "-")
	a := fleet.Alert{
		ID: rule + "/" + serial, Rule: rule, Serial: serial, Site: site, Severity: fleet.SeverityWarning,
		Reason: rule + " holds", Since: time.Now(), OpenedAt: time.Now(), AboutPresence: rule == "offline",
	}
	a.Security = rule == "left_location"
	return a
}

func change(kind fleet.AlertEventKind, a fleet.Alert) fleet.AlertChange {
	return fleet.AlertChange{Kind: kind, At: time.Now(), Alert: a}
}

func opened(rule string, serials ...string) (out []fleet.AlertChange) {
	for _, s := range serials {
		out = append(out, change(fleet.AlertEventOpened, alertOf(rule, s)))
	}
	return out
}

func ended(rule string, serials ...string) (out []fleet.AlertChange) {
	for _, s := range serials {
		out = append(out, change(fleet.AlertEventResolved, alertOf(rule, s)))
	}
	return out
}

func serials(site string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", site, i))
	}
	return out
}

func (w *world) apply(changes ...[]fleet.AlertChange) {
	w.t.Helper()
	w.must(w.desk.Apply(context.Background(), slices.Concat(changes...), nil))
	synctest.Wait()
}

func (w *world) alert(id string) fleet.Alert {
	w.t.Helper()
	a, err := w.desk.Alert(context.Background(), id)
	w.must(err)
	return a
}

func (w *world) incidents() []fleet.Incident {
	w.t.Helper()
	all, _, err := w.desk.Incidents(context.Background(), fleet.IncidentFilter{}, "", 100)
	w.must(err)
	slices.Reverse(all)
	return all
}

// news lists the events since it was last called: kind, what it is about, who, text.
func (w *world) news() string {
	w.t.Helper()
	events, err := w.store.AlertEvents(context.Background(), w.seen, 10_000)
	w.must(err)
	var out []string
	for _, e := range events {
		w.seen = e.ID
		about := e.AlertID
		if about == "" {
			about = "incident"
		}
		out = append(out, strings.Join(slices.DeleteFunc([]string{string(e.Kind), about, e.Actor, e.Text}, func(s string) bool { return s == "" }), " "))
	}
	return strings.Join(out, "\n")
}

// wantNews fails the test unless exactly these events came.
func (w *world) wantNews(after string, want ...string) {
	w.t.Helper()
	if got := w.news(); got != strings.Join(want, "\n") {
		w.t.Errorf("%s, came\n%s\nnot\n%s", after, got, strings.Join(want, "\n"))
	}
}

// wantOpen fails the test unless so many alerts and incidents are open, in SQL and in memory.
func (w *world) wantOpen(after string, alerts, incidents int) {
	w.t.Helper()
	open, _, err := w.desk.Alerts(context.Background(), fleet.AlertFilter{State: fleet.AlertOpen}, "", 1000)
	w.must(err)
	standing, _, err := w.desk.Incidents(context.Background(), fleet.IncidentFilter{State: fleet.AlertOpen}, "", 1000)
	w.must(err)
	inMemory, err := w.desk.Preview(context.Background(), []fleet.Matcher{{Name: "rule", Op: "!=", Value: "x"}})
	w.must(err)
	if len(open) != alerts || len(inMemory) != alerts || len(standing) != incidents {
		w.t.Errorf("%s, %d alerts and %d incidents are stored, %d alerts in memory; not %d and %d", after, len(open), len(standing), len(inMemory), alerts, incidents)
	}
}
