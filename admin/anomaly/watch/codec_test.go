package watch

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

func contains(all []string, one string) bool { return slices.Contains(all, one) }

// throughJSON writes a prior and reads it again.
func throughJSON(t *testing.T, p *Prior) *Prior {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	out := new(Prior)
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestARestoredKioskGoesOnTheSame(t *testing.T) {
	cfg := Default()
	a := New(&cfg, nil)
	var b *Kiosk
	fired := 0
	n := 0
	// The fault makes the anomaly itself part of the state.
	faults := planned("fan_failure", begin.AddDate(0, 0, 4), begin.AddDate(0, 0, 4).Add(3*time.Hour), nil)
	run(simulated(5, 1, faults), begin, begin.AddDate(0, 0, 4).Add(4*time.Hour), 30*time.Second, func(at time.Time, v []fleet.Value) {
		if n%3 == 2 {
			v = v[2:] // some metrics are not always there
		}
		if n%997 == 5 {
			state, err := a.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			b = New(&cfg, nil)
			if err := b.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
			again, err := b.AppendBinary(nil)
			if err != nil || !slices.Equal(state, again) {
				t.Fatalf("the state of a restored kiosk is another one (%v)", err)
			}
		}
		n++
		want := a.Step(at, v, nil)
		if want.Fired {
			fired++
		}
		if b == nil {
			return
		}
		if got := b.Step(at, v, nil); got != want {
			t.Fatalf("%s: a restored kiosk finds %+v, want %+v", at, got, want)
		}
	})
	if fired == 0 {
		t.Error("there was no anomaly to restore")
	}
}

func TestABrokenStateIsRefused(t *testing.T) {
	state := schooled[0]()
	cfg := Default()
	for _, tt := range []struct {
		name  string
		state []byte
	}{
		{"nothing", nil},
		{"another version", append([]byte{version + 1}, state[1:]...)},
		{"cut off", state[:len(state)/2]},
		{"more than there is", append(slices.Clone(state), 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := New(&cfg, nil)
			if err := k.UnmarshalBinary(tt.state); err == nil {
				t.Fatal("no error")
			}
			if len(k.sensors) != 0 || !k.Learning() {
				t.Error("the kiosk is not as new")
			}
		})
	}
}

// A broken state may be read as some other one, but a kiosk that has it does not fail.
func FuzzUnmarshalBinary(f *testing.F) {
	cfg := Default()
	k := New(&cfg, nil)
	run(simulated(1, 1), begin, begin.Add(3*time.Hour), time.Minute, func(at time.Time, v []fleet.Value) { k.Step(at, v, nil) })
	state, err := k.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state, 100, byte(7))
	f.Add(state, len(state)-30, byte(255))
	f.Add(state[:200], 1, byte(0))
	f.Fuzz(func(_ *testing.T, b []byte, at int, x byte) {
		b = slices.Clone(b)
		if at >= 0 && at < len(b) {
			b[at] = x
		}
		k := New(&cfg, nil)
		if k.UnmarshalBinary(b) != nil {
			return
		}
		last := time.UnixMilli(max(k.clock.last, 0)).UTC()
		for i := range 20 {
			k.Step(last.Add(time.Duration(i)*time.Minute), []fleet.Value{{Metric: "hardware.cpu_temp", Value: 40}, {Metric: "hardware.cpu_usage", Value: float64(i)}}, nil)
			k.Explain()
		}
	})
}
