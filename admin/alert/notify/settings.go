package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kioskfleet/admin/alert/notify/target"
	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// mqttTarget is the target that is always there: the feed.
const mqttTarget = "mqtt"

// maxTargets bounds the targets: each has a goroutine.
const maxTargets = 200

// Targets returns every target by name, with addresses that show nothing secret and without secrets.
func (n *Notifier) Targets() []fleet.NotificationTarget {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]fleet.NotificationTarget, 0, len(n.targets))
	for _, name := range sortedKeys(n.targets) {
		out = append(out, shown(*n.targets[name]))
	}
	return out
}

func shown(t fleet.NotificationTarget) fleet.NotificationTarget {
	t.URL, t.Secret = target.Redacted(t), ""
	return t
}

// CreateTarget makes a target of name, kind, address and, for a webhook, secret.
//
// Errors: a *fleet.ValidationError; fleet.ErrExists for a name that there is.
func (n *Notifier) CreateTarget(ctx context.Context, t fleet.NotificationTarget, actor string) (fleet.NotificationTarget, error) {
	var v fleet.Violations
	checkName(&v, "name", t.Name)
	switch kinds := []fleet.TargetKind{fleet.TargetWebhook, fleet.TargetShoutrrr, fleet.TargetAlertmanager}; {
	case t.Kind == fleet.TargetMQTT:
		v.Add("kind", "there is one of it, named mqtt, always: it can be switched off and on")
	case !slices.Contains(kinds, t.Kind):
		v.Add("kind", "%q is not webhook, shoutrrr or alertmanager", t.Kind)
	}
	target.Check(&v, t)
	if err := v.Err(); err != nil {
		return t, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return t, fmt.Errorf("make the id of a target: %w", err)
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	if len(n.Targets()) >= maxTargets {
		return t, fleet.Invalid("name", "there are %d targets, more are not allowed", maxTargets)
	}
	t.ID, t.UpdatedAt, t.Problem, t.Since = id.String(), n.now(), "", nil
	if err := n.cfg.Store.AddNotificationTarget(ctx, t, actor); err != nil {
		return t, err
	}
	n.put(&t)
	n.startLane(&t, nil)
	return shown(t), nil
}

// ChangeTarget changes a target. Whether it can be reached is unknown again then.
//
// Errors: fleet.ErrNotFound; a *fleet.ValidationError.
func (n *Notifier) ChangeTarget(ctx context.Context, id string, p fleet.NotificationTargetPatch, actor string) (fleet.NotificationTarget, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	before, err := n.byID(id)
	if err != nil {
		return fleet.NotificationTarget{}, err
	}
	t := *before
	var changes []string
	if p.URL != nil && *p.URL != target.Redacted(t) { // what was shown may come back
		t.URL = *p.URL
		changes = append(changes, "url")
	}
	if p.Secret != nil {
		t.Secret = *p.Secret
		changes = append(changes, "secret")
	}
	if p.Disabled != nil && *p.Disabled != t.Disabled {
		t.Disabled = *p.Disabled
		changes = append(changes, fmt.Sprintf("disabled %t", t.Disabled))
	}
	if len(changes) == 0 {
		return shown(t), nil
	}
	var v fleet.Violations
	if t.Kind == fleet.TargetMQTT {
		if t.URL != "" || t.Secret != "" {
			v.Add("url", "mqtt has neither address nor secret: it is the platform's own broker")
		}
	} else {
		target.Check(&v, t)
	}
	if err := v.Err(); err != nil {
		return t, err
	}
	t.Problem, t.Since, t.UpdatedAt = "", nil, n.now()
	n.stopLane(t.Name) // first: it must not write into what is new
	if err := n.cfg.Store.ChangeNotificationTarget(ctx, t, actor, strings.Join(changes, ", ")); err != nil {
		n.restart(ctx, before)
		return t, err
	}
	n.put(&t)
	n.restart(ctx, &t)
	return shown(t), nil
}

// restart begins to deliver to a target again, with what is pending for it.
func (n *Notifier) restart(ctx context.Context, t *fleet.NotificationTarget) {
	pending, err := n.cfg.Store.PendingDeliveries(context.WithoutCancel(ctx))
	if err != nil {
		n.cfg.Log.Error("pending deliveries not loaded: they wait for the next start", "target", t.Name, "error", err)
	}
	n.startLane(t, pending)
}

// DeleteTarget removes a target. What waits for it is given up.
//
// Errors: fleet.ErrNotFound; a *fleet.ValidationError while a route names it.
func (n *Notifier) DeleteTarget(ctx context.Context, id, actor string) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	t, err := n.byID(id)
	if err != nil {
		return err
	}
	if t.Kind == fleet.TargetMQTT {
		return fleet.Invalid("id", "mqtt is always there; switch it off instead")
	}
	if users := n.routing().users(t.Name); len(users) > 0 {
		return fleet.Invalid("id", "the routes %s name %s: take it out of them first", strings.Join(users, ", "), t.Name)
	}
	n.stopLane(t.Name)
	if err := n.cfg.Store.DeleteNotificationTarget(ctx, id, actor, n.now()); err != nil {
		n.restart(ctx, t)
		return err
	}
	n.mu.Lock()
	delete(n.targets, t.Name)
	n.mu.Unlock()
	return nil
}

func (n *Notifier) put(t *fleet.NotificationTarget) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.targets[t.Name] = t
}

