package alert_test

import (
	"context"
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
	"kioskfleet/admin/alert/engine"
	"kioskfleet/admin/alert/notify"
	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/alert/rulebook"
	"kioskfleet/admin/derived"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/presence"
	"kioskfleet/admin/store"
	"kioskfleet/internal/protocol"
)

// stage is a fleet of kiosks and everything that deals with their alerts, over a real database, on a synctest clock. Only
// broker and journal are left out: kiosks speak to presence themselves.
type stage struct {
	t        *testing.T
	file     string
	began    time.Time
	kiosks   map[string]*fleet.Kiosk
	absent   map[string]bool
	values   map[string]map[string]float64 // other than normal
	texts    map[string]map[string]string
	record   uint64
	store    *store.Store
	tracker  *presence.Tracker
	outflow  *presence.Outflow
	derived  *derived.Values
	engine   *engine.Engine
	desk     *desk.Desk
	notifier *notify.Notifier
	stop     func()

	mu        sync.Mutex // guards published
	published []string   // topics
}

// Get implements notify.Kiosks and derived.Kiosks.
func (s *stage) Get(serial string) (*fleet.Kiosk, error) {
	if k := s.kiosks[serial]; k != nil {
		return k, nil
	}
	return nil, fleet.ErrNotFound
}

// Publish implements notify.Publisher.
func (s *stage) Publish(_ context.Context, topic string, _ byte, _ bool, _ []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.HasPrefix(topic, "kiosks/") {
		s.published = append(s.published, topic)
	}
	return nil
}

// Kiosk implements desk.Fleet and engine.Fleet, as do the next three.
func (s *stage) Kiosk(serial string) *fleet.Kiosk   { return s.kiosks[serial] }
func (s *stage) Live(serial string) *fleet.Live     { return s.tracker.Get(serial) }
func (s *stage) Derived(serial string) rule.Derived { return s.derived.For(serial) }
func (s *stage) Registered(kind fleet.IncidentKind, name string) (n int) {
	for _, k := range s.kiosks {
		if kind == fleet.IncidentSite && k.Site == name {
			n++
		}
	}
	return n
}

// newStage has n kiosks in Hall, of which all are there and well.
func newStage(t *testing.T, n int) *stage {
	t.Helper()
	s := &stage{
		t: t, file: filepath.Join(t.TempDir(), "kioskfleet.db"), began: time.Now(), kiosks: map[string]*fleet.Kiosk{}, absent: map[string]bool{},
		values: map[string]map[string]float64{}, texts: map[string]map[string]string{},
	}
	for i := range n {
		serial := fmt.Sprintf("K-%02d", i+1)
		s.kiosks[serial] = &fleet.Kiosk{Serial: serial, Site: "Hall", Location: &fleet.Location{Lat: 40.4066, Lng: -3.6891}}
	}
	s.start()
	return s
}

