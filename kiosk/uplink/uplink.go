// Package uplink is the way of one simulated kiosk to the network, and what can be wrong with it. A kiosk
// without network faults needs none.
package uplink

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/net/proxy"

	"kioskfleet/internal/netfault"
)

// Uplink carries a kiosk's connections. Create it with New; Dial fits agent.Hooks. Slow, Down and Kill are
// independent of each other: each lasts until its own end. Safe for concurrent use.
type Uplink struct {
	way *netfault.Way

	mu                sync.Mutex // guards the rest
	shape             netfault.Shape
	down, silent, off bool
}

// New returns an uplink without a fault.
func New() *Uplink { return &Uplink{way: netfault.NewWay()} }

// Dial makes a network connection over the uplink. During a silent outage it waits for the end of that.
//
// Errors: those of the network, also while the uplink is down or the kiosk is dead; that of ctx.
func (u *Uplink) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return u.way.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
		return proxy.Dial(ctx, network, addr) // as a kiosk without an uplink does
	})
}

// Slow makes everything arrive that much later in each direction, and bounds the throughput of each
// connection and direction. 0 ends the one or the other.
func (u *Uplink) Slow(delay time.Duration, bytesPerSecond int) {
	u.change(func() { u.shape.Delay, u.shape.BytesPerSecond = delay, bytesPerSecond })
}

// Down begins an outage. In a silent one packets vanish, as when a cable is out: connections stay until one
// side gives up, what was written arrives after the outage, and so does the end of a connection that the
// kiosk has closed meanwhile. Otherwise connections break at both ends, and new ones are refused.
func (u *Uplink) Down(silent bool) {
	u.change(func() { u.down, u.silent = true, silent })
	if !silent {
		u.way.Cut()
	}
}

// Up ends an outage.
func (u *Uplink) Up() { u.change(func() { u.down = false }) }

// Cut breaks all connections at both ends. New ones work.
func (u *Uplink) Cut() { u.way.Cut() }

// Kill is the end of the kiosk's program or power: its connections are closed without a word on them, and
// new ones are refused until Revive. During a silent outage the broker hears of it only at the end of that.
func (u *Uplink) Kill() {
	u.change(func() { u.off = true })
	u.way.CloseConns()
}

// Revive lets the kiosk connect again.
func (u *Uplink) Revive() { u.change(func() { u.off = false }) }

// Close breaks all connections, also those that wait for the end of an outage, and makes Dial fail for good.
func (u *Uplink) Close() { u.way.Close() }

// Leave is Close for a kiosk that has ended: first it gives what was written, and is under way, the time to
// arrive, now without delay. An outage lets nothing through. It takes limit at most.
func (u *Uplink) Leave(limit time.Duration) {
	u.Slow(0, 0)
	u.mu.Lock()
	down := u.down
	u.mu.Unlock()
	if !down {
		u.way.Empty(limit)
	}
	u.way.Close()
}

// change changes the fields and brings the way into line with them.
func (u *Uplink) change(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f()
	u.way.Refuse(u.off || u.down && !u.silent)
	u.shape.Stalled = u.down && u.silent
	u.way.Set(u.shape, u.shape)
}
