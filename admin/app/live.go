package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kioskfleet/admin/anomaly"
	"kioskfleet/admin/api"
	"kioskfleet/admin/command"
	"kioskfleet/admin/fleet"
	"kioskfleet/admin/presence"
	"kioskfleet/admin/registry"
	"kioskfleet/internal/protocol"
)

// live is ingest's live side: presence first, then the commands that wait for what it shows. What is
// still on its way from a kiosk that was deleted meanwhile must not bring it back.
type live struct {
	registry  *registry.Registry
	tracker   *presence.Tracker
	outflow   *presence.Outflow
	ladder    *command.Ladder
	alerts    *alerts
	anomalies *anomaly.Watch
}

func (l *live) gone(serial string) bool {
	_, err := l.registry.Get(serial)
	return err != nil
}

func (l *live) Reading(ctx context.Context, r *fleet.Reading) {
	if l.gone(r.Serial) {
		return
	}
	l.tracker.Reading(r)
	l.anomalies.Reading(r)
	l.alerts.derived.Reading(r)
	l.alerts.engine.Reading(r)
	l.ladder.Reported(ctx, r.Serial)
}

func (l *live) Joined(ctx context.Context, o fleet.Origin, j protocol.Join) {
	if l.gone(o.Serial) {
		return
	}
	l.tracker.Joined(o, j)
	l.ladder.Joined(ctx, o.Serial, j)
}

func (l *live) Bye(_ context.Context, o fleet.Origin, b protocol.Bye) { l.tracker.Bye(o, b) }

func (l *live) Acked(ctx context.Context, o fleet.Origin, a protocol.Ack) {
	l.ladder.Acked(ctx, o.Serial, a)
}

func (l *live) Connection(_ context.Context, e fleet.ConnectionEvent) { l.tracker.Connection(e) }

// Started implements ingest.Live.
func (l *live) Started(context.Context) {
	now := time.Now().UTC()
	l.tracker.Started(now)
	l.alerts.started(l.registry.All(), now)
}

// Room implements ingest.Live.
func (l *live) Room(ctx context.Context) {
	l.outflow.Room(ctx)
	l.anomalies.Room(ctx)
	l.alerts.engine.Room(ctx)
}

// Checkpoint implements ingest.Live. Commands are stored step by step; an ack that could not be is the
// one thing to wait for.
func (l *live) Checkpoint(ctx context.Context) error {
	if n := l.ladder.Unstored(); n > 0 {
		return fmt.Errorf("%d acks of commands are not stored yet", n)
	}
	if err := l.outflow.Checkpoint(ctx); err != nil {
		return err
	}
	if err := l.anomalies.Checkpoint(ctx); err != nil {
		return err
	}
	if err := l.alerts.derived.Checkpoint(ctx); err != nil {
		return err
	}
	return l.alerts.engine.Checkpoint(ctx)
}

// tellHub passes a kiosk's change on to the live stream.
func tellHub(hub *api.Hub) presence.Observer {
	return func(c presence.Change) {
		serial := c.New.Serial
		if c.Reading {
			hub.Reading(serial)
		}
		if c.Notable() {
			hub.Kiosk(serial)
		}
	}
}

// followRegistry lets the parts that hold state about kiosks follow the registry.
func (a *App) followRegistry(serial string, k *fleet.Kiosk) {
	defer a.alerts.registered(serial)
	if k == nil {
		a.alerts.derived.Forget(serial)
		a.anomalies.Forget(serial)
		a.tracker.Forget(serial)
		a.availability.Registered(serial, nil)
		a.ladder.Forget(serial)
		a.hub.Removed(serial)
		a.link.forget(serial)
		return
	}
	a.tracker.SetRevoked(serial, k.RevokedAt != nil)
	a.availability.Registered(serial, k)
	a.link.admit(k)
	a.hub.Kiosk(serial)
}

// fleetCollector counts kiosks by presence and verdict when metrics are scraped.
type fleetCollector struct {
	app       *App
	presences *prometheus.Desc
	verdicts  *prometheus.Desc
}

func newFleetCollector(a *App) *fleetCollector {
	return &fleetCollector{
		app:       a,
		presences: prometheus.NewDesc("kioskfleet_kiosks", "Registered kiosks by presence.", []string{"presence"}, nil),
		verdicts:  prometheus.NewDesc("kioskfleet_kiosks_by_verdict", "Registered kiosks by verdict.", []string{"verdict"}, nil),
	}
}

func (c *fleetCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.presences
	out <- c.verdicts
}

func (c *fleetCollector) Collect(out chan<- prometheus.Metric) {
	presences, verdicts := map[fleet.Presence]int{}, map[fleet.Verdict]int{}
	for _, k := range c.app.registry.All() {
		l := c.app.tracker.Get(k.Serial)
		presences[l.Presence]++
		verdicts[l.Verdict]++
	}
	for _, p := range fleet.Presences() {
		out <- prometheus.MustNewConstMetric(c.presences, prometheus.GaugeValue, float64(presences[p]), string(p))
	}
	for _, v := range fleet.Verdicts() {
		out <- prometheus.MustNewConstMetric(c.verdicts, prometheus.GaugeValue, float64(verdicts[v]), string(v))
	}
}
