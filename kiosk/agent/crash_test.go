package agent

import (
	"context"
	"encoding/json"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/proxy"
	"kioskfleet/kiosk/outbox"
	"kioskfleet/kiosk/uplink"
)

// readingsIn returns all readings of the telemetry messages, with repetitions.
func readingsIn(t *testing.T, messages []published) (all []protocol.Reading) {
	t.Helper()
	for _, m := range only(messages, protocol.ChannelTelemetry) {
		if m.payload[0] == '[' {
			all = append(all, decode[[]protocol.Reading](t, m.payload)...)
		} else {
			all = append(all, decode[protocol.Reading](t, m.payload))
		}
	}
	return all
}

// TestACrashSaysNothing: with an uplink that dies first, and without one.
func TestACrashSaysNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		link *uplink.Uplink
	}{{"the uplink dies first", uplink.New()}, {"there is no uplink", nil}} {
		t.Run(tt.name, func(t *testing.T) {
			b := startBroker(t)
			box, shut := openBox(t, t.TempDir(), outbox.Limits{})
			defer shut()
			cfg := quick(t, identity(t, b.Authority, b.Addr), box, func(c *Config) {
				c.Interval = 5 * time.Millisecond // something is always under way
				if tt.link != nil {
					c.Hooks.Dial = tt.link.Dial
				}
			})
			const lives = 4
			for life := range lives {
				end := runWith(t, cfg)
				b.await("join", protocol.ChannelJoin, atLeast(life+1))
				n := len(b.messages())
				eventually(t, "readings", func() bool { return len(b.messages()) > n+5 })
				if life == lives-1 {
					end(nil)
					break
				}
				if tt.link != nil {
					tt.link.Kill()
				}
				end(ErrCrash)
				if tt.link != nil {
					tt.link.Revive()
				}
				b.await("will", protocol.ChannelBye, atLeast(life+1))
			}
			joins := only(b.messages(), protocol.ChannelJoin)
			byes := b.await("byes", protocol.ChannelBye, atLeast(lives))
			for i, m := range byes {
				want := protocol.Bye{Session: decode[protocol.Join](t, joins[i].payload).Session, Reason: protocol.ByeConnectionLost}
				if i == lives-1 {
					want.Reason = protocol.ByeStopped
				}
				if got := decode[protocol.Bye](t, m.payload); got != want {
					t.Errorf("bye %d is %+v, want %+v", i, got, want)
				}
			}
			if len(byes) != lives || len(joins) != lives {
				t.Errorf("%d joins and %d byes of %d lives", len(joins), len(byes), lives)
			}
			checkComplete(t, readingsIn(t, b.messages()))
			if _, more := box.Next(); more {
				t.Error("the outbox is not empty after the end")
			}
		})
	}
}

// checkComplete checks that the readings of each session have no gap, and that no two differ under one
// number or share a time.
func checkComplete(t *testing.T, all []protocol.Reading) {
	t.Helper()
	type key struct {
		session string
		seq     uint64
	}
	seen, times, last := map[key]string{}, map[time.Time]key{}, map[string]uint64{}
	for _, r := range all {
		k := key{r.Session, r.Seq}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if before, again := seen[k]; again && before != string(text) {
			t.Errorf("reading %v came as\n%s\nand as\n%s", k, before, text)
		}
		if other, taken := times[r.Timestamp]; taken && other != k {
			t.Errorf("readings %v and %v are of one time", k, other)
		}
		seen[k], times[r.Timestamp] = string(text), k
		last[r.Session] = max(last[r.Session], r.Seq)
	}
	for session, n := range last {
		for seq := range n {
			if _, ok := seen[key{session, seq + 1}]; !ok {
				t.Errorf("session %s lacks reading %d of %d", session, seq+1, n)
			}
		}
	}
}

func TestACrashInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := start(t, dir, nil)
		b.broker.send(t, cmd("1", "restart", ""))
		b.broker.take()
		time.Sleep(time.Second)
		began := time.Now()
		b.end(ErrCrash) // while it is down for the restart
		if time.Since(began) != 0 {
			t.Errorf("took %s", time.Since(began))
		}
		b.expect("")
		b = start(t, dir, nil)
		b.expect("will join ack(1 succeeded) reading(online)")
		began = time.Now()
		b.end(ErrCrash)
		if time.Since(began) != 0 {
			t.Errorf("took %s", time.Since(began))
		}
		b.expect("")
	})
}

