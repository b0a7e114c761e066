package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

func TestACommandClimbsTheLadderByItsAcks(t *testing.T) {
	tests := []struct {
		name string
		acks []protocol.AckStatus
		want string
	}{
		{"nothing yet", nil, "queued sent"},
		{"in order", []protocol.AckStatus{"received", "running", "succeeded"}, "queued sent received running succeeded"},
		{"only the end", []protocol.AckStatus{"succeeded"}, "queued sent succeeded"},
		{"repeated", []protocol.AckStatus{"received", "received", "running", "running", "received"}, "queued sent received running"},
		{"the wrong way round", []protocol.AckStatus{"succeeded", "running", "received"}, "queued sent succeeded"},
		{"refused", []protocol.AckStatus{"received", "rejected", "succeeded"}, "queued sent received rejected"},
		{"failed, then said to have succeeded", []protocol.AckStatus{"failed", "succeeded"}, "queued sent failed"},
		{"succeeded, then said to have failed", []protocol.AckStatus{"succeeded", "failed", "rejected"}, "queued sent succeeded"},
		{"a status that nobody knows", []protocol.AckStatus{"verified", "expired", "sent", "", "done"}, "queued sent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			c := b.send(Request{})
			for _, a := range tt.acks {
				b.clock.advance(time.Second)
				b.ack(c.ID, a)
			}
			b.wantLadder(c.ID, tt.want)
			if len(b.told) != len(b.store.get(c.ID).Steps) {
				t.Errorf("observers were told %d times of %d steps", len(b.told), len(b.store.get(c.ID).Steps))
			}
			for i, told := range b.told {
				if len(told.Steps) != i+1 {
					t.Errorf("observer %d saw %d steps", i, len(told.Steps))
				}
			}
		})
	}
}

func TestALateAckLeavesNoTraceOnASettledCommand(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{Name: protocol.CommandBlock})
	b.Acked(t.Context(), "K-1", protocol.Ack{ID: c.ID, Status: protocol.AckSucceeded, Result: json.RawMessage(`{"ok":1}`)})
	b.Acked(t.Context(), "K-1", protocol.Ack{ID: c.ID, Status: protocol.AckFailed, Error: "late and wrong", Result: json.RawMessage(`{"ok":0}`)})
	b.report("K-1", protocol.StateBlocked)
	b.wantLadder(c.ID, "queued sent succeeded verified")
	if got := b.store.get(c.ID); got.Error != "" || string(got.Result) != `{"ok":1}` {
		t.Errorf("error %q, result %s: a late ack changed the command", got.Error, got.Result)
	}
}

func TestAnAckOfAnotherKioskChangesNothing(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{})
	b.Acked(t.Context(), "K-2", protocol.Ack{ID: c.ID, Status: protocol.AckFailed})
	b.Acked(t.Context(), "K-1", protocol.Ack{ID: "another", Status: protocol.AckFailed})
	b.wantLadder(c.ID, "queued sent")
}

func TestTheMessageCarriesTheTimeThatIsLeft(t *testing.T) {
	b := newBench(t)
	b.offline("K-1")
	c := b.send(Request{Name: protocol.CommandMaintenance, Params: json.RawMessage(`{"enabled":true}`), ExpiresIn: time.Minute, Actor: "ana"})
	if c.Status != fleet.CommandQueued || b.publisher.count() != 0 {
		t.Fatalf("to an offline kiosk: %s, %d messages", c.Status, b.publisher.count())
	}
	b.clock.advance(45 * time.Second)
	b.join("K-1", "B")
	if b.publisher.count() != 1 || b.publisher.topics[0] != "kiosks/K-1/cmd" {
		t.Fatalf("after its join: %v", b.publisher.topics)
	}
	m := b.publisher.messages[0]
	if m.ID != c.ID || m.Name != protocol.CommandMaintenance || string(m.Params) != `{"enabled":true}` || m.TTLSeconds != 15 || !m.IssuedAt.Equal(c.CreatedAt) {
		t.Errorf("message = %+v", m)
	}
	b.wantLadder(c.ID, "queued sent")
}

