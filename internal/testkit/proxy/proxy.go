// Package proxy is a TCP proxy for tests that makes the network between two programs misbehave: on
// demand, on a schedule, or by chance.
package proxy

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kioskfleet/internal/netfault"
)

// Side is an end of the connections.
type Side = netfault.Side

// The ends of a connection.
const (
	Client = netfault.Near // who connects to the proxy
	Server = netfault.Far  // whom the proxy connects to
)

// Proxy passes TCP connections on to a server. Create it with Start; it ends with its test. Safe for
// concurrent use.
type Proxy struct {
	listener *net.TCPListener
	to       string
	way      *netfault.Way
	ctx      context.Context // ends with the proxy
	stop     context.CancelFunc
	work     sync.WaitGroup
	diary    diary

	connections, refused, cuts, toServer, toClient atomic.Int64

	mu         sync.Mutex // guards the rest
	up, down   netfault.Shape
	refuses    bool
	fromClient map[*net.TCPConn]struct{}
}

// Stats is what a proxy has done.
type Stats struct {
	Connections int64 // accepted and passed on
	Open        int   // connections that exist now, with those that are open on one side only
	Refused     int64 // reset at once
	Cuts        int64 // connections that it has cut or left half open
	ToServer    int64 // bytes that left the proxy for the server
	ToClient    int64 // bytes that left the proxy for the client
}

// Start begins to pass connections on to the TCP address to. When the test has failed, its log tells what
// the proxy did.
func Start(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{
		listener: l.(*net.TCPListener), to: to, way: netfault.NewWay(), diary: diary{began: time.Now()},
		fromClient: map[*net.TCPConn]struct{}{},
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.work.Go(p.accept)
	t.Cleanup(func() {
		p.stop()
		_ = p.listener.Close()
		p.way.Close()
		p.closeClients()
		p.work.Wait()
		if t.Failed() {
			t.Logf("proxy %s to %s: %+v\n%s", p.Addr(), to, p.Stats(), p.diary.text())
		}
	})
	return p
}

// Addr returns where to connect to, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Stats returns what the proxy has done so far.
func (p *Proxy) Stats() Stats {
	return Stats{
		Connections: p.connections.Load(), Open: p.way.Len(), Refused: p.refused.Load(), Cuts: p.cuts.Load(),
		ToServer: p.toServer.Load(), ToClient: p.toClient.Load(),
	}
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.AcceptTCP()
		if p.ctx.Err() != nil {
			if err == nil {
				_ = in.Close()
			}
			return
		}
		if err != nil {
			p.diary.note("no connections any more: %v", err)
			return
		}
		p.mu.Lock()
		refuses := p.refuses
		if !refuses {
			p.fromClient[in] = struct{}{}
		}
		p.mu.Unlock()
		if refuses {
			p.refused.Add(1)
			reset(in)
			continue
		}
		p.work.Go(func() { p.pass(in) })
	}
}

// pass serves one connection until both directions have ended.
func (p *Proxy) pass(in *net.TCPConn) {
	defer func() {
		p.mu.Lock()
		delete(p.fromClient, in)
		p.mu.Unlock()
	}()
	conn, err := p.way.Dial(p.ctx, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", p.to)
	})
	if err != nil {
		p.diary.note("connect: %v", err)
		reset(in)
		return
	}
	out := conn.(*netfault.Conn)
	p.connections.Add(1)
	var back sync.WaitGroup
	back.Go(func() {
		if err := move(in, out, &p.toClient); err != nil {
			reset(in) // the way is cut, or the client does not read any more
		} else {
			_ = in.CloseWrite()
		}
	})
	if err := move(out, in, &p.toServer); err != nil {
		_ = out.Close()
	} else {
		_ = out.CloseWrite()
	}
	back.Wait()
	_ = out.Close()
	_ = in.Close()
}

// move copies bytes until the source ends; they are counted when they are written.
func move(to io.Writer, from io.Reader, count *atomic.Int64) error {
	buf := make([]byte, 8<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			m, err := to.Write(buf[:n])
			count.Add(int64(m))
			if err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// reset ends a connection without a goodbye.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func (p *Proxy) closeClients() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.fromClient {
		reset(c)
	}
}
