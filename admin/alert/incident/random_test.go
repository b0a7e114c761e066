package incident_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// Random alerts come and go. A state that is built anew before every step finds what the one that lives on finds,
// no alert is in two incidents, and an incident is open exactly as long as one of its alerts.
func TestRandomAlerts(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			sites := map[string]int{"Gate": 3, "Pier": 5, "Hall": 9}
			lives, restarts := newWorld(sites), newWorld(sites)
			at, number := time.Duration(0), 0
			open := []string{}
			for range 150 {
				at += time.Duration(r.IntN(40)) * time.Second
				var alerts []*fleet.Alert
				for range 1 + r.IntN(4) {
					if len(open) > 0 && r.IntN(5) < 2 {
						i := r.IntN(len(open))
						alerts = append(alerts, resolved(lives.alerts[open[i]], at))
						open = append(open[:i], open[i+1:]...)
						continue
					}
					site := []string{"Gate", "Pier", "Hall"}[r.IntN(3)]
					a := alert([]string{"offline", "stale", "cash_full"}[r.IntN(3)], site, r.IntN(sites[site]), at)
					a.ID = fmt.Sprint(number)
					a.Network = []string{"", "10.1.0.0/16", "10.2.0.0/16"}[r.IntN(3)]
					a.AgentVersion = []string{"1.4.1", "1.4.2"}[r.IntN(2)]
					number++
					alerts = append(alerts, a)
				}
				for _, a := range alerts {
					if a.Open() {
						open = append(open, a.ID)
					}
				}
				copies := make([]*fleet.Alert, len(alerts))
				for i, a := range alerts {
					b := *a
					copies[i] = &b
				}
				restarts.restart()
				lives.step(alerts...)
				restarts.step(copies...)
				check(t, lives)
				if got, want := restarts.titles(), lives.titles(); got != want {
					t.Fatalf("built anew it found\n%s\nnot\n%s", got, want)
				}
			}
			if len(lives.opened) == 0 {
				t.Error("there was no incident")
			}
		})
	}
}

func check(t *testing.T, w *world) {
	t.Helper()
	open, kiosks := map[string]int{}, map[string]map[string]bool{}
	for _, a := range w.alerts {
		if a.IncidentID == "" {
			continue
		}
		if kiosks[a.IncidentID] == nil {
			kiosks[a.IncidentID] = map[string]bool{}
		}
		kiosks[a.IncidentID][a.Serial] = true
		if a.Open() {
			open[a.IncidentID]++
		}
	}
	for id, i := range w.incidents {
		if i.Open != open[id] || i.Kiosks != len(kiosks[id]) || (i.State == fleet.AlertOpen) != (open[id] > 0) || i.Kiosks < 3 {
			t.Fatalf("%s says %d open, %d kiosks, but %d and %d are: %s", i.State, i.Open, i.Kiosks, open[id], len(kiosks[id]), i.Title)
		}
	}
}
