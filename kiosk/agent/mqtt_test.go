package agent

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/mqttbroker"
	"kioskfleet/internal/testkit/pkitest"
	"kioskfleet/internal/testkit/proxy"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/outbox"
)

// realBroker is a broker behind mutual TLS. It can be closed and opened again.
type realBroker struct {
	*mqttbroker.Broker
	t *testing.T
}

func startBroker(t *testing.T) *realBroker {
	t.Helper()
	return &realBroker{mqttbroker.Start(t), t}
}

// messages returns what the test's kiosk has said.
func (b *realBroker) messages() []published {
	all := b.Messages(testSerial)
	out := make([]published, len(all))
	for i, m := range all {
		out[i] = published{m.Time, m.Channel, m.Payload}
	}
	return out
}

// await polls until the messages of a channel satisfy enough, and returns them.
func (b *realBroker) await(what string, ch protocol.Channel, enough func([]published) bool) []published {
	b.t.Helper()
	var got []published
	eventually(b.t, what, func() bool {
		got = only(b.messages(), ch)
		return enough(got)
	})
	return got
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond) // between polls
	}
}

func atLeast(n int) func([]published) bool {
	return func(m []published) bool { return len(m) >= n }
}

// command sends one and waits for its final ack; it returns all its acks.
func (b *realBroker) command(id, name string) (acks []protocol.Ack) {
	b.t.Helper()
	b.Send(testSerial, protocol.ChannelCmd, []byte(cmd(id, name, "")))
	b.await("the final ack of "+name, protocol.ChannelAck, func(all []published) bool {
		acks = nil
		final := false
		for _, m := range all {
			if a := decode[protocol.Ack](b.t, m.payload); a.ID == id {
				acks = append(acks, a)
				final = final || a.Status != protocol.AckReceived && a.Status != protocol.AckRunning
			}
		}
		return final
	})
	return acks
}

// identity signs a certificate for the test's kiosk.
func identity(t *testing.T, a *pki.Authority, addr string) enroll.Identity {
	t.Helper()
	return enroll.Identity{
		Serial: testSerial, KioskID: 1, Brokers: []string{"mqtts://" + addr},
		TLS: pki.ClientTLS(pkitest.Kiosk(t, a, testSerial, 0), a.Pool()),
	}
}

// runAgent runs an agent against a real broker; stop waits for its end.
func runAgent(t *testing.T, id enroll.Identity, counters *Counters) (stop func()) {
	t.Helper()
	box, shut := openBox(t, t.TempDir(), outbox.Limits{})
	end := runWith(t, quick(t, id, box, func(c *Config) { c.Counters = counters }))
	stop = sync.OnceFunc(func() {
		end(nil)
		shut()
	})
	t.Cleanup(stop)
	return stop
}

// quick configures an agent that does everything within milliseconds.
func quick(t *testing.T, id enroll.Identity, box Outbox, change func(*Config)) Config {
	t.Helper()
	cfg := Config{
		Outbox: box, Identity: id, Device: device.NewSimulated(device.Simulation{Serial: testSerial}),
		Store:    StateFile(filepath.Join(t.TempDir(), "state.json")),
		Interval: 20 * time.Millisecond, RestartTime: 50 * time.Millisecond, UpdateTime: 50 * time.Millisecond,
		Backoff: mqttclient.Backoff{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond},
	}
	change(&cfg)
	return cfg
}