func TestAJoinBringsOpenCommandsAgainInTheirOrder(t *testing.T) {
	b := newBench(t)
	b.offline("K-1")
	open := []string{b.send(Request{}).ID, b.send(Request{Name: protocol.CommandPing}).ID}
	settled := b.send(Request{Name: protocol.CommandPing})
	expired := b.send(Request{ExpiresIn: time.Second})
	b.ack(settled.ID, protocol.AckFailed)
	b.clock.advance(time.Second)
	b.join("K-1", "B")
	b.ack(open[0], protocol.AckRunning)
	b.join("K-1", "C")
	var got []string
	for _, m := range b.publisher.messages {
		got = append(got, m.ID)
	}
	if want := slices.Concat(open, open); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
	b.wantLadder(open[0], "queued sent running")
	b.wantLadder(open[1], "queued sent")
	b.wantLadder(expired.ID, "queued")
}

func TestACommandWaitsForABrokerThatDoesNotTakeIt(t *testing.T) {
	b := newBench(t)
	b.publisher.fail(errDown)
	first := b.send(Request{})
	second := b.send(Request{Name: protocol.CommandPing})
	if first.Status != fleet.CommandQueued {
		t.Fatalf("status = %s although the broker took nothing", first.Status)
	}
	before := b.publisher.attempts
	b.tick(t.Context())
	if n := b.publisher.attempts - before; n != 1 {
		t.Errorf("%d attempts in one tick at a broker that is down, want one", n)
	}
	b.publisher.fail(nil)
	b.tick(t.Context()) // the kiosk stayed connected: no join comes
	b.wantLadder(first.ID, "queued sent")
	b.wantLadder(second.ID, "queued sent")
	b.tick(t.Context())
	if n := b.publisher.count(); n != 2 {
		t.Errorf("%d messages, want each command once", n)
	}
}

func TestWhoIsReachableGetsItsCommandAtOnce(t *testing.T) {
	for presence, want := range map[fleet.Presence]string{
		fleet.PresenceOnline: "queued sent", fleet.PresenceStale: "queued sent",
		fleet.PresenceOffline: "queued", fleet.PresenceNever: "queued",
	} {
		t.Run(string(presence), func(t *testing.T) {
			b := newBench(t)
			b.kiosks.set("K-1", func(l *fleet.Live) { l.Presence = presence })
			c := b.send(Request{})
			b.wantLadder(c.ID, want)
			// Behind an external broker a kiosk comes back by a reading, without a join.
			b.online("K-1", "A")
			b.tick(t.Context())
			b.wantLadder(c.ID, "queued sent")
		})
	}
}

func TestTheRequestsContextDoesNotStopTheSteps(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Acked(ctx, "K-1", protocol.Ack{ID: c.ID, Status: protocol.AckReceived})
	b.wantLadder(c.ID, "queued sent received")
}

func TestACommandExpires(t *testing.T) {
	b := newBench(t)
	b.offline("K-1")
	queued := b.send(Request{ExpiresIn: time.Minute})
	b.online("K-1", "A")
	sent := b.send(Request{ExpiresIn: time.Minute})
	running := b.send(Request{ExpiresIn: time.Minute, Name: protocol.CommandUpdate})
	b.ack(running.ID, protocol.AckRunning)
	b.offline("K-1")
	b.clock.advance(time.Minute - time.Millisecond)
	b.tick(t.Context())
	b.wantLadder(queued.ID, "queued")
	b.clock.advance(time.Millisecond)
	b.tick(t.Context())
	b.wantLadder(queued.ID, "queued expired")
	b.wantLadder(sent.ID, "queued sent expired")
	b.wantLadder(running.ID, "queued sent running expired")
	if c := b.store.get(queued.ID); c.Error == "" {
		t.Error("an expired command does not say why")
	}
	before := b.publisher.count()
	b.join("K-1", "B")
	if b.publisher.count() != before {
		t.Error("an expired command was sent")
	}
}

