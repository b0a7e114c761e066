// Package load makes kiosks out of almost nothing: publishers that speak just enough MQTT 3.1.1 or 5
// over TLS with client certificates to send readings and to wait for their acknowledgements, by one
// goroutine and a few kilobytes each, so that a load test measures the platform and not its own
// clients. A client sends what was not acknowledged again, unchanged, as a kiosk does, and its ledger
// remembers which readings were acknowledged, so that a test can ask for each of them afterwards.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says how one client publishes. Broker, TLS and Serial are required, TLS not for mqtt://host:port.
type Config struct {
	Broker   string // mqtts://host:port, or mqtt://host:port without TLS
	TLS      *tls.Config
	Serial   string
	Session  string // in each reading; default s
	ClientID string // default the serial
	Version  byte   // MQTT311 (default) or MQTT5
	QoS      byte   // 0, 1 or 2; 0 needs a Rate
	// Window is how many readings wait for their acknowledgements at a time; 1, the default, sends one
	// after the other.
	Window int
	// Rate is how many new readings it makes a second; 0: as many as are acknowledged.
	Rate float64
	// Behind is how far the readings' times are behind the clock, for what comes late. Times are whole
	// milliseconds and strictly increase; at more than a thousand a second they run ahead.
	Behind time.Duration
	Stats  *Stats // default: its own

	// MinBackoff and MaxBackoff bound the pauses, drawn at random, before it connects again; default
	// 50 ms and 1 s.
	MinBackoff, MaxBackoff time.Duration
}

const (
	// answerTimeout ends a connection whose broker has stopped to answer.
	answerTimeout = 30 * time.Second
	// drainTimeout bounds the wait for the last acknowledgements at the end.
	drainTimeout = 5 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	if c.Broker == "" || c.TLS == nil && !strings.HasPrefix(c.Broker, plainScheme) || c.Serial == "" {
		return c, errors.New("a load client needs a broker, a TLS configuration and a serial")
	}
	if c.Session == "" {
		c.Session = "s"
	}
	if c.ClientID == "" {
		c.ClientID = c.Serial
	}
	if c.Version == 0 {
		c.Version = MQTT311
	}
	if c.Version != MQTT311 && c.Version != MQTT5 {
		return c, fmt.Errorf("MQTT version %d is not known", c.Version)
	}
	if c.QoS > 2 || c.QoS == 0 && c.Rate <= 0 {
		return c, fmt.Errorf("QoS %d with rate %v: 0 needs a rate, because nothing else would pace it", c.QoS, c.Rate)
	}
	if c.Window <= 0 {
		c.Window = 1
	}
	if c.Window > 1000 {
		return c, fmt.Errorf("a window of %d; at most 1000", c.Window)
	}
	if c.Stats == nil {
		c.Stats = new(Stats)
	}
	if c.MinBackoff <= 0 {
		c.MinBackoff = 50 * time.Millisecond
	}
	if c.MaxBackoff < c.MinBackoff {
		c.MaxBackoff = max(time.Second, c.MinBackoff)
	}
	return c, nil
}

// Client publishes the readings of one kiosk. Create it with New; Run does the work.
type Client struct {
	cfg      Config
	ledger   Ledger
	template template

	// All below is Run's.
	slots   []slot
	free    []uint16 // indices of free slots
	resend  []uint16 // indices of slots to send again, by seq
	last    int64    // time of the newest reading, Unix milliseconds
	due     time.Time
	out     []byte
	backoff time.Duration
}

// slot is a reading on its way; its packet id is its index plus one.
type slot struct {
	seq   uint64
	at    int64 // Unix milliseconds
	sent  time.Time
	state slotState
}

type slotState byte

const (
	slotFree      slotState = iota
	slotSent                // waits for PUBACK or PUBREC
	slotReleasing           // acknowledged by PUBREC, waits for PUBCOMP
)

// New returns a client that has sent nothing yet.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, template: newTemplate(cfg.Version, cfg.QoS, cfg.Serial, cfg.Session), backoff: cfg.MinBackoff}
	c.slots = make([]slot, cfg.Window)
	for i := range c.slots {
		c.free = append(c.free, uint16(i))
	}
	return c, nil
}

