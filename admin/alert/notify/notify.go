// Package notify tells people and programs of alerts and incidents. It reads the alert events that the desk has
// written, on from its own place in them: so a restart repeats nothing and forgets nothing. Routes say who is told
// of what; groups gather what belongs together and tell it again or to more people while nobody takes care; lanes
// deliver, one for each target, so that a failing one delays no other. What is published on MQTT is not for people:
// the feed tells each fact at once.
package notify

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/admin/alert/notify/target"
	"kioskfleet/admin/fleet"
)

// Events gives what happened to alerts, oldest first.
type Events interface {
	AlertEvents(ctx context.Context, after int64, limit int) ([]fleet.AlertEvent, error)
}

// Groups keeps what waits to be told and what may be told again.
type Groups interface {
	NotificationGroups(ctx context.Context) (groups []fleet.NotificationGroup, cursor int64, err error)
	SaveNotificationStep(ctx context.Context, step fleet.NotificationStep) error
}

// Published keeps how far the feed of MQTT is.
type Published interface {
	PublishedAlerts(ctx context.Context) (ids []string, cursor int64, err error)
	SavePublished(ctx context.Context, cursor int64, begun, ended []string) error
}

// Settings keeps routes and targets.
type Settings interface {
	NotificationRoutes(ctx context.Context) (fleet.NotificationRoutes, error)
	SetNotificationRoutes(ctx context.Context, r fleet.NotificationRoutes) (fleet.NotificationRoutes, error)
	NotificationTargets(ctx context.Context) ([]fleet.NotificationTarget, error)
	AddNotificationTarget(ctx context.Context, t fleet.NotificationTarget, actor string) error
	ChangeNotificationTarget(ctx context.Context, t fleet.NotificationTarget, actor, detail string) error
	DeleteNotificationTarget(ctx context.Context, id, actor string, now time.Time) error
	SetTargetProblem(ctx context.Context, id, problem string, since *time.Time) error
}

// Deliveries keeps the messages to targets.
type Deliveries interface {
	PendingDeliveries(ctx context.Context) ([]fleet.Delivery, error)
	Deliveries(ctx context.Context, f fleet.DeliveryFilter, before string, limit int) ([]fleet.Delivery, error)
	Delivery(ctx context.Context, id string) (fleet.Delivery, error)
	SettleDelivery(ctx context.Context, o fleet.DeliveryOutcome) error
	ReplayDelivery(ctx context.Context, id, actor string, now, giveUpAt time.Time) (fleet.Delivery, error)
	PruneDeliveries(ctx context.Context, before time.Time) (int64, error)
}

// Store is everything that is kept; admin/store has it.
type Store interface {
	Events
	Groups
	Published
	Settings
	Deliveries
}

// Alerts tells what alerts and incidents are now; admin/store has it. Errors: fleet.ErrNotFound.
type Alerts interface {
	Alert(ctx context.Context, id string) (fleet.Alert, error)
	Incident(ctx context.Context, id string) (fleet.Incident, error)
	// AlertsOf returns up to limit alerts of an incident, those that stand first.
	AlertsOf(ctx context.Context, incidentID string, limit int) ([]fleet.Alert, error)
}

// Kiosks tells what is registered. Errors: fleet.ErrNotFound.
type Kiosks interface {
	Get(serial string) (*fleet.Kiosk, error)
}

// Publisher sends messages to the broker.
type Publisher interface {
	Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error
}

// Config says how to make a Notifier.
type Config struct {
	Store     Store
	Alerts    Alerts
	Kiosks    Kiosks
	Publisher Publisher
	Now       func() time.Time
	Log       *slog.Logger
	PageURL   string        // of the pages, such as https://fleet.example.com; empty: messages have no links
	Retention time.Duration // how long the log of deliveries is kept; 0: DefaultRetention
}

// DefaultRetention is how long a delivery is kept after it was settled.
const DefaultRetention = 30 * 24 * time.Hour

const (
	pollEvery  = time.Second
	maxWaiting = 1_000
	pruneEvery = time.Hour
	// failsAfter is how long a target must fail until it counts as failing.
	failsAfter = 5 * time.Minute
)

