package life

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/kiosk/clock"
)

// diary notes what an agenda does, and when in real time.
type diary struct {
	began time.Time
	mu    sync.Mutex // guards lines
	lines []string
}

func (d *diary) note(what string) func() {
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lines = append(d.lines, fmt.Sprint(what, " ", time.Since(d.began)))
	}
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Errorf("done: %q, want %q", d.lines, want)
	}
	d.lines = nil
}

// run drives an agenda in a bubble; the returned function ends it and waits until it has.
func run(a *Agenda) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		a.Run(ctx)
		close(ended)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func TestAnAgendaKeepsToItsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAgenda(clock.Real{})
		now := time.Now()
		d := &diary{began: now}
		at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
		a.AtLast(at(5), d.note("last at 5"))
		a.At(at(300), d.note("far")) // beyond the longest wait
		a.At(at(5), d.note("first at 5"))
		a.At(at(5), func() {
			d.note("second at 5")()
			a.At(at(5), d.note("added at 5"))
			a.At(at(1), d.note("past"))
		})
		a.At(at(-10), d.note("overdue"))
		a.At(at(-20), d.note("more overdue"))
		defer run(a)()
		time.Sleep(time.Second)
		synctest.Wait()
		d.expect(t, "more overdue 0s", "overdue 0s")
		a.At(at(3), d.note("sooner")) // while it waits for a later one
		a.At(at(4), d.note("not so soon"))
		time.Sleep(9 * time.Second)
		synctest.Wait()
		// What the second adds comes after what was added before the fifth second.
		d.expect(t, "sooner 3s", "not so soon 4s", "first at 5 5s", "second at 5 5s", "past 5s", "last at 5 5s", "added at 5 5s")
		time.Sleep(time.Hour)
		synctest.Wait()
		d.expect(t, "far 5m0s")
		a.At(time.Now().Add(time.Second), d.note("after nothing"))
		time.Sleep(time.Second)
		synctest.Wait()
		d.expect(t, "after nothing 1h0m11s")
	})
}

func TestAnAgendaByAFasterClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := clock.NewCatchUp(59*time.Minute, 60) // an hour within a minute
		a := NewAgenda(fast)
		d := &diary{began: time.Now()}
		began := fast.Now()
		a.At(began.Add(time.Minute), d.note("a minute"))
		a.At(began.Add(30*time.Minute), d.note("half an hour"))
		a.At(began.Add(time.Hour+time.Minute), d.note("a minute after the present"))
		defer run(a)()
		time.Sleep(time.Hour)
		synctest.Wait()
		d.expect(t, "a minute 1s", "half an hour 30s", "a minute after the present 2m0s")
	})
}

func TestAnAgendaEndsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAgenda(clock.Real{})
		d := &diary{began: time.Now()}
		ctx, cancel := context.WithCancel(t.Context())
		a.At(time.Now(), func() {
			d.note("the end")()
			cancel()
		})
		a.At(time.Now(), d.note("too late"))
		a.Run(ctx)
		d.expect(t, "the end 0s")
		a.At(time.Now(), d.note("goes on")) // by whoever runs it again
		again, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		a.Run(again)
		d.expect(t, "too late 0s", "goes on 0s")
	})
}
