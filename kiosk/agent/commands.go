package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/outbox"
)

// command is a command that the kiosk has accepted.
type command struct {
	protocol.Command
	deadline time.Time // not to be begun later; zero: whenever
}

const (
	// maxPending bounds the commands that wait for their turn; more are rejected.
	maxPending = 100
	// maxCommandID bounds a command's id in bytes: it is kept and sent back.
	maxCommandID = 128
	// maxVersion bounds the version of an update in bytes.
	maxVersion = 64
)

// acceptAll takes the messages that have come.
func (a *Agent) acceptAll() {
	for _, m := range a.inbox.take() {
		a.accept(m)
	}
}

// accept takes one message of the platform: it answers what has been answered before, and queues the
// rest. Commands are executed one at a time, in the order they came.
func (a *Agent) accept(m inboxMessage) {
	if m.channel != protocol.ChannelCmd {
		a.log.Debug("message ignored", "channel", m.channel, "bytes", len(m.payload))
		return
	}
	cmd, err := parseCommand(m.payload)
	if err != nil {
		a.log.Warn("malformed command ignored", "error", err, "bytes", len(m.payload))
		if cmd.ID != "" {
			ack := rejection(cmd.ID, err)
			a.arrived(cmd.ID, m.came)
			a.cfg.Counters.Commands.Add(1)
			a.concluded(cmd, ack, false)
			a.acknowledge(ack)
		}
		return
	}
	if ack, done := a.state.finished(cmd.ID); done {
		a.acknowledge(ack)
		return
	}
	if a.begun(cmd.ID) {
		a.acknowledge(protocol.Ack{ID: cmd.ID, Status: protocol.AckRunning, Time: time.Now().UTC()})
		return
	}
	a.acknowledge(protocol.Ack{ID: cmd.ID, Status: protocol.AckReceived, Time: time.Now().UTC()})
	if slices.ContainsFunc(a.pending, func(c command) bool { return c.ID == cmd.ID }) {
		return
	}
	a.arrived(cmd.ID, m.came)
	a.cfg.Counters.Commands.Add(1)
	if len(a.pending) >= maxPending {
		a.conclude(cmd, rejection(cmd.ID, fmt.Errorf("%d commands are waiting already", maxPending)), nil)
		return
	}
	accepted := command{Command: cmd}
	if cmd.TTLSeconds != 0 {
		accepted.deadline = time.Now().Add(time.Duration(cmd.TTLSeconds * float64(time.Second)))
	}
	a.pending = append(a.pending, accepted)
}

// parseCommand decodes a command. With an error it returns the id if that much was readable.
func parseCommand(payload []byte) (protocol.Command, error) {
	var cmd protocol.Command
	err := json.Unmarshal(payload, &cmd)
	if err != nil {
		var only struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(payload, &only) != nil {
			only.ID = ""
		}
		cmd = protocol.Command{ID: only.ID}
		err = fmt.Errorf("not a command: %w", err)
	}
	if cmd.ID == "" {
		return protocol.Command{}, errors.Join(errors.New("the command has no id"), err)
	}
	if len(cmd.ID) > maxCommandID {
		return protocol.Command{}, fmt.Errorf("the command's id has %d bytes, at most %d are allowed", len(cmd.ID), maxCommandID)
	}
	return cmd, err
}

// begun reports whether the command is being executed.
func (a *Agent) begun(id string) bool { return a.state.Restarting == id || a.state.Updating == id }

// next begins the pending commands until one takes time. It reports whether that is a restart.
func (a *Agent) next() (restart bool) {
	for a.updating == nil && len(a.pending) > 0 {
		cmd := a.pending[0]
		a.pending = a.pending[1:]
		if a.begin(cmd) {
			return true
		}
	}
	if len(a.pending) == 0 {
		a.pending = nil
	}
	return false
}