func TestAnAnswerMayComeAfterTheExpiry(t *testing.T) {
	tests := []struct {
		name  string
		after time.Duration
		ack   protocol.AckStatus
		want  string
		err   string
	}{
		{"succeeded", time.Hour, protocol.AckSucceeded, "queued sent expired succeeded", ""},
		{"failed", time.Hour, protocol.AckFailed, "queued sent expired failed", "no paper"},
		{"rejected", time.Hour, protocol.AckRejected, "queued sent expired rejected", "no paper"},
		{"not an answer", time.Hour, protocol.AckRunning, "queued sent expired", "not carried out in time"},
		{"a day later", lateAnswers, protocol.AckSucceeded, "queued sent expired succeeded", ""},
		{"too late", lateAnswers + time.Second, protocol.AckSucceeded, "queued sent expired", "not carried out in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			c := b.send(Request{ExpiresIn: time.Minute})
			b.clock.advance(time.Minute)
			b.tick(t.Context())
			b.clock.advance(tt.after)
			b.tick(t.Context())
			b.Acked(t.Context(), "K-1", protocol.Ack{ID: c.ID, Status: tt.ack, Error: map[bool]string{true: "no paper"}[tt.err == "no paper"]})
			b.wantLadder(c.ID, tt.want)
			if got := b.store.get(c.ID).Error; got != tt.err {
				t.Errorf("error = %q, want %q", got, tt.err)
			}
		})
	}
}

func TestASuccessAfterTheExpiryIsVerifiedToo(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{ExpiresIn: time.Minute})
	b.clock.advance(time.Minute)
	b.tick(t.Context())
	b.join("K-1", "B")
	b.ack(c.ID, protocol.AckSucceeded)
	b.wantLadder(c.ID, "queued sent expired succeeded verified")
}

func TestAFailingStoreKeepsTheCommandWhereItIs(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{Name: protocol.CommandPing})
	b.store.fail(errDown)
	told := len(b.told)
	b.Acked(t.Context(), "K-1", protocol.Ack{ID: c.ID, Status: protocol.AckSucceeded, Result: json.RawMessage(`{"uptime":1}`)})
	b.ack(c.ID, protocol.AckReceived) // late and lower: must not hide the answer
	b.tick(t.Context())
	b.wantLadder(c.ID, "queued sent")
	if len(b.told) != told {
		t.Error("observers were told of a step that is not stored")
	}
	b.store.fail(nil)
	b.tick(t.Context()) // the broker has its acknowledgement: the kiosk says it no second time
	b.wantLadder(c.ID, "queued sent succeeded")
	if got := b.store.get(c.ID); string(got.Result) != `{"uptime":1}` {
		t.Errorf("result = %s", got.Result)
	}
	if len(b.unstored) != 0 || len(b.unsettled) != 0 {
		t.Errorf("still followed: %v, %v", b.unstored, b.unsettled)
	}
}

func TestAFailingStoreIsNotAskedForEachCommand(t *testing.T) {
	b := newBench(t)
	for range 20 {
		b.send(Request{ExpiresIn: time.Minute})
	}
	b.clock.advance(time.Minute)
	asked := 0
	b.Ladder.store = stepCounter{b.store, &asked}
	b.store.fail(errDown)
	b.tick(t.Context())
	if asked != 1 {
		t.Errorf("a store that is down was asked %d times in one tick", asked)
	}
	b.store.fail(nil)
	b.tick(t.Context())
	for id := range b.store.commands {
		b.wantLadder(id, "queued sent expired")
	}
}

type stepCounter struct {
	Store
	n *int
}

func (s stepCounter) StepCommand(ctx context.Context, c fleet.Command, e *fleet.Event) error {
	*s.n++
	return s.Store.StepCommand(ctx, c, e)
}

func TestSendIsRefusedUnlessItIsStored(t *testing.T) {
	b := newBench(t)
	if _, err := b.Send(t.Context(), Request{Serial: "K-9", Name: protocol.CommandPing}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("to an unknown kiosk: %v", err)
	}
	b.store.fail(errDown)
	if _, err := b.Send(t.Context(), Request{Serial: "K-1", Name: protocol.CommandPing}); !errors.Is(err, errDown) {
		t.Errorf("with a failing store: %v", err)
	}
	if b.publisher.count() != 0 || len(b.told) != 0 {
		t.Errorf("%d messages, %d steps told of commands that are not stored", b.publisher.count(), len(b.told))
	}
}

