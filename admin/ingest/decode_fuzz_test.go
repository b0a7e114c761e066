package ingest

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// checkRefusals checks what holds for every refusal of a payload.
func checkRefusals(t *testing.T, payload []byte, refused ...*refusal) {
	t.Helper()
	for _, r := range refused {
		if r.reason == "" || len(r.Error()) > maxRefusalText+50 || !utf8.ValidString(r.Error()) {
			t.Errorf("refusal = %q", r.Error())
		}
		if r.item < 0 || r.item >= maxReadings || !bytes.Contains(payload, r.raw) || len(payload) > 0 && len(r.raw) == 0 {
			t.Errorf("refusal of item %d, %q of %q", r.item, r.raw, payload)
		}
	}
}

func checkReading(t *testing.T, r *fleet.Reading) {
	t.Helper()
	if r.Serial != "K-1" || r.ReceivedAt != received || r.Time.Location() != time.UTC || r.Time.Nanosecond()%1e6 != 0 {
		t.Errorf("reading %+v", r)
	}
	if r.Time.After(received.Add(maxFuture)) || r.Time.Before(received.Add(-window-time.Millisecond)) {
		t.Errorf("time %s is outside", r.Time)
	}
	if len(r.Values)+len(r.Texts) > maxFields || len(r.Session) > maxTextBytes || len(r.Status) > maxTextBytes || len(r.Dropped) > maxDropped {
		t.Errorf("%d values, %d texts, %d ranges", len(r.Values), len(r.Texts), len(r.Dropped))
	}
	var metrics []string
	for i, v := range r.Values {
		metrics = append(metrics, v.Metric)
		if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || i > 0 && r.Values[i-1].Metric >= v.Metric {
			t.Errorf("%s = %v", v.Metric, v.Value)
		}
	}
	for i, x := range r.Texts {
		metrics = append(metrics, x.Metric)
		if len(x.Text) > maxTextBytes || !utf8.ValidString(x.Text) || strings.Contains(x.Text, "\x00") || i > 0 && r.Texts[i-1].Metric >= x.Metric {
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

func FuzzDecodeReadings(f *testing.F) {
	f.Add([]byte(strings.ReplaceAll(wholeReading, "SIM-KIOSK-007", "K-1")))
	f.Fuzz(func(t *testing.T, payload []byte) {
		sent := bytes.Clone(payload)
		readings, refused := decodeReadings("K-1", payload, received, window)
		checkRefusals(t, payload, refused...)
		for i := range readings {
			checkReading(t, &readings[i])
		}

		// It comes to what encoding/json and the same rules come to.
		want, bad, whole := oracle("K-1", sent, received, window)
		if !slices.EqualFunc(readings, want, func(a, b fleet.Reading) bool { return same(&a, &b) }) {
			t.Errorf("decoded %+v\nwant    %+v", readings, want)
		}
		switch {
		case whole && (len(refused) != 1 || !bytes.Equal(refused[0].raw, payload) || refused[0].reason != reasonMalformed && refused[0].reason != reasonTooLarge):
			t.Errorf("refused %v, want the message as a whole", refused)
		case !whole && !slices.EqualFunc(refused, bad, func(r *refusal, item int) bool { return r.item == item }):
			t.Errorf("refused %v, want items %v", refused, bad)
		}
		for _, r := range refused {
			// What is kept of an item can be replayed as a message of its own.
			if _, again := decodeReadings("K-1", r.raw, received, window); !whole && (len(again) == 0 || again[0].reason != r.reason) && r.raw[0] != '[' {
				t.Errorf("%q alone is refused with %v, in its message with %v", r.raw, again, r)
			}
		}

		// A restart decodes again what the journal holds: it must come to the same, and must not
		// depend on memory that is used again meanwhile.
		clear(payload)
		if again, _ := decodeReadings("K-1", sent, received, window); !reflect.DeepEqual(again, readings) {
			t.Errorf("decoded %+v, and the next time %+v", readings, again)
		}
	})
}

func FuzzTimestamp(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Contains(text, "\x00") || len(text) > maxTextBytes {
			return
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var s scanner
		s.open(quoted)
		got, why := s.time("timestamp")
		want, err := time.Parse(time.RFC3339, text)
		if (err == nil) != (why == nil) {
			t.Fatalf("%q: %v, want %v", text, why, err)
		}
		if why == nil && (!got.Equal(want) || got.Format(time.RFC3339Nano) != want.Format(time.RFC3339Nano)) {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
		if why == nil {
			payload := `{"serial":"K-1","timestamp":` + string(quoted) + `}`
			readings, refused := decodeReadings("K-1", []byte(payload), want, window)
			if inYears := want.Unix() >= 0 && want.Unix() < lastSecond; inYears != (len(readings) == 1) {
				t.Errorf("%q at that moment: %v", text, refused)
			}
		}
	})
}

func FuzzNumber(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		var s scanner
		ok := s.open([]byte(text)) && text != "" && (text[0] == '-' || text[0]-'0' <= 9)
		var n number
		if ok {
			n, ok = s.number()
			ok = ok && s.pos == len(text)
		}
		if want := json.Valid([]byte(text)) && strings.TrimSpace(text) == text && strings.IndexAny(text, "-0123456789") == 0; ok != want {
			t.Fatalf("%q is a number: %v, want %v", text, ok, want)
		}
		if !ok {
			return
		}
		got, fits := n.float()
		want, err := strconv.ParseFloat(text, 64)
		if fits != (err == nil) || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%q is %v %v, want %v %v", text, got, fits, want, err)
		}
		u, fits := n.uint()
		if want, err := strconv.ParseUint(text, 10, 64); fits != (err == nil) || fits && u != want {
			t.Errorf("%q is %d %v, want %d %v", text, u, fits, want, err)
		}
		i, fits := n.int()
		if want, err := strconv.ParseInt(text, 10, 64); fits != (err == nil) || fits && i != want {
			t.Errorf("%q is %d %v, want %d %v", text, i, fits, want, err)
		}
	})
}

