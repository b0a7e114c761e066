package life

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"kioskfleet/internal/hashed"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/fault"
	"kioskfleet/kiosk/truth"
)

// What a life does from within its agent: it keeps the record, and spoils what its faults say.

// booted is the agent's hook.
func (l *Life) booted(bootID, version string) {
	now := l.cfg.Clock.Now()
	l.event(truth.Event{Time: now, Event: truth.Boot, Boot: &truth.BootEvent{ID: bootID, Version: version}})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.version == "" {
		// What it starts with came before this life, or is the first version of all.
		l.version = version
		l.device.Updated(time.Time{}, version)
		l.infect(now)
	}
}

// concluded is the agent's hook.
func (l *Life) concluded(cmd protocol.Command, ack protocol.Ack, executed bool) {
	now := l.cfg.Clock.Now()
	l.event(truth.Event{Time: now, Event: truth.Command, Command: &truth.CommandEvent{
		ID: cmd.ID, Name: string(cmd.Name), Params: cmd.Params, Status: string(ack.Status), Executed: executed, Error: ack.Error,
	}})
	var result struct {
		Version string `json:"version"`
	}
	if cmd.Name != protocol.CommandUpdate || !executed || json.Unmarshal(ack.Result, &result) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.version, l.updated = result.Version, now
	l.device.Updated(now, result.Version)
	l.infect(now)
}

// pretends is the agent's hook.
func (l *Life) pretends(cmd protocol.Command) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.active {
		if only := f.Params.Text("command"); f.Kind == fault.CommandIgnored && (only == "" || only == string(cmd.Name)) {
			return true
		}
	}
	return false
}

// publish is the agent's hook: it spoils readings on their way out.
func (l *Life) publish(_ context.Context, ch protocol.Channel, payload []byte) []byte {
	if ch != protocol.ChannelTelemetry {
		return payload
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.active {
		switch f.Kind {
		case fault.MalformedPayload:
			if hashed.Uniform(hashed.Text(string(payload))) < f.Params.Number("share") {
				payload = payload[:len(payload)/2]
			}
		case fault.SerialMismatch:
			payload = bytes.ReplaceAll(payload, serialField(l.serial), serialField(f.Params.Text("serial")))
		}
	}
	return payload
}

// serialField is how the agent's encoder writes a serial.
func serialField(serial string) []byte {
	text, err := json.Marshal(serial)
	if err != nil {
		return nil // a string can be encoded
	}
	return append([]byte(`"serial":`), text...)
}

// infect lets the bad firmware of active faults take effect, or lose it.
func (l *Life) infect(now time.Time) {
	if l.uplink == nil {
		return // no fault ever befalls this kiosk
	}
	for id, f := range l.bad {
		if !l.isActive(id) || !l.isBad(f) {
			delete(l.bad, id)
			delete(l.fallen, id)
			l.tell(truth.FaultEnd, f, now)
		}
	}
	for _, f := range l.active {
		if _, already := l.bad[f.ID]; f.Kind != fault.BadFirmware || already || !l.isBad(f) {
			continue
		}
		l.bad[f.ID] = f
		l.tell(truth.FaultStart, f, now)
		if f.Params.Text("effect") == fault.EffectRebootLoop {
			// It runs a while before it falls over: long enough to say that the update succeeded.
			l.fallLater(f, now.Add(f.Params.Duration("every")))
		}
	}
	l.apply()
}

// isBad reports whether the agent's version is one that the fault makes bad.
func (l *Life) isBad(f fault.Fault) bool {
	if version := f.Params.Text("version"); version != "" {
		return version == l.version
	}
	return !l.updated.Before(f.From)
}
