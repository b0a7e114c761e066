package fleet

import (
	"slices"
	"testing"
)

func TestACommandNeverStepsDown(t *testing.T) {
	final := []CommandStatus{CommandSucceeded, CommandFailed, CommandRejected, CommandExpired}
	tests := map[CommandStatus][]CommandStatus{
		CommandQueued:     append([]CommandStatus{CommandSent, CommandReceived, CommandRunning}, final...),
		CommandSent:       append([]CommandStatus{CommandReceived, CommandRunning}, final...),
		CommandReceived:   append([]CommandStatus{CommandRunning}, final...),
		CommandRunning:    final,
		CommandSucceeded:  {CommandVerified, CommandUnverified},
		CommandFailed:     nil,
		CommandRejected:   nil,
		CommandExpired:    {CommandSucceeded, CommandFailed, CommandRejected},
		CommandVerified:   nil,
		CommandUnverified: nil,
	}
	for from, allowed := range tests {
		for to := range tests {
			if got, want := to.CanFollow(from), slices.Contains(allowed, to); got != want {
				t.Errorf("%s after %s: %v, want %v", to, from, got, want)
			}
		}
		if CommandStatus("dancing").CanFollow(from) {
			t.Errorf("an unknown status may follow %s", from)
		}
		if open := from != CommandVerified && from != CommandUnverified && !slices.Contains(final, from); from.Open() != open {
			t.Errorf("%s is open: %v", from, from.Open())
		}
	}
}

func TestRolesInclude(t *testing.T) {
	for i, r := range Roles() {
		for j, needed := range Roles() {
			if got := r.Includes(needed); got != (i >= j) {
				t.Errorf("%s includes %s: %v", r, needed, got)
			}
		}
	}
	if Role("").Includes(RoleViewer) || Role("").Includes("") || Role("root").Includes(RoleViewer) {
		t.Error("an unknown role includes something")
	}
}