func FuzzSkip(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		_, levels, want := parseNode(text)
		var s scanner
		var deepest int
		ok := s.open(text)
		if ok {
			deepest, _ = s.skip(0)
			ok = s.bad == nil && s.close()
		}
		if ok != want || ok && deepest != levels {
			t.Errorf("%q: valid %v with %d levels (%v), want %v with %d", text, ok, deepest, s.bad, want, levels)
		}
		if len(s.text) != 0 {
			t.Errorf("%d bytes of texts are kept", len(s.text))
		}
	})
}

func FuzzJoin(f *testing.F) {
	f.Fuzz(func(t *testing.T, payload []byte) {
		j, why := decodeJoin("K-1", payload)
		if why != nil {
			checkRefusals(t, payload, why)
			if !reflect.DeepEqual(j, protocol.Join{}) {
				t.Errorf("%v, but %+v", why, j)
			}
			return
		}
		for _, text := range slices.Concat([]string{j.Serial, j.Session, j.BootID, j.AgentVersion, j.Model}, j.Capabilities, j.Commands) {
			if len(text) > maxTextBytes || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
				t.Errorf("text %q", text)
			}
		}
		if j.Serial != "" && j.Serial != "K-1" || len(j.Capabilities) > maxCapabilities || len(j.Commands) > maxCapabilities {
			t.Errorf("join %+v", j)
		}
		var want protocol.Join
		compareMessage(t, payload, joinFields, &j, &want)
	})
}

func FuzzBye(f *testing.F) {
	f.Fuzz(func(t *testing.T, payload []byte) {
		b, why := decodeBye(payload)
		if why != nil {
			checkRefusals(t, payload, why)
			return
		}
		if len(b.Session) > maxTextBytes || len(b.Reason) > maxTextBytes {
			t.Errorf("bye %+v", b)
		}
		compareMessage(t, payload, byeFields, &b, new(protocol.Bye))
	})
}

func FuzzAck(f *testing.F) {
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, why := decodeAck(payload)
		if why != nil {
			checkRefusals(t, payload, why)
			return
		}
		if a.ID == "" || len(a.ID) > maxTextBytes || a.Status == "" || len(a.Status) > maxTextBytes || len(a.Error) > 3*maxAckError+len("…") || a.Result != nil && !json.Valid(a.Result) {
			t.Errorf("ack %+v", a)
		}
		compareMessage(t, payload, ackFields, &a, new(protocol.Ack))
	})
}

// compareMessage compares got with what encoding/json makes of the payload, unless that has names that
// only encoding/json takes for fields.
func compareMessage(t *testing.T, payload []byte, names []string, got, want any) {
	t.Helper()
	n, _, ok := parseNode(payload)
	if !ok {
		t.Fatalf("%q is taken", payload)
	}
	for _, name := range n.names {
		folded := slices.ContainsFunc(names, func(known string) bool { return strings.EqualFold(known, name) })
		if folded && !slices.Contains(names, name) {
			return
		}
	}
	if err := json.Unmarshal(payload, want); err != nil {
		if !bytes.Contains(payload, []byte(`\`)) { // times with escapes are refused by encoding/json only
			t.Errorf("%q is taken, but encoding/json says %v", payload, err)
		}
		return
	}
	if ack, ok := want.(*protocol.Ack); ok {
		if string(ack.Result) == "null" {
			ack.Result = nil
		}
		if len(ack.Error) > maxAckError {
			ack.Error = strings.ToValidUTF8(ack.Error[:maxAckError], "") + "…"
		}
		ack.Error = strings.ReplaceAll(ack.Error, "\x00", "\ufffd")
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nis   %+v\nwant %+v", payload, got, want)
	}
}
