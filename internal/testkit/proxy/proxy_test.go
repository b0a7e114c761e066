package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/testkit/pkitest"
)

const patience = 30 * time.Second

// echo is a server that sends back what it gets. Its connections are handed to the test.
func echo(t *testing.T, config *tls.Config) (addr string, conns <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			c := raw
			if config != nil {
				c = tls.Server(raw, config)
			}
			select {
			case accepted <- raw:
			default: // a test that makes so many does not ask for them
			}
			wg.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		for len(accepted) > 0 {
			_ = (<-accepted).Close()
		}
	})
	return l.Addr().String(), accepted
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// say sends something and expects it back.
func say(t *testing.T, c net.Conn, what []byte) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(what)
		done <- err
	}()
	got := make([]byte, len(what))
	_, err := io.ReadFull(c, got)
	if err = errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, what) {
		t.Fatal("the bytes have changed")
	}
}

// silent checks that nothing comes.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes and %v came, want silence", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

func wasReset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

// isRefused checks that a new connection is reset: while it is made, or right afterwards.
func isRefused(t *testing.T, p *Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond) // between polls
	}
}

func TestAFairProxyIsNotNoticed(t *testing.T) {
	addr, _ := echo(t, nil)
	p := Start(t, addr)
	c := dial(t, p)
	say(t, c, []byte("hello"))
	say(t, c, bytes.Repeat([]byte("0123456789"), 30_000))
	// A byte is counted once it is written; its reader may be faster.
	want := Stats{Connections: 1, Open: 1, ToServer: 300_005, ToClient: 300_005}
	eventually(t, "all is counted", func() bool { return p.Stats() == want })
	// A half-closed connection still brings the answer.
	if _, err := c.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "last" || err != nil {
		t.Errorf("got %q, error %v", got, err)
	}
	eventually(t, "the proxy lets the connection go", func() bool { return p.Stats().Open == 0 })
}

func TestSlowConditions(t *testing.T) {
	addr, _ := echo(t, nil)
	p := Start(t, addr)
	c := dial(t, p)
	// That they slow down as much as they say is tested in fake time, in netfault.
	p.Delay(20 * time.Millisecond)
	began := time.Now()
	say(t, c, []byte("there and back"))
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("there and back took %s", took)
	}
	say(t, c, bytes.Repeat([]byte("abc"), 100_000))
	p.Delay(0)
	p.Throttle(200_000)
	began = time.Now()
	say(t, c, bytes.Repeat([]byte("xyz"), 10_000))
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("30 kB at 200 kB/s took %s", took)
	}
	p.Throttle(0)
	say(t, c, bytes.Repeat([]byte("abc"), 100_000))
}

func TestAStallLosesNothing(t *testing.T) {
	addr, conns := echo(t, nil)
	p := Start(t, addr)
	c := dial(t, p)
	say(t, c, []byte("hello"))
	<-conns
	p.Stall()
	if _, err := c.Write([]byte("waiting")); err != nil {
		t.Fatal(err)
	}
	silent(t, c)
	second := dial(t, p)
	if _, err := second.Write([]byte("me too")); err != nil {
		t.Fatal(err)
	}
	silent(t, second)
	if len(conns) > 0 {
		t.Error("a connection was made")
	}
	p.Resume()
	for want, c := range map[string]net.Conn{"waiting": c, "me too": second} {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
			t.Errorf("got %q, error %v", got, err)
		}
	}
}

func TestCuts(t *testing.T) {
	addr, conns := echo(t, nil)
	p := Start(t, addr)
	a, b := dial(t, p), dial(t, p)
	say(t, a, []byte("a"))
	say(t, b, []byte("b"))
	p.Cut()
	wasReset(t, a)
	wasReset(t, b)
	eventually(t, "both connections are gone", func() bool { return p.Stats().Open == 0 })
	if s := p.Stats(); s.Cuts != 2 || s.Connections != 2 {
		t.Errorf("stats %+v", s)
	}
	c := dial(t, p)
	say(t, c, []byte("c"))
	for range 3 {
		_ = (<-conns).SetDeadline(time.Now().Add(patience))
	}
	p.CutAfter(0, 5)
	if _, err := c.Write([]byte("in the middle")); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if whole := "in th"; !strings.HasPrefix(whole, string(got)) || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, error %v", got, err)
	}
	eventually(t, "the bytes that passed are counted", func() bool { return p.Stats().ToClient == 1+1+1+5 })
}

func TestHalfOpen(t *testing.T) {
	listen := func(t *testing.T) (p *Proxy, client, server *net.TCPConn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		p = Start(t, l.Addr().String())
		client = dial(t, p)
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		server = accepted.(*net.TCPConn)
		t.Cleanup(func() { _ = server.Close() })
		eventually(t, "it stands", func() bool { return p.Stats().Open == 1 })
		return p, client, server
	}
	t.Run("the client is gone", func(t *testing.T) {
		p, client, server := listen(t)
		p.HalfOpen(Client)
		wasReset(t, client)
		if _, err := server.Write([]byte("are you there?")); err != nil {
			t.Error(err)
		}
		silent(t, server)
		if s := p.Stats(); s.Open != 1 || s.Cuts != 1 {
			t.Errorf("stats %+v", s)
		}
		p.Cut()
		wasReset(t, server)
	})
	t.Run("the server is gone", func(t *testing.T) {
		p, client, server := listen(t)
		p.HalfOpen(Server)
		wasReset(t, server)
		if _, err := client.Write([]byte("are you there?")); err != nil {
			t.Error(err)
		}
		silent(t, client)
		p.Cut()
		wasReset(t, client)
	})
}

func TestRefusing(t *testing.T) {
	addr, _ := echo(t, nil)
	p := Start(t, addr)
	c := dial(t, p)
	say(t, c, []byte("first"))
	p.Refuse()
	isRefused(t, p)
	say(t, c, []byte("still there"))
	p.Accept()
	say(t, dial(t, p), []byte("welcome"))
	if s := p.Stats(); s.Refused != 1 || s.Connections != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	isRefused(t, Start(t, l.Addr().String()))
}

func TestTLSGoesThrough(t *testing.T) {
	a := pkitest.Authority(t)
	addr, _ := echo(t, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pkitest.Server(t, a)}})
	p := Start(t, addr)
	p.Delay(5 * time.Millisecond)
	config := pki.ClientTLS(pkitest.Kiosk(t, a, "SIM-KIOSK-001", 0), a.Pool())
	c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say(t, c, bytes.Repeat([]byte("secret"), 20_000))
	p.Fair()
	say(t, c, bytes.Repeat([]byte("secret"), 20_000))
	p.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", p.Addr()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("handshake over a stalled line: %v", err)
	}
	p.Resume()
	say(t, c, []byte("still here"))
	p.Throttle(100_000)
	say(t, c, bytes.Repeat([]byte("secret"), 1000))
	p.Cut()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut: %v", err)
	}
}
