// Package command carries orders to kiosks and follows what becomes of them: queued, sent, received,
// running, then succeeded, failed, rejected or expired, and after success verified or unverified by
// what the kiosk itself reports. A command is stored before it is accepted, sent again whenever its
// kiosk announces itself, and never steps back; so a lost or repeated message changes nothing.
package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Store keeps commands.
type Store interface {
	AddCommand(ctx context.Context, c fleet.Command, key string) (stored fleet.Command, created bool, err error)
	StepCommand(ctx context.Context, c fleet.Command, event *fleet.Event) error
	UnsettledCommands(ctx context.Context) ([]fleet.Command, error)
}

// Publisher sends messages to the broker.
type Publisher interface {
	Publish(ctx context.Context, topic string, qos byte, retain bool, payload []byte) error
}

// Kiosks tells what is known of a kiosk right now.
type Kiosks interface {
	Get(serial string) *fleet.Live
}

// Lifetimes of a command.
const (
	DefaultLifetime = time.Hour
	MaxLifetime     = 7 * 24 * time.Hour
	maxParamsBytes  = 16 << 10
	// maxResultBytes bounds what a kiosk may answer: results wait in memory for slow clients of the
	// live stream. A larger one is left out.
	maxResultBytes = 64 << 10

	// verifyWithin is how long after success the evidence may take; then the command is unverified.
	verifyWithin = 60 * time.Second
	// lateAnswers is how long an expired command is still followed: a kiosk that was cut off may
	// have carried it out and say so on its return.
	lateAnswers = 24 * time.Hour
	tickEvery   = time.Second
)

// Request is an order to one kiosk.
type Request struct {
	Serial    string
	Name      protocol.CommandName
	Params    json.RawMessage
	ExpiresIn time.Duration // 0: DefaultLifetime
	Key       string        // repeats with the same key change nothing; empty: none
	Actor     string
}

// Ladder follows every command that may still change. It is safe for concurrent use.
type Ladder struct {
	store     Store
	publisher Publisher
	kiosks    Kiosks
	now       func() time.Time
	log       *slog.Logger
	observers []func(fleet.Command)

	started time.Time // evidence could not be seen before

	mu        sync.Mutex
	unsettled map[string][]*fleet.Command // by serial, oldest first
	unstored  map[string]protocol.Ack     // by command id: an ack that the store did not take; tick tries again
}

// New loads the commands that an earlier run left unsettled.
func New(ctx context.Context, s Store, p Publisher, k Kiosks, now func() time.Time, log *slog.Logger) (*Ladder, error) {
	l := &Ladder{
		store: s, publisher: p, kiosks: k, now: now, log: log,
		unsettled: map[string][]*fleet.Command{}, unstored: map[string]protocol.Ack{},
	}
	l.started = l.clock()
	commands, err := s.UnsettledCommands(ctx)
	if err != nil {
		return nil, err
	}
	for i := range commands {
		c := &commands[i]
		l.unsettled[c.Serial] = append(l.unsettled[c.Serial], c)
	}
	return l, nil
}

// Unstored returns how many acks the store has not taken yet; they are tried again.
func (l *Ladder) Unstored() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unstored)
}

// Observe adds an observer of every step; call it before anything else. It runs under a lock and
// must return at once.
func (l *Ladder) Observe(f func(fleet.Command)) { l.observers = append(l.observers, f) }

