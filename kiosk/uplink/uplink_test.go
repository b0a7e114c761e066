package uplink

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const patience = 30 * time.Second

// peers is what the uplink connects to.
type peers struct {
	t        *testing.T
	u        *Uplink
	listener net.Listener
	accepted atomic.Int64
	conns    chan net.Conn
}

func start(t *testing.T) *peers {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peers{t: t, u: New(), listener: l, conns: make(chan net.Conn, 100)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			_ = c.SetDeadline(time.Now().Add(patience))
			p.conns <- c
		}
	}()
	t.Cleanup(func() {
		p.u.Close()
		_ = l.Close()
		for len(p.conns) > 0 {
			_ = (<-p.conns).Close()
		}
	})
	return p
}

func (p *peers) dial(within time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	return p.u.Dial(ctx, "tcp", p.listener.Addr().String())
}

// connect returns both ends of a new connection.
func (p *peers) connect() (kiosk, broker net.Conn) {
	p.t.Helper()
	kiosk, err := p.dial(patience)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = kiosk.SetDeadline(time.Now().Add(patience))
	return kiosk, <-p.conns
}

func hears(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %q, error %v, want %q", got[:n], err, want)
	}
}

func says(t *testing.T, c net.Conn, what string) {
	t.Helper()
	if _, err := c.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
}

func hearsNothing(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, error %v, want silence", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
}

func breaks(t *testing.T, c net.Conn, with error) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, with) {
		t.Fatalf("%v, want %v", err, with)
	}
}

func TestASilentOutage(t *testing.T) {
	p := start(t)
	kiosk, broker := p.connect()
	says(t, kiosk, "before")
	hears(t, broker, "before")
	p.u.Down(true)
	says(t, kiosk, "from the kiosk")
	says(t, broker, "from the broker")
	hearsNothing(t, broker)
	hearsNothing(t, kiosk)
	if _, err := p.dial(30 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a new connection: %v", err)
	}
	joined := make(chan error, 1)
	go func() {
		_, err := p.dial(patience)
		joined <- err
	}()
	p.u.Up()
	hears(t, broker, "from the kiosk")
	hears(t, kiosk, "from the broker")
	if err := <-joined; err != nil {
		t.Errorf("the connection that waited: %v", err)
	}
}

func TestWhatTheKioskClosesDuringASilentOutage(t *testing.T) {
	p := start(t)
	kiosk, broker := p.connect()
	p.u.Down(true)
	says(t, kiosk, "last words")
	if err := kiosk.Close(); err != nil {
		t.Fatal(err)
	}
	hearsNothing(t, broker)
	says(t, broker, "nobody there")
	p.u.Up()
	hears(t, broker, "last words")
	if _, err := broker.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the broker gets %v", err)
	}
}

func TestWhatTheBrokerClosesDuringASilentOutage(t *testing.T) {
	p := start(t)
	kiosk, broker := p.connect()
	p.u.Down(true)
	_ = broker.Close()
	hearsNothing(t, kiosk)
	p.u.Up()
	breaks(t, kiosk, nil) // a nil error is the end of the stream
}

func TestAnOutageThatBreaksConnections(t *testing.T) {
	p := start(t)
	kiosk, broker := p.connect()
	p.u.Down(false)
	breaks(t, kiosk, syscall.ECONNRESET)
	breaks(t, broker, syscall.ECONNRESET)
	if _, err := p.dial(patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v", err)
	}
	p.u.Up()
	kiosk, broker = p.connect()
	says(t, kiosk, "back")
	hears(t, broker, "back")
}

func TestACut(t *testing.T) {
	p := start(t)
	kiosk, broker := p.connect()
	p.u.Cut()
	breaks(t, kiosk, syscall.ECONNRESET)
	breaks(t, broker, syscall.ECONNRESET)
	p.connect()
}

func TestACrash(t *testing.T) {
	p := start(t)
	kiosk, broker := p.connect()
	says(t, kiosk, "sent")
	p.u.Kill()
	breaks(t, kiosk, net.ErrClosed)
	hears(t, broker, "sent")
	breaks(t, broker, nil)
	if _, err := p.dial(patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v", err)
	}
	p.u.Revive()
	_, broker = p.connect()

	// During a silent outage nobody hears of it.
	p.u.Down(true)
	p.u.Kill()
	hearsNothing(t, broker)
	p.u.Revive()
	hearsNothing(t, broker)
	p.u.Up()
	breaks(t, broker, nil)
}

// TestFaultsDoNotEndEachOther: the end of one leaves the other as it is.
func TestFaultsDoNotEndEachOther(t *testing.T) {
	p := start(t)
	kiosk, broker := p.connect()
	p.u.Down(true)
	p.u.Slow(50*time.Millisecond, 100_000)
	says(t, kiosk, "x")
	hearsNothing(t, broker)
	p.u.Up()
	hears(t, broker, "x")
	began := time.Now()
	says(t, kiosk, "y")
	hears(t, broker, "y")
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("took %s on a slow line", took)
	}
	p.u.Down(false)
	p.u.Kill()
	p.u.Up()
	if _, err := p.dial(patience); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a dead kiosk connects: %v", err)
	}
	p.u.Slow(0, 0)
	p.u.Revive()
	p.connect()
}

func TestTheLastWords(t *testing.T) {
	t.Run("of a slow connection", func(t *testing.T) {
		p := start(t)
		kiosk, broker := p.connect()
		p.u.Slow(time.Hour, 0)
		says(t, kiosk, "bye")
		_ = kiosk.Close()
		p.u.Leave(patience)
		hears(t, broker, "bye")
		breaks(t, broker, nil)
	})
	t.Run("of one that the kiosk forgot to close", func(t *testing.T) {
		p := start(t)
		_, broker := p.connect()
		p.u.Leave(time.Millisecond)
		breaks(t, broker, syscall.ECONNRESET)
	})
	t.Run("in a silent outage", func(t *testing.T) {
		p := start(t)
		kiosk, broker := p.connect()
		p.u.Down(true)
		says(t, kiosk, "bye")
		_ = kiosk.Close()
		left := make(chan struct{})
		go func() {
			p.u.Leave(time.Hour) // nothing can arrive: it does not wait
			close(left)
		}()
		select {
		case <-left:
		case <-time.After(patience):
			t.Fatal("it waits for the end of the outage")
		}
		breaks(t, broker, syscall.ECONNRESET)
	})
}
