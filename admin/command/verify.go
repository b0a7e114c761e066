package command

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// verifiable reports whether a kiosk's own reports can show that a command took effect. An answer to
// ping is its own evidence.
func verifiable(name protocol.CommandName) bool { return name != protocol.CommandPing }

// verify looks whether the newest reports of a kiosk show what its succeeded commands claim. The lock
// is held.
func (l *Ladder) verify(ctx context.Context, serial string) {
	live := l.kiosks.Get(serial)
	for _, c := range slices.Clone(l.unsettled[serial]) {
		if c.Status != fleet.CommandSucceeded {
			continue
		}
		if note, ok := evidence(c, live); ok {
			l.step(ctx, *c, fleet.CommandVerified, note)
		}
	}
}

// evidence returns what in a kiosk's reports proves a command: another boot id for a restart, the
// wanted version for an update, the state for the others, in a reading taken after the command.
func evidence(c *fleet.Command, live *fleet.Live) (note string, ok bool) {
	switch c.Name {
	case protocol.CommandRestart:
		// Without the boot id from before there is nothing to compare.
		if c.BootID != "" && live.BootID != "" && live.BootID != c.BootID {
			return fmt.Sprintf("new boot id %s", live.BootID), true
		}
		return "", false
	case protocol.CommandUpdate:
		wanted := version(c.Params)
		if wanted == "" {
			wanted = version(c.Result) // the kiosk was free to choose
		}
		if wanted == "" || live.AgentVersion != wanted {
			return "", false
		}
		return fmt.Sprintf("it announces version %s", live.AgentVersion), true
	}
	r := live.LastReading
	if r == nil || r.Status == "" || r.ReceivedAt.Before(c.CreatedAt) {
		return "", false
	}
	shown := false
	switch c.Name {
	case protocol.CommandBlock:
		shown = r.Status == protocol.StateBlocked
	case protocol.CommandUnblock:
		shown = r.Status != protocol.StateBlocked
	case protocol.CommandMaintenance:
		var params struct {
			Enabled bool `json:"enabled"`
		}
		if json.Unmarshal(c.Params, &params) != nil {
			return "", false
		}
		shown = (r.Status == protocol.StateMaintenance) == params.Enabled
	}
	if !shown {
		return "", false
	}
	return fmt.Sprintf("reading %d of %s shows state %s", r.Seq, r.Time.Format("15:04:05.000"), r.Status), true
}

// version returns the field version of an object, or empty.
func version(raw json.RawMessage) string {
	var fields struct {
		Version string `json:"version"`
	}
	if json.Unmarshal(raw, &fields) != nil {
		return ""
	}
	return fields.Version
}