// Send stores a command and, if its kiosk is there, sends it. When it returns without error the
// command is on disk.
//
// Errors: a *fleet.ValidationError for an unknown name or bad parameters; fleet.ErrNotFound for an
// unknown kiosk.
func (l *Ladder) Send(ctx context.Context, r Request) (fleet.Command, error) {
	if err := check(&r); err != nil {
		return fleet.Command{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fleet.Command{}, fmt.Errorf("make a command id: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	c := fleet.Command{
		ID: id.String(), Serial: r.Serial, Name: r.Name, Params: r.Params, Status: fleet.CommandQueued, Actor: r.Actor,
		BootID: l.kiosks.Get(r.Serial).BootID, CreatedAt: now, ExpiresAt: now.Add(r.ExpiresIn), UpdatedAt: now,
		Steps: []fleet.CommandStep{{Status: fleet.CommandQueued, At: now}},
	}
	stored, created, err := l.store.AddCommand(ctx, c, r.Key)
	if err != nil {
		return fleet.Command{}, err
	}
	if !created {
		return stored, nil
	}
	kept := &stored
	l.unsettled[r.Serial] = append(l.unsettled[r.Serial], kept)
	l.tell(kept)
	if l.reachable(r.Serial) {
		l.deliver(ctx, kept)
	}
	return clone(kept), nil
}

func check(r *Request) error {
	var v fleet.Violations
	if !slices.Contains(protocol.CommandNames(), r.Name) {
		names := make([]string, 0, len(protocol.CommandNames()))
		for _, n := range protocol.CommandNames() {
			names = append(names, string(n))
		}
		v.Add("name", "%q is not a command; the commands are %s", r.Name, strings.Join(names, ", "))
	}
	if len(r.Params) > maxParamsBytes {
		v.Add("params", "has %d bytes, at most %d are allowed", len(r.Params), maxParamsBytes)
	}
	if r.ExpiresIn == 0 {
		r.ExpiresIn = DefaultLifetime
	}
	if r.ExpiresIn < time.Second || r.ExpiresIn > MaxLifetime {
		v.Add("expires_in", "must be 1s to %s", MaxLifetime)
	}
	if isNull(r.Params) {
		r.Params = nil
	}
	checkParams(&v, r.Name, r.Params)
	return v.Err()
}

// isNull reports whether a JSON value says nothing.
func isNull(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte("null")) }

// checkParams checks the parameters of the commands that take some.
func checkParams(v *fleet.Violations, name protocol.CommandName, params json.RawMessage) {
	fields := map[string]json.RawMessage{}
	if len(params) > 0 {
		if err := json.Unmarshal(params, &fields); err != nil {
			v.Add("params", "must be an object")
			return
		}
	}
	switch name {
	case protocol.CommandMaintenance:
		var enabled bool
		if raw := fields["enabled"]; isNull(raw) || json.Unmarshal(raw, &enabled) != nil {
			v.Add("params.enabled", "must be true or false")
		}
	case protocol.CommandUpdate:
		if raw, ok := fields["version"]; ok {
			var version string
			if err := json.Unmarshal(raw, &version); err != nil || version == "" || len(version) > 64 {
				v.Add("params.version", "must be a text of 1 to 64 characters")
			}
		}
	}
}

// reachable reports whether a kiosk is connected. One that has fallen silent is: a restart may be what
// it needs.
func (l *Ladder) reachable(serial string) bool {
	p := l.kiosks.Get(serial).Presence
	return p == fleet.PresenceOnline || p == fleet.PresenceStale
}

// deliver publishes an open command and notes that it was sent. It reports whether broker and store
// work. The lock is held.
func (l *Ladder) deliver(ctx context.Context, c *fleet.Command) bool {
	now := l.clock()
	payload, err := json.Marshal(protocol.Command{
		ID: c.ID, Name: c.Name, Params: c.Params, IssuedAt: c.CreatedAt, TTLSeconds: c.ExpiresAt.Sub(now).Seconds(),
	})
	if err == nil {
		err = l.publisher.Publish(ctx, protocol.Topic(c.Serial, protocol.ChannelCmd), 1, false, payload)
	}
	if err != nil {
		l.log.Warn("command not sent, trying again", "serial", c.Serial, "command", c.ID, "error", err)
		return false
	}
	next := *c
	if c.Status == fleet.CommandQueued {
		next.BootID = l.kiosks.Get(c.Serial).BootID
	}
	return l.step(ctx, next, fleet.CommandSent, "")
}

// Joined sends a kiosk's open commands again and looks for the evidence of restarts and updates.
func (l *Ladder) Joined(ctx context.Context, serial string, _ protocol.Join) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range slices.Clone(l.unsettled[serial]) {
		if c.Status.Open() && l.clock().Before(c.ExpiresAt) && !l.deliver(ctx, c) {
			break // tick goes on
		}
	}
	l.verify(ctx, serial)
}

// Acked takes a kiosk's acknowledgement. One for a command that is settled, or of another kiosk,
// changes nothing.
func (l *Ladder) Acked(ctx context.Context, serial string, a protocol.Ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked(ctx, serial, a)
}

// acked does what Acked says. It reports whether the store works. The lock is held.
func (l *Ladder) acked(ctx context.Context, serial string, a protocol.Ack) bool {
	i := slices.IndexFunc(l.unsettled[serial], func(c *fleet.Command) bool { return c.ID == a.ID })
	if i < 0 {
		l.log.Debug("acknowledgement of no open command", "serial", serial, "command", a.ID, "status", string(a.Status))
		return true
	}
	c := *l.unsettled[serial][i]
	status, ok := acknowledged[a.Status]
	if !ok {
		l.log.Warn("acknowledgement with an unknown status", "serial", serial, "command", c.ID, "status", clip(string(a.Status)))
		return true
	}
	switch {
	case len(a.Result) > maxResultBytes:
		l.log.Warn("result of a command is too large and left out", "serial", serial, "command", c.ID, "bytes", len(a.Result))
	case json.Valid(a.Result) && !isNull(a.Result):
		c.Result = a.Result
	}
	if status == fleet.CommandFailed || status == fleet.CommandRejected {
		c.Error = clip(a.Error)
	}
	if !l.step(ctx, c, status, clip(a.Error)) {
		if earlier, waits := l.unstored[c.ID]; !waits || status.CanFollow(acknowledged[earlier.Status]) {
			l.unstored[c.ID] = a
		}
		return false
	}
	if status == fleet.CommandSucceeded {
		l.verify(ctx, serial)
	}
	return true
}

