package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

var errDown = errors.New("down")

// fakeStore keeps commands in memory and holds the ladder to what a database would: each step adds
// exactly one rung.
type fakeStore struct {
	t *testing.T

	mu       sync.Mutex
	failing  error
	commands map[string]fleet.Command
	keys     map[string]string // serial and key to id
	events   []fleet.Event
	writes   int
	known    map[string]bool // registered serials
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

func (s *fakeStore) AddCommand(_ context.Context, c fleet.Command, key string) (fleet.Command, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return fleet.Command{}, false, s.failing
	}
	if !s.known[c.Serial] {
		return fleet.Command{}, false, fleet.ErrNotFound
	}
	if id, ok := s.keys[c.Serial+" "+key]; ok && key != "" {
		return s.commands[id], false, nil
	}
	s.keys[c.Serial+" "+key] = c.ID
	s.commands[c.ID] = clone(&c)
	return c, true, nil
}

func (s *fakeStore) StepCommand(ctx context.Context, c fleet.Command, event *fleet.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(ctx.Err(), s.failing); err != nil {
		return err
	}
	old, ok := s.commands[c.ID]
	if !ok {
		return fleet.ErrNotFound
	}
	if len(c.Steps) != len(old.Steps)+1 || c.Steps[len(c.Steps)-1].Status != c.Status || !c.Status.CanFollow(old.Status) {
		s.t.Errorf("step from %s %v to %s %v", old.Status, old.Steps, c.Status, c.Steps)
	}
	s.writes++
	s.commands[c.ID] = clone(&c)
	if event != nil {
		s.events = append(s.events, *event)
	}
	return nil
}

func (s *fakeStore) UnsettledCommands(context.Context) ([]fleet.Command, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return nil, s.failing
	}
	var out []fleet.Command
	for _, c := range s.commands {
		if c.Status.Open() || c.Status == fleet.CommandSucceeded {
			out = append(out, clone(&c))
		}
	}
	slices.SortFunc(out, func(a, b fleet.Command) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func (s *fakeStore) get(id string) fleet.Command {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commands[id]
}

// fakePublisher keeps what was published.
type fakePublisher struct {
	mu       sync.Mutex
	failing  error
	attempts int
	messages []protocol.Command
	topics   []string
}

func (p *fakePublisher) Publish(_ context.Context, topic string, qos byte, retain bool, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts++
	if p.failing != nil {
		return p.failing
	}
	if qos != 1 || retain {
		return errors.New("a command is QoS 1 and not retained")
	}
	var m protocol.Command
	if err := json.Unmarshal(payload, &m); err != nil {
		return err
	}
	p.messages, p.topics = append(p.messages, m), append(p.topics, topic)
	return nil
}

func (p *fakePublisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = err
}

func (p *fakePublisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.messages)
}

// fakeKiosks knows the kiosks that a test has set; the others were never seen.
type fakeKiosks struct {
	mu    sync.Mutex
	lives map[string]fleet.Live
}

func (k *fakeKiosks) Get(serial string) *fleet.Live {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, ok := k.lives[serial]
	if !ok {
		l = fleet.Live{Serial: serial, Presence: fleet.PresenceNever}
	}
	return &l
}

func (k *fakeKiosks) set(serial string, change func(*fleet.Live)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.lives[serial]
	l.Serial = serial
	change(&l)
	k.lives[serial] = l
}

type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench is a ladder with everything around it fake, and the kiosk K-1 online with boot id A.
type bench struct {
	*Ladder
	t         *testing.T
	store     *fakeStore
	publisher *fakePublisher
	kiosks    *fakeKiosks
	clock     *fakeClock
	told      []fleet.Command
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		t:         t,
		store:     &fakeStore{t: t, commands: map[string]fleet.Command{}, keys: map[string]string{}, known: map[string]bool{"K-1": true, "K-2": true}},
		publisher: &fakePublisher{},
		kiosks:    &fakeKiosks{lives: map[string]fleet.Live{}},
		clock:     &fakeClock{now: time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)},
	}
	b.online("K-1", "A")
	b.restart()
	return b
}

// restart makes the ladder that admin's next start would make.
func (b *bench) restart() {
	b.t.Helper()
	l, err := New(b.t.Context(), b.store, b.publisher, b.kiosks, b.clock.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		b.t.Fatal(err)
	}
	l.Observe(func(c fleet.Command) { b.told = append(b.told, c) })
	b.Ladder = l
}

func (b *bench) online(serial, boot string) {
	b.kiosks.set(serial, func(l *fleet.Live) { l.Presence, l.BootID, l.AgentVersion = fleet.PresenceOnline, boot, "1.0.0" })
}

func (b *bench) offline(serial string) {
	b.kiosks.set(serial, func(l *fleet.Live) { l.Presence = fleet.PresenceOffline })
}

// join is what ingest does when a kiosk announces itself.
func (b *bench) join(serial, boot string) {
	b.online(serial, boot)
	b.Joined(b.t.Context(), serial, protocol.Join{BootID: boot})
}

// report is what ingest does when a kiosk sends a reading.
func (b *bench) report(serial string, state protocol.State) {
	b.kiosks.set(serial, func(l *fleet.Live) {
		l.LastReading = &fleet.Reading{Serial: serial, Status: state, Time: b.clock.Now(), ReceivedAt: b.clock.Now(), Seq: 7}
	})
	b.Reported(b.t.Context(), serial)
}

func (b *bench) send(r Request) fleet.Command {
	b.t.Helper()
	if r.Serial == "" {
		r.Serial = "K-1"
	}
	if r.Name == "" {
		r.Name = protocol.CommandRestart
	}
	c, err := b.Send(b.t.Context(), r)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bench) ack(id string, status protocol.AckStatus) {
	b.Acked(b.t.Context(), "K-1", protocol.Ack{ID: id, Status: status})
}

// ladder is the rungs that the stored command has reached.
func (b *bench) ladder(id string) string {
	var rungs []string
	for _, s := range b.store.get(id).Steps {
		rungs = append(rungs, string(s.Status))
	}
	return strings.Join(rungs, " ")
}

func (b *bench) wantLadder(id, want string) {
	b.t.Helper()
	if got := b.ladder(id); got != want {
		b.t.Errorf("ladder = %q, want %q", got, want)
	}
	c := b.store.get(id)
	if last := c.Steps[len(c.Steps)-1]; last.Status != c.Status || !last.At.Equal(c.UpdatedAt) {
		b.t.Errorf("status %s at %s, but the last step is %+v", c.Status, c.UpdatedAt, last)
	}
}