func TestACommandThatIsNoLongerStoredIsForgotten(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{})
	delete(b.store.commands, c.ID)
	b.ack(c.ID, protocol.AckReceived)
	if len(b.unsettled) != 0 {
		t.Errorf("still followed: %v", b.unsettled)
	}
}

func TestTheSameKeyMakesOneCommand(t *testing.T) {
	b := newBench(t)
	first := b.send(Request{Key: "k"})
	b.ack(first.ID, protocol.AckReceived)
	again := b.send(Request{Key: "k"})
	if again.ID != first.ID || again.Status != fleet.CommandReceived {
		t.Errorf("the same key gave %s %s, first was %s", again.ID, again.Status, first.ID)
	}
	b.online("K-2", "Z")
	if other := b.send(Request{Serial: "K-2", Key: "k"}); other.ID == first.ID {
		t.Error("another kiosk got the command of K-1")
	}
	if one, two := b.send(Request{}), b.send(Request{}); one.ID == two.ID {
		t.Error("without a key two requests made one command")
	}
	if n := b.publisher.count(); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

func TestRequestsAreChecked(t *testing.T) {
	const ok = ""
	big := `{"x":"` + strings.Repeat("a", maxParamsBytes) + `"}`
	tests := []struct {
		name    string
		command protocol.CommandName
		params  string
		expires time.Duration
		want    string // the field at fault
	}{
		{"ping", "ping", "", 0, ok},
		{"ping with null", "ping", " null ", 0, ok},
		{"ping with an empty object", "ping", "{}", 0, ok},
		{"ping with extra parameters", "ping", `{"x":[1]}`, 0, ok},
		{"ping with an array", "ping", "[]", 0, "params"},
		{"ping with a text", "ping", `"now"`, 0, "params"},
		{"params that are not JSON", "ping", "{", 0, "params"},
		{"params that are too large", "ping", big, 0, "params"},
		{"unknown command", "explode", "", 0, "name"},
		{"no command", "", "", 0, "name"},
		{"another case", "Ping", "", 0, "name"},
		{"maintenance on", "maintenance", `{"enabled":true}`, 0, ok},
		{"maintenance off", "maintenance", `{"enabled":false}`, 0, ok},
		{"maintenance without params", "maintenance", "", 0, "params.enabled"},
		{"maintenance with null", "maintenance", "null", 0, "params.enabled"},
		{"maintenance without enabled", "maintenance", "{}", 0, "params.enabled"},
		{"maintenance enabled null", "maintenance", `{"enabled":null}`, 0, "params.enabled"},
		{"maintenance enabled text", "maintenance", `{"enabled":"true"}`, 0, "params.enabled"},
		{"maintenance enabled number", "maintenance", `{"enabled":1}`, 0, "params.enabled"},
		{"maintenance in another case", "maintenance", `{"Enabled":true}`, 0, "params.enabled"},
		{"update", "update", "", 0, ok},
		{"update to a version", "update", `{"version":"2.1.0"}`, 0, ok},
		{"update to nothing", "update", `{"version":""}`, 0, "params.version"},
		{"update to null", "update", `{"version":null}`, 0, "params.version"},
		{"update to a number", "update", `{"version":2}`, 0, "params.version"},
		{"update to 64 characters", "update", `{"version":"` + strings.Repeat("v", 64) + `"}`, 0, ok},
		{"update to 65 characters", "update", `{"version":"` + strings.Repeat("v", 65) + `"}`, 0, "params.version"},
		{"shortest lifetime", "ping", "", time.Second, ok},
		{"too short a lifetime", "ping", "", time.Second - 1, "expires_in"},
		{"negative lifetime", "ping", "", -time.Hour, "expires_in"},
		{"longest lifetime", "ping", "", MaxLifetime, ok},
		{"too long a lifetime", "ping", "", MaxLifetime + 1, "expires_in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			var params json.RawMessage
			if tt.params != "" {
				params = json.RawMessage(tt.params)
			}
			c, err := b.Send(t.Context(), Request{Serial: "K-1", Name: tt.command, Params: params, ExpiresIn: tt.expires})
			if tt.want == ok {
				if err != nil {
					t.Fatal(err)
				}
				want := tt.expires
				if want == 0 {
					want = DefaultLifetime
				}
				if got := c.ExpiresAt.Sub(c.CreatedAt); got != want {
					t.Errorf("lifetime = %s, want %s", got, want)
				}
				return
			}
			var invalid *fleet.ValidationError
			if !errors.As(err, &invalid) || len(invalid.Violations) != 1 || invalid.Violations[0].Field != tt.want {
				t.Errorf("error = %v, want one about %s", err, tt.want)
			}
			if len(b.store.commands) != 0 || b.publisher.count() != 0 {
				t.Error("a refused command was stored or sent")
			}
		})
	}
}

