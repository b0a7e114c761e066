package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Step is one change of a schedule: what happens, and when, from its begin.
type Step struct {
	At time.Duration
	Do func(*Proxy)
}

// Schedule carries the steps out, in their order. With a positive period it begins anew each time that
// period has passed. Stop ends it and leaves the conditions as they are; the end of the test stops it too.
func (p *Proxy) Schedule(period time.Duration, steps ...Step) (stop func()) {
	return p.during(func(pause func(time.Duration) bool) {
		for begin := time.Duration(0); ; begin += period {
			began := time.Now()
			for _, s := range steps {
				if !pause(s.At - time.Since(began)) {
					return
				}
				s.Do(p)
			}
			if period <= 0 || !pause(period-time.Since(began)) {
				return
			}
		}
	})
}

// during runs f until it returns or stop is called. Pause waits, and reports whether to go on.
func (p *Proxy) during(f func(pause func(time.Duration) bool)) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	p.work.Go(func() {
		defer close(ended)
		f(func(d time.Duration) bool {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-end:
				return false
			case <-p.ctx.Done():
				return false
			case <-timer.C:
				return true
			}
		})
	})
	return sync.OnceFunc(func() {
		close(end)
		<-ended
	})
}

// Weather says how rough chaos is.
type Weather struct {
	Calm time.Duration // mean time between two faults; default 2 s
	Foul time.Duration // mean time that one lasts; default 1 s
}

// Chaos brings faults by chance: delay, throttle, stall, cuts, half-open connections and refusals, one at
// a time. A seed gives the same sequence of faults, and of pauses, each time. Stop ends it with fair
// conditions; the end of the test stops it too.
func (p *Proxy) Chaos(seed uint64, w Weather) (stop func()) {
	if w.Calm <= 0 {
		w.Calm = 2 * time.Second
	}
	if w.Foul <= 0 {
		w.Foul = time.Second
	}
	p.diary.note("chaos with seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	about := func(mean time.Duration) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
	halt := p.during(func(pause func(time.Duration) bool) {
		for pause(about(w.Calm)) {
			begin, lasts := p.chance(r)
			begin(p)
			if lasts && !pause(about(w.Foul)) {
				return
			}
			if lasts {
				p.Fair()
			}
		}
	})
	return sync.OnceFunc(func() {
		halt()
		p.Fair()
	})
}

// chance draws a fault, and whether it lasts until conditions are fair again.
func (p *Proxy) chance(r *rand.Rand) (begin func(*Proxy), lasts bool) {
	amount := r.Float64()
	switch r.IntN(8) {
	case 0:
		return func(p *Proxy) {
			p.Delay(time.Duration(float64(10*time.Millisecond) + amount*float64(490*time.Millisecond)))
		}, true
	case 1:
		return func(p *Proxy) { p.Throttle(2000 + int(amount*50_000)) }, true
	case 2:
		return (*Proxy).Stall, true
	case 3:
		return (*Proxy).Cut, false
	case 4:
		return func(p *Proxy) { p.CutAfter(1+int(amount*20_000), 1+int(amount*2000)) }, false
	case 5:
		return func(p *Proxy) { p.HalfOpen(Client) }, false
	case 6:
		return func(p *Proxy) { p.HalfOpen(Server) }, false
	default:
		return func(p *Proxy) { p.Refuse(); p.Cut() }, true
	}
}

// maxDiary bounds the lines of a diary; the oldest go.
const maxDiary = 500

// diary remembers what a proxy did.
type diary struct {
	began time.Time

	mu      sync.Mutex // guards the rest
	lines   []string
	dropped int
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines) >= maxDiary {
		d.lines = d.lines[1:]
		d.dropped++
	}
	d.lines = append(d.lines, fmt.Sprintf("%9.3f s  ", time.Since(d.began).Seconds())+fmt.Sprintf(format, args...))
}

func (d *diary) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := strings.Join(d.lines, "\n")
	if d.dropped > 0 {
		text = fmt.Sprintf("(%d earlier lines are left out)\n", d.dropped) + text
	}
	return text
}
