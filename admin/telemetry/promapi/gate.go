package promapi

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// gate lets some requests run at once and a bounded number wait. Who comes beyond that is refused, since
// its client would give up before its turn.
type gate struct {
	places chan struct{} // one for each that waits or runs
	turns  chan struct{} // one for each that runs
}

func newGate(run, wait int) *gate {
	return &gate{places: make(chan struct{}, run+wait), turns: make(chan struct{}, run)}
}

// enter waits for a turn, until leave is called.
//
// Errors: a *faultError when too many wait already; ctx's when it ends first.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
	default:
		f := fault(http.StatusServiceUnavailable, "unavailable", "too many queries wait for their turn; ask for less at once, or come back in a moment")
		f.retryAfter = time.Second
		return nil, f
	}
	select {
	case g.turns <- struct{}{}:
		return func() { <-g.turns; <-g.places }, nil
	case <-ctx.Done():
		<-g.places
		return nil, fmt.Errorf("waiting for the query's turn: %w", ctx.Err())
	}
}
