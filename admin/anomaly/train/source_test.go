package train

import (
	"errors"
	"slices"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/score"
	"kioskfleet/admin/anomaly/synth"
	"kioskfleet/admin/fleet"
)

func TestAFolderLeavesOutWhatIsKnownToBeWrong(t *testing.T) {
	m := made(1, 2, 1)
	k := m.kiosks[0]
	k.Windows = []score.Window{{From: k.Times[100], To: k.Times[199], Kind: "stuck", Metrics: []string{cpuTemp}}}
	dir := t.TempDir()
	if err := synth.WriteFleet(dir, slices.Values([]synth.Kiosk{k})); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	kiosks, err := f.Kiosks(t.Context())
	if err != nil || len(kiosks) != 1 || kiosks[0].Serial != k.Serial || kiosks[0].Model != k.Model || kiosks[0].Site != k.Site {
		t.Fatalf("kiosks %+v, %v", kiosks, err)
	}
	from, to, err := f.Span()
	if err != nil || !from.Equal(k.Times[0]) || !to.After(k.Times[len(k.Times)-1]) {
		t.Errorf("from %v to %v, %v", from, to, err)
	}
	var got []time.Time
	err = f.Readings(t.Context(), k.Serial, k.Times[50], k.Times[300], func(at time.Time, values []fleet.Value) error {
		got = append(got, at)
		for _, v := range values {
			if v.Metric == paper {
				t.Fatalf("%s is a supply, which nobody watches", paper)
			}
		}
		if len(values) != 9 {
			t.Fatalf("%d values", len(values))
		}
		return nil
	})
	if want := slices.Concat(k.Times[50:100], k.Times[200:300]); err != nil || !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("%d readings, want %d, %v", len(got), len(want), err)
	}
	stop := errors.New("enough")
	if err := f.Readings(t.Context(), k.Serial, from, to, func(time.Time, []fleet.Value) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if err := f.Readings(t.Context(), "other", from, to, nil); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestALargeFleetIsSampledTheSameEachTime(t *testing.T) {
	var all []fleet.Kiosk
	for _, k := range made(20, 1, 1).kiosks {
		all = append(all, fleet.Kiosk{Serial: k.Serial})
	}
	one := sample(all, 5)
	slices.Reverse(all)
	if two := sample(all, 5); len(one) != 5 || !slices.EqualFunc(one, two, func(a, b fleet.Kiosk) bool { return a.Serial == b.Serial }) {
		t.Errorf("got %v and %v", one, two)
	}
	if got := sample(all, 100); len(got) != 20 {
		t.Errorf("%d of 20 kiosks", len(got))
	}
}

func TestReadingsAreThinned(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		step time.Duration
		want int
	}{
		{"not at all", 0, 60}, {"to one a minute", time.Minute, 5}, {"less often than they come", 2 * time.Second, 60},
	} {
		n := 0
		each := thinned(tt.step, func(time.Time, []fleet.Value) error { n++; return nil })
		for i := range 60 {
			if err := each(begin.Add(time.Duration(i)*5*time.Second), nil); err != nil {
				t.Fatal(err)
			}
		}
		if n != tt.want {
			t.Errorf("%s: %d readings, want %d", tt.name, n, tt.want)
		}
	}
}

// Metrics that come and go are held at their last value, those that are mostly missing are left out.
func TestReadingsAreHeldInMemoryWithoutHoles(t *testing.T) {
	src := &memory{kiosks: []synth.Kiosk{{Serial: "A"}}}
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	holes := holed{src, func(each func(time.Time, []fleet.Value) error) error {
		for i := range 6 {
			values := []fleet.Value{{Metric: "a.always", Value: float64(i)}}
			if i >= 1 && i != 3 {
				values = append(values, fleet.Value{Metric: "a.mostly", Value: float64(10 * i)})
			}
			if i == 2 {
				values = append(values, fleet.Value{Metric: "a.once", Value: 1})
			}
			if err := each(begin.Add(time.Duration(i)*time.Minute), values); err != nil {
				return err
			}
		}
		return nil
	}}
	k, err := read(t.Context(), holes, fleet.Kiosk{Serial: "A", Model: "m", Site: "s"}, begin, begin.Add(time.Hour), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(k.Metrics, []string{"a.always", "a.mostly"}) || len(k.Times) != 6 || k.Model != "m" || k.Site != "s" {
		t.Fatalf("got %+v", k)
	}
	if want := []float64{10, 10, 20, 20, 40, 50}; !slices.Equal(k.Values[1], want) {
		t.Errorf("got %v, want %v", k.Values[1], want)
	}
}
