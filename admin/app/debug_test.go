package app

import (
	"strings"
	"testing"
)

func TestTheProfilersAddressIsChecked(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Debug.Addr = ":6060"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "debug.addr: :6060 is not a loopback address") {
		t.Errorf("error = %v", err)
	}
}
