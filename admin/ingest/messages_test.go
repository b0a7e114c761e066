package ingest

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"kioskfleet/internal/protocol"
)

func TestDecodeJoin(t *testing.T) {
	long := strings.Repeat("x", maxTextBytes+1)
	list := func(n int) string { return strings.TrimSuffix(strings.Repeat(`"a",`, n), ",") }
	for _, tt := range []struct {
		name, payload string
		want          protocol.Join
		refused       string // reason and part of the text
	}{
		{"a whole one", `{"serial":"K-1","kiosk_id":7,"session":"s","boot_id":"b","agent_version":"1.0.0","model":"Tower","capabilities":["printer"],"commands":["ping"],"config_version":3,"time":"2026-01-02T03:04:05Z"}`,
			protocol.Join{Serial: "K-1", KioskID: 7, Session: "s", BootID: "b", AgentVersion: "1.0.0", Model: "Tower", Capabilities: []string{"printer"}, Commands: []string{"ping"}, ConfigVersion: 3, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, ""},
		{"an empty one", ` {} `, protocol.Join{}, ""},
		{"nulls", `{"serial":null,"kiosk_id":null,"session":null,"capabilities":null,"time":null}`, protocol.Join{}, ""},
		{"no capabilities are not the same as none said", `{"capabilities":[]}`, protocol.Join{Capabilities: []string{}}, ""},
		{"what nobody knows yet", `{"session":"s","new":{"deep":[[[[]]]]},"new":1}`, protocol.Join{Session: "s"}, ""},
		{"name in another case", `{"Session":"s"}`, protocol.Join{}, ""},
		{"as many as allowed", `{"commands":[` + list(maxCapabilities) + `]}`, protocol.Join{Commands: strings.Split(strings.Repeat("a", maxCapabilities), "")}, ""},

		{"another serial", `{"serial":"K-2"}`, protocol.Join{}, `wrong_serial: payload says "K-2", the topic "K-1"`},
		{"a name twice", `{"session":"s","s\u0065ssion":"s"}`, protocol.Join{}, "duplicate_key: session comes twice in a join"},
		{"a long session", `{"session":"` + long + `"}`, protocol.Join{}, "schema: session: has more than 256 bytes"},
		{"a long capability", `{"capabilities":["a","` + long + `"]}`, protocol.Join{}, "schema: capabilities: has more than 256 bytes"},
		{"a capability that is a number", `{"capabilities":[1]}`, protocol.Join{}, "schema: capabilities: must be a text, not a number"},
		{"capabilities that are no array", `{"capabilities":"a"}`, protocol.Join{}, "schema: capabilities: must be an array of texts, not a text"},
		{"too many capabilities", `{"capabilities":[` + list(maxCapabilities+1) + `]}`, protocol.Join{}, "schema: capabilities: more than 64"},
		{"too many commands", `{"commands":[` + list(maxCapabilities+1) + `]}`, protocol.Join{}, "schema: commands: more than 64"},
		{"a NUL", `{"model":"a\u0000"}`, protocol.Join{}, "schema: model: has a NUL character"},
		{"a time that is none", `{"time":"today"}`, protocol.Join{}, `schema: time: "today" is no RFC 3339 time`},
		{"a kiosk id that is none", `{"kiosk_id":"7"}`, protocol.Join{}, "schema: kiosk_id: must be a whole number of at most 64 bits, not a text"},
		{"not UTF-8", "{\"model\":\"\xff\"}", protocol.Join{}, "malformed: is not UTF-8 at byte 10"},
		{"cut off", `{"session":"s"`, protocol.Join{}, "malformed: ends at byte 14, where a comma or } is expected"},
		{"refused, and broken behind that", `{"session":7,}`, protocol.Join{}, "malformed: "},
		{"something after it", `{} {}`, protocol.Join{}, "malformed: "},
		{"an array", `[]`, protocol.Join{}, "malformed: a join must be an object, not an array"},
		{"null", `null`, protocol.Join{}, "malformed: a join must be an object, not null"},
		{"empty", ``, protocol.Join{}, "malformed: ends at byte 0"},
		{"nested too deeply", `{"new":` + strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting) + `}`, protocol.Join{}, "malformed: more than 64 levels"},
		{"too large", strings.Repeat(" ", maxPayloadBytes) + "{}", protocol.Join{}, "too_large: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload := []byte(tt.payload)
			got, why := decodeJoin("K-1", payload)
			checkRefusal(t, why, tt.refused, tt.payload)
			clear(payload)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("join = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func checkRefusal(t *testing.T, why *refusal, want, payload string) {
	t.Helper()
	switch {
	case why == nil && want != "":
		t.Errorf("taken, want %q", want)
	case why != nil && (want == "" || !strings.HasPrefix(why.Error(), want)):
		t.Errorf("refused: %q, want %q", why, want)
	case why != nil && (string(why.raw) != payload || why.item != 0):
		t.Errorf("refused item %d %.80q of %.80q", why.item, why.raw, payload)
	}
}

func TestDecodeBye(t *testing.T) {
	for _, tt := range []struct {
		payload string
		want    protocol.Bye
		refused string
	}{
		{`{"session":"s","reason":"stopped"}`, protocol.Bye{Session: "s", Reason: protocol.ByeStopped}, ""},
		{`{}`, protocol.Bye{}, ""},
		{`{"reason":"` + strings.Repeat("x", maxTextBytes+1) + `"}`, protocol.Bye{}, "schema: reason: has more than 256 bytes"},
		{`{"reason":7}`, protocol.Bye{}, "schema: reason: must be a text, not a number"},
		{`{"reason":"a","reason":"b"}`, protocol.Bye{}, "duplicate_key: reason comes twice in a bye"},
		{`7`, protocol.Bye{}, "malformed: a bye must be an object, not a number"},
	} {
		got, why := decodeBye([]byte(tt.payload))
		checkRefusal(t, why, tt.refused, tt.payload)
		if got != tt.want {
			t.Errorf("%.80s: %+v", tt.payload, got)
		}
	}
}

func TestDecodeAck(t *testing.T) {
	const head = `{"id":"x","status":"failed"`
	ack := func(change func(*protocol.Ack)) protocol.Ack {
		a := protocol.Ack{ID: "x", Status: protocol.AckFailed}
		change(&a)
		return a
	}
	for _, tt := range []struct {
		name, payload string
		want          protocol.Ack
		refused       string
	}{
		{"without more", head + `}`, ack(func(*protocol.Ack) {}), ""},
		{"a result", head + `,"result": {"a" : [1, "}"]} ,"time":"2026-01-02T03:04:05Z"}`, ack(func(a *protocol.Ack) {
			a.Result, a.Time = []byte(`{"a" : [1, "}"]}`), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		}), ""},
		{"a result that is null", head + `,"result":null}`, ack(func(*protocol.Ack) {}), ""},
		{"a result with a name twice", head + `,"result":{"a":1,"a":2}}`, ack(func(a *protocol.Ack) { a.Result = []byte(`{"a":1,"a":2}`) }), ""},
		{"an error of many lines", head + `,"error":"a\nb\u0000c"}`, ack(func(a *protocol.Ack) { a.Error = "a\nb\ufffdc" }), ""},
		{"an error that is too long", head + `,"error":"x` + strings.Repeat("é", maxAckError) + `"}`, ack(func(a *protocol.Ack) {
			a.Error = "x" + strings.Repeat("é", (maxAckError-1)/2) + "…"
		}), ""},
		{"no id", `{"status":"failed"}`, protocol.Ack{}, "schema: id or status is missing"},
		{"no status", `{"id":"x"}`, protocol.Ack{}, "schema: id or status is missing"},
		{"an id that is too long", `{"id":"` + strings.Repeat("x", maxTextBytes+1) + `"}`, protocol.Ack{}, "schema: id: has more than 256 bytes"},
		{"a name twice", head + `,"id":"y"}`, protocol.Ack{}, "duplicate_key: id comes twice in an ack"},
		{"an error that is no text", head + `,"error":[]}`, protocol.Ack{}, "schema: error: must be a text, not an array"},
		{"a result that is no JSON", head + `,"result":{]}`, protocol.Ack{}, "malformed: "},
		{"a result that is nested too deeply", head + `,"result":` + strings.Repeat("[", maxNesting) + strings.Repeat("]", maxNesting) + `}`, protocol.Ack{}, "malformed: more than 64 levels"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload := []byte(tt.payload)
			got, why := decodeAck(payload)
			checkRefusal(t, why, tt.refused, tt.payload)
			clear(payload)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ack = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestPayloadsAreKept(t *testing.T) {
	var p payloads
	var sent, kept [][]byte
	for i := range 3000 {
		payload := bytes.Repeat([]byte(fmt.Sprint(i, ",")), i%100*i%37)
		if i%500 == 0 {
			payload = bytes.Repeat([]byte("x"), payloadsBytes)
		}
		sent = append(sent, bytes.Clone(payload))
		kept = append(kept, p.keep(payload))
		clear(payload)
	}
	for i := range sent {
		if !bytes.Equal(sent[i], kept[i]) {
			t.Fatalf("payload %d became %.40q", i, kept[i])
		}
		_ = append(kept[i], "more"...) // must not reach into the next
	}
}

func BenchmarkDecodeRecord(b *testing.B) {
	r := record{kind: kindMessage, at: received, serial: "SIM-KIOSK-007", site: "Terminal 2", connection: "K3MWQ7D2A5ZC4XJ6RTB3YHNPLE", channel: protocol.ChannelTelemetry, payload: []byte(wholeReading)}
	buf := r.encode(nil)
	b.ReportAllocs()
	var p payloads
	for b.Loop() {
		r, err := decodeRecord(buf)
		if err != nil {
			b.Fatal(err)
		}
		p.keep(r.payload)
	}
}
