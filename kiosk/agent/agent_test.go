package agent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
)

func cmd(id, name, rest string) string {
	return `{"id":"` + id + `","name":"` + name + `","issued_at":"2026-01-02T03:04:05Z"` + rest + `}`
}

// seldom keeps the readings of the grid out of a test.
func seldom(c *Config) { c.Interval = 24 * time.Hour }

// the returns the only reading among the messages.
func the(t *testing.T, messages []published) protocol.Reading {
	t.Helper()
	readings := only(messages, protocol.ChannelTelemetry)
	if len(readings) != 1 {
		t.Fatalf("%d readings", len(readings))
	}
	return decode[protocol.Reading](t, readings[0].payload)
}

func joined(t *testing.T, messages []published) protocol.Join {
	t.Helper()
	joins := only(messages, protocol.ChannelJoin)
	if len(joins) != 1 {
		t.Fatalf("%d joins", len(joins))
	}
	return decode[protocol.Join](t, joins[0].payload)
}

func TestAnAgentJoinsReportsAndSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), nil)
		first := b.expect("will join reading(online)")
		join := decode[protocol.Join](t, first[1].payload)
		if join.Serial != testSerial || join.KioskID != 1 || join.Session == "" || join.BootID == "" ||
			join.AgentVersion != InitialVersion || join.Model != "Test kiosk" || len(join.Capabilities) != 3 ||
			strings.Join(join.Commands, " ") != "block unblock restart update maintenance ping" {
			t.Errorf("join = %+v", join)
		}
		if will := decode[protocol.Bye](t, first[0].payload); will.Session != join.Session || will.Reason != protocol.ByeConnectionLost {
			t.Errorf("will = %+v, session %s", will, join.Session)
		}

		time.Sleep(20*time.Second + time.Millisecond)
		synctest.Wait()
		readings := slices.Concat(first[2:], b.expect("reading(online) reading(online) reading(online) reading(online)"))
		var newest time.Time
		for i, m := range readings {
			r := decode[protocol.Reading](t, m.payload)
			if r.Session != join.Session || r.Seq != uint64(i+1) || r.Serial != testSerial || r.KioskID != 1 {
				t.Errorf("reading %d: session %s, seq %d, serial %s", i, r.Session, r.Seq, r.Serial)
			}
			if !r.Timestamp.After(newest) || r.Timestamp.Nanosecond()%1e6 != 0 || r.Timestamp.Location() != time.UTC {
				t.Errorf("reading %d: timestamp %v after %v", i, r.Timestamp, newest)
			}
			newest = r.Timestamp
			if len(r.Hardware) == 0 || len(r.Environmental) == 0 || len(r.Peripherals) == 0 || len(r.Location) == 0 || len(r.Network) == 0 || len(r.Custom) == 0 {
				t.Errorf("reading %d lacks a group: %s", i, m.payload)
			}
		}

		b.stop()
		bye := b.expect("bye(stopped)")
		if got := decode[protocol.Bye](t, bye[0].payload).Session; got != join.Session {
			t.Errorf("bye of session %s, want %s", got, join.Session)
		}
	})
}

func TestCommandsTakeEffectBeforeTheyAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := start(t, dir, nil)
		b.broker.take()
		b.broker.send(t, cmd("1", "ping", ""))
		b.expect("ack(1 received) ack(1 succeeded)")
		// All of it happens within one millisecond of fake time: timestamps must grow all the same.
		b.broker.send(t, cmd("2", "block", ""))
		blocked := b.expect("ack(2 received) reading(blocked) ack(2 succeeded)")
		b.broker.send(t, cmd("3", "maintenance", `,"params":{"enabled":true}`))
		still := b.expect("ack(3 received) reading(blocked) ack(3 succeeded)")
		if x, y := the(t, blocked), the(t, still); !y.Timestamp.After(x.Timestamp) {
			t.Errorf("timestamps %v and %v do not grow", x.Timestamp, y.Timestamp)
		}
		b.broker.send(t, cmd("4", "unblock", ""))
		savedBefore(t, blocked, "2", protocol.AckSucceeded)
		savedBefore(t, still, "3", protocol.AckSucceeded)
		b.expect("ack(4 received) reading(maintenance) ack(4 succeeded)")
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		b.expect("reading(maintenance)")
		b.stop()
		b.broker.take()

		// The state outlives the agent.
		b = start(t, dir, nil)
		b.expect("will join reading(maintenance)")
		b.broker.send(t, cmd("5", "maintenance", `,"params":{"enabled":false}`))
		b.expect("ack(5 received) reading(online) ack(5 succeeded)")
		b.stop()
	})
}

func TestARestartComesBackWithANewBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), nil)
		before := joined(t, b.broker.take())
		b.broker.send(t, cmd("1", "restart", ""))
		down := b.expect("ack(1 received) ack(1 running) reading(restarting) bye(restarting)")
		savedBefore(t, down, "1", protocol.AckRunning)
		time.Sleep(3 * time.Second)
		settle()
		up := b.expect("will join ack(1 succeeded) reading(online)")
		savedBefore(t, up, "1", protocol.AckSucceeded)
		after := joined(t, up)
		if after.BootID == before.BootID || after.Session == before.Session {
			t.Errorf("boot %s → %s, session %s → %s", before.BootID, after.BootID, before.Session, after.Session)
		}
		left, back := only(down, protocol.ChannelBye)[0].at, only(up, "will")[0].at
		if pause := back.Sub(left); pause != 3*time.Second {
			t.Errorf("away for %s, want 3 s", pause)
		}
		if r := the(t, up); r.Session != after.Session || r.Seq != 1 {
			t.Errorf("the first reading is %s/%d", r.Session, r.Seq)
		}
		// The platform sent it again on join, before it saw the ack.
		b.broker.send(t, cmd("1", "restart", ""))
		b.expect("ack(1 succeeded)")
		b.stop()
	})
}

func TestAnUpdateChangesTheVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := start(t, dir, seldom)
		first := joined(t, b.broker.take())
		b.broker.send(t, cmd("1", "update", `,"params":{"version":"2.0.0-rc.1"}`))
		b.expect("ack(1 received) ack(1 running) reading(updating)")
		b.broker.send(t, cmd("1", "update", "")) // once more, while it runs
		b.expect("ack(1 running)")
		b.broker.send(t, cmd("2", "update", ""))
		b.expect("ack(2 received)")
		time.Sleep(2 * time.Second)
		settle()
		done := b.expect("join reading(online) ack(1 succeeded) ack(2 running) reading(updating)")
		savedBefore(t, done, "1", protocol.AckSucceeded)
		join := joined(t, done)
		if join.AgentVersion != "2.0.0-rc.1" || join.Session != first.Session || join.BootID != first.BootID {
			t.Errorf("joined with %+v", join)
		}
		if a := decode[protocol.Ack](t, only(done, protocol.ChannelAck)[0].payload); string(a.Result) != `{"version":"2.0.0-rc.1"}` {
			t.Errorf("result = %s", a.Result)
		}
		time.Sleep(2 * time.Second)
		settle()
		if a := lastAck(t, b.expect("join reading(online) ack(2 succeeded)")); string(a.Result) != `{"version":"2.0.0-rc.2"}` {
			t.Errorf("result = %s", a.Result)
		}
		b.stop()
		b = start(t, dir, nil)
		if join := joined(t, b.broker.take()); join.AgentVersion != "2.0.0-rc.2" {
			t.Errorf("after a restart of the agent the version is %s", join.AgentVersion)
		}
		b.stop()
	})
}

func TestNextPatch(t *testing.T) {
	for version, want := range map[string]string{"1.4.2": "1.4.3", "1.4.9": "1.4.10", "dev": "dev.1", "dev.1": "dev.2", "": ".1", "7": "8"} {
		if got := nextPatch(version); got != want {
			t.Errorf("%s becomes %s, want %s", version, got, want)
		}
	}
}

func TestWrongCommandsAreRejectedAndDoNothing(t *testing.T) {
	tests := map[string]struct{ payload, want string }{
		"unknown":            {cmd("1", "explode", ""), `unknown command "explode": this kiosk knows block, unblock, restart, update, maintenance, ping`},
		"no name":            {`{"id":"1"}`, `unknown command ""`},
		"no enabled":         {cmd("1", "maintenance", ""), "params.enabled is missing"},
		"null enabled":       {cmd("1", "maintenance", `,"params":{"enabled":null}`), "params.enabled must be true or false, not null"},
		"enabled is a word":  {cmd("1", "maintenance", `,"params":{"enabled":"yes"}`), `params.enabled must be true or false, not "yes"`},
		"version is number":  {cmd("1", "update", `,"params":{"version":2}`), "params.version must be a string, not 2"},
		"version is empty":   {cmd("1", "update", `,"params":{"version":""}`), "params.version must have 1 to 64 bytes"},
		"params is a list":   {cmd("1", "update", `,"params":[1]`), "params must be an object"},
		"time is no time":    {`{"id":"1","name":"block","issued_at":"soon"}`, "not a command"},
		"expired on arrival": {cmd("1", "block", `,"ttl_seconds":-1`), "expired"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, t.TempDir(), nil)
				b.broker.take()
				b.broker.send(t, tt.payload)
				got := b.broker.take()
				a := lastAck(t, got)
				if a.ID != "1" || a.Status != protocol.AckRejected || !strings.Contains(a.Error, tt.want) {
					t.Errorf("ack = %+v, want an error with %q", a, tt.want)
				}
				if len(only(got, protocol.ChannelTelemetry)) > 0 || len(only(got, "save")) > 0 {
					t.Errorf("something was done: %s", story(t, got))
				}
				b.stop()
			})
		})
	}
}

func TestMalformedCommandsWithoutIDAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), nil)
		b.broker.take()
		for _, payload := range []string{"", "{", "null", "[]", `"block"`, `{"name":"block"}`, `{"id":7,"name":"block"}`, `{"id":"","name":"block"}`, `{"id":"` + strings.Repeat("x", 200) + `","name":"block"}`, "\xff\xfe"} {
			b.broker.send(t, payload)
		}
		b.expect("")
		b.broker.send(t, cmd("1", "ping", "")) // it still listens
		b.expect("ack(1 received) ack(1 succeeded)")
		b.stop()
	})
}

func TestARedeliveredCommandIsAnsweredAndNotExecuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := start(t, dir, nil)
		b.broker.take()
		b.broker.send(t, cmd("1", "block", ""))
		first := lastAck(t, b.broker.take())
		b.broker.send(t, cmd("2", "unblock", ""))
		b.broker.take()
		b.broker.send(t, cmd("1", "block", ""))
		if again := lastAck(t, b.expect("ack(1 succeeded)")); !again.Time.Equal(first.Time) {
			t.Errorf("the ack was made anew: %v, first %v", again.Time, first.Time)
		}
		b.stop()

		b = start(t, dir, nil)
		b.expect("will join reading(online)")
		b.broker.send(t, cmd("1", "block", ""))
		b.expect("ack(1 succeeded)")
		b.stop()
	})
}

func TestWhatAnEndOfTheAgentInterrupted(t *testing.T) {
	t.Run("a restart has happened", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, dir, nil)
			b.broker.send(t, cmd("1", "restart", ""))
			time.Sleep(time.Second)
			b.stop() // within the three seconds
			b = start(t, dir, nil)
			b.expect("will join ack(1 succeeded) reading(online)")
			b.broker.send(t, cmd("1", "restart", ""))
			b.expect("ack(1 succeeded)")
			b.stop()
		})
	})
	t.Run("an update has not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			b := start(t, dir, nil)
			b.broker.send(t, cmd("1", "update", ""))
			b.stop()
			b = start(t, dir, nil)
			got := b.expect("will join ack(1 failed) reading(online)")
			if a := lastAck(t, got); !strings.Contains(a.Error, "interrupted") {
				t.Errorf("error = %q", a.Error)
			}
			if join := joined(t, got); join.AgentVersion != InitialVersion {
				t.Errorf("version = %s", join.AgentVersion)
			}
			b.stop()
		})
	})
}

func TestACommandThatCannotBeSavedFails(t *testing.T) {
	for _, name := range []string{"block", "restart", "update"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, t.TempDir(), nil)
				b.broker.take()
				b.store.setFail(errors.New("no space left on device"))
				b.broker.send(t, cmd("1", name, ""))
				got := b.broker.take()
				if a := lastAck(t, got); a.Status != protocol.AckFailed || !strings.Contains(a.Error, "no space left") {
					t.Errorf("ack = %+v", a)
				}
				for _, m := range only(got, protocol.ChannelTelemetry) {
					if s := decode[protocol.Reading](t, m.payload).Status; s != protocol.StateOnline {
						t.Errorf("status = %s", s)
					}
				}
				b.store.setFail(nil)
				b.broker.send(t, cmd("1", name, "")) // nothing was done, so it may be tried again
				if a := lastAck(t, b.broker.take()); a.Status == protocol.AckFailed {
					t.Errorf("the second attempt: %+v", a)
				}
				time.Sleep(time.Minute)
				b.stop()
			})
		})
	}
}

func TestACommandThatWaitsTooLongIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), seldom)
		b.broker.take()
		b.broker.send(t, cmd("1", "update", ""))
		b.broker.send(t, cmd("2", "block", `,"ttl_seconds":1.5`))
		b.broker.send(t, cmd("3", "ping", `,"ttl_seconds":60`))
		time.Sleep(2 * time.Second)
		settle()
		b.expect("ack(1 received) ack(1 running) reading(updating) ack(2 received) ack(3 received) " +
			"join reading(online) ack(1 succeeded) ack(2 rejected) ack(3 succeeded)")
		b.stop()
	})
}

func TestABlockedKioskUsesNoPaper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), nil)
		b.broker.send(t, cmd("1", "block", ""))
		b.broker.take()
		time.Sleep(8 * time.Hour)
		synctest.Wait()
		got := only(b.broker.take(), protocol.ChannelTelemetry)
		if len(got) < 5000 {
			t.Fatalf("%d readings in 8 hours", len(got))
		}
		first := decode[protocol.Reading](t, got[0].payload).Custom["paper_level"]
		last := decode[protocol.Reading](t, got[len(got)-1].payload).Custom["paper_level"]
		if first != last {
			t.Errorf("paper went from %v to %v", first, last)
		}
		b.stop()
	})
}