func TestEveryFaultOfARequestIsNamed(t *testing.T) {
	b := newBench(t)
	_, err := b.Send(t.Context(), Request{Serial: "K-1", Name: "explode", Params: json.RawMessage("[]"), ExpiresIn: -1})
	var invalid *fleet.ValidationError
	if !errors.As(err, &invalid) || len(invalid.Violations) != 3 {
		t.Errorf("error = %v, want name, expires_in and params", err)
	}
}

func TestANextStartGoesOnWhereThisOneEnded(t *testing.T) {
	b := newBench(t)
	restart := b.send(Request{})
	b.ack(restart.ID, protocol.AckRunning)
	done := b.send(Request{Name: protocol.CommandPing})
	b.ack(done.ID, protocol.AckSucceeded)
	lapsed := b.send(Request{ExpiresIn: time.Minute})
	claimed := b.send(Request{Name: protocol.CommandBlock})
	b.ack(claimed.ID, protocol.AckSucceeded)

	b.clock.advance(30 * time.Minute)
	b.restart()
	b.tick(t.Context())
	b.wantLadder(lapsed.ID, "queued sent expired")
	before := b.publisher.count()
	b.join("K-1", "B")
	if n := b.publisher.count() - before; n != 1 || b.publisher.messages[before].ID != restart.ID {
		t.Errorf("%d commands sent again after the restart of admin, want the open one", n)
	}
	b.ack(restart.ID, protocol.AckSucceeded)
	b.wantLadder(restart.ID, "queued sent running succeeded verified")
	// The evidence could not arrive while admin was away.
	b.report("K-1", protocol.StateBlocked)
	b.wantLadder(claimed.ID, "queued sent succeeded verified")
	b.wantLadder(done.ID, "queued sent succeeded")
}

func TestNewFailsWithoutItsCommands(t *testing.T) {
	b := newBench(t)
	b.store.fail(errDown)
	if _, err := New(t.Context(), b.store, b.publisher, b.kiosks, b.clock.Now, b.log); !errors.Is(err, errDown) {
		t.Errorf("error = %v", err)
	}
}

func TestForgetDropsTheCommandsOfADeletedKiosk(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{})
	b.store.fail(errDown)
	b.ack(c.ID, protocol.AckReceived)
	b.Forget("K-1")
	b.store.fail(nil)
	b.ack(c.ID, protocol.AckReceived)
	b.join("K-1", "B")
	b.tick(t.Context())
	b.wantLadder(c.ID, "queued sent")
	if b.publisher.count() != 1 || len(b.unstored) != 0 {
		t.Errorf("%d messages, %d acks kept", b.publisher.count(), len(b.unstored))
	}
}

func TestWhatAKioskSaysIsBounded(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{})
	long := strings.Repeat("é", maxErrorBytes)
	huge := json.RawMessage(`"` + strings.Repeat("x", maxResultBytes) + `"`)
	b.Acked(t.Context(), "K-1", protocol.Ack{ID: c.ID, Status: protocol.AckFailed, Error: long, Result: huge})
	got := b.store.get(c.ID)
	if len(got.Error) > maxErrorBytes+len("…") || !strings.HasPrefix(long, strings.TrimSuffix(got.Error, "…")) {
		t.Errorf("error has %d bytes", len(got.Error))
	}
	if got.Result != nil {
		t.Errorf("a result of %d bytes was kept", len(got.Result))
	}
}