// acknowledged is the rung that each acknowledgement leads to.
var acknowledged = map[protocol.AckStatus]fleet.CommandStatus{
	protocol.AckReceived:  fleet.CommandReceived,
	protocol.AckRunning:   fleet.CommandRunning,
	protocol.AckSucceeded: fleet.CommandSucceeded,
	protocol.AckFailed:    fleet.CommandFailed,
	protocol.AckRejected:  fleet.CommandRejected,
}

// maxErrorBytes bounds what a kiosk may write into an error.
const maxErrorBytes = 1024

func clip(s string) string {
	if len(s) > maxErrorBytes {
		return strings.ToValidUTF8(s[:maxErrorBytes], "") + "…"
	}
	return s
}

// Reported looks for evidence in a kiosk's newest state.
func (l *Ladder) Reported(ctx context.Context, serial string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unsettled[serial]) > 0 {
		l.verify(ctx, serial)
	}
}

// Forget drops the commands of a kiosk that is no longer registered; in the store they stay as they are.
func (l *Ladder) Forget(serial string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.unsettled[serial] {
		delete(l.unstored, c.ID)
	}
	delete(l.unsettled, serial)
}

// Run expires commands and gives up waiting for evidence until ctx ends.
func (l *Ladder) Run(ctx context.Context) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			l.tick(ctx)
		}
	}
}

// tick moves on what no message moves. A broker or a store that does not answer is left alone until
// the next tick: it would refuse the other commands as well.
func (l *Ladder) tick(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	publishes, stores := true, true
	for serial, commands := range l.unsettled {
		for _, c := range slices.Clone(commands) {
			if a, waits := l.unstored[c.ID]; waits && stores {
				delete(l.unstored, c.ID)
				stores = l.acked(ctx, serial, a)
			}
			switch {
			case c.Status == fleet.CommandExpired && now.Sub(c.UpdatedAt) > lateAnswers:
				l.drop(c.Serial, c.ID)
			case !stores:
			case c.Status.Open() && !now.Before(c.ExpiresAt):
				stores = l.step(ctx, *c, fleet.CommandExpired, "not carried out in time")
			case c.Status == fleet.CommandSucceeded && now.Sub(later(c.UpdatedAt, l.started)) > verifyWithin:
				stores = l.step(ctx, *c, fleet.CommandUnverified, "the kiosk's reports do not show it")
			case c.Status == fleet.CommandQueued && publishes && l.reachable(serial):
				// It came back from silence without a join, or the broker did not take the command.
				publishes = l.deliver(ctx, c)
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// step moves a command, as it is now but for what the step brings, up the ladder, stores that, and
// tells. It reports whether the store works. The lock is held. If the store fails the command stays
// where it was: tick, a later message or the next start tries again.
func (l *Ladder) step(ctx context.Context, next fleet.Command, to fleet.CommandStatus, note string) bool {
	from := next.Status
	if !to.CanFollow(from) {
		return true
	}
	next.Status, next.UpdatedAt = to, l.clock()
	next.Steps = append(slices.Clone(next.Steps), fleet.CommandStep{Status: to, At: next.UpdatedAt, Note: note})
	switch to {
	case fleet.CommandExpired:
		next.Error = note
	case fleet.CommandSucceeded:
		next.Error = "" // it had expired
	}
	var event *fleet.Event
	if !to.Open() {
		event = &fleet.Event{Serial: next.Serial, At: next.UpdatedAt, Kind: fleet.EventCommand, Subject: string(next.Name), From: string(from), To: string(to), Reason: note, Actor: next.Actor}
	}
	if err := l.store.StepCommand(context.WithoutCancel(ctx), next, event); errors.Is(err, fleet.ErrNotFound) {
		l.log.Warn("command is no longer stored", "serial", next.Serial, "command", next.ID)
		l.drop(next.Serial, next.ID)
		return true
	} else if err != nil {
		l.log.Error("command's step not stored, trying again", "serial", next.Serial, "command", next.ID, "status", string(to), "error", err)
		return false
	}
	for _, c := range l.unsettled[next.Serial] {
		if c.ID == next.ID {
			*c = next
		}
	}
	l.tell(&next)
	ends := !to.Open() && to != fleet.CommandSucceeded && to != fleet.CommandExpired
	if ends || to == fleet.CommandSucceeded && !verifiable(next.Name) {
		l.drop(next.Serial, next.ID)
	}
	return true
}

// drop stops following a command.
func (l *Ladder) drop(serial, id string) {
	delete(l.unstored, id)
	l.unsettled[serial] = slices.DeleteFunc(l.unsettled[serial], func(o *fleet.Command) bool { return o.ID == id })
	if len(l.unsettled[serial]) == 0 {
		delete(l.unsettled, serial)
	}
}

func (l *Ladder) tell(c *fleet.Command) {
	for _, o := range l.observers {
		o(clone(c))
	}
}

func (l *Ladder) clock() time.Time { return l.now().UTC().Truncate(time.Millisecond) }

func clone(c *fleet.Command) fleet.Command {
	out := *c
	out.Steps = slices.Clone(c.Steps)
	return out
}
