package server

import (
	"fmt"
	"slices"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestStatusesAreKeptForIntegrators(t *testing.T) {
	w, _ := newIntegratorWorld(t)
	publish := func(topic, payload string) {
		t.Helper()
		if err := w.server.Publish(t.Context(), topic, 1, true, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	publish("kiosks/K-1/status", "old")
	publish("kiosks/K-1/status", "new")
	publish("kiosks/K-2/status", "there")
	publish("kiosks/K-3/status", "deleted")
	publish("kiosks/K-3/status", "")
	for _, tt := range []struct {
		filter string
		want   []string
	}{
		{"kiosks/+/status", []string{"r kiosks/K-1/status new", "r kiosks/K-2/status there", "the end"}},
		{"kiosks/K-2/status", []string{"r kiosks/K-2/status there", "the end"}},
		{"kiosks/K-3/status", []string{"the end"}},
	} {
		t.Run(tt.filter, func(t *testing.T) {
			r, _ := w.raw(t, 5, nil)
			r.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 7, Filters: packets.Subscriptions{
				{Filter: "alerts/#"}, {Filter: tt.filter, Identifier: 9},
			}}, (*packets.Packet).SubscribeEncode)
			if pk, err := r.read(); err != nil || pk.FixedHeader.Type != packets.Suback {
				t.Fatalf("%+v, %v", pk.FixedHeader, err)
			}
			if err := w.server.Publish(t.Context(), "alerts/end", 1, false, []byte("end")); err != nil {
				t.Fatal(err)
			}
			var got []string
			for range tt.want {
				m := r.next()
				if m == "alerts/end end" {
					m = "the end"
				}
				got = append(got, m)
			}
			slices.Sort(got[:len(got)-1])
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if kept := w.server.mqtt.Topics.Messages("kiosks/+/status"); len(kept) > 0 {
		t.Errorf("mochi keeps %d statuses as well", len(kept))
	}
}

// Otherwise the new one could be forwarded first, and the old one stay.
func TestAStatusIsNotReplacedWhileItIsOffered(t *testing.T) {
	s := statuses{payloads: map[string][]byte{}}
	s.keep("kiosks/K-1/status", []byte("old"))
	for _, filter := range []string{"kiosks/K-1/status", "kiosks/+/status", "#"} {
		offered := false
		s.matching(filter, []int{7}, func(all []delivery) {
			offered = len(all) == 1 && all[0].retain && string(all[0].payload) == "old" && all[0].identifiers[0] == 7
			if s.mu.TryLock() {
				t.Errorf("%s: a new status could be kept meanwhile", filter)
			}
		})
		if !offered {
			t.Errorf("%s: it is not offered", filter)
		}
	}
	s.matching("kiosks/+/telemetry", nil, func(all []delivery) { t.Errorf("readings: offered %d statuses", len(all)) })
}

// BenchmarkStatuses finds those of one kiosk, and of all of 15,000.
func BenchmarkStatuses(b *testing.B) {
	s := statuses{payloads: map[string][]byte{}}
	for i := range 15_000 {
		s.keep(fmt.Sprintf("kiosks/K-%05d/status", i), []byte("{}"))
	}
	for _, filter := range []string{"kiosks/K-00700/status", "kiosks/+/status"} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.matching(filter, nil, func([]delivery) {})
			}
		})
	}
}
