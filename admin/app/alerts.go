package app

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/alert/backtest"
	"kioskfleet/admin/alert/desk"
	"kioskfleet/admin/alert/engine"
	"kioskfleet/admin/alert/notify"
	"kioskfleet/admin/alert/rule"
	"kioskfleet/admin/alert/rulebook"
	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/api"
	"kioskfleet/admin/derived"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/presence"
	"kioskfleet/admin/registry"
	"kioskfleet/internal/diskspace"
)

// alerts are the parts that find out what is wrong and tell people.
type alerts struct {
	rules    *rulebook.Book
	engine   *engine.Engine
	desk     *desk.Desk
	notifier *notify.Notifier
	derived  *derived.Values
}

// openAlerts wires them; call it when the tracker has restored its states.
func (a *App) openAlerts(ctx context.Context, publisher notify.Publisher, metrics prometheus.Registerer) error {
	now, log := time.Now, a.log
	around := &surroundings{registry: a.registry, tracker: a.tracker, anomalies: a.anomalies}
	var err error
	if a.alerts.rules, err = rulebook.New(ctx, rulebook.Config{Store: a.store, File: a.cfg.Alerts.Rules, Now: now, Log: log}); err != nil {
		return err
	}
	a.alerts.derived = derived.New(derived.Config{
		Kiosks: a.registry, Presence: a.tracker, Store: a.store, Now: now, CertificateValidity: a.cfg.PKI.KioskValidity,
	})
	kept, err := a.store.Derived(ctx)
	if err != nil {
		return err
	}
	if err := a.alerts.derived.Restore(kept); err != nil {
		log.Error("some derived values begin anew", "error", err)
	}
	around.derived = a.alerts.derived
	if a.alerts.desk, err = desk.New(ctx, desk.Config{Store: a.store, Fleet: around, Now: now, Log: log}); err != nil {
		return err
	}
	if a.alerts.notifier, err = notify.New(ctx, notify.Config{
		Store: a.store, Alerts: a.store, Kiosks: a.registry, Publisher: publisher, Now: now, Log: log, PageURL: a.cfg.HTTP.PublicURL,
	}); err != nil {
		return err
	}
	a.alerts.desk.Observe(func(alerts []fleet.Alert, incidents []fleet.Incident) {
		for _, alert := range alerts {
			a.hub.Alert(alert)
		}
		for _, incident := range incidents {
			a.hub.Incident(incident)
		}
		a.alerts.notifier.Wake()
	})
	a.alerts.engine = engine.New(engine.Config{Desk: a.alerts.desk, Fleet: around, Now: now, Told: a.told, Log: log})
	states, err := a.store.AlertStates(ctx)
	if err != nil {
		return err
	}
	if err := a.alerts.engine.Restore(states); err != nil {
		return err
	}
	a.alerts.rules.Observe(func(s *rule.Set) { a.alerts.engine.SetRules(engine.NewRules(s)) })
	a.tracker.Observe(func(c presence.Change) {
		if !c.Notable() {
			return
		}
		if !c.Reading { // the engine gets the reading itself, and must not see the change before it
			a.alerts.engine.Changed(c.New.Serial, c.At)
		}
		a.alerts.desk.Changed(c.New.Serial)
	})
	a.alerts.register(metrics)
	return nil
}

// told returns the time up to which presence and alerts know of everything that was received.
func (a *App) told(now time.Time) time.Time {
	for _, c := range a.ingest.Status().Consumers {
		if c.Name == liveConsumer {
			return now.Add(-c.Lag)
		}
	}
	return now
}

// started says that everything from before this start has been told. Every kiosk is asked about: of those that have not
// come back, presence has nothing new to say.
func (al *alerts) started(kiosks []*fleet.Kiosk, at time.Time) {
	al.engine.Started(at)
	for _, k := range kiosks {
		al.engine.Changed(k.Serial, at)
	}
}

// registered says that a kiosk's registration is another, or that there is none any more.
func (al *alerts) registered(serial string) {
	al.engine.Changed(serial, time.Now().UTC())
	al.desk.Changed(serial)
}

// finish stores what is left.
func (al *alerts) finish(ctx context.Context) error {
	al.engine.Finish(ctx)
	return al.derived.Finish(ctx)
}

// register adds what is counted to the metrics.
func (al *alerts) register(metrics prometheus.Registerer) {
	counter := func(name, help string, value func(s notify.Stats) int64) {
		metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 {
			return float64(value(al.notifier.Stats()))
		}))
	}
	counter("kioskfleet_notifications_delivered_total", "Messages of alerts that their targets took.", func(s notify.Stats) int64 { return s.Delivered })
	counter("kioskfleet_notifications_failed_total", "Attempts to deliver a message of alerts that failed.", func(s notify.Stats) int64 { return s.FailedAttempts })
	counter("kioskfleet_notifications_given_up_total", "Messages of alerts that were not delivered in the end.", func(s notify.Stats) int64 { return s.GaveUp })
	counter("kioskfleet_alert_feed_dropped_total", "Messages of the MQTT feed of alerts that found no room.", func(s notify.Stats) int64 { return s.Dropped })
}

