package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/enroll"
)

// clientID keeps a load apart from the kiosk itself: the broker puts the serial before it, so neither takes
// the other's connection over.
const clientID = "history"

// publishTimeout is how long the broker may take to acknowledge a message, as for an agent.
const publishTimeout = 30 * time.Second

// upload is one kiosk's load. It does not join: a kiosk that joins gets commands, and nobody here would
// obey. It has no will either, so that a connection that breaks says nothing of the kiosk.
type upload struct {
	*loader
	serial string
	lines  *lines
	alive  chan struct{} // holds a token after an acknowledgement
	done   chan error    // gets the one result
	held   atomic.Bool   // the rate allows no message now

	// Of one connection after the other; they never overlap.
	now   batch
	tried bool // now was sent before

	mu      sync.Mutex // guards session
	session string     // of the last reading that was acknowledged
}

// run connects and publishes until everything is acknowledged, nothing has been for too long, or ctx ends.
func (u *upload) run(ctx context.Context, identity enroll.Identity) error {
	client, err := mqttclient.New(mqttclient.Config{
		Brokers: identity.Brokers, ClientID: clientID, TLS: identity.TLS,
		OnConnect: u.serve, Goodbye: u.goodbye, Backoff: u.cfg.Backoff, Log: u.cfg.Log.With("serial", u.serial),
	})
	if err != nil {
		return err
	}
	linkCtx, unlink := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- client.Run(linkCtx) }()
	err = u.wait(ctx)
	unlink()
	return errors.Join(err, <-ended)
}

func (u *upload) wait(ctx context.Context) error {
	patience := time.NewTimer(u.cfg.Patience)
	defer patience.Stop()
	for {
		select {
		case err := <-u.done:
			return err
		case <-u.alive:
			patience.Reset(u.cfg.Patience)
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			if u.held.Load() {
				patience.Reset(u.cfg.Patience)
				continue
			}
			return fmt.Errorf("nothing was acknowledged for %s", u.cfg.Patience)
		}
	}
}

// serve publishes over one connection.
func (u *upload) serve(ctx context.Context, c *mqttclient.Client) {
	for ctx.Err() == nil {
		if u.now.readings == 0 {
			b, err := u.lines.take()
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				u.done <- err
				<-ctx.Done()
				return
			}
			u.now, u.tried = b, false
			u.held.Store(true)
			err = u.pace.wait(ctx, b.readings)
			u.held.Store(false)
			if err != nil {
				return
			}
		}
		if err := u.publish(ctx, c); err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
		}
	}
}

// publish sends the message at hand and waits for its acknowledgement.
func (u *upload) publish(ctx context.Context, c *mqttclient.Client) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	counters := u.cfg.Counters
	counters.Sent.Add(u.now.readings)
	if u.tried {
		counters.Resent.Add(u.now.readings)
	}
	u.tried = true
	if err := c.Publish(ctx, protocol.Topic(u.serial, protocol.ChannelTelemetry), 1, false, u.now.payload); err != nil {
		return err
	}
	u.loaded.add(u.serial, u.now.readings)
	counters.Acknowledged.Add(u.now.readings)
	u.mu.Lock()
	u.session = u.now.session
	u.mu.Unlock()
	u.now = batch{}
	select {
	case u.alive <- struct{}{}:
	default:
	}
	return nil
}

// goodbye says that the session of the last reading has ended: a kiosk that is only in the history does not
// look as if it had fallen silent. Where the kiosk itself is connected, the platform knows better.
func (u *upload) goodbye(ctx context.Context, c *mqttclient.Client) {
	u.mu.Lock()
	session := u.session
	u.mu.Unlock()
	if session == "" {
		return
	}
	payload, err := json.Marshal(protocol.Bye{Session: session, Reason: protocol.ByeStopped})
	if err == nil {
		err = c.Publish(ctx, protocol.Topic(u.serial, protocol.ChannelBye), 1, false, payload)
	}
	if err != nil {
		u.cfg.Log.Debug("left without a goodbye", "serial", u.serial, "error", err)
	}
}

// pace spaces readings evenly. It is safe for concurrent use.
type pace struct {
	perSecond float64 // 0: no limit

	mu   sync.Mutex // guards next
	next time.Time
}

// wait waits until n more readings are due.
func (p *pace) wait(ctx context.Context, n int64) error {
	if p.perSecond <= 0 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	due := p.next
	p.next = due.Add(time.Duration(float64(n) / p.perSecond * float64(time.Second)))
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
