package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/outbox"
)

// published is one message that reached the fake broker, or another event worth ordering.
type published struct {
	at      time.Time
	channel protocol.Channel // or "save", "will"
	payload []byte
}

// fakeBroker is what a fake link connects to.
type fakeBroker struct {
	mu      sync.Mutex
	offline bool
	deaf    int       // so many messages are taken and not acknowledged
	current *fakeLink // the connected one
	log     []published
}

type fakeLink struct {
	broker *fakeBroker
	ev     linkEvents
	cut    chan error
}

func (b *fakeBroker) newLink(ev linkEvents) (link, error) {
	return &fakeLink{b, ev, make(chan error, 1)}, nil
}

func (b *fakeBroker) note(ch protocol.Channel, payload []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, published{time.Now(), ch, payload})
}

const (
	fakeRetry = 100 * time.Millisecond
	// fakeRoundTrip is how long the broker takes to acknowledge a join; everything else is instant.
	fakeRoundTrip = time.Millisecond
)

// settle lets joins that are under way arrive.
func settle() {
	time.Sleep(2 * fakeRoundTrip)
	synctest.Wait()
}

func (l *fakeLink) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		l.broker.note("will", l.ev.will().Payload)
		l.broker.mu.Lock()
		up := !l.broker.offline
		if up {
			l.broker.current = l
		}
		l.broker.mu.Unlock()
		if up {
			l.hold(ctx)
		} else {
			l.ev.failed(errors.New("nobody there"))
		}
		select {
		case <-ctx.Done():
		case <-time.After(fakeRetry):
		}
	}
	return nil
}

func (l *fakeLink) hold(ctx context.Context) {
	connCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { l.ev.connected(connCtx) })
	var err error
	select {
	case err = <-l.cut:
	case <-ctx.Done():
		if !errors.Is(context.Cause(ctx), mqttclient.ErrAbandoned) {
			l.ev.goodbye(context.WithoutCancel(ctx))
		}
	}
	cancel()
	l.broker.mu.Lock()
	l.broker.current = nil
	l.broker.mu.Unlock()
	wg.Wait()
	if err != nil {
		l.ev.lost(err)
	}
}

func (l *fakeLink) Publish(ctx context.Context, topic string, payload []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	serial, ch, ok := protocol.ParseTopic(topic)
	if !ok || serial != testSerial || !ch.FromKiosk() {
		return fmt.Errorf("published on %s", topic)
	}
	if ch == protocol.ChannelJoin {
		time.Sleep(fakeRoundTrip)
	}
	l.broker.mu.Lock()
	defer l.broker.mu.Unlock()
	if l.broker.current != l {
		return errors.New("not connected")
	}
	l.broker.log = append(l.broker.log, published{time.Now(), ch, payload})
	if l.broker.deaf > 0 {
		l.broker.deaf--
		return errors.New("no acknowledgement")
	}
	return nil
}

// setOffline cuts the connection and refuses new ones, or allows them again.
func (b *fakeBroker) setOffline(offline bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offline = offline
	if offline && b.current != nil {
		b.current.cut <- errors.New("cut")
		b.current = nil
	}
}

// send delivers a command's payload as the broker would.
func (b *fakeBroker) send(t *testing.T, payload string) {
	t.Helper()
	b.mu.Lock()
	l := b.current
	b.mu.Unlock()
	if l == nil {
		t.Fatal("send: the agent is not connected")
	}
	if err := l.ev.received(protocol.ChannelCmd, []byte(payload)); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// take returns what has been published since the last call.
func (b *fakeBroker) take() []published {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.log
	b.log = nil
	return out
}

// loggedStore notes each save in the broker's log, so that tests can see what came first.
type loggedStore struct {
	Store
	broker *fakeBroker

	mu   sync.Mutex
	fail error
}

func (s *loggedStore) Save(state State) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.broker.note("save", nil)
	return s.Store.Save(state)
}

func (s *loggedStore) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

const testSerial = "SIM-KIOSK-001"