// Notifier tells of alerts. It is safe for concurrent use.
type Notifier struct {
	cfg    Config
	router *router
	feed   *feed

	newSender func(t fleet.NotificationTarget, now func() time.Time) (target.Sender, error)
	delay     func(attempts int) time.Duration
	timeout   time.Duration // of an attempt
	poll      time.Duration // how soon events that nobody has called for are noticed
	room      int           // what may wait for one target; what comes on top is given up at once and counted

	delivered, failedAttempts, gaveUp, dropped atomic.Int64

	changing sync.Mutex // held while targets or routes are changed, so that checks stay true until they are stored

	mu      sync.Mutex
	routes  *routing                             // replaced, never changed
	targets map[string]*fleet.NotificationTarget // by name; values are replaced, never changed
	lanes   map[string]*lane                     // of the targets that are delivered to, while Run runs
	ctx     context.Context                      // of the lanes; nil while Run does not run
	running sync.WaitGroup
}

// New loads targets and routes.
func New(ctx context.Context, cfg Config) (*Notifier, error) {
	if cfg.Retention == 0 {
		cfg.Retention = DefaultRetention
	}
	n := &Notifier{
		cfg: cfg, newSender: target.New, delay: delay, timeout: target.Timeout, poll: pollEvery, room: maxWaiting,
		targets: map[string]*fleet.NotificationTarget{}, lanes: map[string]*lane{},
	}
	targets, err := cfg.Store.NotificationTargets(ctx)
	if err != nil {
		return nil, err
	}
	for i := range targets {
		n.targets[targets[i].Name] = &targets[i]
	}
	routes, err := cfg.Store.NotificationRoutes(ctx)
	if err != nil {
		return nil, err
	}
	if n.routes, err = compile(routes); err != nil {
		return nil, fmt.Errorf("notification routes of version %d: %w", routes.Version, err)
	}
	n.router, n.feed = newRouter(n), newFeed(n)
	return n, nil
}

// Wake makes the notifier look for new alert events now. It returns at once.
func (n *Notifier) Wake() {
	wake(n.router.wake)
	wake(n.feed.wake)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run tells of alerts until ctx ends. What is being delivered then is delivered again after the next start, with
// the same id.
func (n *Notifier) Run(ctx context.Context) error {
	laneCtx, cancel := context.WithCancel(ctx)
	defer n.stopLanes()
	defer cancel()
	if !n.startLanes(laneCtx) {
		return nil
	}
	n.running.Go(func() { n.feed.run(laneCtx) })
	n.running.Go(func() { n.pruneOften(laneCtx) })
	n.router.run(laneCtx)
	return nil
}

// Stats counts since the start.
type Stats struct {
	Delivered      int64
	FailedAttempts int64
	GaveUp         int64
	Dropped        int64 // not even tried: too many messages waited for their target
	Pending        int
}

// Stats returns what was counted.
func (n *Notifier) Stats() Stats {
	s := Stats{Delivered: n.delivered.Load(), FailedAttempts: n.failedAttempts.Load(), GaveUp: n.gaveUp.Load(), Dropped: n.dropped.Load()}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lanes {
		s.Pending += l.length()
	}
	return s
}

// Failing returns how many targets that are switched on have failed for 5 minutes: platform.targets_failing.
func (n *Notifier) Failing() int {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, t := range n.targets {
		if !t.Disabled && t.Since != nil && now.Sub(*t.Since) >= failsAfter {
			count++
		}
	}
	return count
}

func (n *Notifier) now() time.Time { return n.cfg.Now().UTC().Truncate(time.Millisecond) }

func (n *Notifier) target(name string) *fleet.NotificationTarget {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.targets[name]
}

func (n *Notifier) routing() *routing {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.routes
}

// noteProblem keeps in memory whether a target can be reached, and returns since when it cannot.
func (n *Notifier) noteProblem(name, problem string) (since *time.Time) {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.targets[name]
	if t == nil {
		return nil
	}
	changed := *t
	changed.Problem = problem
	switch {
	case problem == "":
		changed.Since = nil
	case changed.Since == nil:
		changed.Since = &now
	}
	n.targets[name] = &changed
	return changed.Since
}

func (n *Notifier) pruneOften(ctx context.Context) {
	for {
		removed, err := n.cfg.Store.PruneDeliveries(ctx, n.now().Add(-n.cfg.Retention))
		if err != nil && ctx.Err() == nil {
			n.cfg.Log.Error("old deliveries not removed", "error", err)
		}
		if removed > 0 && err == nil {
			continue
		}
		if !pause(ctx, nil, pruneEvery) {
			return
		}
	}
}

// pause waits for a while, or until something comes. It reports whether ctx goes on.
func pause(ctx context.Context, something <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-something:
	case <-timer.C:
	}
	return ctx.Err() == nil
}
