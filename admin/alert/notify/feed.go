package notify

import (
	"context"
	"encoding/json"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// feed publishes on MQTT what happens to alerts and incidents, each fact at once and in order, for programs. It
// has its own place in the alert events: while the broker takes nothing it waits, and loses nothing.
type feed struct {
	n    *Notifier
	wake chan struct{}

	loaded    bool
	cursor    int64
	published map[string]bool // ids whose beginning was published and whose end was not
	failing   bool
}

func newFeed(n *Notifier) *feed {
	return &feed{n: n, wake: make(chan struct{}, 1), published: map[string]bool{}}
}

func (f *feed) run(ctx context.Context) {
	for {
		more, err := f.step(ctx)
		if err != nil && ctx.Err() == nil && !f.failing {
			f.n.cfg.Log.Error("alerts are not published, trying again", "error", err)
		}
		if ctx.Err() == nil {
			f.failing = err != nil
		}
		if more && err == nil && ctx.Err() == nil {
			continue
		}
		if !pause(ctx, f.wake, f.n.poll) {
			return
		}
	}
}

// step publishes the next events. What was published is noted also when a later one fails.
func (f *feed) step(ctx context.Context) (more bool, err error) {
	if !f.loaded {
		ids, cursor, err := f.n.cfg.Store.PublishedAlerts(ctx)
		if err != nil {
			return false, err
		}
		for _, id := range ids {
			f.published[id] = true
		}
		f.cursor, f.loaded = cursor, true
	}
	events, err := f.n.cfg.Store.AlertEvents(ctx, f.cursor, eventsAtOnce)
	if err != nil || len(events) == 0 {
		return false, err
	}
	var begun, ended []string
	done := f.cursor
	var failed error
	for _, e := range events {
		key, begins, ends, err := f.publish(ctx, e)
		if err != nil {
			failed = err
			break
		}
		if begins && !f.published[key] {
			begun, f.published[key] = append(begun, key), true
		}
		if ends && f.published[key] {
			ended = append(ended, key)
			delete(f.published, key)
		}
		done = e.ID
	}
	if done > f.cursor {
		// In the order of begun and ended: an alert may have done both.
		if err := f.n.cfg.Store.SavePublished(ctx, done, begun, ended); err != nil {
			f.loaded = false // what is kept counts
			clear(f.published)
			return false, err
		}
		f.cursor = done
	}
	return len(events) == eventsAtOnce, failed
}

// publish publishes an event, if it is one for programs. An alert that is suppressed is left out until it no
// longer is; its end is told if its beginning was.
func (f *feed) publish(ctx context.Context, e fleet.AlertEvent) (key string, begins, ends bool, err error) {
	switch e.Kind {
	case fleet.AlertEventOpened, fleet.AlertEventReleased:
		begins = true
	case fleet.AlertEventResolved:
		ends = true
	case fleet.AlertEventAcknowledged:
	default:
		return "", false, false, nil
	}
	key = alertKey + e.AlertID
	if e.AlertID == "" {
		key = incidentKey + e.IncidentID
	}
	t := f.n.target(mqttTarget)
	if t == nil || t.Disabled {
		return key, false, ends, nil
	}
	s, err := f.n.load(ctx, key)
	if err != nil || s == nil {
		return key, false, ends, err
	}
	if begins == f.published[key] || begins && s.suppressed() {
		return key, false, ends, nil
	}
	topic, payload, err := s.fact(e, begins)
	if err == nil {
		err = f.n.cfg.Publisher.Publish(ctx, topic, 1, false, payload)
		if ctx.Err() == nil {
			f.n.reached(ctx, t.ID, t.Name, err)
		}
	}
	return key, begins, ends, err
}

// fact returns the message of an event. What came after the event is left out of it.
func (s *subject) fact(e fleet.AlertEvent, begins bool) (topic string, payload []byte, err error) {
	event := string(e.Kind)
	if begins {
		event = protocol.AlertOpened
	}
	if s.incident != nil {
		i := *s.incident
		if e.Kind != fleet.AlertEventResolved {
			i.State, i.ResolvedAt = fleet.AlertOpen, nil
		}
		if begins {
			i.AcknowledgedAt, i.AcknowledgedBy = nil, ""
		}
		payload, err = json.Marshal(incidentMessage(&i, event, e.ID, e.At))
		return protocol.IncidentTopic(i.Site), payload, err
	}
	a := *s.alert
	if e.Kind != fleet.AlertEventResolved {
		a.State, a.ResolvedAt, a.ResolvedWhy = fleet.AlertOpen, nil, ""
	}
	if begins {
		a.AcknowledgedAt, a.AcknowledgedBy = nil, ""
	}
	payload, err = json.Marshal(alertMessage(&a, event, e.ID, e.At))
	return protocol.AlertTopic(string(a.Severity), a.Serial), payload, err
}
