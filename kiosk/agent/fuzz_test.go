package agent

import (
	"strings"
	"testing"
)

// FuzzCommand: whatever comes on the command topic, a command that is accepted has an id that can be
// acknowledged, and its parameters are either understood or refused.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{
		cmd("1", "maintenance", `,"params":{"enabled":true}`), cmd("2", "update", `,"params":{"version":"1.2.3"},"ttl_seconds":5`),
		cmd("3", "update", `,"params":null`), cmd("4", "maintenance", `,"params":[{}]`), `{"id":"5","name":7}`, `{"id":{}}`, "null", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseCommand(payload)
		if err == nil && c.ID == "" || len(c.ID) > maxCommandID {
			t.Fatalf("id %q, error %v", c.ID, err)
		}
		if version, err := updateParams(c.Params, "1.0.0"); err == nil && (version == "" || len(version) > maxVersion) {
			t.Fatalf("version %q", version)
		}
		if _, err := maintenanceParams(c.Params); err != nil && !strings.Contains(err.Error(), "params") {
			t.Fatalf("error %v does not name the parameters", err)
		}
	})
}
