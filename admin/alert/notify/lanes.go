package notify

import (
	"context"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// startLanes begins to deliver, with what an earlier run left. It reports whether ctx still goes on.
func (n *Notifier) startLanes(ctx context.Context) bool {
	var pending []fleet.Delivery
	for failed := false; ; failed = true {
		var err error
		if pending, err = n.cfg.Store.PendingDeliveries(ctx); err == nil {
			break
		}
		if !failed && ctx.Err() == nil {
			n.cfg.Log.Error("pending deliveries not loaded, trying again", "error", err)
		}
		if !pause(ctx, nil, pollEvery) {
			return false
		}
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	n.mu.Lock()
	n.ctx = ctx
	targets := make([]*fleet.NotificationTarget, 0, len(n.targets))
	for _, t := range n.targets {
		targets = append(targets, t)
	}
	n.mu.Unlock()
	for _, t := range targets {
		n.startLane(t, pending)
	}
	return true
}

// startLane begins to deliver to a target, if it is delivered to, what of pending is for it.
func (n *Notifier) startLane(t *fleet.NotificationTarget, pending []fleet.Delivery) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx == nil || t.Disabled || t.Kind == fleet.TargetMQTT {
		return
	}
	sender, err := n.newSender(*t, n.cfg.Now)
	if err != nil {
		n.cfg.Log.Error("nothing is delivered to a target", "target", t.Name, "error", err)
		return
	}
	ctx, stop := context.WithCancel(n.ctx)
	l := &lane{n: n, id: t.ID, name: t.Name, sender: sender, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	for _, d := range pending {
		if d.Target == t.Name {
			l.queue = append(l.queue, d)
		}
	}
	n.lanes[t.Name] = l
	n.running.Go(func() {
		defer close(l.done)
		l.run(ctx)
		if c, ok := sender.(interface{ Close() }); ok {
			c.Close()
		}
	})
}

// stopLane ends the delivery to a target. What is under way stays pending.
func (n *Notifier) stopLane(name string) {
	n.mu.Lock()
	l := n.lanes[name]
	delete(n.lanes, name)
	n.mu.Unlock()
	if l != nil {
		l.stop()
		<-l.done
	}
}

func (n *Notifier) stopLanes() {
	n.mu.Lock()
	n.ctx = nil
	clear(n.lanes)
	n.mu.Unlock()
	n.running.Wait()
}

// enqueue hands stored deliveries to their lanes. Those of a target that is switched off wait in the store.
func (n *Notifier) enqueue(deliveries []fleet.Delivery) {
	for _, d := range deliveries {
		n.mu.Lock()
		l := n.lanes[d.Target]
		n.mu.Unlock()
		if l != nil && d.Status == fleet.DeliveryPending {
			l.add(d)
		}
	}
}

func (n *Notifier) waiting(name string) int {
	n.mu.Lock()
	l := n.lanes[name]
	n.mu.Unlock()
	if l == nil {
		return 0
	}
	return l.length()
}

// refreshes reports whether a target forgets what is not told again.
func (n *Notifier) refreshes(name string) bool {
	t := n.target(name)
	return t != nil && t.Kind == fleet.TargetAlertmanager
}

func (n *Notifier) refresh(name string, messages []message) {
	n.mu.Lock()
	l := n.lanes[name]
	n.mu.Unlock()
	if l == nil {
		return
	}
	standing := make([]protocol.Notification, len(messages))
	for i := range messages {
		standing[i] = messages[i].notification("", n.now(), n.cfg.PageURL, true)
	}
	l.mu.Lock()
	l.standing = standing
	l.mu.Unlock()
	wake(l.wake)
}