// TestTheKioskDialsByItsHook: TLS goes on top of what the hook returns, and knows the broker's name.
func TestTheKioskDialsByItsHook(t *testing.T) {
	b := startBroker(t)
	p := proxy.Start(t, b.Addr)
	var calls atomic.Int64
	box, shut := openBox(t, t.TempDir(), outbox.Limits{})
	defer shut()
	counters := &Counters{}
	run := func(host string) func(error) {
		return runWith(t, quick(t, identity(t, b.Authority, host), box, func(c *Config) {
			c.Counters = counters
			c.Hooks.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				calls.Add(1)
				if addr != host {
					t.Errorf("dialled %s, want %s", addr, host)
				}
				return new(net.Dialer).DialContext(ctx, network, p.Addr())
			}
		}))
	}
	end := run(b.Addr)
	b.await("readings", protocol.ChannelTelemetry, atLeast(3))
	if calls.Load() != 1 || p.Stats().Connections != 1 {
		t.Errorf("dialled %d times, %+v", calls.Load(), p.Stats())
	}
	end(nil)
	// The broker's certificate is for 127.0.0.1.
	end = run("broker.example:8883")
	eventually(t, "distrust", func() bool { return counters.Distrusted.Load() > 1 })
	end(nil)
}

func TestWhatFailsIsCountedByKind(t *testing.T) {
	b := startBroker(t)
	p := proxy.Start(t, b.Addr)
	box, shut := openBox(t, t.TempDir(), outbox.Limits{})
	defer shut()
	counters := &Counters{}
	end := runWith(t, quick(t, identity(t, b.Authority, p.Addr()), box, func(c *Config) { c.Counters = counters }))
	b.await("readings", protocol.ChannelTelemetry, atLeast(3))
	p.Refuse()
	p.Cut()
	eventually(t, "network failures", func() bool { return counters.Unreachable.Load() > 2 })
	b.Refuse.Store(true)
	p.Accept()
	eventually(t, "refusals", func() bool { return counters.Refused.Load() > 2 })
	joins := len(only(b.messages(), protocol.ChannelJoin))
	b.Refuse.Store(false)
	b.await("another join", protocol.ChannelJoin, atLeast(joins+1))
	end(nil)
	if counters.Lost.Load() != 1 || counters.Unanswered.Load() != 0 || counters.Distrusted.Load() != 0 ||
		counters.Failed.Load() != counters.Unreachable.Load()+counters.Refused.Load() {
		t.Errorf("lost %d, failed %d: refused %d, unreachable %d, unanswered %d, distrusted %d", counters.Lost.Load(), counters.Failed.Load(),
			counters.Refused.Load(), counters.Unreachable.Load(), counters.Unanswered.Load(), counters.Distrusted.Load())
	}
	all := readingsIn(t, b.messages())
	if acknowledged := counters.Readings.Load(); int(acknowledged) > len(all) || counters.SentReadings.Load() != acknowledged+counters.ResentReadings.Load() {
		t.Errorf("%d readings came; %d sent, %d acknowledged, %d resent", len(all), counters.SentReadings.Load(), acknowledged, counters.ResentReadings.Load())
	}
}

// TestAKioskWithABadUplinkLosesNothing: a silent outage ends before anybody gives up, and costs no connection.
func TestAKioskWithABadUplinkLosesNothing(t *testing.T) {
	b := startBroker(t)
	u := uplink.New()
	defer u.Close()
	box, shut := openBox(t, t.TempDir(), outbox.Limits{})
	defer shut()
	counters := &Counters{}
	var begun atomic.Int64
	end := runWith(t, quick(t, identity(t, b.Authority, b.Addr), box, func(c *Config) {
		c.Counters, c.Hooks.Dial = counters, u.Dial
		c.Hooks.Publish = func(_ context.Context, _ protocol.Channel, payload []byte) []byte {
			begun.Add(1)
			return payload
		}
	}))
	b.await("readings", protocol.ChannelTelemetry, atLeast(3))

	u.Down(true)
	eventually(t, "a message is under way", func() bool { return begun.Load() > counters.Sent.Load() })
	u.Up()
	n := len(only(b.messages(), protocol.ChannelTelemetry))
	b.await("readings after the outage", protocol.ChannelTelemetry, atLeast(n+3))
	if counters.Lost.Load() != 0 || counters.Resent.Load() != 0 {
		t.Errorf("lost %d connections, resent %d messages", counters.Lost.Load(), counters.Resent.Load())
	}

	u.Slow(5*time.Millisecond, 100_000)
	for cuts := range int64(3) {
		u.Cut()
		eventually(t, "the cut is noticed", func() bool { return counters.Lost.Load() > cuts && counters.Connected.Load() == 1 })
	}
	u.Down(false)
	eventually(t, "attempts to connect", func() bool { return counters.Unreachable.Load() > 2 })
	joins := len(only(b.messages(), protocol.ChannelJoin))
	u.Up()
	u.Slow(0, 0)
	b.await("a join", protocol.ChannelJoin, atLeast(joins+1))
	end(nil)
	checkComplete(t, readingsIn(t, b.messages()))
	if counters.Lost.Load() != 4 {
		t.Errorf("lost %d connections", counters.Lost.Load())
	}
}
