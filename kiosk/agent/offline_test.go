package agent

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/clock"
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

// killed returns a copy of a folder, as the end of its process would leave it at this moment.
func killed(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return left
}

func TestWhatWaitsSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := start(t, dir, nil)
		b.broker.send(t, cmd("1", "update", ""))
		b.broker.setOffline(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		left := killed(t, dir)
		earlier := b.broker.take()
		b.stop()

		b = start(t, left, nil)
		got := b.expect("will join ack(1 succeeded) reading(online) readings(121)")
		// In time order and without a gap: the readings of the broken connection, then that of this one.
		sent := only(earlier, protocol.ChannelTelemetry)
		last := decode[protocol.Reading](t, sent[len(sent)-1].payload)
		telemetry := only(got, protocol.ChannelTelemetry)
		for _, r := range decode[[]protocol.Reading](t, telemetry[1].payload) {
			if r.Session != last.Session || r.Seq != last.Seq+1 || !r.Timestamp.After(last.Timestamp) {
				t.Fatalf("%s/%d at %s comes after %s/%d at %s", r.Session, r.Seq, r.Timestamp, last.Session, last.Seq, last.Timestamp)
			}
			last = r
		}
		fresh := decode[protocol.Reading](t, telemetry[0].payload)
		if fresh.Session == last.Session || fresh.Seq != 1 || !fresh.Timestamp.After(last.Timestamp) {
			t.Errorf("the fresh reading is %s/%d at %s, after %s/%d at %s", fresh.Session, fresh.Seq, fresh.Timestamp, last.Session, last.Seq, last.Timestamp)
		}
		b.stop()
	})
}

func TestTimesGrowOverAStartWithinAMillisecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		b := start(t, dir, nil)
		b.broker.take()
		b.broker.setOffline(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		left := killed(t, dir)
		b.stop()
		b = startLimited(t, left, outbox.Limits{}, nil)
		got := only(b.broker.take(), protocol.ChannelTelemetry)
		if len(got) != 2 {
			t.Fatalf("%d messages", len(got))
		}
		fresh, old := decode[protocol.Reading](t, got[0].payload), decode[protocol.Reading](t, got[1].payload)
		if !fresh.Timestamp.After(old.Timestamp) || fresh.Session == old.Session {
			t.Errorf("%s in session %s comes after %s in %s", fresh.Timestamp, fresh.Session, old.Timestamp, old.Session)
		}
		b.stop()
	})
}

func TestAClockThatCatchesUpMissesNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, t.TempDir(), func(c *Config) { c.Clock = clock.NewCatchUp(time.Hour, 121) })
		began := time.Now()
		b.broker.setOffline(true)
		b.broker.take()
		time.Sleep(40 * time.Second) // 30 to catch up, 10 as everybody's
		b.broker.setOffline(false)
		time.Sleep(fakeRetry)
		settle()
		now := time.Now()
		var all []protocol.Reading
		for _, m := range only(b.broker.take(), protocol.ChannelTelemetry) {
			if m.payload[0] == '[' {
				all = append(all, decode[[]protocol.Reading](t, m.payload)...)
			}
		}
		past := 0
		for i, r := range all {
			if r.Timestamp.After(now) {
				t.Errorf("a reading of %s at %s", r.Timestamp, now)
			}
			if r.Timestamp.Before(began) {
				past++
			}
			if i > 0 && r.Timestamp.Sub(all[i-1].Timestamp) != 5*time.Second {
				t.Errorf("reading %d is of %s, the one before of %s", r.Seq, r.Timestamp, all[i-1].Timestamp)
			}
		}
		if past < 719 || past > 720 || len(all) < past+7 {
			t.Errorf("%d readings, %d of them before the start", len(all), past)
		}
		b.stop()
	})
}
