package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"kioskfleet/internal/protocol"
)

const (
	timeLayout = "2006-01-02T15:04:05.000Z"
	// numberWidth is the room of a number in the template; JSON allows the spaces that fill it.
	numberWidth = 10
)

// template is the PUBLISH of a kiosk's readings; only packet id, time and the two numbers change.
type template struct {
	packet []byte
	id     int // where the packet id is, 0 at QoS 0
	time   int
	seq    int
	number int
}

// newTemplate builds a reading as in docs/asyncapi.yaml, about 480 bytes. custom.number repeats the
// seq, so that it can be asked for in the time-series store.
func newTemplate(version, qos byte, serial, session string) template {
	const none = "          "
	payload := []byte(`{"timestamp":"` + timeLayout + `","kiosk_id":7,"serial":"` + serial + `","seq":` + none +
		`,"session":"` + session + `","status":"online","config_version":3,` +
		`"environmental":{"temperature":22.4,"humidity":41.0,"air_quality":12.0},` +
		`"hardware":{"cpu_temp":51.2,"cpu_usage":33.0,"ram_usage":48.0,"disk_usage":71.0},` +
		`"peripherals":{"printer_status":"ready","cash_acceptor":"ready","card_reader":"ready"},` +
		`"location":{"lat":-34.6037,"lng":-58.3816,"accuracy":4.1},` +
		`"network":{"latency":38.0,"signal_strength":-61.0},` +
		`"custom":{"number":` + none + `}}`)
	topic := protocol.Topic(serial, protocol.ChannelTelemetry)
	packet := appendPublish(nil, version, topic, qos, 1, payload)
	body := len(packet) - len(payload)
	at := func(text string) int { return body + bytes.Index(payload, []byte(text)) + len(text) }
	t := template{packet: packet, time: at(`"timestamp":"`), seq: at(`"seq":`), number: at(`"number":`)}
	if qos > 0 {
		t.id = bytes.Index(packet, []byte(topic)) + len(topic)
	}
	return t
}

// append appends the packet of one reading.
func (t *template) append(b []byte, id uint16, seq uint64, at time.Time) []byte {
	begin := len(b)
	b = append(b, t.packet...)
	p := b[begin:]
	if t.id > 0 {
		binary.BigEndian.PutUint16(p[t.id:], id)
	}
	var text [len(timeLayout) + 9]byte // AppendFormat writes nanoseconds and takes them back
	copy(p[t.time:], at.UTC().AppendFormat(text[:0], timeLayout))
	strconv.AppendUint(p[t.seq:t.seq], seq, 10)
	strconv.AppendUint(p[t.number:t.number], seq, 10)
	return b
}

// checkSeq keeps a number inside its room in the template.
func checkSeq(seq uint64) error {
	if seq >= 1e10 {
		return fmt.Errorf("seq %d has more than %d digits", seq, numberWidth)
	}
	return nil
}
