package ingest

import (
	"bytes"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

func TestRefusedPayloadsAreNotHeldForTheOtherConsumer(t *testing.T) {
	d := &decoded{in: &Ingest{cfg: Config{Window: time.Hour}}}
	r := &record{number: 7, kind: kindMessage, at: time.Now(), serial: "K-1", channel: protocol.ChannelTelemetry, payload: bytes.Repeat([]byte("x"), 1000)}
	for range 2 {
		if readings, refused, _ := d.telemetry(r); len(readings) != 0 || len(refused) != 1 {
			t.Fatalf("%d readings, %d refused", len(readings), len(refused))
		}
		if slot := &d.slots[7]; slot.number != 0 {
			t.Error("a refused payload is kept until the other consumer comes")
		}
	}
}
