package command

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

func TestEvidenceVerifiesASuccess(t *testing.T) {
	reading := func(s protocol.State) func(*bench) { return func(b *bench) { b.report("K-1", s) } }
	join := func(boot, version string) func(*bench) {
		return func(b *bench) {
			b.join("K-1", boot)
			b.kiosks.set("K-1", func(l *fleet.Live) { l.AgentVersion = version })
			b.Joined(b.t.Context(), "K-1", protocol.Join{})
		}
	}
	tests := []struct {
		name   string
		order  protocol.CommandName
		params string
		result string
		shows  func(*bench)
		want   fleet.CommandStatus
	}{
		{"restart, new boot id", "restart", "", "", join("B", "1.0.0"), fleet.CommandVerified},
		{"restart, the same boot id", "restart", "", "", join("A", "1.0.0"), fleet.CommandSucceeded},
		{"restart, no boot id", "restart", "", "", join("", "1.0.0"), fleet.CommandSucceeded},
		{"restart, only readings", "restart", "", "", reading(protocol.StateOnline), fleet.CommandSucceeded},
		{"update, announced", "update", `{"version":"2.0.0"}`, `{"version":"2.0.0"}`, join("A", "2.0.0"), fleet.CommandVerified},
		{"update, not announced", "update", `{"version":"2.0.0"}`, `{"version":"2.0.0"}`, join("A", "1.0.0"), fleet.CommandSucceeded},
		{"update, the kiosk claims another", "update", `{"version":"2.0.0"}`, `{"version":"1.0.0"}`, join("A", "1.0.0"), fleet.CommandSucceeded},
		{"update, the kiosk says no version", "update", `{"version":"2.0.0"}`, "", join("A", "2.0.0"), fleet.CommandVerified},
		{"update to what the kiosk chose", "update", "", `{"version":"1.0.1"}`, join("A", "1.0.1"), fleet.CommandVerified},
		{"update to nobody knows what", "update", "", "", join("B", "1.0.1"), fleet.CommandSucceeded},
		{"update with an odd result", "update", "", `"1.0.1"`, join("B", "1.0.1"), fleet.CommandSucceeded},
		{"block shown", "block", "", "", reading(protocol.StateBlocked), fleet.CommandVerified},
		{"block not shown", "block", "", "", reading(protocol.StateOnline), fleet.CommandSucceeded},
		{"block, a reading without state", "block", "", "", reading(""), fleet.CommandSucceeded},
		{"unblock shown", "unblock", "", "", reading(protocol.StateMaintenance), fleet.CommandVerified},
		{"unblock not shown", "unblock", "", "", reading(protocol.StateBlocked), fleet.CommandSucceeded},
		{"unblock, a reading without state", "unblock", "", "", reading(""), fleet.CommandSucceeded},
		{"maintenance on", "maintenance", `{"enabled":true}`, "", reading(protocol.StateMaintenance), fleet.CommandVerified},
		{"maintenance on, not shown", "maintenance", `{"enabled":true}`, "", reading(protocol.StateOnline), fleet.CommandSucceeded},
		{"maintenance off", "maintenance", `{"enabled":false}`, "", reading(protocol.StateBlocked), fleet.CommandVerified},
		{"maintenance off, not shown", "maintenance", `{"enabled":false}`, "", reading(protocol.StateMaintenance), fleet.CommandSucceeded},
		{"maintenance off, a reading without state", "maintenance", `{"enabled":false}`, "", reading(""), fleet.CommandSucceeded},
	}
	for _, tt := range tests {
		for _, order := range []string{"evidence first", "success first"} {
			t.Run(tt.name+", "+order, func(t *testing.T) {
				b := newBench(t)
				c := b.send(Request{Name: tt.order, Params: json.RawMessage(tt.params)})
				b.clock.advance(time.Second)
				ack := protocol.Ack{ID: c.ID, Status: protocol.AckSucceeded, Result: json.RawMessage(tt.result)}
				if order == "evidence first" {
					tt.shows(b)
					b.Acked(t.Context(), "K-1", ack)
				} else {
					b.Acked(t.Context(), "K-1", ack)
					tt.shows(b)
				}
				got := b.store.get(c.ID)
				if got.Status != tt.want {
					t.Fatalf("status = %s, want %s", got.Status, tt.want)
				}
				if note := got.Steps[len(got.Steps)-1].Note; tt.want == fleet.CommandVerified && note == "" {
					t.Error("a verified command does not say by what")
				}
			})
		}
	}
}

func TestAReadingFromBeforeTheCommandProvesNothing(t *testing.T) {
	b := newBench(t)
	b.report("K-1", protocol.StateBlocked)
	b.clock.advance(time.Second)
	c := b.send(Request{Name: protocol.CommandBlock})
	b.ack(c.ID, protocol.AckSucceeded)
	b.wantLadder(c.ID, "queued sent succeeded")
	b.clock.advance(time.Second)
	b.report("K-1", protocol.StateBlocked)
	b.wantLadder(c.ID, "queued sent succeeded verified")
}

func TestEvidenceNeedsAClaim(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{Name: protocol.CommandBlock})
	b.report("K-1", protocol.StateBlocked)
	b.wantLadder(c.ID, "queued sent")
}

// The boot id to compare with is the one at delivery: a kiosk that was off and comes back has not
// carried out a restart that it had not heard of.
func TestComingBackIsNoEvidenceOfARestart(t *testing.T) {
	b := newBench(t)
	b.offline("K-1")
	c := b.send(Request{})
	b.join("K-1", "B")
	b.ack(c.ID, protocol.AckSucceeded)
	b.wantLadder(c.ID, "queued sent succeeded")
	b.join("K-1", "C")
	b.wantLadder(c.ID, "queued sent succeeded verified")
}

func TestAKioskWithoutAnEarlierBootIDProvesNoRestart(t *testing.T) {
	b := newBench(t)
	b.online("K-1", "")
	c := b.send(Request{})
	b.join("K-1", "A")
	b.ack(c.ID, protocol.AckSucceeded)
	b.wantLadder(c.ID, "queued sent succeeded")
}

func TestWithoutEvidenceASuccessIsUnverified(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{})
	b.ack(c.ID, protocol.AckSucceeded)
	b.clock.advance(verifyWithin)
	b.tick(t.Context())
	b.wantLadder(c.ID, "queued sent succeeded")
	b.clock.advance(time.Millisecond)
	b.tick(t.Context())
	b.wantLadder(c.ID, "queued sent succeeded unverified")
	b.join("K-1", "B")
	b.wantLadder(c.ID, "queued sent succeeded unverified")
	if n := len(b.unsettled); n != 0 {
		t.Errorf("%d kiosks still followed", n)
	}
}

func TestPingIsItsOwnEvidence(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{Name: protocol.CommandPing})
	b.ack(c.ID, protocol.AckSucceeded)
	b.clock.advance(time.Hour)
	b.tick(t.Context())
	b.report("K-1", protocol.StateOnline)
	if got := b.ladder(c.ID); strings.Contains(got, "verified") {
		t.Errorf("ladder = %q", got)
	}
}

func TestAStoreThatMissesTheVerificationGetsItAgain(t *testing.T) {
	b := newBench(t)
	c := b.send(Request{Name: protocol.CommandBlock})
	b.ack(c.ID, protocol.AckSucceeded)
	b.store.fail(errDown)
	b.report("K-1", protocol.StateBlocked)
	b.store.fail(nil)
	b.wantLadder(c.ID, "queued sent succeeded")
	b.report("K-1", protocol.StateBlocked)
	b.wantLadder(c.ID, "queued sent succeeded verified")
}
