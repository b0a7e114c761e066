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
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/netfault"
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
	if !strings.HasPrefix("in th", string(got)) || !errors.Is(err, syscall.ECONNRESET) {
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

// idle is a proxy without a network, for what happens in fake time.
func idle() *Proxy {
	p := &Proxy{diary: diary{began: time.Now()}, way: netfault.NewWay(), fromClient: map[*net.TCPConn]struct{}{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

func TestASchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := idle()
		p.Schedule(10*time.Second, Step{time.Second, (*Proxy).Stall}, Step{3 * time.Second, (*Proxy).Resume},
			Step{3 * time.Second, func(p *Proxy) { p.Delay(time.Millisecond) }})
		stop := p.Schedule(0, Step{11500 * time.Millisecond, (*Proxy).Cut}, Step{time.Minute, (*Proxy).Cut})
		time.Sleep(14 * time.Second)
		stop()
		want := "    1.000 s  stall\n    3.000 s  resume\n    3.000 s  delay 1ms\n   11.000 s  stall\n" +
			"   11.500 s  cut 0 connections\n   13.000 s  resume\n   13.000 s  delay 1ms"
		if got := p.diary.text(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		time.Sleep(2 * time.Hour)
		p.stop()
		p.work.Wait()
		lines := strings.Split(p.diary.text(), "\n")
		if len(lines) != maxDiary+1 || !strings.Contains(lines[0], "earlier lines are left out") {
			t.Errorf("%d lines, the first: %q", len(lines), lines[0])
		}
	})
}

func TestChaosRepeatsItself(t *testing.T) {
	run := func(t *testing.T, seed uint64) (text string) {
		synctest.Test(t, func(t *testing.T) {
			p := idle()
			stop := p.Chaos(seed, Weather{})
			time.Sleep(10 * time.Minute)
			stop()
			text = p.diary.text()
			if p.refuses || p.up != (netfault.Shape{}) || p.down != (netfault.Shape{}) {
				t.Error("the weather is not fair after the end")
			}
			p.stop()
			p.work.Wait()
		})
		return text
	}
	first := run(t, 1)
	if again := run(t, 1); again != first {
		t.Errorf("first\n%s\nthen\n%s", first, again)
	}
	if run(t, 2) == first {
		t.Error("another seed changes nothing")
	}
	for _, fault := range []string{"delay", "throttle", "stall", "cut 0", "cut after", "the client is gone", "the server is gone", "refuse", "fair"} {
		if !strings.Contains(first, fault) {
			t.Errorf("in ten minutes there was no %q", fault)
		}
	}
}

// TestChaosOverRealConnections: whatever comes back is what was sent, up to the end of the connection.
func TestChaosOverRealConnections(t *testing.T) {
	addr, _ := echo(t, nil)
	p := Start(t, addr)
	stop := p.Chaos(3, Weather{Calm: 20 * time.Millisecond, Foul: 20 * time.Millisecond})
	var answered atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("tcp", p.Addr())
				if errors.Is(err, syscall.ECONNRESET) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
				for i := 0; err == nil && ctx.Err() == nil; i++ {
					sent := bytes.Repeat([]byte{byte(i)}, 1+i*97%5000)
					if _, err = c.Write(sent); err != nil {
						break
					}
					got := make([]byte, len(sent))
					var n int
					n, err = io.ReadFull(c, got)
					if !bytes.Equal(got[:n], sent[:n]) {
						t.Error("the bytes have changed")
					}
					if err == nil {
						answered.Add(1)
					}
				}
				_ = c.Close()
			}
		})
	}
	wg.Wait()
	stop()
	p.Cut()
	say(t, dial(t, p), []byte("fair again"))
	t.Logf("%d answers, %+v", answered.Load(), p.Stats())
	if s := p.Stats(); answered.Load() < 100 || s.Cuts == 0 || s.Connections < 10 {
		t.Errorf("%d answers, %+v", answered.Load(), s)
	}
}
