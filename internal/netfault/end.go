package netfault

import (
	"io"
	"net"
	"time"
)

// endWrites tells the far side that nothing more comes, if the connection can.
func (c *Conn) endWrites() {
	c.ended = true
	if half, ok := c.inner.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// CloseWrite says that nothing more will be written; the far side hears of it after all that was.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	c.out.end(io.EOF, time.Now())
	c.deliverAll()
	return nil
}

// Close implements net.Conn. What was written and waits still arrives, and then the end of the connection,
// as soon as conditions allow.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.broken == nil {
		c.broken = net.ErrClosed
	}
	c.tell()
	switch {
	case c.orphan:
		// The far side is not to know. Way.Cut ends it.
	case c.gone || c.deaf:
		c.unlocked(func() { c.way.forget(c) })
	case !c.out.foul() && !c.out.pumped:
		c.gone = true
		_ = c.inner.Close()
		c.unlocked(func() { c.way.forget(c) })
	default:
		c.out.end(io.EOF, time.Now())
		c.interrupt()
		c.deliverAll()
	}
	return nil
}

// past is a deadline that ends what is under way.
var past = time.Unix(1, 0)

// interrupt wakes reads and writes of inner that are under way, but not what the queue writes.
func (c *Conn) interrupt() {
	_ = c.inner.SetReadDeadline(past)
	if c.writing > 0 {
		_ = c.inner.SetWriteDeadline(past)
	}
}

// limit cuts the connection after so many more bytes in each direction; 0: no bound.
func (c *Conn) limit(out, in int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.bound, c.out.left = out > 0, out
	c.in.bound, c.in.left = in > 0, in
	c.changedIn()
}

// cut resets the connection at both ends.
func (c *Conn) cut() {
	c.mu.Lock()
	if c.broken == nil {
		c.broken = errReset
	}
	c.reset()
	c.mu.Unlock()
	c.way.forget(c)
}

// reset ends inner without a goodbye. The lock is held.
func (c *Conn) reset() {
	if !c.gone {
		c.gone = true
		if tcp, ok := c.inner.(interface{ SetLinger(sec int) error }); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.inner.Close()
	}
	c.out.drop()
	c.in.drop()
	c.tell()
}

// halfOpen lets one side vanish without the other noticing.
func (c *Conn) halfOpen(gone Side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil || c.deaf {
		return
	}
	if gone == Far {
		c.deaf = true
		c.reset()
		return
	}
	c.orphan, c.broken = true, errReset
	c.out.drop()
	c.interrupt()
	if c.out.pumped {
		_ = c.inner.SetWriteDeadline(past)
	}
	c.tell()
}
