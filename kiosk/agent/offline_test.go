package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/outbox"
)

func TestNothingIsLostWhileTheBrokerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), nil)
		b.broker.send(t, cmd("1", "update", ""))
		b.broker.take()
		b.broker.setOffline(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		var attempts int
		for _, m := range b.broker.take() {
			if m.channel == "will" {
				attempts++
			} else if m.channel != "save" {
				t.Errorf("%s was published while offline", m.channel)
			}
		}
		if attempts < 2 {
			t.Errorf("%d attempts to connect", attempts)
		}
		b.broker.setOffline(false)
		time.Sleep(fakeRetry)
		settle()
		got := b.broker.take()
		if s := story(t, got); !strings.HasPrefix(s, "will join ack(1 succeeded) reading(online) readings(") {
			t.Fatalf("got %s", s)
		}
		// The backlog is complete, in order, and in the session in which it was taken.
		session := joined(t, got).Session
		seq := uint64(0)
		backlog := only(got, protocol.ChannelTelemetry)
		fresh := decode[protocol.Reading](t, backlog[0].payload)
		total := 0
		for _, m := range backlog[1:] {
			for _, r := range decode[[]protocol.Reading](t, m.payload) {
				if r.Session == session || seq > 0 && r.Seq != seq+1 {
					t.Fatalf("backlog has %s/%d after %d; the session is %s", r.Session, r.Seq, seq, session)
				}
				seq = r.Seq
				total++
			}
		}
		if total != 721 { // an hour of them, and the one that shows the update's end
			t.Errorf("the backlog holds %d readings", total)
		}
		if fresh.Session != session || fresh.Seq != 1 {
			t.Errorf("the fresh reading is %s/%d", fresh.Session, fresh.Seq)
		}
		b.stop()
	})
}

func TestEachAttemptHasItsOwnSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), nil)
		b.broker.setOffline(true)
		time.Sleep(time.Second)
		b.broker.setOffline(false)
		time.Sleep(time.Second)
		synctest.Wait()
		got := b.broker.take()
		seen := map[string]bool{}
		for _, m := range only(got, "will") {
			session := decode[protocol.Bye](t, m.payload).Session
			if seen[session] {
				t.Errorf("session %s was tried twice", session)
			}
			seen[session] = true
		}
		joins := only(got, protocol.ChannelJoin)
		if len(joins) != 2 || decode[protocol.Join](t, joins[0].payload).BootID != decode[protocol.Join](t, joins[1].payload).BootID {
			t.Errorf("%d joins, or the boot id changed", len(joins))
		}
		b.stop()
	})
}

func TestAFullOutboxCountsWhatItDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counters := &Counters{}
		limits := outbox.Limits{MaxReadings: 10, Dropped: func(n int) { counters.Dropped.Add(int64(n)) }}
		b := startLimited(t, t.TempDir(), limits, func(c *Config) { c.Counters = counters })
		b.broker.setOffline(true)
		time.Sleep(100*time.Second + time.Millisecond) // 20 readings
		b.broker.setOffline(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := counters.Dropped.Load(); got != 11 { // the fresh one needs room as well
			t.Errorf("dropped %d, want 11", got)
		}
		if got := counters.Connected.Load(); got != 1 {
			t.Errorf("connected %d", got)
		}
		b.stop()
		if got := counters.Connected.Load(); got != 0 {
			t.Errorf("connected %d after the end", got)
		}
	})
}
