package history

import (
	"slices"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

func TestAQuietKioskReportsEachInterval(t *testing.T) {
	cfg := configOf(t, 3, 2)
	cfg.Interval = 5 * time.Minute
	m := written(t, cfg)
	if m.Readings != 3*2*288 || len(m.Kiosks) != 3 || m.LeftOut != 0 {
		t.Errorf("%d readings of %d kiosks, %d left out", m.Readings, len(m.Kiosks), m.LeftOut)
	}
	starts := map[time.Time]bool{}
	for _, f := range m.Kiosks {
		readings := readingsOf(t, cfg.Dir, f)
		if int64(len(readings)) != f.Readings || f.Sessions != 1 {
			t.Fatalf("%d readings in %d sessions, the list says %d", len(readings), f.Sessions, f.Readings)
		}
		for i, r := range readings {
			want := readings[0].Timestamp.Add(time.Duration(i) * cfg.Interval)
			if r.Serial != f.Kiosk.Serial || r.Seq != uint64(i+1) || r.Session == "" || r.Session != readings[0].Session || r.Status != protocol.StateOnline || !r.Timestamp.Equal(want) {
				t.Fatalf("reading %d is %+v", i, r)
			}
		}
		first, last := readings[0].Timestamp, readings[len(readings)-1].Timestamp
		if !f.First.Equal(first) || !f.Last.Equal(last) || first.Before(begin) || !last.Before(begin.Add(48*time.Hour)) {
			t.Errorf("from %s to %s, the list says %s to %s", first, last, f.First, f.Last)
		}
		starts[first] = true
	}
	if len(starts) != 3 {
		t.Error("kiosks report in step")
	}
	if boots := truthOf(t, cfg.Dir, truth.Boot); len(boots) != 3 {
		t.Errorf("%d boots", len(boots))
	}
}

// gap returns the readings around a stretch of time, which must hold none.
func gap(t *testing.T, readings []protocol.Reading, from, to time.Time) (before, after protocol.Reading) {
	t.Helper()
	i := slices.IndexFunc(readings, func(r protocol.Reading) bool { return !r.Timestamp.Before(from) })
	if i < 1 {
		t.Fatalf("no readings around %s", from)
	}
	if at := readings[i].Timestamp; at.Before(to) {
		t.Fatalf("a reading at %s, between %s and %s", at, from, to)
	}
	return readings[i-1], readings[i]
}

func TestFaultsOfTheAgentLeaveWhatTheyDo(t *testing.T) {
	cfg := configOf(t, 1, 1)
	cfg.Fate = befalls(t,
		fault.Fault{Kind: fault.Crash, From: at(3, 0), To: at(3, 20)},
		fault.Fault{Kind: fault.RebootLoop, From: at(6, 0), To: at(6, 30), Params: fault.Params{"every": "9m", "down": "1m"}},
	)
	m := written(t, cfg)
	readings := readingsOf(t, cfg.Dir, m.Kiosks[0])
	var starts, ends, boots []time.Time
	for _, e := range planned(truthOf(t, cfg.Dir, truth.FaultStart, truth.FaultEnd, truth.Boot)) {
		switch e.Event {
		case truth.FaultStart:
			starts = append(starts, e.Time)
		case truth.FaultEnd:
			ends = append(ends, e.Time)
		case truth.Boot:
			boots = append(boots, e.Time)
		}
	}
	if !slices.Equal(starts, []time.Time{at(3, 0), at(6, 0)}) || !slices.Equal(ends, []time.Time{at(3, 20), at(6, 30)}) {
		t.Errorf("the truth tells of faults from %v to %v", starts, ends)
	}
	if want := []time.Time{at(3, 20), at(6, 1), at(6, 11), at(6, 21)}; !slices.Equal(boots[1:], want) {
		t.Errorf("boots at %v, want %v", boots[1:], want)
	}
	for _, down := range [][2]time.Time{{at(3, 0), at(3, 20)}, {at(6, 0), at(6, 1)}, {at(6, 10), at(6, 11)}, {at(6, 20), at(6, 21)}} {
		before, after := gap(t, readings, down[0], down[1])
		if after.Session == before.Session || after.Seq != 1 || !after.Timestamp.Equal(down[1]) {
			t.Errorf("after the gap at %s comes %s number %d at %s, before it was %s", down[0], after.Session, after.Seq, after.Timestamp, before.Session)
		}
		if down[0].Sub(before.Timestamp) > time.Minute {
			t.Errorf("the last reading before %s is of %s", down[0], before.Timestamp)
		}
	}
	if m.Kiosks[0].Sessions != 5 {
		t.Errorf("%d sessions", m.Kiosks[0].Sessions)
	}
}

func TestAnOutageLosesNothing(t *testing.T) {
	cfg := configOf(t, 1, 1)
	cfg.Fate = befalls(t,
		fault.Fault{Kind: fault.SiteOutage, From: at(3, 0), To: at(4, 0)},
		fault.Fault{Kind: fault.Flapping, From: at(3, 30), To: at(4, 30), Params: fault.Params{"every": "10m"}},
	)
	m := written(t, cfg)
	readings := readingsOf(t, cfg.Dir, m.Kiosks[0])
	if len(readings) < 1440 {
		t.Errorf("%d readings", len(readings))
	}
	var changes []time.Time
	for i := 1; i < len(readings); i++ {
		r, before := readings[i], readings[i-1]
		if step := r.Timestamp.Sub(before.Timestamp); step <= 0 || step > time.Minute {
			t.Errorf("%s follows %s", r.Timestamp, before.Timestamp)
		}
		if r.Session != before.Session {
			changes = append(changes, r.Timestamp)
		}
	}
	// The agent reports at once over each new connection; within the outage there is none.
	if want := []time.Time{at(4, 0), at(4, 10), at(4, 20)}; !slices.Equal(changes, want) {
		t.Errorf("new sessions at %v, want %v", changes, want)
	}
}

func TestFaultsThatChangeReadings(t *testing.T) {
	plain := configOf(t, 1, 1)
	m := written(t, plain)
	healthy := readingsOf(t, plain.Dir, m.Kiosks[0])

	t.Run("clock skew", func(t *testing.T) {
		cfg := configOf(t, 1, 1)
		cfg.Fate = befalls(t, fault.Fault{Kind: fault.ClockSkew, From: at(3, 0), To: at(4, 0), Params: fault.Params{"by": "10m"}},
			fault.Fault{Kind: fault.ClockSkew, From: at(5, 0), To: at(6, 0), Params: fault.Params{"by": "-10m"}})
		m := written(t, cfg)
		readings := readingsOf(t, cfg.Dir, m.Kiosks[0])
		if len(readings) != len(healthy) {
			t.Fatalf("%d readings", len(readings))
		}
		for i, r := range readings {
			when := healthy[i].Timestamp
			want := when
			if !when.Before(at(3, 0)) && when.Before(at(4, 0)) {
				want = when.Add(10 * time.Minute)
			}
			if !when.Before(at(5, 0)) && when.Before(at(6, 0)) {
				want = when.Add(-10 * time.Minute)
			}
			if i > 0 && !want.After(readings[i-1].Timestamp) {
				want = readings[i-1].Timestamp.Add(time.Millisecond) // as outbox.Stamp does
			}
			if !r.Timestamp.Equal(want) {
				t.Fatalf("the reading of %s says %s, want %s", when, r.Timestamp, want)
			}
		}
	})
	t.Run("slow network", func(t *testing.T) {
		cfg := configOf(t, 1, 1)
		cfg.Fate = befalls(t, fault.Fault{Kind: fault.SlowNetwork, From: at(3, 0), To: at(4, 0), Params: fault.Params{"delay": "700ms"}})
		m := written(t, cfg)
		for i, r := range readingsOf(t, cfg.Dir, m.Kiosks[0]) {
			want := 0.0
			if !r.Timestamp.Before(at(3, 0)) && r.Timestamp.Before(at(4, 0)) {
				want = 1400
			}
			if more := r.Network["latency"].(float64) - healthy[i].Network["latency"].(float64); more < want-0.2 || more > want+0.2 {
				t.Fatalf("at %s the latency is %v ms more, want %v", r.Timestamp, more, want)
			}
		}
	})
	t.Run("refused readings", func(t *testing.T) {
		cfg := configOf(t, 1, 1)
		cfg.Fate = befalls(t, fault.Fault{Kind: fault.MalformedPayload, From: at(3, 0), To: at(4, 0), Params: fault.Params{"share": 0.5}},
			fault.Fault{Kind: fault.SerialMismatch, From: at(5, 0), To: at(6, 0)})
		m := written(t, cfg)
		f := m.Kiosks[0]
		readings := readingsOf(t, cfg.Dir, f)
		hours := map[int]int{}
		for _, r := range readings {
			hours[r.Timestamp.Hour()]++
			// Their numbers are used up: the platform sees that something is missing.
			if i := int(r.Seq) - 1; !healthy[i].Timestamp.Equal(r.Timestamp) {
				t.Fatalf("number %d is of %s", r.Seq, r.Timestamp)
			}
		}
		if hours[3] < 15 || hours[3] > 45 || hours[5] != 0 || hours[2] != 60 || hours[6] != 60 {
			t.Errorf("readings by hour: %v", hours)
		}
		if f.LeftOut != int64(1440-len(readings)) || m.LeftOut != f.LeftOut {
			t.Errorf("%d readings, %d left out", len(readings), f.LeftOut)
		}
	})
}
