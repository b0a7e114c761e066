package netfault

import (
	"net"
	"os"
	"sync"
	"time"
)

// Conn is a connection that goes through a Way; Way.Conn makes one. It is a net.Conn.
type Conn struct {
	inner net.Conn
	way   *Way

	mu      sync.Mutex // guards the rest
	out, in queue
	changed chan struct{} // closed at the next change; nil: nobody waits
	// Reads and writes of inner that bypass the queues. The queues' goroutines wait for their end.
	reading, writing int

	readBy, writeBy time.Time // deadlines; zero: none

	broken  error // what reads and writes get from now on; nil: nothing
	refused error // what writes get: the far side took no more
	closed  bool  // by its owner
	ended   bool  // inner knows that nothing more comes
	gone    bool  // inner is closed
	deaf    bool  // the far side has vanished, and the near side does not know
	orphan  bool  // the near side has vanished, and the far side does not know
}

// tell wakes those who wait for a change. The lock is held.
func (c *Conn) tell() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// wait gives up the lock until something changes or d has passed; with never, until something changes.
func (c *Conn) wait(d time.Duration) {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	if d == never {
		<-changed
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// unlocked runs f without the lock.
func (c *Conn) unlocked(f func()) {
	c.mu.Unlock()
	defer c.mu.Lock()
	f()
}

// until returns how long it is until a deadline; ok is false if it has passed.
func until(deadline, now time.Time) (wait time.Duration, ok bool) {
	if deadline.IsZero() {
		return never, true
	}
	wait = deadline.Sub(now)
	return wait, wait > 0
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		now := time.Now()
		if c.broken != nil {
			return 0, c.broken
		}
		wait, ok := until(c.readBy, now)
		if !ok {
			return 0, os.ErrDeadlineExceeded
		}
		if c.in.plain() && !c.deaf {
			if n, err, ok := c.readPlain(p); ok {
				return n, err
			}
			continue
		}
		n, due := c.in.pop(p, now)
		if n > 0 {
			if c.in.spent() {
				c.unlocked(c.cut)
			}
			c.tell() // there is room
			return n, nil
		}
		over, end := c.in.over(now)
		if over {
			return 0, c.in.err
		}
		c.fetchAhead()
		c.wait(min(wait, due, end))
	}
}

// readPlain reads past the queue. If things have changed meanwhile, what came is put into the queue, and
// ok is false.
func (c *Conn) readPlain(p []byte) (n int, err error, ok bool) {
	c.reading++
	c.unlocked(func() { n, err = c.inner.Read(p) })
	c.reading--
	if c.in.plain() && !c.deaf && c.broken == nil {
		return n, err, true
	}
	c.receive(p[:n], err)
	return 0, nil, false
}

// receive puts what was read, and how the reading ended, into the queue.
func (c *Conn) receive(p []byte, err error) {
	now := time.Now()
	c.in.push(p, now)
	if err != nil && !isTimeout(err) && !c.deaf {
		c.in.end(err, now)
	}
	c.tell()
}

// fetchAhead makes sure that bytes are taken from inner as they come, so that each is delayed from then
// on. While they are not to pass at all they may as well wait in the kernel.
func (c *Conn) fetchAhead() {
	if c.in.pumped || c.in.ended || c.in.shape.Stalled || c.deaf || c.reading > 0 || !c.in.shaped() {
		return
	}
	c.in.pumped = true
	_ = c.inner.SetReadDeadline(time.Time{})
	go c.fetch()
}

// fetch moves bytes from inner into the queue until conditions are fair.
func (c *Conn) fetch() {
	buf := make([]byte, maxChunk)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.broken == nil && c.in.shaped() && !c.in.ended && !c.deaf {
		if c.in.size >= maxQueue || c.in.shape.Stalled {
			c.wait(never)
			continue
		}
		var n int
		var err error
		c.unlocked(func() { n, err = c.inner.Read(buf) })
		if isTimeout(err) { // somebody wants us to look up
			_ = c.inner.SetReadDeadline(time.Time{})
		}
		c.receive(buf[:n], err)
	}
	c.in.pumped = false
	_ = c.inner.SetReadDeadline(c.readBy)
	c.tell()
}

// Write implements net.Conn. While conditions are not fair it returns once the bytes are buffered.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case c.broken != nil:
			return n, c.broken
		case c.refused != nil:
			return n, c.refused
		case c.out.ended:
			return n, net.ErrClosed
		}
		wait, ok := until(c.writeBy, now)
		if !ok {
			return n, os.ErrDeadlineExceeded
		}
		if n == 0 && c.out.plain() && !c.deaf {
			c.writing++
			c.unlocked(func() { n, err = c.inner.Write(p) })
			c.writing--
			c.tell()
			if c.broken == nil && !c.deaf || err == nil {
				return n, err
			}
			continue
		}
		if room := min(maxQueue-c.out.size, len(p)-n); room > 0 {
			c.out.push(p[n:n+room], now)
			n += room
			c.deliverAll()
		}
		if n == len(p) {
			return n, nil
		}
		c.wait(wait)
	}
}

// deliverAll makes sure that what is in the queue leaves it.
func (c *Conn) deliverAll() {
	c.tell()
	if !c.out.pumped && c.undelivered() {
		c.out.pumped = true
		go c.deliver()
	}
}

// undelivered reports whether there is something to do for deliver.
func (c *Conn) undelivered() bool {
	return !c.gone && !c.deaf && !c.orphan && (c.out.size > 0 || c.out.ended && !c.ended || c.closed)
}

// deliver moves bytes from the queue to inner until there are none, and then the end, if it is due.
func (c *Conn) deliver() {
	buf := make([]byte, maxChunk)
	c.mu.Lock()
	for c.writing > 0 {
		c.wait(never)
	}
	_ = c.inner.SetWriteDeadline(time.Time{})
	for c.undelivered() {
		now := time.Now()
		n, due := c.out.pop(buf, now)
		if n > 0 {
			c.tell() // there is room
			var err error
			c.unlocked(func() { _, err = c.inner.Write(buf[:n]) })
			if err != nil {
				c.refused = err
				c.out.drop()
			} else if c.out.spent() {
				c.unlocked(c.cut)
			}
			continue
		}
		over, end := c.out.over(now)
		switch {
		case !over:
			c.wait(min(due, end))
		case c.closed:
			c.gone = true
			_ = c.inner.Close()
		default:
			c.endWrites()
		}
	}
	c.out.pumped = false
	_ = c.inner.SetWriteDeadline(c.writeBy)
	c.tell()
	over := c.gone && !c.deaf
	c.mu.Unlock()
	if over {
		c.way.forget(c)
	}
}

// apply changes the conditions.
func (c *Conn) apply(out, in Shape) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.out.set(out, now)
	c.in.set(in, now)
	c.changedIn()
}

// changedIn ends fetch if conditions are fair, and wakes who waits.
func (c *Conn) changedIn() {
	if c.in.pumped && !c.in.shaped() {
		_ = c.inner.SetReadDeadline(past)
	}
	c.tell()
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	c.readBy = t
	c.tell()
	if c.in.pumped || c.deaf {
		return nil
	}
	return c.inner.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	c.writeBy = t
	c.tell()
	if c.out.pumped || c.deaf {
		return nil
	}
	return c.inner.SetWriteDeadline(t)
}
