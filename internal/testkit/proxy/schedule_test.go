package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/internal/netfault"
)

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
