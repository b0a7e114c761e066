package swarm

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/outbox"
)

func outboxOf(t *testing.T, dataDir string) *outbox.Log {
	t.Helper()
	log, err := outbox.Open(outbox.Config{Dir: filepath.Join(dataDir, "spawner", "outbox")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func TestWhatASwarmCouldNotSendIsInItsOutbox(t *testing.T) {
	w := newWorld(t)
	w.urls = []string{"mqtts://127.0.0.1:1"} // nobody is there
	dir := t.TempDir()
	cfg := w.config(5, dir)
	cfg.MaxReadings = 5 * minReadingsOfOne
	stop := run(t, cfg)
	eventually(t, "a full outbox", func() bool { return cfg.Counters.Totals().Readings.Dropped > 0 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	log := outboxOf(t, dir)
	if told, n := cfg.Counters.Totals().Readings.Waiting, log.Readings(); told != int64(n) || n == 0 {
		t.Errorf("%d readings wait, it counts %d", n, told)
	}
	for i := range 5 {
		serial := fmt.Sprintf("SIM-KIOSK-%03d", i+1)
		box, err := log.Box(serial, outbox.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		batch, ok := box.Next()
		if !ok || batch.Channel != protocol.ChannelTelemetry || batch.Readings == 0 || batch.Readings > minReadingsOfOne ||
			!strings.Contains(string(batch.Payload), `"serial":"`+serial+`"`) {
			t.Errorf("%s: %v, %d readings: %.100s", serial, ok, batch.Readings, batch.Payload)
		}
	}
}

func TestAnOutboxInUseIsNamed(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	outboxOf(t, dir)
	s, err := New(w.config(1, dir))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "spawner", "outbox")) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Run: %v", err)
	}
}

func TestShare(t *testing.T) {
	for _, tt := range []struct {
		kiosks, readings int
		bytes            int64
	}{
		{1, 10_000, 256 << 20}, {10, 10_000, 256 << 20 / 10}, {1000, 200, 256 << 20 / 1000}, {15_000, 30, 64 << 10},
	} {
		if readings, bytes := share(DefaultMaxReadings, DefaultMaxBytes, tt.kiosks); readings != tt.readings || bytes != tt.bytes {
			t.Errorf("of %d kiosks each gets %d readings of %d bytes, want %d of %d", tt.kiosks, readings, bytes, tt.readings, tt.bytes)
		}
	}
}
