package detect_test

import (
	"encoding/json"
	"testing"

	"kioskfleet/admin/anomaly/detect"
)

// siblings returns what ten kiosks of two weeks have in common, each a little higher than the one before.
func siblings(t *testing.T) *detect.Prior {
	t.Helper()
	var p detect.Prior
	for k := range 10 {
		m := fresh(t, false)
		xs := days(14, uint64(100+k))
		for i := range xs {
			xs[i] += 0.2 * float64(k)
		}
		run(m, xs)
		p.Add(m)
	}
	text, err := json.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	var read detect.Prior
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return &read
}

func TestAPriorGuardsFromTheFirstHour(t *testing.T) {
	cfg := detect.Default()
	prior := siblings(t)
	if prior.Kiosks != 10 {
		t.Fatalf("%d kiosks in the prior", prior.Kiosks)
	}
	for name, c := range map[string]struct {
		fault func(xs []float64)
		want  bool
	}{
		"nothing wrong": {func([]float64) {}, false},
		"far off":       {func(xs []float64) { xs[8] += 25 }, true},
		"nothing":       {func(xs []float64) { xs[8] = 0 }, true},
		"stands still": {func(xs []float64) {
			for i := 3; i < 12; i++ {
				xs[i] = xs[2]
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			xs := days(1, 55)[:12]
			c.fault(xs)
			m := detect.New(&cfg, prior)
			found := false
			for _, e := range run(m, xs) {
				if !e.Known || e.Low == 0 {
					t.Fatal("nothing is known")
				}
				found = found || e.Surprise >= alarm
			}
			if found != c.want {
				t.Errorf("found: %v", found)
			}
		})
	}
}

func TestAPriorThatIsNotWholeIsNone(t *testing.T) {
	cfg := detect.Default()
	prior := siblings(t)
	prior.Tails = prior.Tails[:3]
	if e := detect.New(&cfg, prior).Step(begin, 50); e.Known {
		t.Error("something is known")
	}
	var none detect.Prior
	none.Add(fresh(t, false))
	if none.Kiosks != 0 {
		t.Error("a metric without values is in the prior")
	}
}
