package ingest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	stamp  = `"timestamp":"2026-01-02T03:04:05.678Z","serial":"K-1"`
	window = 7 * 24 * time.Hour
)

var (
	taken    = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	received = taken.Add(time.Second)
)

// summary writes readings as their metrics, for comparison: seq{metric=value …}.
func summary(readings []fleet.Reading) string {
	var out []string
	for _, r := range readings {
		var fields []string
		for _, v := range r.Values {
			fields = append(fields, fmt.Sprintf("%s=%v", v.Metric, v.Value))
		}
		for _, x := range r.Texts {
			fields = append(fields, fmt.Sprintf("%s=%q", x.Metric, x.Text))
		}
		text := fmt.Sprintf("%d{%s}", r.Seq, strings.Join(fields, " "))
		if len(r.Dropped) > 0 {
			text += fmt.Sprintf(" dropped %v", r.Dropped)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func reasons(refused []*refusal) string {
	var out []string
	for _, r := range refused {
		out = append(out, r.reason)
	}
	return strings.Join(out, " ")
}

func TestAWholeReading(t *testing.T) {
	got, refused := decodeReadings("K-1", []byte(`{
		"timestamp":"2026-01-02T04:04:05.6789+01:00","kiosk_id":7,"serial":"K-1","seq":1234,"session":"s","status":"online","config_version":3,
		"hardware":{"cpu_usage":33.0,"cpu_temp":51.2},"peripherals":{"printer_status":"ready"},"location":{"lat":-34.6037},"vendor":{"door_open":true}}`), received, window)
	want := fleet.Reading{
		Serial: "K-1", Time: taken, ReceivedAt: received, Seq: 1234, Session: "s", Status: protocol.StateOnline, ConfigVersion: 3,
		Values: []fleet.Value{{Metric: "hardware.cpu_temp", Value: 51.2}, {Metric: "hardware.cpu_usage", Value: 33}, {Metric: "location.lat", Value: -34.6037}, {Metric: "vendor.door_open", Value: 1}},
		Texts:  []fleet.Text{{Metric: "peripherals.printer_status", Text: "ready"}},
	}
	if len(refused) != 0 || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("decoded %+v, refused %v\nwant %+v", got, refused, want)
	}
}

func TestDecodeReadings(t *testing.T) {
	at := func(d time.Duration) string {
		return fmt.Sprintf(`{"timestamp":%q,"serial":"K-1"}`, received.Add(d).Format(time.RFC3339Nano))
	}
	group := func(fields string) string { return `{` + stamp + `,"custom":{` + fields + `}}` }
	many := func(n int) string {
		var fields []string
		for i := range n {
			fields = append(fields, fmt.Sprintf(`"f%d":%d`, i, i))
		}
		return strings.Join(fields, ",")
	}
	groups := func(n int) string {
		var groups []string
		for i := range n {
			groups = append(groups, fmt.Sprintf(`"g%d":{}`, i))
		}
		return strings.Join(groups, ",")
	}
	ranges := func(n int) string { return strings.TrimSuffix(strings.Repeat(`{"from":1,"to":2},`, n), ",") }
	array := func(n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`{`+stamp+`},`, n), ",") + "]"
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name    string
		payload string
		want    string // summary of the readings
		refused string // reasons
	}{
		{"only what is required", `{` + stamp + `}`, "0{}", ""},
		{"space around", " \t\r\n{" + stamp + "}\n ", "0{}", ""},

		// Arrays.
		{"array", `[{` + stamp + `,"seq":1},{` + stamp + `,"seq":2}]`, "1{} 2{}", ""},
		{"array after space", "\n [{" + stamp + "}]", "0{}", ""},
		{"empty array", `[]`, "", ""},
		{"array with a bad one in the middle", `[{` + stamp + `,"seq":1},{"serial":"K-1"},{` + stamp + `,"seq":3}]`, "1{} 3{}", "schema"},
		{"array with a comma at the end", `[{` + stamp + `},]`, "", "malformed"},
		{"array with a refused one, then broken", `[{` + stamp + `},{"serial":7},{]`, "", "malformed"},
		{"array whose refused one is broken later on", `[{` + stamp + `},{"serial":7,"a":{"b":tru}}]`, "", "malformed"},
		{"array of arrays", `[[{` + stamp + `}],{` + stamp + `,"seq":2}]`, "2{}", "malformed"},
		{"array of all kinds of faults", `[{"serial":"K-2"},{` + stamp + `,"custom":{"a":{"b":[{"c":"}]"}]}}},{` + stamp + `,"seq":3}]`, "3{}", "wrong_serial schema"},
		{"array of others", `[1,"x",null,[],true]`, "", "malformed malformed malformed malformed malformed"},
		{"array that is cut off", `[{` + stamp + `},{`, "", "malformed"},
		{"array with something after it", `[{` + stamp + `}] x`, "", "malformed"},
		{"as many as allowed", array(maxReadings), strings.TrimSpace(strings.Repeat("0{} ", maxReadings)), ""},
		{"too many", array(maxReadings + 1), "", "too_large"},

		// Not a reading.
		{"empty", ``, "", "malformed"},
		{"only space", ` `, "", "malformed"},
		{"null", `null`, "", "malformed"},
		{"number", `7`, "", "malformed"},
		{"text", `"reading"`, "", "malformed"},
		{"not JSON", `temperature=7`, "", "malformed"},
		{"cut off", `{` + stamp, "", "malformed"},
		{"something after it", `{` + stamp + `}{}`, "", "malformed"},
		{"a byte order mark", "\ufeff{" + stamp + "}", "", "malformed"},
		{"not UTF-8 in a text", group("\"a\":\"\xff\""), "", "malformed"},
		{"not UTF-8 in a name", group("\"\xc3\x28\":1"), "", "malformed"},
		{"UTF-16", "\x00{\x00}", "", "malformed"},
		{"nested too deeply for anything", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "", "malformed"},
		{"nested too deeply inside", group(`"a":` + strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)), "", "malformed"},
		{"nested deeper than a reading is", group(`"a":{"b":{"c":{"d":1}}}`), "", "schema"},
		{"too large", `{` + stamp + `,"custom":{"a":"` + long(maxPayloadBytes) + `"}}`, "", "too_large"},
		{"as large as allowed", `{` + stamp + `}` + strings.Repeat(" ", maxPayloadBytes-len(stamp)-2), "0{}", ""},

		// Whose it is.
		{"no serial", `{"timestamp":"2026-01-02T03:04:05Z"}`, "", "wrong_serial"},
		{"another serial", `{"timestamp":"2026-01-02T03:04:05Z","serial":"K-2"}`, "", "wrong_serial"},
		{"serial in another case", `{"timestamp":"2026-01-02T03:04:05Z","serial":"k-1"}`, "", "wrong_serial"},
		{"serial null", `{"timestamp":"2026-01-02T03:04:05Z","serial":null}`, "", "wrong_serial"},
		{"serial a number", `{"timestamp":"2026-01-02T03:04:05Z","serial":1}`, "", "schema"},
		{"name in another case", `{"Timestamp":"2026-01-02T03:04:05Z","serial":"K-1"}`, "", "schema"},
		{"serial twice: the first is wrong", `{"serial":"K-2",` + stamp + `}`, "", "wrong_serial"},
		{"serial twice: the last is wrong", `{` + stamp + `,"serial":"K-2"}`, "", "duplicate_key"},

		// When.
		{"no timestamp", `{"serial":"K-1"}`, "", "schema"},
		{"timestamp null", `{"serial":"K-1","timestamp":null}`, "", "schema"},
		{"timestamp a number", `{"serial":"K-1","timestamp":1767323045}`, "", "schema"},
		{"timestamp without a zone", `{"serial":"K-1","timestamp":"2026-01-02T03:04:05"}`, "", "schema"},
		{"timestamp of no day", `{"serial":"K-1","timestamp":"2026-02-30T03:04:05Z"}`, "", "schema"},
		{"timestamp of year one", `{"serial":"K-1","timestamp":"0001-01-01T00:00:00Z"}`, "", "schema"},
		{"as far ahead as allowed", at(maxFuture), "0{}", ""},
		{"too far ahead", at(maxFuture + time.Millisecond), "", "future"},
		{"far in the future", `{"serial":"K-1","timestamp":"9999-12-31T23:59:59Z"}`, "", "future"},
		{"as old as allowed", at(-window), "0{}", ""},
		{"too old", at(-window - time.Millisecond), "", "too_old"},
		{"before the epoch", `{"serial":"K-1","timestamp":"1969-01-01T00:00:00Z"}`, "", "too_old"},

		// The fields that are no groups.
		{"largest sequence number", `{` + stamp + `,"seq":18446744073709551615}`, "18446744073709551615{}", ""},
		{"sequence number that is too large", `{` + stamp + `,"seq":18446744073709551616}`, "", "schema"},
		{"negative sequence number", `{` + stamp + `,"seq":-1}`, "", "schema"},
		{"fraction of a sequence number", `{` + stamp + `,"seq":1.5}`, "", "schema"},
		{"sequence number as text", `{` + stamp + `,"seq":"1"}`, "", "schema"},
		{"fields that are null", `{` + stamp + `,"seq":null,"session":null,"status":null,"config_version":null,"kiosk_id":null,"custom":null}`, "0{}", ""},
		{"a kiosk id of any kind is ignored", `{` + stamp + `,"kiosk_id":{"a":[1]}}`, "0{}", ""},
		{"longest session", `{` + stamp + `,"session":"` + long(maxTextBytes) + `"}`, "0{}", ""},
		{"session that is too long", `{` + stamp + `,"session":"` + long(maxTextBytes+1) + `"}`, "", "schema"},
		{"status that is too long", `{` + stamp + `,"status":"` + long(maxTextBytes+1) + `"}`, "", "schema"},
		{"status of any word", `{` + stamp + `,"status":"dancing"}`, "0{}", ""},
		{"an unknown field that is no group", `{` + stamp + `,"firmware":"2.1"}`, "", "schema"},
		{"a sequence number with an exponent", `{` + stamp + `,"seq":1e3}`, "", "schema"},
		{"a sequence number of minus nothing", `{` + stamp + `,"seq":-0}`, "", "schema"},
		{"config version that is too large", `{` + stamp + `,"config_version":9223372036854775808}`, "", "schema"},
		{"config version below zero", `{` + stamp + `,"config_version":-1}`, "0{}", ""},
		{"a kiosk id that is nested too deeply", `{` + stamp + `,"kiosk_id":{"a":[[]]}}`, "", "schema"},
		{"a kiosk id that is no value", `{` + stamp + `,"kiosk_id":}`, "", "malformed"},
		{"session with a NUL", `{` + stamp + `,"session":"a\u0000"}`, "", "schema"},
		{"a name twice", `{` + stamp + `,"seq":1,"seq":1}`, "", "duplicate_key"},
		{"a name twice, once with an escape", `{` + stamp + `,"seq":1,"s\u0065q":1}`, "", "duplicate_key"},
		{"a name twice that is ignored", `{` + stamp + `,"kiosk_id":1,"kiosk_id":1}`, "", "duplicate_key"},

		// What the outbox dropped.
		{"dropped", `{` + stamp + `,"dropped":[{"session":"a","from":1,"to":9},{"from":3,"to":3}]}`, "0{} dropped [{a 1 9} { 3 3}]", ""},
		{"nothing dropped", `{` + stamp + `,"dropped":[]}`, "0{}", ""},
		{"dropped null", `{` + stamp + `,"dropped":null}`, "0{}", ""},
		{"as many ranges as allowed", `{` + stamp + `,"dropped":[` + ranges(maxDropped) + `]}`, "0{} dropped [" + strings.TrimSpace(strings.Repeat("{ 1 2} ", maxDropped)) + "]", ""},
		{"too many ranges", `{` + stamp + `,"dropped":[` + ranges(maxDropped+1) + `]}`, "", "schema"},
		{"a range that begins with nothing", `{` + stamp + `,"dropped":[{"to":2}]}`, "", "schema"},
		{"a range that ends with nothing", `{` + stamp + `,"dropped":[{"from":2}]}`, "", "schema"},
		{"a range backwards", `{` + stamp + `,"dropped":[{"from":2,"to":1}]}`, "", "schema"},
		{"a range of texts", `{` + stamp + `,"dropped":[{"from":"1","to":"2"}]}`, "", "schema"},
		{"a range with a name twice", `{` + stamp + `,"dropped":[{"from":1,"to":2,"to":3}]}`, "", "duplicate_key"},
		{"a range with more to say", `{` + stamp + `,"dropped":[{"from":1,"to":2,"why":"full"}]}`, "0{} dropped [{ 1 2}]", ""},
		{"a range with too much to say", `{` + stamp + `,"dropped":[{"from":1,"to":2,"why":[]}]}`, "", "schema"},
		{"a range that is none", `{` + stamp + `,"dropped":[7]}`, "", "schema"},
		{"dropped that is no array", `{` + stamp + `,"dropped":{"from":1,"to":2}}`, "", "schema"},

		{"an array for a group", `{` + stamp + `,"custom":[1]}`, "", "schema"},
		{"a number for a group", `{` + stamp + `,"custom":1}`, "", "schema"},

		// Groups.
		{"an unknown group", `{` + stamp + `,"vendor_x":{"Sensor_7":1}}`, "0{vendor_x.Sensor_7=1}", ""},
		{"an empty group", `{` + stamp + `,"custom":{}}`, "0{}", ""},
		{"a group twice", `{` + stamp + `,"custom":{"a":1},"custom":{"b":2}}`, "", "duplicate_key"},
		{"a field twice", group(`"a":1,"a":2`), "", "duplicate_key"},
		{"a field twice, once with an escape", group(`"a":1,"\u0061":2`), "", "duplicate_key"},
		{"a known field twice", group(`"paper_level":1,"paper_level":2`), "", "duplicate_key"},
		{"a field twice, once null", group(`"a":null,"a":2`), "", "duplicate_key"},
		{"a field twice, as number and text", group(`"a":1,"a":"x"`), "", "duplicate_key"},
		{"a field twice with many others", group(many(100) + `,"f7":1`), "", "duplicate_key"},
		{"a known group twice, once with an escape", `{` + stamp + `,"custom":{},"cust\u006fm":{}}`, "", "duplicate_key"},
		{"an unknown group twice", `{` + stamp + `,"a":{},"b":{},"\u0061":{}}`, "", "duplicate_key"},
		{"the same field in two groups", `{` + stamp + `,"a":{"x":1},"b":{"x":2}}`, "0{a.x=1 b.x=2}", ""},
		{"a name of a known group with an escape", `{` + stamp + `,"h\u0061rdware":{"cpu\u005ftemp":1}}`, "0{hardware.cpu_temp=1}", ""},
		{"fields in no order", `{` + stamp + `,"z":{"b":1,"a":2},"network":{"x":1,"latency":2},"custom":{"zz":3,"paper_level":4}}`, "0{custom.paper_level=4 custom.zz=3 network.latency=2 network.x=1 z.a=2 z.b=1}", ""},
		{"a field in two cases is two", group(`"a":1,"A":2`), "0{custom.A=2 custom.a=1}", ""},
		{"booleans", group(`"a":true,"b":false`), "0{custom.a=1 custom.b=0}", ""},
		{"null is no value now", group(`"a":null,"b":1`), "0{custom.b=1}", ""},
		{"texts", group(`"b":"","a":"Señal 東京 \u00e9"`), `0{custom.a="Señal 東京 é" custom.b=""}`, ""},
		{"a surrogate pair", group(`"a":"\ud83d\ude00"`), "0{custom.a=\"😀\"}", ""},
		{"half a surrogate pair before a whole one", group(`"a":"\ud83d\ud83d\ude00"`), "0{custom.a=\"\ufffd😀\"}", ""},
		{"every escape", group(`"a":"\"\\\/\b\f\n\r\t"`), `0{custom.a="\"\\/\b\f\n\r\t"}`, ""},
		{"an escape that is none", group(`"a":"\x41"`), "", "malformed"},
		{"an escape without digits", group(`"a":"\u00g0"`), "", "malformed"},
		{"a line break in a text", group("\"a\":\"x\ny\""), "", "malformed"},
		{"a NUL in a text", group(`"a":"x\u0000"`), "", "schema"},
		{"a text without an end", group(`"a":"x`), "", "malformed"},
		{"half a surrogate pair", group(`"a":"\ud800"`), `0{custom.a="` + "\ufffd" + `"}`, ""},
		{"NaN as a text is a text", group(`"a":"NaN"`), `0{custom.a="NaN"}`, ""},
		{"NaN is no JSON", group(`"a":NaN`), "", "malformed"},
		{"infinity is no JSON", group(`"a":-Infinity`), "", "malformed"},
		{"a number beyond every float", group(`"a":1e999`), "", "schema"},
		{"a number below every float", group(`"a":1e-999`), "0{custom.a=0}", ""},
		{"the largest number", group(`"a":1.7976931348623157e308`), "0{custom.a=1.7976931348623157e+308}", ""},
		{"a long number", group(`"a":` + strings.Repeat("9", 300)), "0{custom.a=1e+300}", ""},
		{"a number longer than every float", group(`"a":` + strings.Repeat("9", 400)), "", "schema"},
		{"minus nothing", group(`"a":-0`), "0{custom.a=-0}", ""},
		{"exponents", group(`"a":1e2,"b":1E+2,"c":-1.5e-3`), "0{custom.a=100 custom.b=100 custom.c=-0.0015}", ""},
		{"a fraction of many digits", group(`"a":0.1000000000000000055511151231257827`), "0{custom.a=0.1}", ""},
		{"the longest number", group(`"a":0.` + strings.Repeat("1", maxNumberBytes-2)), "0{custom.a=0.1111111111111111}", ""},
		{"a number that is too long", group(`"a":0.` + strings.Repeat("1", maxNumberBytes-1)), "", "schema"},
		{"a leading zero", group(`"a":01`), "", "malformed"},
		{"a leading plus", group(`"a":+1`), "", "malformed"},
		{"a point without digits after it", group(`"a":1.`), "", "malformed"},
		{"a point without digits before it", group(`"a":.5`), "", "malformed"},
		{"an exponent without digits", group(`"a":1e`), "", "malformed"},
		{"a hexadecimal number", group(`"a":0x10`), "", "malformed"},
		{"a comma at the end", group(`"a":1,`), "", "malformed"},
		{"no comma", group(`"a":1 "b":2`), "", "malformed"},
		{"no colon", group(`"a"`), "", "malformed"},
		{"a name without quotes", group(`a:1`), "", "malformed"},
		{"an object for a value", group(`"a":{"b":1}`), "", "schema"},
		{"an array for a value", group(`"a":[1]`), "", "schema"},
		{"longest text", group(`"a":"` + long(maxTextBytes) + `"`), fmt.Sprintf("0{custom.a=%q}", long(maxTextBytes)), ""},
		{"text that is too long", group(`"a":"` + long(maxTextBytes+1) + `"`), "", "schema"},
		{"a name with a dot", group(`"a.b":1`), "", "schema"},
		{"an empty name", group(`"":1`), "", "schema"},
		{"a name with a space", group(`"a b":1`), "", "schema"},
		{"a name of another alphabet", group(`"señal":1`), "", "schema"},
		{"a name that starts with a digit", group(`"7a":1`), "", "schema"},
		{"the longest name", group(`"` + long(96-len("custom.")) + `":1`), "0{custom." + long(96-len("custom.")) + "=1}", ""},
		{"a name that is too long", group(`"` + long(97-len("custom.")) + `":1`), "", "schema"},
		{"a bad name is refused although its value is null", group(`"a b":null`), "", "schema"},
		{"a bad name of a group", `{` + stamp + `,"my group":{"a":1}}`, "", "schema"},
		{"an empty name of a group", `{` + stamp + `,"":{"a":1}}`, "", "schema"},
		{"too many fields", group(many(maxFields + 1)), "", "schema"},
		{"too many numbers and texts together", group(many(maxFields) + `,"text":"x"`), "", "schema"},
		{"too many fields without a value", group(many(maxFields) + `,"a":null`), "", "schema"},
		{"too many groups", `{` + stamp + `,` + groups(maxFields+1) + `}`, "", "schema"},
		{"too many fields in two groups", `{` + stamp + `,"a":{` + many(200) + `},"b":{` + many(57) + `}}`, "", "schema"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			readings, refused := decodeReadings("K-1", []byte(tt.payload), received, window)
			if got := summary(readings); got != tt.want {
				t.Errorf("readings = %.200s, want %.200s", got, tt.want)
			}
			if got := reasons(refused); got != tt.refused {
				t.Errorf("refused %q (%v), want %q", got, refused, tt.refused)
			}
			for _, r := range refused {
				if len(r.Error()) > maxRefusalText+50 {
					t.Errorf("an explanation has %d bytes", len(r.Error()))
				}
			}
		})
	}
	readings, refused := decodeReadings("K-1", []byte(group(many(maxFields))), received, window)
	if len(readings) != 1 || len(readings[0].Values) != maxFields || len(refused) != 0 {
		t.Errorf("as many fields as allowed: %d readings, %v", len(readings), refused)
	}
}

