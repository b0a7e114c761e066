package agent

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/clock"
	"kioskfleet/kiosk/device"
)

func TestAFleetSpreadsOverTheInterval(t *testing.T) {
	const kiosks, interval = 10_000, 5 * time.Second
	var parts [10]int
	for i := range kiosks {
		p := phase(fmt.Sprintf("SIM-KIOSK-%05d", i), interval)
		if p < 0 || p >= interval {
			t.Fatalf("phase %s", p)
		}
		parts[p*10/interval]++
	}
	for i, n := range parts {
		if n < 900 || n > 1100 {
			t.Errorf("%d of %d kiosks are in part %d of 10", n, kiosks, i)
		}
	}
}

// onGrid returns the readings that were taken on the grid of the test's kiosk, and how many were not.
func onGrid(all []protocol.Reading, interval time.Duration) (on []protocol.Reading, off int) {
	for _, r := range all {
		if (r.Timestamp.UnixNano()-int64(phase(testSerial, interval).Truncate(time.Millisecond)))%int64(interval) == 0 {
			on = append(on, r)
		} else {
			off++
		}
	}
	return on, off
}

func TestReadingsKeepToTheGrid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 5 * time.Second
		dir := t.TempDir()
		var all []protocol.Reading
		b := start(t, dir, nil)
		collect := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
			all = append(all, readingsIn(t, b.broker.take())...)
		}
		collect(20 * time.Second)
		b.broker.setOffline(true)
		collect(8 * time.Second)
		b.broker.setOffline(false)
		collect(11 * time.Second)
		b.broker.send(t, cmd("1", "block", ""))
		collect(4 * time.Second)
		b.broker.send(t, cmd("2", "restart", ""))
		collect(15 * time.Second)
		b.stop()
		b = start(t, dir, nil) // another start changes nothing
		collect(20 * time.Second)
		b.stop()
		on, off := onGrid(all, interval)
		// Beside the grid: three connections, the effect of the block, the begin of the restart, the second start.
		if off != 6 {
			t.Errorf("%d readings are beside the grid, want 6", off)
		}
		seen := map[time.Time]bool{}
		first, last := on[0].Timestamp, on[0].Timestamp
		for _, r := range on {
			if seen[r.Timestamp] {
				t.Errorf("two readings at %s", r.Timestamp)
			}
			seen[r.Timestamp] = true
			if r.Timestamp.Before(first) {
				first = r.Timestamp
			}
			if r.Timestamp.After(last) {
				last = r.Timestamp
			}
		}
		// The restart takes three seconds, which may cost one.
		if want := int(last.Sub(first)/interval) + 1; len(on) < want-1 || want < 15 {
			t.Errorf("%d readings on the grid from %s to %s, want %d", len(on), first, last, want)
		}
	})
}

// slowDevice takes its time once.
type slowDevice struct {
	device.Device
	pause   time.Duration
	sampled []time.Time
}

func (d *slowDevice) Sample(now time.Time, serving bool) device.Sample {
	time.Sleep(d.pause)
	d.pause = 0
	d.sampled = append(d.sampled, now)
	return d.Device.Sample(now, serving)
}

func TestALateReadingBearsItsTrueTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const interval = 5 * time.Second
		d := &slowDevice{pause: 13 * time.Second}
		b := start(t, t.TempDir(), func(c *Config) { d.Device = c.Device; c.Device = d })
		begun := time.Now().Add(-2 * fakeRoundTrip)
		time.Sleep(30 * time.Second)
		b.stop()
		all := readingsIn(t, b.broker.take())
		on, off := onGrid(all, interval)
		// The first one, and one instead of those that were due meanwhile.
		if off != 2 || all[0].Timestamp.Sub(begun) > 100*time.Millisecond || all[1].Timestamp.Sub(begun) < 13*time.Second {
			t.Errorf("%d beside the grid; the first are of %s and %s after the start", off, all[0].Timestamp.Sub(begun), all[1].Timestamp.Sub(begun))
		}
		for i := 1; i < len(on); i++ {
			if on[i].Timestamp.Sub(on[i-1].Timestamp) != interval {
				t.Errorf("%s comes after %s", on[i].Timestamp, on[i-1].Timestamp)
			}
		}
		if len(on) < 3 {
			t.Errorf("%d readings on the grid", len(on))
		}
	})
}

// TestAWrongClock: readings keep their rhythm and their order, and the device the world's time.
func TestAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const skew = 2 * time.Minute
		wrong, d := clock.NewSkewed(clock.Real{}), &slowDevice{}
		b := start(t, t.TempDir(), func(c *Config) { c.Clock = wrong; d.Device = c.Device; c.Device = d })
		type reading struct {
			at    time.Time
			ahead time.Duration
		}
		period := func(ahead, lasts time.Duration) (out []reading) {
			b.broker.take()
			wrong.Set(ahead)
			time.Sleep(lasts)
			synctest.Wait()
			for _, m := range only(b.broker.take(), protocol.ChannelTelemetry) {
				out = append(out, reading{m.at, decode[protocol.Reading](t, m.payload).Timestamp.Sub(m.at).Round(time.Second)})
			}
			if len(out) != int(lasts/(5*time.Second)) {
				t.Errorf("%d readings in %s", len(out), lasts)
			}
			return out
		}
		for _, r := range period(skew, time.Minute) {
			if r.ahead != skew {
				t.Errorf("%s ahead, want %s", r.ahead, skew)
			}
		}
		// Set right, its times stand still until the world has caught up.
		back := period(0, 3*time.Minute)
		for i, r := range back {
			want := max(0, skew-r.at.Sub(back[0].at)-5*time.Second)
			if (r.ahead - want).Abs() > time.Second {
				t.Errorf("reading %d after the end is %s ahead, want %s", i, r.ahead, want)
			}
		}
		// Behind by less than it lasts: the same from the other side.
		behind := period(-time.Minute, 2*time.Minute)
		if last := behind[len(behind)-1]; last.ahead != -time.Minute {
			t.Errorf("%s ahead at last", last.ahead)
		}
		for _, r := range period(0, time.Minute) {
			if r.ahead != 0 {
				t.Errorf("%s ahead at the end", r.ahead)
			}
		}
		b.stop()
		for i := 1; i < len(d.sampled); i++ {
			if gap := d.sampled[i].Sub(d.sampled[i-1]); gap < 0 || gap > 5*time.Second {
				t.Errorf("the device was asked at %s after %s", d.sampled[i], d.sampled[i-1])
			}
		}
	})
}
