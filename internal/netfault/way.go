// Package netfault makes network connections misbehave as real ones do: slow, stalled, cut, or dead on
// one side only. While conditions are fair, a connection costs neither a goroutine nor a buffer.
package netfault

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// Shape is what a way does to bytes in one direction. The zero value lets them pass.
type Shape struct {
	// Delay is how much later each byte arrives. Bytes keep their order and their rate.
	Delay time.Duration
	// BytesPerSecond bounds the throughput of each connection; 0: unbounded.
	BytesPerSecond int
	// Stalled lets nothing through, neither bytes nor the end of a connection. Nothing is lost: it waits,
	// and who writes more than buffers hold waits too.
	Stalled bool
}

// Side is an end of a connection.
type Side int

// The ends of a connection.
const (
	Near Side = iota // that of the program that uses the Conn
	Far              // that of its peer
)

// ErrRefused is what Dial returns while a way refuses connections.
var ErrRefused error = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// errReset is what both ends of a cut connection get.
var errReset = &net.OpError{Op: "use", Net: "tcp", Err: syscall.ECONNRESET}

// Way is what a group of connections goes through. Its conditions can be changed at any time, also for
// the connections that exist. Safe for concurrent use.
type Way struct {
	mu      sync.Mutex // guards all fields; taken before that of a Conn
	out, in Shape
	refuses bool
	closed  bool
	conns   map[*Conn]struct{}
	changed chan struct{} // closed at the next change; nil: nobody waits
}

// NewWay returns a way with fair conditions.
func NewWay() *Way { return &Way{} }

// Set changes the conditions: out is from the near side to the far one.
func (w *Way) Set(out, in Shape) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out, w.in = out, in
	for c := range w.conns {
		c.apply(out, in)
	}
	w.tell()
}

// Refuse makes Dial fail at once, or allows it again. Connections that stand are not touched.
func (w *Way) Refuse(refuse bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuses = refuse
	w.tell()
}

// Refuses reports whether new connections are refused.
func (w *Way) Refuses() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refuses
}

// tell wakes those who wait for a change. The lock is held.
func (w *Way) tell() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// Conn puts a connection on the way. It belongs to the Conn from then on. On a closed way it is cut.
func (w *Way) Conn(inner net.Conn) *Conn {
	c := &Conn{inner: inner, way: w}
	w.mu.Lock()
	c.out.shape, c.in.shape = w.out, w.in
	if !w.closed {
		if w.conns == nil {
			w.conns = make(map[*Conn]struct{})
		}
		w.conns[c] = struct{}{}
	}
	closed := w.closed
	w.mu.Unlock()
	if closed {
		c.cut()
	}
	return c
}

// Dial makes a connection by dial and puts it on the way. While the way is stalled it waits, and on a
// delayed one it takes a round trip longer.
//
// Errors: ErrRefused; net.ErrClosed once the way is closed; that of ctx, or of dial.
func (w *Way) Dial(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	for waited := false; ; {
		w.mu.Lock()
		closed, refuses := w.closed, w.refuses
		stalled, trip := w.out.Stalled || w.in.Stalled, w.out.Delay+w.in.Delay
		if stalled && w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		switch {
		case closed:
			return nil, net.ErrClosed
		case refuses:
			return nil, ErrRefused
		case stalled:
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case trip > 0 && !waited:
			waited = true
			timer := time.NewTimer(trip)
			select {
			case <-timer.C: // a change meanwhile is seen above
			case <-ctx.Done():
				timer.Stop()
				return nil, ctx.Err()
			}
		default:
			inner, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			c := w.Conn(inner)
			if w.Refuses() { // since a moment ago: a cut that belongs to it may have missed this one
				c.cut()
				return nil, ErrRefused
			}
			return c, nil
		}
	}
}

// all returns the connections that exist.
func (w *Way) all() []*Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]*Conn, 0, len(w.conns))
	for c := range w.conns {
		out = append(out, c)
	}
	return out
}

// forget takes a connection off the way.
func (w *Way) forget(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if delete(w.conns, c); len(w.conns) == 0 {
		w.tell()
	}
}

// Empty waits until no connection is on the way, for limit at most, and reports whether that is so.
func (w *Way) Empty(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		w.mu.Lock()
		empty := len(w.conns) == 0
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		if empty {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

// Len returns how many connections are on the way, with those that only one side believes in.
func (w *Way) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns)
}

// Cut resets all connections at both ends, also in the middle of a write; what was under way is lost. It
// returns how many they were.
func (w *Way) Cut() int {
	conns := w.all()
	for _, c := range conns {
		c.cut()
	}
	return len(conns)
}

// CutAfter resets each connection that exists once so many more bytes have gone out, or come in; 0 is no
// bound. A message that crosses the bound arrives in part.
func (w *Way) CutAfter(out, in int) {
	for _, c := range w.all() {
		c.limit(out, in)
	}
}

// HalfOpen lets one side of each connection vanish without the other noticing: the side that is gone gets
// a reset, the other hears nothing any more, and what it sends waits in buffers until it writes no
// further. It returns how many connections they were.
func (w *Way) HalfOpen(gone Side) int {
	conns := w.all()
	for _, c := range conns {
		c.halfOpen(gone)
	}
	return len(conns)
}

// CloseConns closes all connections as their owner would: what was written still arrives, once
// conditions allow, and then their end.
func (w *Way) CloseConns() {
	for _, c := range w.all() {
		_ = c.Close()
	}
}

// Close cuts all connections and makes Dial fail for good.
func (w *Way) Close() {
	w.mu.Lock()
	w.closed = true
	w.tell()
	w.mu.Unlock()
	w.Cut()
}

// isTimeout tells an expired deadline.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
