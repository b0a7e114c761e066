package e2e

import (
	"math/rand/v2"
	"testing"

	"kioskfleet/internal/testkit/load"
)

func TestNoAcknowledgedReadingIsLostWhenAdminIsKilled(t *testing.T) {
	const kiosks, kills = 200, 20
	p := startAdmin(t, nil)
	clients := p.publishers(t, kiosks, "L", func(i int, c *load.Config) {
		mix(i, c)
		c.Rate = 5
	})
	stop := load.Start(t.Context(), clients)
	defer stop()
	for range kills {
		// At a random moment, but never before this start has acknowledged something.
		awaitAcked(t, clients, 1+rand.IntN(2000))
		p.kill()
		p.boot(t)
	}
	awaitAcked(t, clients, kiosks)
	stop()
	t.Logf("%d kills: %s", kills, clients[0].Stats())
	for i, c := range clients {
		if c.Ledger().Acked() == 0 {
			t.Errorf("kiosk %d got no acknowledgement", i)
		}
	}
	p.holdToAcknowledged(t, sentBy(clients))
}
