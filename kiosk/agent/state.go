package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kioskfleet/internal/durablefile"
	"kioskfleet/internal/protocol"
)

// State is what a kiosk must not forget when its agent ends, however it ends.
type State struct {
	Version     string `json:"agent_version,omitempty"` // empty until the first update
	Blocked     bool   `json:"blocked"`
	Maintenance bool   `json:"maintenance"`
	// Restarting is the id of a restart that has begun.
	Restarting string `json:"restarting,omitempty"`
	// Updating is the id of an update that has begun.
	Updating string `json:"updating,omitempty"`
	// Begun is the command that Restarting or Updating names. Files of earlier versions lack it.
	Begun *protocol.Command `json:"begun,omitempty"`
	// Finished holds the final acks of the latest commands, oldest first. A command that comes again
	// is answered from here and not executed again.
	Finished []protocol.Ack `json:"finished,omitempty"`
}

// maxFinished bounds the ledger. The platform repeats only commands whose final ack it has not seen,
// and few of those are open at a time.
const maxFinished = 100

// finished returns the final ack of a command.
func (s *State) finished(id string) (protocol.Ack, bool) {
	i := slices.IndexFunc(s.Finished, func(a protocol.Ack) bool { return a.ID == id })
	if i < 0 {
		return protocol.Ack{}, false
	}
	return s.Finished[i], true
}

// begun returns the command of that id that was begun.
func (s *State) begun(id string, name protocol.CommandName) protocol.Command {
	if s.Begun != nil && s.Begun.ID == id {
		cmd := *s.Begun
		var compact bytes.Buffer // the file is indented
		if json.Compact(&compact, cmd.Params) == nil && len(cmd.Params) > 0 {
			cmd.Params = compact.Bytes()
		}
		return cmd
	}
	return protocol.Command{ID: id, Name: name}
}

// with returns a copy of the state with one more finished command.
func (s State) with(ack protocol.Ack) State {
	keep := s.Finished
	if len(keep) >= maxFinished {
		keep = keep[len(keep)-maxFinished+1:]
	}
	s.Finished = append(slices.Clone(keep), ack)
	return s
}

// Store keeps a kiosk's state across restarts. Save returns once the state would survive a crash.
type Store interface {
	Load() (State, error)
	Save(State) error
}

// StateFile is a Store in the file of that name.
type StateFile string

// Load returns the zero state when there is no file yet.
func (f StateFile) Load() (State, error) {
	var s State
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("load the kiosk's state: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("load the kiosk's state from %s: %w (delete the file to begin anew)", f, err)
	}
	return s, nil
}

// Save replaces the file; a crash leaves the old state or the new one.
func (f StateFile) Save(s State) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the kiosk's state: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("save the kiosk's state: %w", err)
	}
	return durablefile.Write(string(f), append(text, '\n'), 0o600)
}
