package presence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

var errDown = errors.New("down")

type fakeStore struct {
	mu      sync.Mutex
	failing error
	events  []fleet.Event
	saved   map[string]fleet.LiveState
	during  func() // called while events are written
}

func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

func (s *fakeStore) SaveLive(ctx context.Context, events []fleet.Event, states []fleet.LiveState, _ time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.during != nil {
		s.during()
	}
	if err := cmp.Or(ctx.Err(), s.failing); err != nil {
		return err
	}
	s.events = append(s.events, events...)
	for _, l := range states {
		s.saved[l.Serial] = l
	}
	return nil
}

type fakePublisher struct {
	mu       sync.Mutex
	failing  error
	attempts int
	statuses map[string][]protocol.Status // by topic
}

func (p *fakePublisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing = err
}

func (p *fakePublisher) Publish(_ context.Context, topic string, qos byte, retain bool, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts++
	if p.failing != nil {
		return p.failing
	}
	if qos != 1 || !retain {
		return errors.New("a status is QoS 1 and retained")
	}
	var s protocol.Status
	if err := json.Unmarshal(payload, &s); err != nil {
		return err
	}
	p.statuses[topic] = append(p.statuses[topic], s)
	return nil
}

func (p *fakePublisher) of(serial string) []protocol.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.statuses[protocol.Topic(serial, protocol.ChannelStatus)])
}

func (s *fakeStore) kept(serial string) (state fleet.LiveState, events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saved[serial], len(s.events)
}

// flow is an outflow on fakes, with its tracker.
type flow struct {
	*watch
	out       *Outflow
	store     *fakeStore
	publisher *fakePublisher
	log       *strings.Builder
}

func newFlow(t *testing.T) *flow {
	f := &flow{
		watch: newWatch(t), store: &fakeStore{saved: map[string]fleet.LiveState{}},
		publisher: &fakePublisher{statuses: map[string][]protocol.Status{}}, log: &strings.Builder{},
	}
	f.out = NewOutflow(f.Tracker, f.store, f.publisher, slog.New(slog.NewTextHandler(f.log, nil)))
	return f
}

func (f *flow) published() []protocol.Status { return f.publisher.of("K-1") }

func TestTheStatusOfAKioskIsPublishedWhenItChanges(t *testing.T) {
	f := newFlow(t)
	f.join("a")
	f.out.flush(t.Context())
	got := f.published()
	if len(got) != 1 {
		t.Fatalf("published %+v", got)
	}
	if s := got[0]; s.Serial != "K-1" || s.Presence != "online" || s.PresenceWhy != "reporting" || s.Session != "a" || s.AgentVersion != "1.0" || !s.Since.Equal(f.now) {
		t.Errorf("status = %+v", s)
	}
	f.reading("a", 0)
	f.out.flush(t.Context()) // unknown became online
	if s := f.published()[1]; s.Status != "online" || s.Verdict != "can_serve" || !s.Since.Equal(f.now) {
		t.Errorf("status = %+v", s)
	}
	for range 3 {
		f.pass(time.Second)
		f.reading("a", 0)
	}
	f.out.flush(t.Context())
	if got := f.published(); len(got) != 2 {
		t.Errorf("published %d times, readings alone change no status", len(got))
	}
	f.pass(time.Second)
	f.reading("a", 0, func(r *fleet.Reading) { r.Status = protocol.StateBlocked })
	f.out.flush(t.Context())
	if s := f.published()[2]; s.Status != "blocked" || s.Verdict != "cannot_serve" || fmt.Sprint(s.Reasons) != "[Blocked by an operator]" {
		t.Errorf("status = %+v", s)
	}
}

