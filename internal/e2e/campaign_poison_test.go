package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
	"kioskfleet/internal/testkit/load"
)

// poison lists messages that cannot be used, for a kiosk with that serial.
func poison(serial string) map[string]string {
	now := time.Now().UTC()
	reading := func(at time.Time, serial, more string) string {
		return fmt.Sprintf(`{"timestamp":%q,"serial":%q%s}`, at.Format(time.RFC3339Nano), serial, more)
	}
	return map[string]string{
		"cut off":          reading(now, serial, "")[:20],
		"not JSON":         "\x00\xff\x01",
		"nothing":          "",
		"a number":         "42",
		"NaN":              reading(now, serial, `,"custom":{"number":NaN}`),
		"infinite":         reading(now, serial, `,"custom":{"number":1e999}`),
		"wrong serial":     reading(now, serial+"-X", `,"custom":{"number":1}`),
		"deep":             reading(now, serial, `,"custom":{"number":`+strings.Repeat("[", 50_000)+strings.Repeat("]", 50_000)+`}`),
		"large":            reading(now, serial, `,"custom":{"number":1,"text":"`+strings.Repeat("x", 500<<10)+`"}`),
		"repeated key":     reading(now, serial, `,"custom":{"number":1},"custom":{"number":2}`),
		"of the future":    reading(now.Add(time.Hour), serial, `,"custom":{"number":1}`),
		"old":              reading(now.Add(-30*24*time.Hour), serial, `,"custom":{"number":1}`),
		"without a time":   fmt.Sprintf(`{"serial":%q}`, serial),
		"groups in groups": reading(now, serial, `,"custom":{"number":{"a":1}}`),
	}
}

func TestPoisonStopsNobody(t *testing.T) {
	p := startAdmin(t, nil)
	others := p.publishers(t, 5, "O", func(i int, c *load.Config) {
		mix(i, c)
		c.Rate = 50
	})
	stop := load.Start(t.Context(), others)
	defer stop()
	awaitAcked(t, others, 10)

	ids, err := load.Enroll(t.Context(), p.url, p.file(t, "spawner-token"), []string{"SIM-KIOSK-P"})
	if err != nil {
		t.Fatal(err)
	}
	bad := ids[0]
	conn, err := load.Dial(t.Context(), bad.Broker, bad.TLS, load.MQTT5, bad.Serial)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	topic := protocol.Topic(bad.Serial, protocol.ChannelTelemetry)
	var own []load.Entry
	publishValid := func() {
		e := load.Entry{Seq: uint64(len(own) + 1), Time: time.Now().UTC().Truncate(time.Millisecond), Acked: true}
		if n := len(own); n > 0 && !e.Time.After(own[n-1].Time) {
			e.Time = own[n-1].Time.Add(time.Millisecond)
		}
		payload, err := json.Marshal(protocol.Reading{
			Timestamp: e.Time, Serial: bad.Serial, Seq: e.Seq, Session: "s", Custom: protocol.Group{"number": e.Seq},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Publish(topic, 1, payload); err != nil {
			t.Fatalf("valid reading %d: %v", e.Seq, err)
		}
		own = append(own, e)
	}

	const letters = "kioskfleet_ingest_dead_letters_total"
	publishValid()
	messages := poison(bad.Serial)
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		t.Run(name, func(t *testing.T) {
			before := p.count(t, letters)
			if err := conn.Publish(topic, 1, []byte(messages[name])); err != nil {
				t.Fatalf("not acknowledged, it would come again for ever: %v", err)
			}
			publishValid()
			within(t, 5*time.Second, 20*time.Millisecond, "it to be counted as a dead letter, once", func() error {
				if n := p.count(t, letters); n != before+1 {
					return fmt.Errorf("%v are counted", n-before)
				}
				return nil
			})
		})
	}
	awaitAcked(t, others, 100)
	stop()
	sent := sentBy(others)
	sent[bad.Serial] = own
	p.holdToAcknowledged(t, sent)
	if st := others[0].Stats(); st.Lost.Load() > 0 {
		t.Errorf("other kiosks lost their connections: %s, %s", st, st.LastFailure())
	}
}
