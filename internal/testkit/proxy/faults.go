package proxy

import (
	"time"

	"kioskfleet/internal/netfault"
)

// shape changes the conditions of both directions.
func (p *Proxy) shape(change func(up, down *netfault.Shape)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.up, &p.down)
	p.way.Set(p.up, p.down)
}

// Delay makes everything arrive that much later, in each direction; 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.diary.note("delay %s", d)
	p.shape(func(up, down *netfault.Shape) { up.Delay, down.Delay = d, d })
}

// Throttle bounds the throughput of each connection and direction; 0 ends it.
func (p *Proxy) Throttle(bytesPerSecond int) {
	p.diary.note("throttle to %d B/s", bytesPerSecond)
	p.shape(func(up, down *netfault.Shape) {
		up.BytesPerSecond, down.BytesPerSecond = bytesPerSecond, bytesPerSecond
	})
}

// Stall lets nothing through any more. Connections stay, also new ones seem to stand, and nothing is lost:
// Resume lets it pass.
func (p *Proxy) Stall() {
	p.diary.note("stall")
	p.shape(func(up, down *netfault.Shape) { up.Stalled, down.Stalled = true, true })
}

// Resume ends Stall.
func (p *Proxy) Resume() {
	p.diary.note("resume")
	p.shape(func(up, down *netfault.Shape) { up.Stalled, down.Stalled = false, false })
}

// Cut resets all connections on both sides. New ones work.
func (p *Proxy) Cut() {
	n := p.way.Cut()
	p.cuts.Add(int64(n))
	p.diary.note("cut %d connections", n)
}

// CutAfter resets each connection that stands now, once so many more bytes have gone to the server, or
// come to the client: in the middle of a message, if that is where it falls. 0 is no bound. These cuts
// are not counted.
func (p *Proxy) CutAfter(toServer, toClient int) {
	p.diary.note("cut after %d bytes to the server, %d to the client", toServer, toClient)
	p.way.CutAfter(toServer, toClient)
}

// HalfOpen lets one side of each connection vanish: it gets a reset, the other one notices nothing, hears
// nothing any more and can send until buffers are full. Cut ends what is left.
func (p *Proxy) HalfOpen(gone Side) {
	n := p.way.HalfOpen(gone)
	p.cuts.Add(int64(n))
	p.diary.note("half-open %d connections: the %s is gone", n, map[Side]string{Client: "client", Server: "server"}[gone])
}

// Refuse resets new connections as soon as they are made. Those that stand are not touched.
func (p *Proxy) Refuse() {
	p.diary.note("refuse")
	p.setRefuse(true)
}

// Accept ends Refuse.
func (p *Proxy) Accept() {
	p.diary.note("accept")
	p.setRefuse(false)
}

func (p *Proxy) setRefuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = refuse
}

// Fair ends delay, throttle, stall and refusal.
func (p *Proxy) Fair() {
	p.diary.note("fair")
	p.setRefuse(false)
	p.shape(func(up, down *netfault.Shape) { *up, *down = netfault.Shape{}, netfault.Shape{} })
}
