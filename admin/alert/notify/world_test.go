package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	_ "modernc.org/sqlite"

	"kioskfleet/admin/alert/notify/target"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/store"
)

// world stands for the desk, the kiosks and the broker around a real store.
type world struct {
	t     *testing.T
	file  string
	db    *sql.DB // the desk's way into the same file
	store *store.Store

	mu        sync.Mutex
	alerts    map[string]fleet.Alert
	incidents map[string]fleet.Incident
	published []string // topic and event
	refuses   error    // what the broker answers

	current *Notifier // who is woken, as the desk does after its commit

	sent    []sent
	answers map[string]func(ctx context.Context, n int) error // by target: what the n-th attempt brings; nil: success
	tries   map[string]int
}

// sent is a message that reached a target.
type sent struct {
	target string
	at     time.Time
	m      target.Message
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, file: filepath.Join(t.TempDir(), "k.db"), alerts: map[string]fleet.Alert{}, incidents: map[string]fleet.Incident{},
		answers: map[string]func(context.Context, int) error{}, tries: map[string]int{},
	}
	w.open()
	db, err := sql.Open("sqlite", w.file+"?_pragma=busy_timeout(10000)")
	w.must(err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	return w
}

func (w *world) open() {
	s, err := store.Open(context.Background(), w.file)
	w.must(err)
	w.store = s
	w.t.Cleanup(func() { _ = s.Close() })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) Alert(_ context.Context, id string) (fleet.Alert, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.alerts[id]
	if !ok {
		return a, fleet.ErrNotFound
	}
	return a, nil
}

func (w *world) Incident(_ context.Context, id string) (fleet.Incident, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, ok := w.incidents[id]
	if !ok {
		return i, fleet.ErrNotFound
	}
	return i, nil
}

func (w *world) AlertsOf(_ context.Context, id string, limit int) ([]fleet.Alert, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []fleet.Alert
	for _, key := range sortedKeys(w.alerts) {
		if w.alerts[key].IncidentID == id && len(out) < limit {
			out = append(out, w.alerts[key])
		}
	}
	return out, nil
}

func (w *world) Get(serial string) (*fleet.Kiosk, error) {
	if serial == "" {
		return nil, fleet.ErrNotFound
	}
	return &fleet.Kiosk{Serial: serial, Timezone: "Europe/Madrid"}, nil
}

func (w *world) Publish(_ context.Context, topic string, _ byte, _ bool, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuses != nil {
		return w.refuses
	}
	var m struct{ Event, ID string }
	if err := json.Unmarshal(payload, &m); err != nil {
		return err
	}
	w.published = append(w.published, topic+" "+m.Event)
	return nil
}

// recorder is a sender that does what the world says.
type recorder struct {
	w    *world
	name string
}

func (r recorder) Send(ctx context.Context, m target.Message) error {
	r.w.mu.Lock()
	r.w.tries[r.name]++
	answer, n := r.w.answers[r.name], r.w.tries[r.name]
	r.w.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, n); err != nil {
			return err
		}
	}
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.sent = append(r.w.sent, sent{r.name, time.Now().UTC(), m})
	return nil
}

// notifier returns a notifier on the world's store whose targets are recorders.
func (w *world) notifier() *Notifier {
	w.t.Helper()
	n, err := New(w.t.Context(), Config{
		Store: w.store, Alerts: w, Kiosks: w, Publisher: w, Now: time.Now, Log: slog.New(slog.DiscardHandler), PageURL: "https://fleet.example",
	})
	w.must(err)
	n.newSender = func(t fleet.NotificationTarget, _ func() time.Time) (target.Sender, error) {
		return recorder{w, t.Name}, nil
	}
	n.poll = time.Minute // so that a test of many hours is quick
	w.current = n
	return n
}

