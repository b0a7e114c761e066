package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/load"
)

// historyReading is a reading as history.spec.mjs expects it: the CPU goes between 40 and 60.
func historyReading(serial string, at time.Time, n int) string {
	return fmt.Sprintf(`{"timestamp":%q,"serial":%q,"hardware":{"cpu_temp":%d},"custom":{"soda":%d}}`,
		at.UTC().Format(time.RFC3339Nano), serial, 40+20*(n%2), n%100)
}

func TestTheBrowserLooksIntoHistory(t *testing.T) {
	needsPage(t)
	p := startAdmin(t, nil)
	const serial = "SIM-KIOSK-HISTORY"
	ids, err := load.Enroll(t.Context(), p.url, p.file(t, "spawner-token"), []string{serial})
	if err != nil {
		t.Fatal(err)
	}
	p.call(t, "PATCH", "/kiosks/"+serial, map[string]any{"timezone": "Europe/Madrid"}, 200, nil)
	conn, err := load.Dial(t.Context(), ids[0].Broker, ids[0].TLS, load.MQTT5, serial)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(payload string) error {
		return conn.Publish(protocol.Topic(serial, protocol.ChannelTelemetry), 1, []byte(payload))
	}

	const every = 30 * time.Second
	now := time.Now().Truncate(every)
	var batch []string
	for n, at := 0, now.Add(-24*time.Hour); at.Before(now); n, at = n+1, at.Add(every) {
		if ago := now.Sub(at); ago > 12*time.Hour && ago <= 13*time.Hour {
			continue
		}
		batch = append(batch, historyReading(serial, at, n))
		if len(batch) == 100 || now.Sub(at) == every {
			if err := publish("[" + strings.Join(batch, ",") + "]"); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
	p.awaitPoints(t, serial)

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case at := <-tick.C:
				if err := publish(historyReading(serial, at.Truncate(time.Millisecond), n)); err != nil {
					t.Errorf("a live reading is not acknowledged: %v", err)
					return
				}
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
		conn.Close()
	}()

	p.inBrowser(t, "history.spec.mjs", serial)
}
