package ingest

import (
	"fmt"
	"reflect"
	"slices"
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
		out = append(out, fmt.Sprintf("%d{%s}", r.Seq, strings.Join(fields, " ")))
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
		{"an array for a group", `{` + stamp + `,"custom":[1]}`, "", "schema"},
		{"a number for a group", `{` + stamp + `,"custom":1}`, "", "schema"},

		// Groups.
		{"an unknown group", `{` + stamp + `,"vendor_x":{"Sensor_7":1}}`, "0{vendor_x.Sensor_7=1}", ""},
		{"an empty group", `{` + stamp + `,"custom":{}}`, "0{}", ""},
		{"a group twice", `{` + stamp + `,"custom":{"a":1},"custom":{"b":2}}`, "", "duplicate_key"},
		{"a field twice", group(`"a":1,"a":2`), "", "duplicate_key"},
		{"a field in two cases is two", group(`"a":1,"A":2`), "0{custom.A=2 custom.a=1}", ""},
		{"booleans", group(`"a":true,"b":false`), "0{custom.a=1 custom.b=0}", ""},
		{"null is no value now", group(`"a":null,"b":1`), "0{custom.b=1}", ""},
		{"texts", group(`"b":"","a":"Señal 東京 \u00e9"`), `0{custom.a="Señal 東京 é" custom.b=""}`, ""},
		{"half a surrogate pair", group(`"a":"\ud800"`), `0{custom.a="` + "\ufffd" + `"}`, ""},
		{"NaN as a text is a text", group(`"a":"NaN"`), `0{custom.a="NaN"}`, ""},
		{"NaN is no JSON", group(`"a":NaN`), "", "malformed"},
		{"infinity is no JSON", group(`"a":-Infinity`), "", "malformed"},
		{"a number beyond every float", group(`"a":1e999`), "", "schema"},
		{"a number below every float", group(`"a":1e-999`), "0{custom.a=0}", ""},
		{"the largest number", group(`"a":1.7976931348623157e308`), "0{custom.a=1.7976931348623157e+308}", ""},
		{"a long number", group(`"a":` + strings.Repeat("9", 300)), "0{custom.a=1e+300}", ""},
		{"a number longer than every float", group(`"a":` + strings.Repeat("9", 400)), "", "schema"},
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
		`{` + stamp + `,"custom":{"a":1e999}}`:                                         "custom.a: number 1e999 is too large",
		`{` + stamp + `,"custom":{"a b":1}}`:                                           `custom: "a b" is not a field name`,
		`{` + stamp + `,"custom":{"a":[]}}`:                                            "custom.a: must be a number, boolean, text or null, not an array",
		`{` + stamp + `,"custom":7}`:                                                   "custom: is not an object of fields, but a number",
		`{` + stamp + `,"seq":-1}`:                                                     "seq: must be a whole number from 0 to 18446744073709551615, not -1",
		`{"serial":"K-2"}`:                                                             `payload says "K-2", the topic "K-1"`,
		`{"serial":"` + strings.Repeat("x", 10_000) + `"}`:                             `payload says "xxx`,
		`{` + stamp + `,"custom":{"` + strings.Repeat("é", 10_000) + `":1}}`:           "is not a field name",
		`{"serial":"K-1"}`:                                                             "timestamp is missing",
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

func FuzzDecodeReadings(f *testing.F) {
	f.Fuzz(func(t *testing.T, payload []byte) {
		readings, refused := decodeReadings("K-1", payload, received, window)
		if len(readings)+len(refused) > maxReadings {
			t.Errorf("%d readings, %d refusals of one message", len(readings), len(refused))
		}
		for i := range refused {
			if refused[i].reason == "" || len(refused[i].Error()) > maxRefusalText+50 || !utf8.ValidString(refused[i].Error()) {
				t.Errorf("refusal = %q", refused[i])
			}
		}
		for i := range readings {
			r := &readings[i]
			if r.Serial != "K-1" || r.ReceivedAt != received || r.Time.Location() != time.UTC || r.Time.Nanosecond()%1e6 != 0 {
				t.Errorf("reading %+v", r)
			}
			if r.Time.After(received.Add(maxFuture)) || r.Time.Before(received.Add(-window-time.Millisecond)) {
				t.Errorf("time %s is outside", r.Time)
			}
			if len(r.Values)+len(r.Texts) > maxFields || len(r.Session) > maxTextBytes || len(r.Status) > maxTextBytes {
				t.Errorf("%d values, %d texts", len(r.Values), len(r.Texts))
			}
			var metrics []string
			for _, v := range r.Values {
				metrics = append(metrics, v.Metric)
				if v.Value-v.Value != 0 { // NaN, infinite
					t.Errorf("%s = %v", v.Metric, v.Value)
				}
			}
			for _, x := range r.Texts {
				metrics = append(metrics, x.Metric)
				if len(x.Text) > maxTextBytes || !utf8.ValidString(x.Text) {
					t.Errorf("%s = %q", x.Metric, x.Text)
				}
			}
			slices.Sort(metrics)
			for j, m := range metrics {
				if !protocol.ValidMetricName(m) || j > 0 && metrics[j-1] == m {
					t.Errorf("metric %q", m)
				}
			}
		}
		// A restart decodes again what the journal holds: it must come to the same.
		if again, _ := decodeReadings("K-1", payload, received, window); !reflect.DeepEqual(again, readings) {
			t.Errorf("decoded %+v, and the next time %+v", readings, again)
		}
	})
}