// run runs a notifier until stop is called or the test ends.
func (w *world) run(n *Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

func (w *world) webhooks(n *Notifier, names ...string) {
	w.t.Helper()
	for _, name := range names {
		_, err := n.CreateTarget(w.t.Context(), fleet.NotificationTarget{Name: name, Kind: fleet.TargetWebhook, URL: "http://127.0.0.1:1/" + name, Secret: "0123456789abcdef"}, "ana")
		w.must(err)
	}
}

func (w *world) routes(n *Notifier, routes ...fleet.NotificationRoute) {
	w.t.Helper()
	_, err := n.SetRoutes(w.t.Context(), routes, n.Routes().Version, "ana")
	w.must(err)
}

// opened lets an alert open.
func (w *world) opened(id string, f func(*fleet.Alert)) {
	now := time.Now().UTC()
	a := fleet.Alert{
		ID: id, Rule: "cpu_temp_high", Serial: "K-" + id, Site: "Hall 1", Severity: fleet.SeverityWarning, State: fleet.AlertOpen,
		Reason: "80 °C", Since: now, OpenedAt: now,
	}
	if f != nil {
		f(&a)
	}
	w.mu.Lock()
	w.alerts[id] = a
	w.mu.Unlock()
	w.event(fleet.AlertEventOpened, id, a.IncidentID)
}

// change changes an alert and says so.
func (w *world) change(id string, kind fleet.AlertEventKind, f func(*fleet.Alert)) {
	w.mu.Lock()
	a := w.alerts[id]
	f(&a)
	w.alerts[id] = a
	w.mu.Unlock()
	w.event(kind, id, a.IncidentID)
}

func (w *world) changeIncident(id string, kind fleet.AlertEventKind, f func(*fleet.Incident)) {
	w.mu.Lock()
	i := w.incidents[id]
	f(&i)
	w.incidents[id] = i
	w.mu.Unlock()
	w.event(kind, "", id)
}

func (w *world) event(kind fleet.AlertEventKind, alert, incident string) {
	w.t.Helper()
	_, err := w.db.ExecContext(context.Background(), `INSERT INTO alert_events (at, kind, alert_id, incident_id, actor, text) VALUES ($1, $2, $3, $4, '', '')`,
		time.Now().UnixMilli(), string(kind), alert, incident)
	w.must(err)
	if w.current != nil {
		w.current.Wake()
	}
}

func resolved(a *fleet.Alert) {
	now := time.Now().UTC()
	a.State, a.ResolvedAt, a.ResolvedWhy = fleet.AlertResolved, &now, fleet.ResolvedCleared
}

func acknowledged(a *fleet.Alert) {
	now := time.Now().UTC()
	a.AcknowledgedAt, a.AcknowledgedBy = &now, "ana"
}

// story lists an alert's events of the kinds that the notifier writes.
func (w *world) story(id string) string {
	w.t.Helper()
	events, err := w.store.AlertEvents(w.t.Context(), 0, 10_000)
	w.must(err)
	var out []string
	for _, e := range events {
		if (e.AlertID == id || e.IncidentID == id) && slices.Contains([]fleet.AlertEventKind{fleet.AlertEventNotified, fleet.AlertEventNotNotified, fleet.AlertEventEscalated}, e.Kind) {
			out = append(out, string(e.Kind)+" "+e.Text)
		}
	}
	return strings.Join(out, "; ")
}

// told lists what reached the targets: target, event, what it is about, and when after the start.
func (w *world) told(start time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, s := range w.sent {
		n := s.m.Notification
		var about []string
		if n.Incident != nil {
			about = append(about, n.Incident.ID)
		} else {
			for _, a := range n.Alerts {
				about = append(about, a.ID)
			}
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", s.target, n.Event, strings.Join(about, ","), s.at.Sub(start).Round(time.Second)))
	}
	slices.Sort(out) // two targets at the same time come in any order
	return strings.Join(out, "; ")
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T, w *world, n *Notifier, start time.Time)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f(t, w, w.notifier(), time.Now())
	})
}
