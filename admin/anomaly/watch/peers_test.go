package watch

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// sibling is a kiosk whose one metric is what all share at an hour, what is its own, and noise.
func sibling(n, hour int, r *rand.Rand) float64 {
	shared := 45 + 8*math.Sin(float64(hour)/24*2*math.Pi)
	return shared + 3*math.Sin(float64(7*n)) + 0.3*r.NormFloat64()
}

func TestAKioskUnlikeItsSiblings(t *testing.T) {
	const days = 6
	for _, tt := range []struct {
		name   string
		kiosks int
		change func(n, hour int) float64 // from the last day on
		found  bool
	}{
		{"nothing changes", 12, func(int, int) float64 { return 0 }, false},
		{"one changes", 12, func(n, _ int) float64 { return []float64{30, 0}[min(n, 1)] }, true},
		{"all change", 12, func(int, int) float64 { return 30 }, false},
		{"one changes among too few", 8, func(n, _ int) float64 { return []float64{30, 0}[min(n, 1)] }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := Default()
			r := rand.New(rand.NewPCG(1, 2))
			all := make([]*Kiosk, tt.kiosks)
			for n := range all {
				all[n] = New(&cfg, nil)
			}
			found := map[int]bool{}
			var text string
			for hour := range days * 24 {
				at := begin.Add(time.Duration(hour) * time.Hour)
				peers := NewPeers(at)
				for n, k := range all {
					x := sibling(n, hour, r)
					if hour >= (days-1)*24 {
						x += tt.change(n, hour)
					}
					for i := range 7 {
						k.Step(at.Add(time.Duration(i)*10*time.Minute), []fleet.Value{{Metric: "hardware.cpu_temp", Value: x + 0.1*r.NormFloat64()}}, nil)
					}
				}
				for _, k := range all {
					peers.Add(k)
				}
				for n, k := range all {
					k.Compare(peers)
					if s := &k.sensors[0]; s.peer.part(at.Add(time.Hour+time.Minute).UnixMilli()).evidence > 4 {
						found[n] = true
						text = fmt.Sprint(n, " ", s.peer.found)
					}
				}
			}
			if found[0] != tt.found || len(found) > 1 {
				t.Errorf("unlike the others are %v (%s)", found, text)
			}
		})
	}
}
