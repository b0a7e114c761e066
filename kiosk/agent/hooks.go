package agent

import (
	"context"
	"net"
	"time"

	"kioskfleet/internal/protocol"
)

// Hooks let a simulation watch an agent and make it misbehave. Each may be nil. They run on the agent's
// goroutines and must not wait, except Dial and Publish.
type Hooks struct {
	// Dial makes the network connection below TLS.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Publish may change a message on its way out, and hold it up. The outbox keeps the message as it was.
	Publish func(ctx context.Context, ch protocol.Channel, payload []byte) []byte
	// Pretends says whether to acknowledge a command as succeeded without executing it.
	Pretends func(cmd protocol.Command) bool
	// Booted is told of each start of the agent's program, also of that after a restart.
	Booted func(bootID, version string)
	// Concluded is told of each command that got its final ack; executed says whether it had its effect.
	Concluded func(cmd protocol.Command, ack protocol.Ack, executed bool)
	// Acknowledged is told of each message that the broker has acknowledged and how long that took, from
	// the attempt to publish that succeeded.
	Acknowledged func(ch protocol.Channel, took time.Duration)
	// Answered is told how long a command took from its arrival until the broker acknowledged its final ack.
	Answered func(took time.Duration)
}
