package ingest

import (
	"strings"
	"testing"
	"time"

	"kioskfleet/admin/fleet"
)

// wholeReading is the reading of the design note.
const wholeReading = `{"timestamp":"2026-01-02T03:04:05.678Z","kiosk_id":7,"serial":"SIM-KIOSK-007","seq":1234,` +
	`"session":"K3MWQ7D2A5ZC4XJ6RTB3YHNPLE","status":"online","config_version":3,` +
	`"environmental":{"temperature":22.4,"humidity":41.0,"air_quality":12.0},` +
	`"hardware":{"cpu_temp":51.2,"cpu_usage":33.0,"ram_usage":48.0,"disk_usage":71.0},` +
	`"peripherals":{"printer_status":"ready","cash_acceptor":"ready","card_reader":"ready"},` +
	`"location":{"lat":-34.6037,"lng":-58.3816,"accuracy":4.1},` +
	`"network":{"latency":38.0,"signal_strength":-61.0},` +
	`"custom":{"paper_level":62.0}}`

func benchmarkDecode(b *testing.B, payload string, decode func(string, []byte, time.Time, time.Duration) ([]fleet.Reading, []*refusal)) {
	text := []byte(payload)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		readings, refused := decode("SIM-KIOSK-007", text, received, window)
		if len(refused) != 0 || len(readings) == 0 {
			b.Fatal(refused)
		}
	}
}

func BenchmarkDecodeReading(b *testing.B) { benchmarkDecode(b, wholeReading, decodeReadings) }

// array500 has the readings that a message may have, without the kiosk id and with a shorter session so that
// they fit into it.
func array500() string {
	one := strings.NewReplacer(`"kiosk_id":7,`, "", "K3MWQ7D2A5ZC4XJ6RTB3YHNPLE", "K3M").Replace(wholeReading)
	return "[" + strings.TrimSuffix(strings.Repeat(one+",", maxReadings), ",") + "]"
}

func BenchmarkDecodeArray500(b *testing.B) { benchmarkDecode(b, array500(), decodeReadings) }

func BenchmarkDecodeUnknownFields(b *testing.B) {
	payload := strings.NewReplacer(`"environmental"`, `"vendor_a"`, `"hardware"`, `"vendor_b"`, `"location"`, `"vendor_c"`).Replace(wholeReading)
	benchmarkDecode(b, payload, decodeReadings)
}