// ruleBook lets the API keep the rules.
type ruleBook struct{ *rulebook.Book }

// Vocabulary implements api.Rules.
func (ruleBook) Vocabulary() []api.Word {
	words := rule.Vocabulary()
	out := make([]api.Word, len(words))
	for i, w := range words {
		out[i] = api.Word{Name: w.Name, Kind: string(w.Kind), Unit: w.Unit, Text: w.Text, Words: w.Words}
	}
	return out
}

// past lets the API run rules over the past.
type past struct{ backtest *backtest.Backtest }

// Backtest implements api.Backtest.
func (p past) Backtest(ctx context.Context, r fleet.BacktestRequest) (fleet.BacktestResult, error) {
	return p.backtest.Run(ctx, r)
}

// liveConsumer is ingest's name of what tells presence, commands and alerts.
const liveConsumer = "live"

// countsFor is how long the numbers of kiosks by site, network and version are good: an outage asks for them again and
// again.
const countsFor = 5 * time.Second

// surroundings tell engine and desk about kiosks.
type surroundings struct {
	registry  *registry.Registry
	tracker   *presence.Tracker
	derived   *derived.Values
	anomalies *anomaly.Watch

	mu      sync.Mutex // guards the rest
	counted time.Time
	counts  map[fleet.IncidentKind]map[string]int
}

// Kiosk returns a registered kiosk, nil when it is not registered.
func (s *surroundings) Kiosk(serial string) *fleet.Kiosk {
	k, err := s.registry.Get(serial)
	if err != nil {
		return nil
	}
	return k
}

// Live returns what is known of a kiosk right now.
func (s *surroundings) Live(serial string) *fleet.Live { return s.tracker.Get(serial) }

// Derived returns what is computed of a kiosk.
func (s *surroundings) Derived(serial string) rule.Derived {
	return computed{s.derived.For(serial), s.anomalies, serial}
}

// Registered implements desk.Fleet.
func (s *surroundings) Registered(kind fleet.IncidentKind, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil || time.Since(s.counted) > countsFor {
		s.count()
	}
	return s.counts[kind][name]
}

// count counts all kiosks. The lock is held.
func (s *surroundings) count() {
	sites, networks, versions := map[string]int{}, map[string]int{}, map[string]int{}
	for _, k := range s.registry.All() {
		sites[k.Site]++
		l := s.tracker.Get(k.Serial)
		networks[engine.Network(l.LastReading, l)]++
		versions[l.AgentVersion]++
	}
	s.counts = map[fleet.IncidentKind]map[string]int{fleet.IncidentSite: sites, fleet.IncidentNetwork: networks, fleet.IncidentVersion: versions}
	s.counted = time.Now()
}

// followHangups reads the rules of files again at each SIGHUP.
func (a *App) followHangups(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			if err := a.alerts.rules.Reload(); err != nil {
				a.log.Error("alert rules not read again, those of before stay", "error", err)
				continue
			}
			a.log.Info("alert rules read again")
		}
	}
}

// platformEvery is how often the platform looks at itself.
const platformEvery = 5 * time.Second

// runPlatform tells the engine how the platform does.
func (a *App) runPlatform(ctx context.Context) error {
	tick := time.NewTicker(platformEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.alerts.engine.Platform(a.platform(), time.Now().UTC())
		}
	}
}

// platformValues are what rules may ask of the platform, by name.
type platformValues map[string]float64

// Value implements rule.Derived.
func (v platformValues) Value(name string) (float64, bool) {
	x, ok := v[name]
	return x, ok
}

// platform looks at the platform.
func (a *App) platform() platformValues {
	const percent, gigabyte = 100, 1e9
	status := a.ingest.Status()
	v := platformValues{"platform.targets_failing": float64(a.alerts.notifier.Failing()), "platform.refusing": 0}
	if !status.Accepting {
		v["platform.refusing"] = 1
	}
	for _, c := range status.Consumers {
		switch c.Name {
		case liveConsumer:
			v["platform.live_behind"] = c.Lag.Seconds()
		case "timeseries":
			v["platform.series_behind"] = c.Lag.Seconds()
		}
	}
	if status.JournalMax > 0 {
		v["platform.journal_used"] = float64(status.JournalBytes) / float64(status.JournalMax) * percent
	}
	if free, err := diskspace.Free(a.cfg.DataDir); err == nil {
		v["platform.disk_free"] = float64(free) / gigabyte
	} else {
		a.log.Log(context.Background(), slog.LevelDebug, "free space not known", "error", err)
	}
	return v
}