// Neither the number of reasons nor the verdict differ.
func TestAnotherReasonIsPublished(t *testing.T) {
	f := newFlow(t)
	texts := func(metric, text string) func(*fleet.Reading) {
		return func(r *fleet.Reading) { r.Texts = []fleet.Text{{Metric: metric, Text: text}} }
	}
	f.join("a")
	f.reading("a", 0, texts(metricPrinter, "low_ink"))
	f.out.flush(t.Context())
	f.pass(time.Second)
	f.reading("a", 0, texts(metricPrinter, "ready"), func(r *fleet.Reading) {
		r.Texts = append(r.Texts, fleet.Text{Metric: metricCash, Text: "full"}, fleet.Text{Metric: metricCard, Text: "ready"})
	})
	f.out.flush(t.Context())
	if got := f.published(); len(got) != 2 || fmt.Sprint(got[1].Reasons) != "[Cash acceptor: full]" {
		t.Errorf("published %+v", got)
	}
	f.bye("", "a", protocol.ByeConnectionLost)
	f.out.flush(t.Context())
	f.SetRevoked("K-1", true)
	f.out.flush(t.Context())
	if got := f.published(); len(got) != 4 || got[3].PresenceWhy != "revoked" {
		t.Errorf("after a revocation: %+v", got)
	}
}

func TestABrokerThatIsDownGetsTheNewestStatusLater(t *testing.T) {
	f := newFlow(t)
	for k := range 50 {
		f.Joined(fleet.Origin{Serial: fmt.Sprintf("K-%d", k), At: f.now}, protocol.Join{Session: "a"})
	}
	f.publisher.fail(errDown)
	for range 3 {
		f.out.flush(t.Context())
	}
	if f.publisher.attempts != 3 {
		t.Errorf("%d attempts in three flushes at a broker that is down", f.publisher.attempts)
	}
	if n := strings.Count(f.log.String(), "statuses not published"); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, f.log)
	}
	f.reading("a", 0, func(r *fleet.Reading) { r.Status = protocol.StateBlocked })
	f.publisher.fail(nil)
	f.out.flush(t.Context())
	if len(f.publisher.statuses) != 50 {
		t.Errorf("%d kiosks published", len(f.publisher.statuses))
	}
	if got := f.published(); len(got) != 1 || got[0].Status != "blocked" {
		t.Errorf("published %+v, want only the newest", got)
	}
	f.out.flush(t.Context())
	if n := f.publisher.attempts; n != 53 {
		t.Errorf("%d attempts, want each status once", n)
	}
}

func TestNothingIsPublishedOfWhoWasNeverSeenOrIsGone(t *testing.T) {
	f := newFlow(t)
	f.connect("1") // has not said a word
	f.Joined(fleet.Origin{Serial: "K-2", At: f.now}, protocol.Join{Session: "a"})
	f.Forget("K-2")
	f.out.PublishAll()
	f.out.flush(t.Context())
	if len(f.publisher.statuses) != 0 {
		t.Errorf("published %v", f.publisher.statuses)
	}
}

func TestAStartPublishesWhatIsRestored(t *testing.T) {
	f := newFlow(t)
	f.Restore([]fleet.LiveState{{Live: fleet.Live{Serial: "K-1", Presence: fleet.PresenceOnline}}})
	f.Started(f.now)
	f.out.PublishAll()
	f.out.flush(t.Context())
	if got := f.published(); len(got) != 1 || got[0].PresenceWhy != string(fleet.ReasonAdminRestart) {
		t.Errorf("published %+v", got)
	}
}

func TestEventsAreWrittenOnceAndInOrder(t *testing.T) {
	f := newFlow(t)
	f.join("a")
	f.reading("a", 0)
	f.store.fail(errDown)
	f.store.during = func() { f.bye("", "a", protocol.ByeStopped) }
	f.out.flush(t.Context())
	f.store.during = nil
	f.out.flush(t.Context())
	f.store.fail(nil)
	f.out.flush(t.Context())
	f.out.flush(t.Context())
	var got []string
	for _, e := range f.store.events {
		got = append(got, fmt.Sprintf("%s>%s", e.Kind, e.To))
	}
	want := "joined>1.0 presence>online verdict>can_serve presence>offline verdict>unknown"
	if strings.Join(got, " ") != want {
		t.Errorf("events = %v, want %s", got, want)
	}
}

func TestEventsThatWaitHoldBackMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(t)
		f.store.fail(errDown)
		l := &fleet.Live{Serial: "K-1"}
		f.out.observe(Change{Old: l, New: l, Events: make([]fleet.Event, maxEvents)})
		f.out.Room(t.Context()) // as many may wait
		f.out.observe(Change{Old: l, New: l, Events: make([]fleet.Event, 1)})
		room := make(chan struct{})
		go func() { f.out.Room(t.Context()); close(room) }()
		time.Sleep(time.Minute)
		select {
		case <-room:
			t.Error("there is room although the database takes nothing")
		default:
		}
		f.store.fail(nil)
		f.out.flush(t.Context())
		<-room
		if len(f.store.events) != maxEvents+1 {
			t.Errorf("%d events written, want every one", len(f.store.events))
		}
	})
}

func TestACheckpointSavesStatesOnceAndAgainAfterAFailure(t *testing.T) {
	f := newFlow(t)
	f.join("a")
	f.store.fail(errDown)
	if err := f.out.Checkpoint(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("error = %v", err)
	}
	f.store.fail(nil)
	if err := f.out.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	if got := f.store.saved["K-1"]; got.Session != "a" {
		t.Errorf("saved %+v", got)
	}
	delete(f.store.saved, "K-1")
	if err := f.out.Checkpoint(t.Context()); err != nil || len(f.store.saved) != 0 {
		t.Errorf("a state that did not change was saved again: %v", err)
	}
}

// What an event led to is kept with it, so that a crash right after it makes nothing happen twice.
func TestAnEventIsWrittenWithTheStateThatItLedTo(t *testing.T) {
	f := newFlow(t)
	f.join("a")
	f.Reading(&fleet.Reading{Serial: "K-2", Time: f.now, ReceivedAt: f.now, Source: fleet.Source{Record: 7}})
	f.out.flush(t.Context())
	if got := f.store.saved["K-2"]; got.Source.Record != 7 {
		t.Errorf("with its first event K-2 is saved as %+v", got)
	}
	f.pass(time.Second)
	f.Reading(&fleet.Reading{Serial: "K-2", Time: f.now, ReceivedAt: f.now, Source: fleet.Source{Record: 8}})
	f.out.flush(t.Context())
	if got := f.store.saved["K-2"]; got.Source.Record != 7 {
		t.Errorf("without an event the state waits for a checkpoint, but it is saved as of %v", got.Source)
	}
	if err := f.out.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	if got := f.store.saved["K-2"]; got.Source.Record != 8 {
		t.Errorf("after a checkpoint it is saved as of %v", got.Source)
	}
}

func TestRunFollowsItsTickersAndFinishWritesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := New(time.Now) // the bubble's clock
		store, publisher := &fakeStore{saved: map[string]fleet.LiveState{}}, &fakePublisher{statuses: map[string][]protocol.Status{}}
		out := NewOutflow(tracker, store, publisher, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- out.Run(ctx) }()
		at := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		tracker.Joined(fleet.Origin{Serial: "K-1", At: time.Now().UTC()}, protocol.Join{Session: "a"})
		at(flushEvery)
		if _, events := store.kept("K-1"); len(publisher.of("K-1")) != 1 || events == 0 {
			t.Errorf("after %s: %d statuses, %d events", flushEvery, len(publisher.of("K-1")), events)
		}
		if state, _ := store.kept("K-1"); state.Presence != fleet.PresenceOnline {
			t.Errorf("after %s: saved %+v", flushEvery, state)
		}
		at(staleMin + 2*tickEvery)
		if got := publisher.of("K-1"); got[len(got)-1].Presence != "stale" {
			t.Errorf("silence is not published: %+v", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_, before := store.kept("K-1")
		tracker.Bye(fleet.Origin{Serial: "K-1", At: time.Now().UTC()}, protocol.Bye{Session: "a"})
		out.Finish(context.WithoutCancel(ctx))
		if state, events := store.kept("K-1"); events <= before || state.Presence != fleet.PresenceOffline {
			t.Errorf("Finish wrote %d events and %s", events-before, state.Presence)
		}
	})
}

func TestAFlushThatIsCutOffLosesNothing(t *testing.T) {
	f := newFlow(t)
	f.join("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.out.flush(ctx)
	if len(f.published()) != 0 || len(f.store.events) != 0 {
		t.Error("work went on after the end")
	}
	f.out.flush(t.Context())
	if len(f.published()) != 1 || len(f.store.events) == 0 {
		t.Errorf("%d statuses, %d events after it", len(f.published()), len(f.store.events))
	}
}
