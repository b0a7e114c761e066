package agent

import (
	"context"
	"errors"
	"sync/atomic"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/outbox"
)

// Counters count what agents do. Many agents may share one set.
type Counters struct {
	Connected atomic.Int64 // agents that are connected right now
	Readings  atomic.Int64 // readings the broker has acknowledged
	Acks      atomic.Int64 // acks of commands the broker has acknowledged
	Dropped   atomic.Int64 // readings that a full outbox dropped
	Lost      atomic.Int64 // connections that broke

	// Attempts to publish: Sent messages of all kinds with SentReadings readings in them, of which
	// Acknowledged were acknowledged by the broker.
	Sent         atomic.Int64
	SentReadings atomic.Int64
	Acknowledged atomic.Int64
	// Resent is messages, ResentReadings readings, that were published again because an earlier attempt
	// brought no acknowledgement, on this connection or the one before. Readings that a full outbox
	// dropped meanwhile may be counted too.
	Resent         atomic.Int64
	ResentReadings atomic.Int64

	Commands  atomic.Int64 // commands received, without repetitions
	Executed  atomic.Int64 // of these: had their effect
	Pretended atomic.Int64 // were acknowledged without an effect
	Rejected  atomic.Int64
	Unmet     atomic.Int64 // failed

	Failed      atomic.Int64 // attempts that made no connection
	Refused     atomic.Int64 // of these: the broker refused
	Distrusted  atomic.Int64 // the broker could not be trusted (TLS)
	Unanswered  atomic.Int64 // nothing came in time
	Unreachable atomic.Int64 // the network failed

	PublishTimeouts atomic.Int64 // messages not acknowledged in time, on a connection that stood
	OutboxErrors    atomic.Int64 // readings, acks and confirmations that the outbox did not take
}

// failed counts an attempt that made no connection.
func (c *Counters) failed(err error) {
	c.Failed.Add(1)
	switch {
	case errors.Is(err, mqttclient.ErrRefused):
		c.Refused.Add(1)
	case errors.Is(err, mqttclient.ErrTLS):
		c.Distrusted.Add(1)
	case errors.Is(err, mqttclient.ErrTimeout):
		c.Unanswered.Add(1)
	default:
		c.Unreachable.Add(1)
	}
}

// concluded counts a command that got its final ack.
func (c *Counters) concluded(ack protocol.Ack, executed bool) {
	switch {
	case executed:
		c.Executed.Add(1)
	case ack.Status == protocol.AckSucceeded:
		c.Pretended.Add(1)
	case ack.Status == protocol.AckRejected:
		c.Rejected.Add(1)
	default:
		c.Unmet.Add(1)
	}
}

// attempted counts what became of an attempt to publish on a connection of that context.
func (c *Counters) attempted(connection context.Context, err error) {
	c.Sent.Add(1)
	switch {
	case err == nil:
		c.Acknowledged.Add(1)
	case errors.Is(err, context.DeadlineExceeded) && connection.Err() == nil:
		c.PublishTimeouts.Add(1)
	}
}

// unsure is what was published without an acknowledgement, and is still in the outbox: it will be
// published again.
type unsure struct {
	acks    int // 0 or 1, for they leave one by one
	fresh   int // readings of this connection
	backlog int // readings of earlier ones
}

// reconnected makes what was fresh backlog, as the outbox does.
func (u *unsure) reconnected() { u.fresh, u.backlog = 0, u.backlog+u.fresh }

// again takes out how many of a batch have been published before: readings, and with an ack 1.
func (u *unsure) again(b outbox.Batch) int {
	of := u.of(b)
	n := min(*of, size(b))
	*of -= n
	return n
}

// failed notes a batch that brought no acknowledgement.
func (u *unsure) failed(b outbox.Batch) { *u.of(b) += size(b) }

func (u *unsure) of(b outbox.Batch) *int {
	switch {
	case b.Channel == protocol.ChannelAck:
		return &u.acks
	case b.Backlog():
		return &u.backlog
	}
	return &u.fresh
}

// size is how many items a batch holds.
func size(b outbox.Batch) int {
	if b.Channel == protocol.ChannelAck {
		return 1
	}
	return b.Readings
}