// begin executes a command, or begins to. It reports whether that is a restart.
func (a *Agent) begin(cmd command) (restart bool) {
	a.log.Info("command", "id", cmd.ID, "name", cmd.Name)
	if !cmd.deadline.IsZero() && time.Now().After(cmd.deadline) {
		a.conclude(cmd.Command, rejection(cmd.ID, errors.New("expired before the kiosk could begin it")), nil)
		return false
	}
	if a.pretend(cmd.Command) {
		return false
	}
	success := protocol.Ack{ID: cmd.ID, Status: protocol.AckSucceeded}
	switch cmd.Name {
	case protocol.CommandPing:
		a.conclude(cmd.Command, success, nil)
	case protocol.CommandBlock:
		a.conclude(cmd.Command, success, func(s *State) { s.Blocked = true })
	case protocol.CommandUnblock:
		a.conclude(cmd.Command, success, func(s *State) { s.Blocked = false })
	case protocol.CommandMaintenance:
		enabled, err := maintenanceParams(cmd.Params)
		if err != nil {
			a.conclude(cmd.Command, rejection(cmd.ID, err), nil)
			return false
		}
		a.conclude(cmd.Command, success, func(s *State) { s.Maintenance = enabled })
	case protocol.CommandUpdate:
		version, err := updateParams(cmd.Params, a.version())
		if err != nil {
			a.conclude(cmd.Command, rejection(cmd.ID, err), nil)
			return false
		}
		a.beginUpdate(cmd, version)
	case protocol.CommandRestart:
		return a.start(cmd.Command, func(s *State) { s.Restarting = cmd.ID })
	default:
		a.conclude(cmd.Command, rejection(cmd.ID, unknownCommand(cmd.Name)), nil)
	}
	return false
}

// start notes on disk that a command has begun and says so to the platform. It reports success.
func (a *Agent) start(cmd protocol.Command, change func(*State)) bool {
	begun := a.state
	begun.Begun = &cmd
	change(&begun)
	if err := a.cfg.Store.Save(begun); err != nil {
		ack := failure(cmd.ID, err)
		a.concluded(cmd, ack, false)
		a.acknowledge(ack)
		return false
	}
	a.state = begun
	a.acknowledge(protocol.Ack{ID: cmd.ID, Status: protocol.AckRunning, Time: time.Now().UTC()})
	a.report()
	return true
}

func (a *Agent) beginUpdate(cmd command, version string) {
	if a.start(cmd.Command, func(s *State) { s.Updating = cmd.ID }) {
		a.target = version
		a.updating = time.After(a.cfg.UpdateTime)
	}
}

func (a *Agent) finishUpdate() {
	cmd, version := a.state.begun(a.state.Updating, protocol.CommandUpdate), a.target
	a.updating, a.target, a.state.Updating, a.state.Begun = nil, "", "", nil
	result, err := updateResult(version)
	if err != nil {
		a.conclude(cmd, failure(cmd.ID, err), nil)
		return
	}
	a.conclude(cmd, protocol.Ack{ID: cmd.ID, Status: protocol.AckSucceeded, Result: result}, func(s *State) { s.Version = version })
}

// updateResult is the result of an update's ack.
func updateResult(version string) (json.RawMessage, error) {
	return json.Marshal(map[string]string{"version": version})
}

// conclude ends a command: its effect and its final ack are on disk before the platform hears of
// them. Commands without an effect (change is nil) are remembered with the next one that has one;
// to answer them twice does no harm.
func (a *Agent) conclude(cmd protocol.Command, ack protocol.Ack, change func(*State)) {
	a.finish(cmd, ack, change, ack.Status == protocol.AckSucceeded)
}

// finish is conclude for a command that may not have been executed, whatever its ack says.
func (a *Agent) finish(cmd protocol.Command, ack protocol.Ack, change func(*State), executed bool) {
	ack.Time = time.Now().UTC()
	after := a.state.with(ack)
	if change == nil {
		a.state = after
		a.concluded(cmd, ack, executed)
		a.acknowledge(ack)
		return
	}
	change(&after)
	if err := a.cfg.Store.Save(after); err != nil {
		a.log.Error("command failed", "id", ack.ID, "error", err)
		ack = failure(ack.ID, err)
		a.concluded(cmd, ack, false)
		a.acknowledge(ack)
		a.report()
		return
	}
	updated := after.Version != a.state.Version
	a.state = after
	if updated {
		a.session.announce(a.bootID, a.version())
	}
	// The reading shows the effect; it travels before the ack that claims it.
	a.report()
	a.concluded(cmd, ack, executed)
	a.acknowledge(ack)
}

