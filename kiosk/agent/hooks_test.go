package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/outbox"
)

// watcher writes down what hooks are told.
type watcher struct {
	mu    sync.Mutex
	lines []string
}

func (w *watcher) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// expect compares what was told since the last call.
func (w *watcher) expect(t *testing.T, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	w.lines = nil
}

// watch tells w of commands and boots.
func (w *watcher) watch(c *Config) {
	c.Interval = 24 * time.Hour
	c.Hooks.Concluded = func(cmd protocol.Command, ack protocol.Ack, executed bool) {
		if ack.ID != cmd.ID {
			w.note("the ack is of %s", ack.ID)
		}
		w.note("%s %s%s %s %v", cmd.ID, cmd.Name, cmd.Params, ack.Status, executed)
	}
	c.Hooks.Booted = func(bootID, version string) {
		if bootID == "" {
			w.note("no boot id")
		}
		w.note("boot %s", version)
	}
	c.Hooks.Answered = func(took time.Duration) { w.note("answered after %s", took.Round(100*time.Millisecond)) }
}

func TestHooksAreToldOfCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, w, counters := t.TempDir(), &watcher{}, &Counters{}
		configure := func(c *Config) { w.watch(c); c.Counters = counters }
		b := start(t, dir, configure)
		w.expect(t, "boot 1.0.0")
		b.broker.send(t, cmd("1", "ping", ""))
		b.broker.send(t, cmd("2", "maintenance", `,"params":{"enabled":true}`))
		b.broker.send(t, cmd("2", "maintenance", `,"params":{"enabled":true}`)) // a repetition
		b.broker.send(t, cmd("3", "explode", ""))
		b.broker.send(t, `{"id":"4","name":7}`)
		w.expect(t, "1 ping succeeded true", "answered after 0s", `2 maintenance{"enabled":true} succeeded true`, "answered after 0s",
			"3 explode rejected false", "answered after 0s", "4  rejected false", "answered after 0s")
		b.store.setFail(os.ErrPermission)
		b.broker.send(t, cmd("5", "block", ""))
		b.broker.send(t, cmd("6", "restart", ""))
		b.store.setFail(nil)
		w.expect(t, "5 block failed false", "answered after 0s", "6 restart failed false", "answered after 0s")
		b.broker.send(t, cmd("7", "update", `,"params":{"version":"2.0.0"}`))
		time.Sleep(2 * time.Second)
		settle()
		w.expect(t, `7 update{"version":"2.0.0"} succeeded true`, "answered after 2s")
		b.broker.send(t, cmd("8", "restart", `,"params":{"why":"test"}`))
		time.Sleep(3 * time.Second)
		settle()
		w.expect(t, "boot 2.0.0", `8 restart{"why":"test"} succeeded true`, "answered after 3s")
		b.broker.send(t, cmd("9", "update", `,"params":{"version":"3.0.0"}`))
		b.end(ErrCrash)
		w.expect(t)
		// What another process settles is told with name and parameters, but not how long it took.
		b = start(t, dir, configure)
		w.expect(t, "boot 2.0.0", `9 update{"version":"3.0.0"} failed false`)
		b.stop()
		got := []int64{counters.Commands.Load(), counters.Executed.Load(), counters.Rejected.Load(), counters.Unmet.Load(), counters.Pretended.Load()}
		if fmt.Sprint(got) != "[9 4 2 3 0]" {
			t.Errorf("received, executed, rejected, failed, pretended: %v", got)
		}
	})
}

func TestAnOldStateFileNamesTheCommandByItsKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, w := t.TempDir(), &watcher{}
		old := `{"blocked":false,"maintenance":false,"restarting":"1"}`
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		b := start(t, dir, w.watch)
		w.expect(t, "boot 1.0.0", "1 restart succeeded true")
		b.stop()
	})
}

func TestAPretendedCommandHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, w, counters := t.TempDir(), &watcher{}, &Counters{}
		b := start(t, dir, func(c *Config) {
			w.watch(c)
			c.Counters = counters
			c.Hooks.Pretends = func(cmd protocol.Command) bool { return cmd.Name != protocol.CommandPing }
		})
		b.broker.take()
		for i, name := range []string{"restart", "block", "ping"} {
			b.broker.send(t, cmd(fmt.Sprint(i), name, ""))
		}
		b.broker.send(t, cmd("3", "maintenance", `,"params":{"enabled":true}`))
		b.broker.send(t, cmd("4", "update", `,"params":{"version":"2.0.0"}`))
		b.broker.send(t, cmd("5", "maintenance", ""))
		b.broker.send(t, cmd("6", "explode", ""))
		time.Sleep(time.Minute)
		synctest.Wait()
		// No join, no reading that would show an effect, no bye.
		got := b.expect("ack(0 received) ack(0 succeeded) ack(1 received) ack(1 succeeded) ack(2 received) ack(2 succeeded) " +
			"ack(3 received) ack(3 succeeded) ack(4 received) ack(4 succeeded) ack(5 received) ack(5 rejected) ack(6 received) ack(6 rejected)")
		if len(only(got, "save")) > 0 {
			t.Error("something was saved")
		}
		for _, m := range only(got, protocol.ChannelAck) {
			if a := decode[protocol.Ack](t, m.payload); a.ID == "4" && a.Status == protocol.AckSucceeded && string(a.Result) != `{"version":"2.0.0"}` {
				t.Errorf("the update's result is %s", a.Result)
			}
		}
		b.broker.send(t, cmd("1", "block", ""))
		b.expect("ack(1 succeeded)") // as one that was executed
		if counters.Pretended.Load() != 4 || counters.Executed.Load() != 1 {
			t.Errorf("pretended %d, executed %d", counters.Pretended.Load(), counters.Executed.Load())
		}
		b.stop()
		b = start(t, dir, nil)
		got = b.expect("will join reading(online)")
		if join := joined(t, got); join.AgentVersion != InitialVersion {
			t.Errorf("version %s", join.AgentVersion)
		}
		b.stop()
	})
}

func TestMessagesMayBeChangedOnTheirWayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spoil atomic.Bool
		var held atomic.Int64 // nanoseconds
		spoil.Store(true)
		var channels []string
		var acknowledged []time.Duration
		b := start(t, t.TempDir(), func(c *Config) {
			c.Interval = 24 * time.Hour
			c.Hooks.Publish = func(_ context.Context, ch protocol.Channel, payload []byte) []byte {
				channels = append(channels, string(ch))
				time.Sleep(time.Duration(held.Load()))
				if spoil.Load() && ch == protocol.ChannelTelemetry {
					return payload[:len(payload)/2]
				}
				return payload
			}
			c.Hooks.Acknowledged = func(_ protocol.Channel, took time.Duration) { acknowledged = append(acknowledged, took) }
		})
		sent := only(b.broker.take(), protocol.ChannelTelemetry)
		if len(sent) != 1 || json.Valid(sent[0].payload) {
			t.Errorf("%d messages, or valid ones", len(sent))
		}
		spoil.Store(false)
		held.Store(int64(time.Second))
		b.broker.mu.Lock()
		b.broker.deaf = 1
		b.broker.mu.Unlock()
		b.broker.send(t, cmd("1", "block", ""))
		time.Sleep(10 * time.Second)
		held.Store(0)
		b.stop()
		if got := strings.Join(channels, " "); !strings.HasPrefix(got, "join telemetry ack ack telemetry ack bye") {
			t.Errorf("channels: %s", got)
		}
		// The message that was not acknowledged is not told, and holding a message up is not the broker's time.
		if len(acknowledged) != len(channels)-1 || acknowledged[0] != fakeRoundTrip || acknowledged[1] != 0 || acknowledged[2] != 0 {
			t.Errorf("%d of %d, after %v", len(acknowledged), len(channels), acknowledged)
		}
	})
}

func TestWhatIsSentAgainIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counters := &Counters{}
		b := startLimited(t, t.TempDir(), outbox.Limits{}, func(c *Config) { c.Counters = counters })
		check := func(when string, sent, acknowledged, resent, readings, readingsAcknowledged, readingsResent int64) {
			t.Helper()
			got := fmt.Sprint(counters.Sent.Load(), counters.Acknowledged.Load(), counters.Resent.Load(),
				counters.SentReadings.Load(), counters.Readings.Load(), counters.ResentReadings.Load())
			if want := fmt.Sprint(sent, acknowledged, resent, readings, readingsAcknowledged, readingsResent); got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		deaf := func(n int) {
			b.broker.mu.Lock()
			defer b.broker.mu.Unlock()
			b.broker.deaf = n
		}
		check("at first", 2, 2, 0, 1, 1, 0) // join and reading
		attempts := func(n int64) {
			for counters.Sent.Load() < n {
				time.Sleep(10 * time.Millisecond)
			}
			synctest.Wait()
		}
		deaf(1)
		attempts(4) // the reading, and again after a second
		check("on one connection", 4, 3, 1, 3, 2, 1)
		// The last attempt before the connection ends counts too.
		deaf(1)
		attempts(5)
		b.broker.setOffline(true)
		time.Sleep(time.Minute)
		b.broker.setOffline(false)
		time.Sleep(fakeRetry)
		settle()
		// A join, the fresh reading, and the backlog: 12 of the outage and the one that was sent before.
		check("after an outage", 8, 6, 2, 18, 16, 2)
		deaf(1)
		b.broker.send(t, cmd("1", "ping", ""))
		time.Sleep(publishRetry)
		synctest.Wait()
		check("an ack", 11, 8, 3, 18, 16, 2)
		b.stop()
	})
}