func (n *Notifier) byID(id string) (*fleet.NotificationTarget, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.targets {
		if t.ID == id {
			return t, nil
		}
	}
	return nil, fmt.Errorf("notification target %s: %w", id, fleet.ErrNotFound)
}

// Routes returns the routes.
func (n *Notifier) Routes() fleet.NotificationRoutes { return n.routing().NotificationRoutes }

// SetRoutes replaces the routes, if their version is still the one that the caller has seen. What alerts told
// before are not told again by the new ones.
//
// Errors: a *fleet.ValidationError.
func (n *Notifier) SetRoutes(ctx context.Context, routes []fleet.NotificationRoute, version int64, actor string) (fleet.NotificationRoutes, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	n.mu.Lock()
	known := sortedKeys(n.targets)
	n.mu.Unlock()
	routes = slices.Clone(routes)
	if routes == nil {
		routes = []fleet.NotificationRoute{}
	}
	if err := check(routes, known); err != nil {
		return fleet.NotificationRoutes{}, err
	}
	compiled, err := compile(fleet.NotificationRoutes{Version: version, Routes: routes, UpdatedAt: n.now(), UpdatedBy: actor})
	if err != nil {
		return fleet.NotificationRoutes{}, err
	}
	if compiled.NotificationRoutes, err = n.cfg.Store.SetNotificationRoutes(ctx, compiled.NotificationRoutes); err != nil {
		return fleet.NotificationRoutes{}, err
	}
	n.mu.Lock()
	n.routes = compiled
	n.mu.Unlock()
	wake(n.router.wake)
	return compiled.NotificationRoutes, nil
}

// Deliveries returns up to limit deliveries of a filter with ids below before (empty: from the newest), newest
// first.
func (n *Notifier) Deliveries(ctx context.Context, f fleet.DeliveryFilter, before string, limit int) ([]fleet.Delivery, error) {
	return n.cfg.Store.Deliveries(ctx, f, before, limit)
}

// Replay makes a delivery once more, with the same id and the same words.
//
// Errors: fleet.ErrNotFound; a *fleet.ValidationError when it is pending, or its target is gone or switched off.
func (n *Notifier) Replay(ctx context.Context, id, actor string) (fleet.Delivery, error) {
	n.changing.Lock()
	defer n.changing.Unlock()
	d, err := n.cfg.Store.Delivery(ctx, id)
	if err != nil {
		return d, err
	}
	if t := n.target(d.Target); t == nil || t.Disabled {
		return d, fleet.Invalid("id", "its target %s is gone or switched off", d.Target)
	}
	if n.waiting(d.Target) >= n.room {
		return d, fleet.Invalid("id", "%d messages to %s wait already", n.room, d.Target)
	}
	now := n.now()
	if d, err = n.cfg.Store.ReplayDelivery(ctx, id, actor, now, now.Add(retryFor)); err != nil {
		return d, err
	}
	n.enqueue([]fleet.Delivery{d})
	return d, nil
}

// Test sends a sample to a target now. Of a target that there is (its ID says which) what is left empty, or as it
// is shown, is taken from it, so that the page can test what it does not know.
//
// Errors: a *fleet.ValidationError; otherwise what the other side said, without secrets.
func (n *Notifier) Test(ctx context.Context, t fleet.NotificationTarget) error {
	if t.ID != "" {
		known, err := n.byID(t.ID)
		if err != nil {
			return err
		}
		if t.URL == "" || t.URL == target.Redacted(*known) {
			t.URL = known.URL
		}
		if t.Secret == "" {
			t.Secret = known.Secret
		}
		t.Name, t.Kind = known.Name, known.Kind
	}
	now := n.now()
	sample := fleet.Alert{
		ID: "test", Rule: "test", Severity: fleet.SeverityInfo, State: fleet.AlertResolved, Site: "", Reason: "this is a test, nothing is wrong",
		Since: now, OpenedAt: now, ResolvedAt: &now,
	}
	if t.Kind == fleet.TargetMQTT {
		payload, err := json.Marshal(alertMessage(&sample, protocol.AlertTest, 0, now))
		if err != nil {
			return err
		}
		return n.cfg.Publisher.Publish(ctx, protocol.AlertTopic(string(sample.Severity), "_test"), 1, false, payload)
	}
	return n.send(ctx, t, sample, now)
}

func (n *Notifier) send(ctx context.Context, t fleet.NotificationTarget, sample fleet.Alert, now time.Time) error {
	var v fleet.Violations
	target.Check(&v, t)
	if err := v.Err(); err != nil {
		return err
	}
	sender, err := target.New(t, n.cfg.Now)
	if err != nil {
		return err
	}
	if c, ok := sender.(interface{ Close() }); ok {
		defer c.Close()
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make the id of a test: %w", err)
	}
	note := protocol.Notification{
		ID: id.String(), Event: protocol.NotificationTest, Time: now, Title: "[test] Kiosk Fleet", Text: "Kiosk Fleet reaches this target. " + sample.Reason,
		Alerts: []protocol.AlertMessage{alertMessage(&sample, protocol.AlertTest, 0, now)},
	}
	body, err := json.Marshal(note)
	if err != nil {
		return err
	}
	err = sender.Send(ctx, target.Message{Notification: note, Body: body})
	if known, _ := n.byID(t.ID); known != nil && known.URL == t.URL && known.Secret == t.Secret && !errors.Is(ctx.Err(), context.Canceled) {
		n.reached(context.WithoutCancel(ctx), t.ID, t.Name, err)
	}
	return err
}