func TestAResultIsKeptAsTheKioskSaidIt(t *testing.T) {
	for raw, want := range map[string]string{`{"a": 1}`: `{"a": 1}`, `null`: "", ``: "", `{`: "", `"x"`: `"x"`} {
		t.Run(raw, func(t *testing.T) {
			b := newBench(t)
			c := b.send(Request{Name: protocol.CommandPing})
			b.Acked(t.Context(), "K-1", protocol.Ack{ID: c.ID, Status: protocol.AckSucceeded, Result: json.RawMessage(raw)})
			if got := string(b.store.get(c.ID).Result); got != want {
				t.Errorf("result = %q, want %q", got, want)
			}
		})
	}
}

func TestTheEndOfACommandIsAnEvent(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{Name: protocol.CommandBlock, Actor: "ana"})
	b.ack(c.ID, protocol.AckReceived)
	if len(b.store.events) != 0 {
		t.Errorf("events of a command that has not ended: %v", b.store.events)
	}
	b.ack(c.ID, protocol.AckSucceeded)
	b.report("K-1", protocol.StateBlocked)
	var got []string
	for _, e := range b.store.events {
		got = append(got, fmt.Sprintf("%s %s %s→%s by %s", e.Serial, e.Subject, e.From, e.To, e.Actor))
	}
	want := []string{"K-1 block received→succeeded by ana", "K-1 block succeeded→verified by ana"}
	if !slices.Equal(got, want) {
		t.Errorf("events = %q, want %q", got, want)
	}
}

func TestRunTicksUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		c := b.send(Request{ExpiresIn: time.Minute})
		b.clock.advance(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		time.Sleep(tickEvery) // the bubble's clock
		synctest.Wait()
		b.wantLadder(c.ID, "queued sent expired")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Many kiosks, each with senders, acks, joins and readings at the same time: every command ends, and
// fakeStore checks that each step adds one rung upwards.
func TestTheLadderIsSafeForConcurrentUse(t *testing.T) {
	b := newBench(t)
	const kiosks, each = 8, 25
	b.Ladder.observers = nil
	var wg sync.WaitGroup
	for k := range kiosks {
		serial := fmt.Sprintf("C-%d", k)
		b.store.known[serial] = true
		b.online(serial, "A")
	}
	for k := range kiosks {
		serial := fmt.Sprintf("C-%d", k)
		ids := make(chan string, each)
		wg.Go(func() {
			defer close(ids)
			for range each {
				c, err := b.Send(t.Context(), Request{Serial: serial, Name: protocol.CommandPing})
				if err != nil {
					t.Error(err)
					return
				}
				ids <- c.ID
			}
		})
		wg.Go(func() {
			for id := range ids {
				var acks sync.WaitGroup
				for _, s := range []protocol.AckStatus{protocol.AckReceived, protocol.AckRunning, protocol.AckSucceeded, protocol.AckSucceeded} {
					acks.Go(func() { b.Acked(t.Context(), serial, protocol.Ack{ID: id, Status: s}) })
				}
				acks.Wait()
				b.Reported(t.Context(), serial)
			}
		})
		wg.Go(func() {
			for range each {
				b.Joined(t.Context(), serial, protocol.Join{BootID: "A"})
				b.tick(t.Context())
			}
		})
	}
	wg.Wait()
	if len(b.store.commands) != kiosks*each {
		t.Fatalf("%d commands stored, want %d", len(b.store.commands), kiosks*each)
	}
	for id, c := range b.store.commands {
		if c.Status != fleet.CommandSucceeded {
			t.Errorf("%s ended as %s", id, c.Status)
		}
	}
	if len(b.unsettled) != 0 {
		t.Errorf("%d kiosks are still followed", len(b.unsettled))
	}
}