// bench is a kiosk's agent on a fake broker, in a synctest bubble.
type bench struct {
	t      *testing.T
	broker *fakeBroker
	store  *loggedStore
	stop   func()
	end    func(cause error)
}

// openBox opens the outbox in dir; shut ends it.
func openBox(t *testing.T, dir string, limits outbox.Limits) (box *outbox.Box, shut func()) {
	t.Helper()
	log, err := outbox.Open(outbox.Config{Dir: filepath.Join(dir, "outbox")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- log.Run(ctx) }()
	shut = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, log.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(shut)
	box, err = log.Box(testSerial, limits)
	if err != nil {
		t.Fatal(err)
	}
	return box, shut
}

// start runs an agent whose state and outbox are in dir.
func start(t *testing.T, dir string, change func(*Config)) *bench {
	t.Helper()
	return startLimited(t, dir, outbox.Limits{}, change)
}

func startLimited(t *testing.T, dir string, limits outbox.Limits, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, broker: &fakeBroker{}}
	b.store = &loggedStore{Store: StateFile(filepath.Join(dir, "state.json")), broker: b.broker}
	box, shut := openBox(t, dir, limits)
	cfg := Config{
		Outbox:   box,
		Identity: enroll.Identity{Serial: testSerial, KioskID: 1},
		Device:   device.NewSimulated(device.Simulation{Serial: testSerial}),
		Store:    b.store, Model: "Test kiosk",
	}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.newLink = b.broker.newLink
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	b.end = func(cause error) {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel(cause)
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		shut()
	}
	b.stop = func() { b.end(nil) }
	t.Cleanup(b.stop)
	settle()
	return b
}

// story writes messages as short words: what a test compares. Saves are left out: they race with the
// messages that do not depend on them; see savedBefore.
func story(t *testing.T, messages []published) string {
	t.Helper()
	var words []string
	for _, m := range messages {
		var word string
		switch m.channel {
		case "save":
			continue
		case protocol.ChannelTelemetry:
			if m.payload[0] == '[' {
				word = fmt.Sprintf("readings(%d)", len(decode[[]protocol.Reading](t, m.payload)))
			} else {
				word = "reading(" + string(decode[protocol.Reading](t, m.payload).Status) + ")"
			}
		case protocol.ChannelAck:
			a := decode[protocol.Ack](t, m.payload)
			word = fmt.Sprintf("ack(%s %s)", a.ID, a.Status)
		case protocol.ChannelBye:
			word = "bye(" + decode[protocol.Bye](t, m.payload).Reason + ")"
		default:
			word = string(m.channel)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func decode[T any](t *testing.T, payload []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(payload, &v); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return v
}

// only returns the messages of one channel.
func only(messages []published, ch protocol.Channel) (out []published) {
	for _, m := range messages {
		if m.channel == ch {
			out = append(out, m)
		}
	}
	return out
}

// expect compares what happened since the last take with a story.
func (b *bench) expect(want string) []published {
	b.t.Helper()
	got := b.broker.take()
	if s := story(b.t, got); s != want {
		b.t.Errorf("got  %s\nwant %s", s, want)
	}
	return got
}

// lastAck returns the newest ack among the messages.
func lastAck(t *testing.T, messages []published) protocol.Ack {
	t.Helper()
	acks := only(messages, protocol.ChannelAck)
	if len(acks) == 0 {
		t.Fatal("no ack")
	}
	return decode[protocol.Ack](t, acks[len(acks)-1].payload)
}

// savedBefore checks that a save came between one ack and another of the same command.
func savedBefore(t *testing.T, messages []published, id string, status protocol.AckStatus) {
	t.Helper()
	saved := false
	for _, m := range messages {
		switch m.channel {
		case "save":
			saved = true
		case protocol.ChannelAck:
			if a := decode[protocol.Ack](t, m.payload); a.ID == id && a.Status == status {
				if !saved {
					t.Errorf("%s of %s was acknowledged before it was saved", status, id)
				}
				return
			}
		}
	}
	t.Errorf("no ack %s of %s", status, id)
}
