package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/alert/notify/target"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// The pause after the first failed attempt; it doubles with each, up to maxDelay.
const (
	minDelay = 5 * time.Second
	maxDelay = 15 * time.Minute
)

// lane delivers to one target, one message at a time. Messages of one group go in order; another group's is not
// held up by one that has failed.
type lane struct {
	n      *Notifier
	id     string // of the target
	name   string
	sender target.Sender
	wake   chan struct{}
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	queue    []fleet.Delivery        // oldest first, at most Notifier.room
	pausedTo time.Time               // the other side asked to be left alone
	standing []protocol.Notification // to be told again; nil: nothing
}

func (l *lane) add(deliveries ...fleet.Delivery) {
	l.mu.Lock()
	for _, d := range deliveries {
		// A lane that has just begun may have found it in the store.
		if !slices.ContainsFunc(l.queue, func(q fleet.Delivery) bool { return q.ID == d.ID }) {
			l.queue = append(l.queue, d)
		}
	}
	l.mu.Unlock()
	wake(l.wake)
}

func (l *lane) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

func (l *lane) run(ctx context.Context) {
	for ctx.Err() == nil {
		d, standing, wait := l.next()
		switch {
		case d != nil:
			l.attempt(ctx, *d)
		case standing != nil:
			l.refresh(ctx, standing)
		default:
			pause(ctx, l.wake, wait)
		}
	}
}

// next returns the delivery to make now, or what is to be told again, or how long to wait.
func (l *lane) next() (*fleet.Delivery, []protocol.Notification, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, wait := l.n.now(), time.Hour
	if now.Before(l.pausedTo) {
		return nil, nil, l.pausedTo.Sub(now)
	}
	held := map[string]bool{}
	for i := range l.queue {
		d := l.queue[i]
		if held[d.Group] {
			continue
		}
		if d.NextAt == nil || !d.NextAt.After(now) {
			return &d, nil, 0
		}
		wait = min(wait, d.NextAt.Sub(now))
		held[d.Group] = true
	}
	standing := l.standing
	l.standing = nil
	return nil, standing, wait
}

func (l *lane) attempt(ctx context.Context, d fleet.Delivery) {
	var n protocol.Notification
	err := json.Unmarshal(d.Payload, &n)
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, l.n.timeout)
		err = l.sender.Send(limited, target.Message{Notification: n, Body: d.Payload})
		cancel()
	} else {
		err = &target.Failure{Text: "the stored message cannot be read", Final: true}
	}
	if err != nil && ctx.Err() != nil {
		return // it was cut short by us; the next start tries again
	}
	now := l.n.now()
	d.Attempts++
	d.UpdatedAt, d.NextAt = now, nil
	o := fleet.DeliveryOutcome{TargetID: l.id}
	if err == nil {
		d.Status, d.Error = fleet.DeliveryDelivered, ""
		o.Events = storyOf(d, fleet.AlertEventNotified, now, l.name)
		l.n.delivered.Add(1)
	} else {
		l.failed(&d, err, now)
		o.Problem = d.Error
		if d.Status == fleet.DeliveryGaveUp {
			o.Events = storyOf(d, fleet.AlertEventNotNotified, now, l.name+": "+d.Error)
		}
	}
	l.log(d)
	o.Delivery = d
	l.settle(ctx, o)
}

// failed decides when to try again.
func (l *lane) failed(d *fleet.Delivery, err error, now time.Time) {
	l.n.failedAttempts.Add(1)
	d.Error = err.Error()
	next := now.Add(l.n.delay(d.Attempts))
	var f *target.Failure
	if errors.As(err, &f) && f.RetryAfter > 0 {
		next = later(next, now.Add(f.RetryAfter))
		l.mu.Lock()
		l.pausedTo = now.Add(f.RetryAfter)
		l.mu.Unlock()
	}
	switch {
	case f != nil && f.Final:
		d.Status = fleet.DeliveryGaveUp
	case next.After(d.GiveUpAt):
		d.Status = fleet.DeliveryGaveUp
		d.Error = fmt.Sprintf("given up after %d attempts: %s", d.Attempts, d.Error)
	default:
		d.NextAt = &next
	}
	if d.Status == fleet.DeliveryGaveUp {
		l.n.gaveUp.Add(1)
	}
}

// delay is the pause after that many attempts, with a random part so that many targets that came down together are
// not tried together.
func delay(attempts int) time.Duration {
	d := maxDelay
	if attempts < 9 {
		d = min(maxDelay, minDelay<<(attempts-1))
	}
	return d/2 + rand.N(d/2)
}

// settle writes an outcome, however long that takes, and then goes on. Until it is written the message counts as
// not sent.
func (l *lane) settle(ctx context.Context, o fleet.DeliveryOutcome) {
	o.Since = l.n.noteProblem(l.name, o.Problem)
	for logged := false; ; logged = true {
		err := l.n.cfg.Store.SettleDelivery(context.WithoutCancel(ctx), o)
		if err == nil {
			break
		}
		if !logged {
			l.n.cfg.Log.Error("what became of a message is not written, trying again", "delivery", o.Delivery.ID, "target", l.name, "error", err)
		}
		if !pause(ctx, nil, pollEvery) {
			return
		}
	}
	l.mu.Lock()
	for i := range l.queue {
		if l.queue[i].ID != o.Delivery.ID {
			continue
		}
		if o.Delivery.Status == fleet.DeliveryPending {
			l.queue[i] = o.Delivery
		} else {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
		}
		break
	}
	l.mu.Unlock()
	if len(o.Events) > 0 && o.Delivery.Status == fleet.DeliveryGaveUp {
		l.n.cfg.Log.Error("message given up", "delivery", o.Delivery.ID, "target", l.name, "attempts", o.Delivery.Attempts, "error", o.Delivery.Error)
	}
}

func (l *lane) log(d fleet.Delivery) {
	if d.Status == fleet.DeliveryPending && d.Attempts == 1 {
		l.n.cfg.Log.Warn("message not delivered, trying again", "delivery", d.ID, "target", l.name, "error", d.Error)
	}
}

// refresh tells what still stands. It is not in the log of deliveries: nothing new is told.
func (l *lane) refresh(ctx context.Context, standing []protocol.Notification) {
	sender, ok := l.sender.(target.Refresher)
	if !ok {
		return
	}
	err := sender.Refresh(ctx, standing)
	if ctx.Err() != nil {
		return
	}
	l.n.reached(ctx, l.id, l.name, err)
}

// reached notes that a target could be reached, or why not, outside of a delivery.
func (n *Notifier) reached(ctx context.Context, id, name string, err error) {
	before, problem := n.target(name), ""
	if err != nil {
		problem = err.Error()
	}
	if before == nil || before.Problem == problem {
		return
	}
	since := n.noteProblem(name, problem)
	if err := n.cfg.Store.SetTargetProblem(ctx, id, problem, since); err != nil && ctx.Err() == nil {
		n.cfg.Log.Error("a target's problem is not written", "target", name, "error", err)
	}
}
