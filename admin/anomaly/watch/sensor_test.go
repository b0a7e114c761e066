package watch

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// pair are two movements, by name of their metric.
type pair struct {
	a, b  string
	moves [2]int
}

// known returns a kiosk's moments and the movements that its relations are made of, by name.
func known(k *Kiosk) (moments map[pair]float32, partners map[string][]string) {
	moments, partners = map[pair]float32{}, map[string][]string{}
	for i := range k.sensors {
		s := &k.sensors[i]
		for l := range k.sensors {
			for m := range moves {
				for o := range moves {
					moments[pair{s.name, k.sensors[l].name, [2]int{m, o}}] = k.joint.at(moves*i+m, moves*l+o)
				}
			}
		}
		for _, f := range s.rel.from[:s.rel.count] {
			partners[s.name] = append(partners[s.name], k.sensors[f/moves].name)
		}
	}
	return moments, partners
}

func TestNewMetricsLeaveTheOthersAsTheyWere(t *testing.T) {
	cfg := Default()
	k := New(&cfg, nil)
	var last []fleet.Value
	run(simulated(1, 1), begin, begin.Add(6*time.Hour), 30*time.Second, func(at time.Time, v []fleet.Value) {
		k.Step(at, v, nil)
		last = slices.Clone(v)
	})
	moments, partners := known(k)
	if len(partners) == 0 {
		t.Fatal("there is no relation that could be lost")
	}
	before := len(k.sensors)
	for _, name := range []string{"a.first", "hardware.cpu_temq", "hardware.cpu_temr", "network.a", "z.last"} {
		last = append(last, fleet.Value{Metric: name, Value: 1})
	}
	slices.SortFunc(last, func(a, b fleet.Value) int { return cmp.Compare(a.Metric, b.Metric) })
	k.match(last)
	if got := len(k.sensors); got != before+5 || cap(k.sensors) != got {
		t.Errorf("%d sensors with room for %d, want exactly %d", got, cap(k.sensors), before+5)
	}
	if !slices.IsSortedFunc(k.sensors, func(a, b sensor) int { return cmp.Compare(a.name, b.name) }) {
		t.Error("the sensors are not in the order of their names")
	}
	nowMoments, nowPartners := known(k)
	for p, want := range moments {
		if got := nowMoments[p]; got != want {
			t.Errorf("moment of %v: %v, want %v", p, got, want)
		}
	}
	for name, want := range partners {
		if got := nowPartners[name]; !slices.Equal(got, want) {
			t.Errorf("partners of %s: %v, want %v", name, got, want)
		}
	}
}

func TestAnOpenAnomalyKeepsItsPartnersWhenMetricsCome(t *testing.T) {
	cfg := Default()
	k := New(&cfg, nil)
	see := func(names ...string) {
		var values []fleet.Value
		for _, n := range names {
			values = append(values, fleet.Value{Metric: n, Value: 1})
		}
		k.match(values)
	}
	see("c.a", "c.b", "c.c", "c.d")
	k.episode.open = true
	k.keep()
	k.episode.parts[1] = kept{part: part{evidence: 5, kind: relationKind}, partners: [named]uint8{1, 4}}
	for _, names := range [][]string{
		{"c.a", "c.b", "c.c", "c.d"},
		{"a.first", "c.a", "c.b", "c.c", "c.d"},
		{"a.first", "c.a", "c.aa", "c.b", "c.bb", "c.c", "c.d", "z.last"},
	} {
		see(names...)
		got := k.Explain()
		if len(got) != 1 || got[0].Metric != "c.b" || !slices.Equal(got[0].With, []string{"c.a", "c.d"}) {
			t.Errorf("with %v: %+v, want c.b with c.a and c.d", names, got)
		}
	}
}

func TestMoreMetricsThanAreWatched(t *testing.T) {
	cfg := Default()
	k := New(&cfg, nil)
	named := func(names ...string) (out []fleet.Value) {
		for _, n := range names {
			out = append(out, fleet.Value{Metric: n})
		}
		return out
	}
	var many []string
	for i := range MaxMetrics - 1 {
		many = append(many, "m."+string(rune('a'+i)))
	}
	for _, tt := range []struct {
		name    string
		metrics []string
		sensors int
		skipped int
	}{
		{"nearly as many as there may be", many, MaxMetrics - 1, 0},
		{"two more, of which one is watched", append([]string{"a.a", "b.b"}, many...), MaxMetrics, 1},
		{"the same again", append([]string{"a.a", "b.b"}, many...), MaxMetrics, 1},
		{"only one that is not watched", []string{"b.b"}, MaxMetrics, 1},
		{"only those that are", append([]string{"a.a"}, many...), MaxMetrics, 0},
	} {
		k.match(named(tt.metrics...))
		if len(k.sensors) != tt.sensors || k.Skipped() != tt.skipped || k.sensors[0].name != tt.metrics[0] && tt.skipped == 0 {
			t.Errorf("%s: %d sensors from %s on, %d skipped; want %d and %d", tt.name, len(k.sensors), k.sensors[0].name, k.Skipped(), tt.sensors, tt.skipped)
		}
	}
}

func TestASnapshotAllocatesNothing(t *testing.T) {
	cfg := Default()
	k, _, _ := grown(t, &cfg, 1, time.Minute)
	b, err := k.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { b, _ = k.AppendBinary(b[:0]) }); n > 0 {
		t.Errorf("%v allocations to append to a buffer that is large enough", n)
	}
}