// Serial is the kiosk that the client is.
func (c *Client) Serial() string { return c.cfg.Serial }

// Session is the session of its readings.
func (c *Client) Session() string { return c.cfg.Session }

// Stats are the counters that the client adds to.
func (c *Client) Stats() *Stats { return c.cfg.Stats }

// Ledger is what the client has sent.
func (c *Client) Ledger() *Ledger { return &c.ledger }

// Run connects and publishes until ctx ends, then waits a little for what is still on its way.
func (c *Client) Run(ctx context.Context) {
	if c.cfg.Rate > 0 { // many clients are not to send in step
		c.due = time.Now().Add(time.Duration(rand.Float64() / c.cfg.Rate * float64(time.Second)))
	}
	for ctx.Err() == nil {
		conn, err := Dial(ctx, c.cfg.Broker, c.cfg.TLS, c.cfg.Version, c.cfg.ClientID)
		if err != nil {
			if ctx.Err() == nil {
				c.cfg.Stats.Failed.Add(1)
				c.cfg.Stats.failed(err)
			}
			c.pause(ctx)
			continue
		}
		c.cfg.Stats.Connects.Add(1)
		err = c.serve(ctx, conn)
		_ = conn.Close()
		if err == nil {
			return
		}
		c.cfg.Stats.Lost.Add(1)
		c.cfg.Stats.failed(err)
		c.reclaim()
		c.pause(ctx)
	}
}