// start starts everything, as admin does.
func (s *stage) start() {
	must := func(err error) {
		if err != nil {
			s.t.Helper()
			s.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	var err error
	s.store, err = store.Open(ctx, s.file)
	must(err)
	s.tracker = presence.New(time.Now)
	s.outflow = presence.NewOutflow(s.tracker, s.store, s, log)
	lives, err := s.store.Live(ctx)
	must(err)
	s.tracker.Restore(lives)
	s.derived = derived.New(derived.Config{Kiosks: s, Presence: s.tracker, Store: s.store, Now: time.Now})
	s.desk, err = desk.New(ctx, desk.Config{Store: s.store, Fleet: s, Now: time.Now, Log: log})
	must(err)
	s.notifier, err = notify.New(ctx, notify.Config{Store: s.store, Alerts: s.store, Kiosks: s, Publisher: s, Now: time.Now, Log: log})
	must(err)
	s.desk.Observe(func([]fleet.Alert, []fleet.Incident) { s.notifier.Wake() })
	s.engine = engine.New(engine.Config{Desk: s.desk, Fleet: s, Now: time.Now, Log: log})
	states, err := s.store.AlertStates(ctx)
	must(err)
	must(s.engine.Restore(states))
	book, err := rulebook.New(ctx, rulebook.Config{Store: s.store, Now: time.Now})
	must(err)
	book.Observe(func(set *rule.Set) { s.engine.SetRules(engine.NewRules(set)) })
	s.tracker.Observe(func(c presence.Change) {
		if c.Notable() {
			if !c.Reading {
				s.engine.Changed(c.New.Serial, c.At)
			}
			s.desk.Changed(c.New.Serial)
		}
	})
	s.tracker.Started(time.Now())
	s.engine.Started(time.Now())
	var group sync.WaitGroup
	group.Go(func() { _ = s.outflow.Run(ctx) })
	group.Go(func() { _ = s.engine.Run(ctx) })
	group.Go(func() { _ = s.desk.Run(ctx) })
	group.Go(func() { _ = s.notifier.Run(ctx) })
	s.stop = func() {
		cancel()
		group.Wait()
		_ = s.store.Close()
	}
}

// crash ends everything without a word and starts it again.
func (s *stage) crash() {
	s.checkpoint() // of some seconds ago; what came since comes again, see replays in the engine's own test
	s.stop()
	s.start()
}

func (s *stage) checkpoint() {
	if err := s.outflow.Checkpoint(context.Background()); err != nil {
		s.t.Error(err)
	}
	if err := s.engine.Checkpoint(context.Background()); err != nil {
		s.t.Error(err)
	}
}

// normal are the values of a kiosk that is well.
var normal = map[string]float64{
	"environmental.temperature": 22, "environmental.humidity": 45, "hardware.cpu_temp": 55, "hardware.cpu_usage": 30, "hardware.disk_usage": 60,
	"location.accuracy": 5, "location.lat": 40.4066, "location.lng": -3.6891, "network.latency": 40,
}

// live lets time pass while the kiosks report each 5 s.
func (s *stage) live(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Second) {
		for serial := range s.kiosks {
			if s.absent[serial] {
				continue
			}
			s.record++
			now := time.Now().UTC().Truncate(time.Millisecond)
			r := &fleet.Reading{Serial: serial, Time: now, ReceivedAt: now, Session: "s", Status: protocol.StateOnline, Source: fleet.Source{Record: s.record}}
			for metric, x := range normal {
				if other, there := s.values[serial][metric]; there {
					x = other
				}
				r.Values = append(r.Values, fleet.Value{Metric: metric, Value: x})
			}
			for _, metric := range []string{"peripherals.card_reader", "peripherals.cash_acceptor", "peripherals.printer_status"} {
				text := "ready"
				if other, there := s.texts[serial][metric]; there {
					text = other
				}
				r.Texts = append(r.Texts, fleet.Text{Metric: metric, Text: text})
			}
			slices.SortFunc(r.Values, func(a, b fleet.Value) int { return strings.Compare(a.Metric, b.Metric) })
			s.tracker.Reading(r)
			s.derived.Reading(r)
			s.engine.Reading(r)
		}
	}
	synctest.Wait()
}

// lose breaks the connections of kiosks.
func (s *stage) lose(serials ...string) {
	for _, serial := range serials {
		s.record++
		s.absent[serial] = true
		s.tracker.Bye(fleet.Origin{Serial: serial, At: time.Now().UTC(), Source: fleet.Source{Record: s.record}}, protocol.Bye{Session: "s", Reason: protocol.ByeConnectionLost})
	}
}

// back lets kiosks come back.
func (s *stage) back(serials ...string) {
	for _, serial := range serials {
		s.record++
		delete(s.absent, serial)
		s.tracker.Joined(fleet.Origin{Serial: serial, At: time.Now().UTC(), Source: fleet.Source{Record: s.record}}, protocol.Join{Session: "s", BootID: "b"})
	}
}

func (s *stage) all() []string {
	var out []string
	for serial := range s.kiosks {
		out = append(out, serial)
	}
	slices.Sort(out)
	return out
}

func (s *stage) set(serial, metric string, x float64) {
	if s.values[serial] == nil {
		s.values[serial] = map[string]float64{}
	}
	s.values[serial][metric] = x
}

func (s *stage) says(serial, metric, text string) {
	if s.texts[serial] == nil {
		s.texts[serial] = map[string]string{}
	}
	s.texts[serial][metric] = text
}

// told lists what happened, in order: kind, rule or incident, and of how many.
func (s *stage) told() string {
	events, err := s.store.AlertEvents(context.Background(), 0, 10_000)
	if err != nil {
		s.t.Fatal(err)
	}
	var order []string
	count := map[string]int{}
	for _, e := range events {
		what := "incident"
		if e.AlertID != "" {
			a, err := s.store.Alert(context.Background(), e.AlertID)
			if err != nil {
				s.t.Fatal(err)
			}
			what = a.Rule
		}
		line := string(e.Kind) + " " + what
		if count[line] == 0 {
			order = append(order, line)
		}
		count[line]++
	}
	for i, line := range order {
		if n := count[line]; n > 1 {
			order[i] = fmt.Sprintf("%s ×%d", line, n)
		}
	}
	return strings.Join(order, ", ")
}

func TestStories(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name   string
		kiosks int
		play   func(s *stage)
		want   string
	}{
		{"nothing happens", 5, func(s *stage) { s.live(10 * minute) }, ""},
		{"one of thirty is gone", 30, func(s *stage) {
			s.lose("K-07")
			s.live(minute)
			s.back("K-07")
			s.live(minute)
		}, "opened offline, resolved offline"},
		{"thirty of thirty are gone", 30, func(s *stage) {
			s.lose(s.all()...)
			s.live(minute)
			s.back(s.all()...)
			s.live(minute)
		}, "opened offline ×30, opened incident, joined offline ×30, resolved offline ×30, resolved incident"},
		{"a blink", 30, func(s *stage) {
			s.lose(s.all()...)
			s.live(20 * time.Second)
			s.back(s.all()...)
			s.live(2 * minute)
		}, ""},
		{"hot for a minute", 3, func(s *stage) {
			s.set("K-01", "hardware.cpu_temp", 80)
			s.live(minute)
			s.set("K-01", "hardware.cpu_temp", 60)
			s.live(5 * minute)
		}, ""},
		{"hot for three minutes", 3, func(s *stage) {
			s.set("K-01", "hardware.cpu_temp", 80)
			s.live(3 * minute)
			s.set("K-01", "hardware.cpu_temp", 60)
			s.live(3 * minute)
		}, "opened cpu_temp_high, resolved cpu_temp_high"},
		{"hot, then gone: what follows is held back, and the end is told when it is known", 5, func(s *stage) {
			s.set("K-01", "hardware.cpu_temp", 80)
			s.live(3 * minute)
			s.lose("K-01")
			s.live(2 * minute)
			s.set("K-01", "hardware.cpu_temp", 60)
			s.back("K-01")
			s.live(3 * minute)
		}, "opened cpu_temp_high, suppressed cpu_temp_high, opened offline, resolved offline, released cpu_temp_high, resolved cpu_temp_high"},
		{"hot over a crash of ours", 3, func(s *stage) {
			s.set("K-01", "hardware.cpu_temp", 80)
			s.live(minute)
			s.crash()
			s.back(s.all()...)
			s.live(2 * minute)
			s.crash()
			s.back(s.all()...)
			s.live(2 * minute)
		}, "opened cpu_temp_high"},
		{"a paper jam: it cannot serve either", 5, func(s *stage) {
			s.says("K-02", "peripherals.printer_status", "paper_jam")
			s.live(2 * minute)
		}, "opened printer_paper_jam, opened cannot_serve"},
		{"carried away", 5, func(s *stage) {
			s.lose("K-03")
			s.live(20 * minute)
			s.set("K-03", "location.lat", 40.43)
			s.back("K-03")
			s.live(20 * minute)
		}, "opened offline, resolved offline, opened left_location"},
		{"a position that trembles", 5, func(s *stage) {
			for i := range 60 {
				s.set("K-03", "location.lat", 40.4066+float64(i%3-1)*0.0003) // 33 m
				s.live(20 * time.Second)
			}
		}, ""},
		{"in a maintenance window nobody is told", 5, func(s *stage) {
			if _, err := s.desk.CreateMaintenance(context.Background(), fleet.MaintenanceWindow{
				Scope: fleet.RuleScope{Serials: []string{"K-02"}}, From: time.Now(), Until: time.Now().Add(time.Hour), Comment: "new printer",
			}, "ana"); err != nil {
				s.t.Fatal(err)
			}
			s.says("K-02", "peripherals.card_reader", "error")
			s.live(2 * minute)
		}, "opened card_error, suppressed card_error"},
		{"acknowledged and over", 5, func(s *stage) {
			s.says("K-02", "peripherals.card_reader", "error")
			s.live(2 * minute)
			page, _, err := s.desk.Alerts(context.Background(), fleet.AlertFilter{State: fleet.AlertOpen}, "", 10)
			if err != nil || len(page) != 1 {
				s.t.Fatalf("%+v, %v", page, err)
			}
			if _, err := s.desk.Acknowledge(context.Background(), page[0].ID, "on my way", "ana"); err != nil {
				s.t.Fatal(err)
			}
			s.says("K-02", "peripherals.card_reader", "ready")
			s.live(minute)
		}, "opened card_error, acknowledged card_error, resolved card_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, c.kiosks)
				defer func() { s.stop() }()
				s.back(s.all()...)
				s.live(time.Minute)
				c.play(s)
				if got := s.told(); got != c.want {
					t.Errorf("\n got %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

func TestTheFeedTellsFactsOfAnIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 10)
		defer func() { s.stop() }()
		s.back(s.all()...)
		s.live(time.Minute)
		s.lose(s.all()...)
		s.live(2 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		incidents := 0
		for _, topic := range s.published {
			if topic == protocol.IncidentTopic("Hall") {
				incidents++
			}
		}
		if incidents == 0 || len(s.published)-incidents < 10 {
			t.Errorf("published: %q", s.published)
		}
	})
}
