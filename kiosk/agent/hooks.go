package agent

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"sync"
	"time"

	"kioskfleet/internal/protocol"
)

// Hooks let a simulation watch an agent and make it misbehave. Each may be nil. They run on the agent's
// goroutines and must not wait, except Dial and Publish.
type Hooks struct {
	// Dial makes the network connection below TLS.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Publish may change a message on its way out, and hold it up; it is asked again for each attempt.
	// The outbox keeps the message as it was. It gets the messages of all channels: a fault that spoils
	// readings must leave the others alone. The time that it takes does not count as the broker's.
	Publish func(ctx context.Context, ch protocol.Channel, payload []byte) []byte
	// Pretends says whether to acknowledge a command as succeeded without executing it. Commands that
	// would be rejected are rejected all the same.
	Pretends func(cmd protocol.Command) bool
	// Booted is told of each start of the agent's program, also of that after a restart.
	Booted func(bootID, version string)
	// Concluded is told of each command that got its final ack; executed says whether it had its effect. It
	// is told before the ack leaves, once for each ack that is not a mere repetition. Of a malformed
	// command it knows only the id.
	Concluded func(cmd protocol.Command, ack protocol.Ack, executed bool)
	// Acknowledged is told of each message that the broker has acknowledged and how long that took, from
	// the attempt to publish that succeeded. It runs on the goroutine that publishes.
	Acknowledged func(ch protocol.Channel, took time.Duration)
	// Answered is told how long a command took from its first arrival until the broker acknowledged its
	// final ack, with the time that a restart takes. Commands of an earlier process are not told.
	Answered func(took time.Duration)
}

// maxArrivals bounds the commands whose final ack is awaited for Answered; of more nothing is told.
const maxArrivals = 1000

// arrivals remembers when commands came, for Answered.
type arrivals struct {
	mu   sync.Mutex // guards came
	came map[string]time.Time
}

// arrived notes when a command came; only its first arrival counts.
func (a *Agent) arrived(id string, at time.Time) {
	if a.cfg.Hooks.Answered == nil {
		return
	}
	a.arrivals.mu.Lock()
	defer a.arrivals.mu.Unlock()
	if _, known := a.arrivals.came[id]; known || len(a.arrivals.came) >= maxArrivals {
		return
	}
	if a.arrivals.came == nil {
		a.arrivals.came = map[string]time.Time{}
	}
	a.arrivals.came[id] = at
}

// answered looks whether an ack that the broker has acknowledged was a final one.
func (a *Agent) answered(payload []byte) {
	if a.cfg.Hooks.Answered == nil {
		return
	}
	var ack protocol.Ack
	if json.Unmarshal(payload, &ack) != nil || ack.Status == protocol.AckReceived || ack.Status == protocol.AckRunning {
		return
	}
	a.arrivals.mu.Lock()
	came, known := a.arrivals.came[ack.ID]
	delete(a.arrivals.came, ack.ID)
	a.arrivals.mu.Unlock()
	if known {
		a.cfg.Hooks.Answered(time.Since(came))
	}
}

// concluded tells of a command that got its final ack.
func (a *Agent) concluded(cmd protocol.Command, ack protocol.Ack, executed bool) {
	a.cfg.Counters.concluded(ack, executed)
	if told := a.cfg.Hooks.Concluded; told != nil {
		told(cmd, ack, executed)
	}
}

// pretend acknowledges a command as if it had been executed. It reports false, and does nothing, if the
// command is to be taken seriously.
func (a *Agent) pretend(cmd protocol.Command) bool {
	if pretends := a.cfg.Hooks.Pretends; pretends == nil || !pretends(cmd) {
		return false
	}
	ack := protocol.Ack{ID: cmd.ID, Status: protocol.AckSucceeded}
	switch cmd.Name {
	case protocol.CommandMaintenance:
		if _, err := maintenanceParams(cmd.Params); err != nil {
			return false
		}
	case protocol.CommandUpdate:
		version, err := updateParams(cmd.Params, a.version())
		if err == nil {
			ack.Result, err = updateResult(version)
		}
		if err != nil {
			return false
		}
	default:
		if !slices.Contains(protocol.CommandNames(), cmd.Name) {
			return false
		}
	}
	a.finish(cmd, ack, nil, false)
	return true
}