// pause waits before the next attempt to connect, each time longer until something is acknowledged.
func (c *Client) pause(ctx context.Context) {
	timer := time.NewTimer(c.cfg.MinBackoff + rand.N(c.backoff))
	defer timer.Stop()
	c.backoff = min(2*c.backoff, c.cfg.MaxBackoff)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// reclaim prepares the slots of a broken connection for the next one.
func (c *Client) reclaim() {
	c.free, c.resend = c.free[:0], c.resend[:0]
	for i := range c.slots {
		if c.slots[i].state == slotSent {
			c.resend = append(c.resend, uint16(i))
			continue
		}
		c.slots[i].state = slotFree
		c.free = append(c.free, uint16(i))
	}
	slices.SortFunc(c.resend, func(a, b uint16) int { return int(c.slots[a].seq) - int(c.slots[b].seq) })
}

// serve publishes over one connection. It returns nil once ctx has ended, or what broke.
func (c *Client) serve(ctx context.Context, conn *Conn) error {
	// A read that waits ends with ctx.
	defer context.AfterFunc(ctx, func() { _ = conn.net.SetReadDeadline(time.Now()) })()
	heard := time.Now()
	var deadline, stopAt time.Time
	pinged := false
	for {
		now := time.Now()
		stopping := ctx.Err() != nil
		if stopping && stopAt.IsZero() {
			stopAt = now.Add(drainTimeout)
		}
		if err := c.send(conn, now, stopping); err != nil {
			return err
		}
		waiting := len(c.slots) - len(c.free)
		if stopping && (waiting == 0 || now.After(stopAt)) {
			return nil
		}

		until := heard.Add(answerTimeout)
		switch {
		case stopping:
			until = stopAt
		case c.cfg.Rate > 0 && c.room(conn) && c.due.Before(until):
			until = c.due
		}
		// Moving a deadline costs more than all else here, so an unhurried one stays for a while.
		if until.Before(deadline) || until.Sub(deadline) > answerTimeout/2 || c.cfg.Rate > 0 || stopping {
			deadline = until
			_ = conn.net.SetReadDeadline(deadline)
			if !stopping && ctx.Err() != nil {
				continue // it may have undone what ends the read
			}
		}
		err := c.receive(conn)
		now = time.Now()
		switch {
		case err == nil:
			heard, pinged = now, false
		case !timedOut(err):
			return err
		case now.Sub(heard) < answerTimeout/2 || ctx.Err() != nil:
			deadline = time.Time{}
		case waiting == 0 && !pinged:
			// Nothing was to be answered; ask whether it is still there.
			if _, err := conn.net.Write(pingreq); err != nil {
				return err
			}
			heard, pinged, deadline = now, true, time.Time{}
		case now.Sub(heard) >= answerTimeout:
			return fmt.Errorf("no answer for %s: %w", answerTimeout, err)
		default:
			deadline = time.Time{}
		}
	}
}

// room reports whether another reading may be sent.
func (c *Client) room(conn *Conn) bool {
	return c.cfg.QoS == 0 || len(c.free) > 0 && len(c.slots)-len(c.free) < conn.receiveMaximum
}

// send writes what is to be sent again, then new readings as far as window and rate allow.
func (c *Client) send(conn *Conn, now time.Time, stopping bool) error {
	c.out = c.out[:0]
	for len(c.resend) > 0 && len(c.slots)-len(c.free)-len(c.resend) < conn.receiveMaximum {
		i := c.resend[0]
		c.resend = c.resend[1:]
		s := &c.slots[i]
		s.sent = now
		c.out = c.template.append(c.out, i+1, s.seq, time.UnixMilli(s.at))
		c.cfg.Stats.Sent.Add(1)
		c.cfg.Stats.Resent.Add(1)
	}
	for !stopping && len(c.resend) == 0 && c.room(conn) && (c.cfg.Rate <= 0 || !now.Before(c.due)) {
		c.last = max(now.Add(-c.cfg.Behind).UnixMilli(), c.last+1)
		seq := c.ledger.add(c.last)
		if err := checkSeq(seq); err != nil {
			return err
		}
		var id uint16
		if c.cfg.QoS > 0 {
			i := c.free[len(c.free)-1]
			c.free = c.free[:len(c.free)-1]
			c.slots[i] = slot{seq: seq, at: c.last, sent: now, state: slotSent}
			id = i + 1
		}
		c.out = c.template.append(c.out, id, seq, time.UnixMilli(c.last))
		c.cfg.Stats.Sent.Add(1)
		if c.cfg.Rate > 0 {
			period := time.Duration(float64(time.Second) / c.cfg.Rate)
			// What an outage has kept it from making is not made up for.
			if c.due = c.due.Add(period); c.due.Before(now.Add(-period)) {
				c.due = now
			}
		}
	}
	if len(c.out) == 0 {
		return nil
	}
	_, err := conn.net.Write(c.out)
	return err
}

// receive waits for an answer and takes those that came with it.
func (c *Client) receive(conn *Conn) error {
	for first := true; first || conn.buffered(); first = false {
		a, err := conn.answer()
		if err != nil {
			return err
		}
		if err := c.take(conn, a); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) take(conn *Conn, a answer) error {
	if a.kind != typePuback && a.kind != typePubrec && a.kind != typePubcomp {
		return nil
	}
	if a.id == 0 || int(a.id) > len(c.slots) {
		return fmt.Errorf("the broker acknowledges packet %d, which was not sent", a.id)
	}
	s := &c.slots[a.id-1]
	switch {
	case a.reason >= firstRefusal:
		c.cfg.Stats.Refused.Add(1)
		return &RefusedError{"publish", a.reason} // it is sent again over the next connection
	case a.kind == typePubcomp && s.state == slotReleasing:
		s.state = slotFree
		c.free = append(c.free, a.id-1)
	case s.state == slotSent && (a.kind == typePuback && c.cfg.QoS == 1 || a.kind == typePubrec && c.cfg.QoS == 2):
		c.ledger.ack(s.seq)
		c.cfg.Stats.Acked.Add(1)
		c.cfg.Stats.Latency.Record(time.Since(s.sent))
		c.backoff = c.cfg.MinBackoff
		if a.kind == typePuback {
			s.state = slotFree
			c.free = append(c.free, a.id-1)
			return nil
		}
		s.state = slotReleasing
		_, err := conn.net.Write(appendPubrel(nil, a.id))
		return err
	default:
		return fmt.Errorf("the broker answers packet %d with type %d out of turn", a.id, a.kind)
	}
	return nil
}

// Start runs the clients until stop is called, which waits until all have ended.
func Start(ctx context.Context, clients []*Client) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() { c.Run(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