// runWith runs an agent; end ends it with that cause and waits for it.
func runWith(t *testing.T, cfg Config) (end func(cause error)) {
	t.Helper()
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	end = func(cause error) {
		once.Do(func() {
			cancel(cause)
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(func() { end(nil) })
	return end
}

func TestOverMQTTAKioskReportsAndObeys(t *testing.T) {
	b := startBroker(t)
	counters := &Counters{}
	stop := runAgent(t, identity(t, b.Authority, b.Addr), counters)
	join := decode[protocol.Join](t, b.await("join", protocol.ChannelJoin, atLeast(1))[0].payload)
	// Readings from before the connection may come as well, of the session that never joined.
	next := uint64(1)
	for _, m := range b.await("readings", protocol.ChannelTelemetry, atLeast(8)) {
		var r protocol.Reading
		if json.Unmarshal(m.payload, &r) != nil || r.Session != join.Session {
			continue
		}
		if r.Seq != next {
			t.Errorf("reading %d follows %d", r.Seq, next-1)
		}
		next = r.Seq + 1
	}
	if next < 4 {
		t.Errorf("only %d readings of the session", next-1)
	}
	for i, name := range []string{"ping", "block", "unblock", "update", "restart", "explode"} {
		acks := b.command(string(rune('a'+i)), name)
		final := acks[len(acks)-1].Status
		if want := protocol.AckSucceeded; name != "explode" && final != want || name == "explode" && final != protocol.AckRejected {
			t.Errorf("%s ended %s", name, final)
		}
		if acks[0].Status != protocol.AckReceived {
			t.Errorf("the first ack of %s is %s", name, acks[0].Status)
		}
	}
	joins := b.await("joins", protocol.ChannelJoin, atLeast(3)) // start, update, restart
	last := decode[protocol.Join](t, joins[len(joins)-1].payload)
	if last.BootID == join.BootID || last.Session == join.Session || last.AgentVersion != "1.0.1" {
		t.Errorf("after update and restart: %+v, at first %+v", last, join)
	}
	stop()
	byes := b.await("byes", protocol.ChannelBye, atLeast(2))
	if len(byes) != 2 {
		t.Errorf("%d byes, want one of the restart and one of the end: %s", len(byes), story(t, byes))
	}
	for i, want := range []protocol.Bye{{Session: join.Session, Reason: protocol.ByeRestarting}, {Session: last.Session, Reason: protocol.ByeStopped}} {
		if got := decode[protocol.Bye](t, byes[i].payload); got != want {
			t.Errorf("bye %d is %+v, want %+v", i, got, want)
		}
	}
	if n := counters.Connected.Load(); n != 0 {
		t.Errorf("%d connected after the end", n)
	}
}

func TestOverMQTTAnAbruptEndIsToldByTheWill(t *testing.T) {
	b := startBroker(t)
	p := proxy.Start(t, b.Addr)
	runAgent(t, identity(t, b.Authority, p.Addr()), nil)
	first := decode[protocol.Join](t, b.await("join", protocol.ChannelJoin, atLeast(1))[0].payload)
	p.Cut()
	bye := decode[protocol.Bye](t, b.await("will", protocol.ChannelBye, atLeast(1))[0].payload)
	if want := (protocol.Bye{Session: first.Session, Reason: protocol.ByeConnectionLost}); bye != want {
		t.Errorf("will = %+v, want %+v", bye, want)
	}
	second := decode[protocol.Join](t, b.await("another join", protocol.ChannelJoin, atLeast(2))[1].payload)
	if second.Session == first.Session || second.BootID != first.BootID {
		t.Errorf("sessions %s and %s, boots %s and %s", first.Session, second.Session, first.BootID, second.BootID)
	}
}

func TestOverMQTTNoReadingIsLostWhileTheBrokerIsClosed(t *testing.T) {
	b := startBroker(t)
	counters := &Counters{}
	stop := runAgent(t, identity(t, b.Authority, b.Addr), counters)
	b.await("readings", protocol.ChannelTelemetry, atLeast(3))
	b.Close()
	eventually(t, "the connection is lost", func() bool { return counters.Connected.Load() == 0 })
	eventually(t, "attempts to reconnect", func() bool { return counters.Failed.Load() > 3 })
	b.Open()
	b.await("join", protocol.ChannelJoin, atLeast(2))
	n := len(only(b.messages(), protocol.ChannelTelemetry))
	b.await("readings after that", protocol.ChannelTelemetry, atLeast(n+5))
	stop()
	seen := map[string]map[uint64]bool{}
	arrays := 0
	for _, m := range only(b.messages(), protocol.ChannelTelemetry) {
		var batch []protocol.Reading
		if json.Unmarshal(m.payload, &batch) == nil {
			arrays++
		} else {
			batch = []protocol.Reading{decode[protocol.Reading](t, m.payload)}
		}
		for _, r := range batch {
			if seen[r.Session] == nil {
				seen[r.Session] = map[uint64]bool{}
			}
			seen[r.Session][r.Seq] = true
		}
	}
	if arrays == 0 {
		t.Error("no array of readings came")
	}
	for session, seqs := range seen {
		for i := range uint64(len(seqs)) {
			if !seqs[i+1] {
				t.Errorf("session %s lacks reading %d of %d", session, i+1, len(seqs))
			}
		}
	}
	if counters.Lost.Load() != 1 || counters.Dropped.Load() != 0 {
		t.Errorf("lost %d connections, dropped %d readings", counters.Lost.Load(), counters.Dropped.Load())
	}
}

func TestOverMQTTARefusedKioskTriesOn(t *testing.T) {
	t.Run("by the broker", func(t *testing.T) {
		b := startBroker(t)
		b.Refuse.Store(true)
		counters := &Counters{}
		runAgent(t, identity(t, b.Authority, b.Addr), counters)
		eventually(t, "refused attempts", func() bool { return counters.Refused.Load() > 2 })
		b.Refuse.Store(false)
		b.await("join", protocol.ChannelJoin, atLeast(1))
	})
	t.Run("for its certificate", func(t *testing.T) {
		b := startBroker(t)
		counters := &Counters{}
		stranger := identity(t, pkitest.Authority(t), b.Addr)
		stranger.TLS.RootCAs = b.Authority.Pool()
		runAgent(t, stranger, counters)
		eventually(t, "refused attempts", func() bool { return counters.Refused.Load() > 2 })
	})
}

// TestOverMQTTTheEndDoesNotWaitForADeadNetwork: nothing answers any more, and no connection breaks.
func TestOverMQTTTheEndDoesNotWaitForADeadNetwork(t *testing.T) {
	b := startBroker(t)
	p := proxy.Start(t, b.Addr)
	stop := runAgent(t, identity(t, b.Authority, p.Addr()), nil)
	b.await("readings", protocol.ChannelTelemetry, atLeast(2))
	p.Stall()
	began := time.Now()
	stop()
	// Flush and goodbye are given up after a second each; a client that waits for the network
	// takes the ten seconds of its write timeout.
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("the end took %s", took)
	}
}
