package presence

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Store keeps events and, for the next start, states.
type Store interface {
	AddEvents(ctx context.Context, events []fleet.Event) error
	SaveLive(ctx context.Context, states []fleet.Live, now time.Time) error
}

// Publisher sends messages to the broker.
type Publisher interface {
	Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error
}

const (
	flushEvery = 200 * time.Millisecond
	saveEvery  = 10 * time.Second
	// maxEvents bounds the events that wait for a database that does not take them; more are dropped
	// and counted in the log. Memory must not grow with an outage.
	maxEvents = 100_000
)

// Outflow writes down what the tracker finds: events and states to the database, and each kiosk's
// status to its retained topic. It is behind by at most flushEvery.
type Outflow struct {
	tracker   *Tracker
	store     Store
	publisher Publisher
	log       *slog.Logger
	refused   bool // the broker did not take the last status; only flush uses it

	mu      sync.Mutex
	events  []fleet.Event
	dropped int
	status  map[string]struct{} // serials whose status is to be published
	dirty   map[string]struct{} // serials whose state is to be saved
}

// NewOutflow returns an Outflow that observes the tracker.
func NewOutflow(t *Tracker, s Store, p Publisher, log *slog.Logger) *Outflow {
	o := &Outflow{tracker: t, store: s, publisher: p, log: log, status: map[string]struct{}{}, dirty: map[string]struct{}{}}
	t.Observe(o.observe)
	return o
}

func (o *Outflow) observe(c Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	serial := c.New.Serial
	o.dirty[serial] = struct{}{}
	if c.Notable() {
		o.status[serial] = struct{}{}
	}
	if len(o.events)+len(c.Events) > maxEvents {
		o.dropped += len(c.Events)
		return
	}
	o.events = append(o.events, c.Events...)
}

// PublishAll publishes the status of every kiosk at the next flush, as after a start.
func (o *Outflow) PublishAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.tracker.All() {
		o.status[l.Serial] = struct{}{}
	}
}

// Run looks for silence, publishes and writes until ctx ends, and once more then.
func (o *Outflow) Run(ctx context.Context) error {
	flush, tick, save := time.NewTicker(flushEvery), time.NewTicker(tickEvery), time.NewTicker(saveEvery)
	defer flush.Stop()
	defer tick.Stop()
	defer save.Stop()
	for {
		select {
		case <-flush.C:
			o.flush(ctx)
		case now := <-tick.C:
			o.tracker.tick(now.UTC())
		case <-save.C:
			o.save(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// Finish writes what is left; call it when nothing changes any more. The broker is gone by then, and
// the next start publishes every status anew.
func (o *Outflow) Finish(ctx context.Context) {
	o.writeEvents(ctx)
	o.save(ctx)
}

func (o *Outflow) flush(ctx context.Context) {
	o.publishWaiting(ctx)
	o.writeEvents(ctx)
}

// publishWaiting publishes what waits. A broker that does not take one status is left alone until the next
// flush: it would refuse the others as well, and each may take its time.
func (o *Outflow) publishWaiting(ctx context.Context) {
	o.mu.Lock()
	status := o.status
	o.status = map[string]struct{}{}
	o.mu.Unlock()
	var err error
	for serial := range status {
		if err = ctx.Err(); err == nil {
			err = o.publish(ctx, serial)
		}
		if err != nil {
			break
		}
		delete(status, serial)
	}
	o.mu.Lock()
	for serial := range status {
		o.status[serial] = struct{}{}
	}
	o.mu.Unlock()
	if err != nil && !o.refused && ctx.Err() == nil {
		o.log.Warn("statuses not published, trying again", "kiosks", len(status), "error", err)
	}
	o.refused = err != nil
}

func (o *Outflow) writeEvents(ctx context.Context) {
	o.mu.Lock()
	events, dropped := o.events, o.dropped
	o.events, o.dropped = nil, 0
	o.mu.Unlock()
	if dropped > 0 {
		o.log.Error("events dropped, the database does not take them", "events", dropped)
	}
	if err := o.store.AddEvents(ctx, events); err != nil {
		o.log.Error("events not written, trying again", "events", len(events), "error", err)
		o.mu.Lock()
		o.events = append(events, o.events...)
		o.mu.Unlock()
	}
}

func (o *Outflow) publish(ctx context.Context, serial string) error {
	l := o.tracker.Get(serial)
	if l.Presence == fleet.PresenceNever {
		return nil
	}
	msg := protocol.Status{
		Serial: serial, Presence: string(l.Presence), PresenceWhy: string(l.PresenceReason), Status: l.Status,
		Verdict: string(l.Verdict), Since: l.VerdictSince, AgentVersion: l.AgentVersion, Session: l.Session,
	}
	for _, r := range l.Reasons {
		msg.Reasons = append(msg.Reasons, r.Text)
	}
	payload, err := json.Marshal(msg)
	if err != nil {
		return err
	}
	return o.publisher.Publish(ctx, protocol.Topic(serial, protocol.ChannelStatus), 1, true, payload)
}

func (o *Outflow) save(ctx context.Context) {
	o.mu.Lock()
	dirty := o.dirty
	o.dirty = map[string]struct{}{}
	o.mu.Unlock()
	states := make([]fleet.Live, 0, len(dirty))
	for serial := range dirty {
		states = append(states, *o.tracker.Get(serial))
	}
	if err := o.store.SaveLive(ctx, states, time.Now()); err != nil {
		o.log.Error("states not saved, trying again", "kiosks", len(states), "error", err)
		o.mu.Lock()
		for serial := range dirty {
			o.dirty[serial] = struct{}{}
		}
		o.mu.Unlock()
	}
}