// settleInterrupted answers for what an earlier life of the agent had begun: a restart has now
// happened, an update has not.
func (a *Agent) settleInterrupted() {
	settle := func(cmd protocol.Command, ack protocol.Ack) {
		ack.Time = time.Now().UTC()
		a.state = a.state.with(ack)
		if err := a.cfg.Store.Save(a.state); err != nil {
			// The file still says that the command has begun: the next start answers the same.
			a.log.Error("save the kiosk's state", "id", ack.ID, "error", err)
		}
		a.concluded(cmd, ack, ack.Status == protocol.AckSucceeded)
		a.acknowledge(ack)
	}
	if id := a.state.Restarting; id != "" {
		cmd := a.state.begun(id, protocol.CommandRestart)
		a.state.Restarting, a.state.Begun = "", nil
		settle(cmd, protocol.Ack{ID: id, Status: protocol.AckSucceeded})
	}
	if id := a.state.Updating; id != "" {
		cmd := a.state.begun(id, protocol.CommandUpdate)
		a.state.Updating, a.state.Begun = "", nil
		settle(cmd, failure(id, errors.New("interrupted: the agent ended during the update; the version is unchanged")))
	}
}

// acknowledge hands an ack to the outbox.
func (a *Agent) acknowledge(ack protocol.Ack) {
	payload, err := json.Marshal(ack)
	if err == nil {
		err = a.outbox.Add(outbox.Item{AckKey: ack.ID + " " + string(ack.Status), Payload: payload})
	}
	if err != nil {
		a.cfg.Counters.OutboxErrors.Add(1)
		a.log.Error("an ack is lost", "id", ack.ID, "status", ack.Status, "error", err)
		return
	}
	signal(a.wake)
}

func rejection(id string, err error) protocol.Ack {
	return protocol.Ack{ID: id, Status: protocol.AckRejected, Error: err.Error(), Time: time.Now().UTC()}
}

func failure(id string, err error) protocol.Ack {
	return protocol.Ack{ID: id, Status: protocol.AckFailed, Error: err.Error(), Time: time.Now().UTC()}
}

func unknownCommand(name protocol.CommandName) error {
	known := make([]string, 0, 8)
	for _, n := range protocol.CommandNames() {
		known = append(known, string(n))
	}
	return fmt.Errorf("unknown command %q: this kiosk knows %s", name, strings.Join(known, ", "))
}

// params decodes one field of a command's parameters into out and reports whether it is there.
func params(raw json.RawMessage, field, want string, out any) (bool, error) {
	if len(raw) == 0 {
		return false, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return false, errors.New("params must be an object")
	}
	value, ok := fields[field]
	if !ok {
		return false, nil
	}
	if string(value) == "null" || json.Unmarshal(value, out) != nil {
		return false, fmt.Errorf("params.%s must be %s, not %s", field, want, value)
	}
	return true, nil
}

func maintenanceParams(raw json.RawMessage) (enabled bool, err error) {
	ok, err := params(raw, "enabled", "true or false", &enabled)
	if err == nil && !ok {
		err = errors.New("params.enabled is missing: true begins maintenance, false ends it")
	}
	return enabled, err
}

// updateParams returns the version to update to: the one asked for, or the current one with its
// patch number raised.
func updateParams(raw json.RawMessage, current string) (version string, err error) {
	ok, err := params(raw, "version", "a string", &version)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return nextPatch(current), nil
	case version == "" || len(version) > maxVersion:
		return "", fmt.Errorf("params.version must have 1 to %d bytes, not %d", maxVersion, len(version))
	}
	return version, nil
}

// nextPatch raises the last number of a version: 1.4.2 becomes 1.4.3, and dev becomes dev.1.
func nextPatch(version string) string {
	start := len(version)
	for start > 0 && version[start-1] >= '0' && version[start-1] <= '9' {
		start--
	}
	n, err := strconv.ParseUint(version[start:], 10, 63)
	if err != nil {
		return version + ".1"
	}
	return version[:start] + strconv.FormatUint(n+1, 10)
}