func TestARefusalNamesItsFault(t *testing.T) {
	for payload, want := range map[string]string{
		`{` + stamp + `,"custom":{"a":1e999}}`:                   "custom.a: number 1e999 is too large",
		`{` + stamp + `,"custom":{"a b":1}}`:                     `custom: "a b" is not a field name`,
		`{` + stamp + `,"custom":{"a":[]}}`:                      "custom.a: must be a number, boolean, text or null, not an array",
		`{` + stamp + `,"custom":7}`:                             "custom: is not an object of fields, but a number",
		`{` + stamp + `,"seq":-1}`:                               "seq: must be a whole number from 0 to 18446744073709551615, not -1",
		`{` + stamp + `,"seq":"7"}`:                              "seq: must be a whole number from 0 to 18446744073709551615, not a text",
		`{` + stamp + `,"session":[]}`:                           "session: must be a text, not an array",
		`{` + stamp + `,"dropped":7}`:                            "dropped must be an array of ranges, not a number",
		`{` + stamp + `,"dropped":[{"from":5,"to":4}]}`:          "a range in dropped goes from 5 back to 4",
		`{"serial":"K-1","timestamp":"today"}`:                   `timestamp: "today" is no RFC 3339 time such as 2026-01-02T03:04:05.678Z`,
		`{` + stamp + `,"custom":{"a":NaN}}`:                     "JSON has no NaN (byte ",
		`{` + stamp + `,"custom":{"a":nan}}`:                     "JSON has no NaN (byte ",
		`{` + stamp + `,"custom":{"a":-Infinity}}`:               "JSON has no Infinity (byte ",
		`{` + stamp + `,"custom":{"a":inf}}`:                     "JSON has no Infinity (byte ",
		`{"serial":`:                                             "ends at byte 10, where a value is expected",
		`{"serial" 7}`:                                           `"7" at byte 10, where a colon is expected`,
		"{\"serial\":\"K\xff\"}":                                 "is not UTF-8 at byte 12",
		`{` + stamp + `,"custom":{"ink_level":1,"ink_level":2}}`: "custom.ink_level comes twice",
		`{` + stamp + `,"my group":{}}`:                          `"my group" is not a name of a group`,
		`{"serial":null}`:                                        `serial is null, the topic says "K-1"`,
		`{}`:                                                     `serial is missing, the topic says "K-1"`,
		`{"serial":"K-2"}`:                                       `payload says "K-2", the topic "K-1"`,
		`{"serial":"` + strings.Repeat("x", 10_000) + `"}`:       `payload says "xxx`,
		`{` + stamp + `,"custom":{"` + strings.Repeat("é", 10_000) + `":1}}`: "is not a field name",
		`{"serial":"K-1"}`: "timestamp is missing",
		`{"serial":"K-1","timestamp":"2027-01-01T00:00:00Z"}`:                          "2027-01-01T00:00:00Z is more than 5m0s ahead",
		`{"serial":"K-1","timestamp":"2025-01-01T00:00:00Z"}`:                          "2025-01-01T00:00:00Z is more than 168h0m0s old",
		`{` + stamp + `,"session":"` + strings.Repeat("x", maxTextBytes+1) + `"}`:      "more than 256 bytes",
		`{` + stamp + `,"custom":{"a":"` + strings.Repeat("x", maxTextBytes+1) + `"}}`: "custom.a: has more than 256 bytes",
	} {
		_, refused := decodeReadings("K-1", []byte(payload), received, window)
		switch {
		case len(refused) != 1:
			t.Errorf("%.60s: %v", payload, refused)
		case !strings.Contains(refused[0].Error(), want) && len(refused[0].Error()) < maxRefusalText:
			t.Errorf("%.60s: %q, want %q", payload, refused[0], want)
		case !utf8.ValidString(refused[0].Error()):
			t.Errorf("%.60s: the explanation is cut within a character", payload)
		}
	}
}

