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

// Store keeps events and, for the next start, states. Both go into one transaction, so that a state is
// never kept without the events that led to it, nor the other way round.
type Store interface {
	SaveLive(ctx context.Context, events []fleet.Event, states []fleet.LiveState, now time.Time) error
}

// Publisher sends messages to the broker.
type Publisher interface {
	Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error
}

const (
	flushEvery = 200 * time.Millisecond
	// maxEvents bounds the events that wait for a database that does not take them: beyond it Room
	// holds back what brings more. Memory must not grow with an outage.
	maxEvents = 100_000
)

// Outflow writes down what the tracker finds: events and states to the database, and each kiosk's
// status to its retained topic. Events are behind by at most flushEvery; states are written with the
// events of their kiosk, and all of them at each Checkpoint.
type Outflow struct {
	tracker   *Tracker
	store     Store
	publisher Publisher
	log       *slog.Logger
	refused   bool // the broker did not take the last status; only flush uses it

	saving sync.Mutex // held while something is written, so that nothing overtakes

	mu     sync.Mutex
	events []fleet.Event
	failed bool                // the latest write failed
	status map[string]struct{} // serials whose status is to be published
	dirty  map[string]struct{} // serials whose state is to be saved
}

// NewOutflow returns an Outflow that observes the tracker.
func NewOutflow(t *Tracker, s Store, p Publisher, log *slog.Logger) *Outflow {
	o := &Outflow{tracker: t, store: s, publisher: p, log: log, status: map[string]struct{}{}, dirty: map[string]struct{}{}}
	t.Observe(o.observe)
	t.touched = o.touched
	return o
}

func (o *Outflow) touched(serial string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dirty[serial] = struct{}{}
}

func (o *Outflow) observe(c Change) {
	notable := c.Notable()
	o.mu.Lock()
	defer o.mu.Unlock()
	serial := c.New.Serial
	o.dirty[serial] = struct{}{}
	if notable {
		o.status[serial] = struct{}{}
	}
	o.events = append(o.events, c.Events...)
}

// Room waits until the events that wait to be written are few enough for more, or ctx ends.
func (o *Outflow) Room(ctx context.Context) {
	for ctx.Err() == nil {
		o.mu.Lock()
		full := len(o.events) > maxEvents
		o.mu.Unlock()
		if !full {
			return
		}
		timer := time.NewTimer(flushEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// PublishAll publishes the status of every kiosk at the next flush, as after a start.
func (o *Outflow) PublishAll() {
	all := o.tracker.All()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range all {
		o.status[l.Serial] = struct{}{}
	}
}

// Run looks for silence, publishes and writes until ctx ends.
func (o *Outflow) Run(ctx context.Context) error {
	flush, tick := time.NewTicker(flushEvery), time.NewTicker(tickEvery)
	defer flush.Stop()
	defer tick.Stop()
	for {
		select {
		case <-flush.C:
			o.flush(ctx)
		case now := <-tick.C:
			o.tracker.tick(now.UTC())
		case <-ctx.Done():
			return nil
		}
	}
}

// Checkpoint writes everything that is not written yet. When it returns nil, a next start knows of
// everything that the tracker was told before the call.
func (o *Outflow) Checkpoint(ctx context.Context) error { return o.write(ctx, true) }

// Finish writes what is left; call it when nothing changes any more. The broker is gone by then, and
// the next start publishes every status anew.
func (o *Outflow) Finish(ctx context.Context) { _ = o.write(ctx, true) }

func (o *Outflow) flush(ctx context.Context) {
	o.publishWaiting(ctx)
	_ = o.write(ctx, false) // it is tried again, and said in the log
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

// write writes the events with the states of their kiosks, or with all states that changed.
func (o *Outflow) write(ctx context.Context, all bool) error {
	o.saving.Lock()
	defer o.saving.Unlock()
	events, serials, states := o.take(all)
	if len(events) == 0 && len(states) == 0 {
		return nil
	}
	err := o.store.SaveLive(ctx, events, states, time.Now())
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.events = append(events, o.events...)
		for serial := range serials {
			o.dirty[serial] = struct{}{}
		}
		if !o.failed {
			o.log.Error("events and states not written, trying again", "events", len(events), "kiosks", len(states), "error", err)
		}
	}
	o.failed = err != nil
	return err
}

// take takes what is to be written, at one moment: no event without the state that it led to.
func (o *Outflow) take(all bool) (events []fleet.Event, serials map[string]struct{}, states []fleet.LiveState) {
	o.tracker.mu.RLock()
	defer o.tracker.mu.RUnlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	events, o.events = o.events, nil
	if all {
		serials, o.dirty = o.dirty, make(map[string]struct{}, len(o.dirty))
	} else {
		serials = make(map[string]struct{}, len(events))
		for _, e := range events {
			serials[e.Serial] = struct{}{}
			delete(o.dirty, e.Serial)
		}
	}
	return events, serials, o.tracker.states(serials)
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
