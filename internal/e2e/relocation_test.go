package e2e

import (
	"fmt"
	"testing"
	"time"
)

const takenAway = `
name: taken away
fleets:
  - {name: hall, site: Atocha, location: {lat: 40.4066, lng: -3.6891}, kiosks: 3, interval: 1s, demand: 0}
phases:
  - name: all is well
    for: 15s
  - name: somebody takes a kiosk away
    for: 10m
    faults:
      - {fault: relocation, of: {count: 1, draw: taken}, with: {metres: 600}}
`

// TestAKioskThatIsTakenAwayLeftItsLocation: a kiosk that is driven away has left its place, and nobody doubts that.
func TestAKioskThatIsTakenAwayLeftItsLocation(t *testing.T) {
	t.Parallel()
	p := startAdmin(t, nil)
	start(t, "spawner", p.agentEnv(nil), "--scenario", writeScenario(t, takenAway), "--ramp-up", "100")
	within(t, 5*time.Minute, time.Second, "one kiosk has left its location", func() error {
		left := 0
		for _, a := range p.alerts(t) {
			switch a.Rule {
			case "left_location":
				left++
			case "position_doubtful":
				t.Fatalf("its position is doubted: %+v", a)
			}
		}
		if left != 1 {
			return fmt.Errorf("%d have", left)
		}
		return nil
	})
}