func TestWhatIsRefusedIsFoundAgain(t *testing.T) {
	bad := []string{`{"serial":"K-2", "a":"}"}`, `7`, `{"serial":null}`}
	payload := "[ " + bad[0] + " , {" + stamp + "}," + bad[1] + ",{" + stamp + "}, " + bad[2] + "\n]"
	readings, refused := decodeReadings("K-1", []byte(payload), received, window)
	if len(readings) != 2 || readings[0].Source.Item != 1 || readings[1].Source.Item != 3 {
		t.Errorf("readings %+v", readings)
	}
	if len(refused) != len(bad) {
		t.Fatalf("refused %v", refused)
	}
	for i, r := range refused {
		if r.item != 2*i || string(r.raw) != bad[i] {
			t.Errorf("item %d: %s", r.item, r.raw)
		}
	}
	for _, whole := range []string{"[{" + stamp + "},", "", "\xff", strings.Repeat(" ", maxPayloadBytes+1)} {
		if _, refused := decodeReadings("K-1", []byte(whole), received, window); len(refused) != 1 || refused[0].item != 0 || string(refused[0].raw) != whole {
			t.Errorf("%.50q: refused %v", whole, refused)
		}
	}
}

func TestYearsOfATimestamp(t *testing.T) {
	for stamp, want := range map[string]string{
		"1969-12-31T23:59:59.999Z": reasonTooOld, "1970-01-01T00:00:00Z": "", "2261-12-31T23:59:59.999Z": "", "2262-01-01T00:00:00Z": reasonFuture,
		"1970-01-01T00:30:00+01:00": reasonTooOld, "2026-01-02T04:04:05.678+01:00": "", "2026-01-02T03:04:05,678Z": "",
	} {
		at, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			t.Fatal(err)
		}
		readings, refused := decodeReadings("K-1", []byte(`{"serial":"K-1","timestamp":"`+stamp+`"}`), at, window)
		if reasons(refused) != want || want == "" && !readings[0].Time.Equal(at) {
			t.Errorf("%s: %v, %v", stamp, readings, refused)
		}
	}
}

// A reading is kept long after its message is gone.
func TestAReadingKeepsNothingOfItsMessage(t *testing.T) {
	text := strings.ReplaceAll(wholeReading, "SIM-KIOSK-007", "K-1")
	text = strings.TrimSuffix(text, "}") + `,"vendor":{"a\u0062":"\u0061` + strings.Repeat("x", 100) + `","plain":"word"},"dropped":[{"session":"other","from":1,"to":2}]}`
	payload := []byte("[" + text + "," + text + "]")
	got, refused := decodeReadings("K-1", payload, received, window)
	if len(got) != 2 || len(refused) != 0 {
		t.Fatal(refused)
	}
	want := fmt.Sprint(got)
	for i := range payload {
		payload[i] = '#'
	}
	for range 100 {
		decodeReadings("K-1", []byte(`{"serial":"K-1","x":{"\u0079\u0079\u0079\u0079":"\u007a\u007a\u007a\u007a\u007a"}}`), received, window)
	}
	if fmt.Sprint(got) != want {
		t.Errorf("became %v, was %s", got, want)
	}
}
