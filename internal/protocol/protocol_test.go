package protocol

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestCheckSerial(t *testing.T) {
	for _, good := range []string{"K", "7", "K-1", "SIM-KIOSK-001", "a.b_c-d", "0.", strings.Repeat("x", MaxSerialLength)} {
		if err := CheckSerial(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, tt := range []struct{ serial, want string }{
		{"", "empty"},
		{strings.Repeat("x", MaxSerialLength+1), "65 characters"},
		{"-K", "position 1"},
		{".", "position 1"},
		{"..", "position 1"},
		{"_K", "position 1"},
		{"a/b", "position 2"},
		{"K+", "position 2"},
		{"#", "position 1"},
		{"$SYS", "position 1"},
		{"K 1", "position 2"},
		{" K", "position 1"},
		{"K\n", "position 2"},
		{"K\x00", "position 2"},
		{"Ñ", "position 1"},
		{"K-１", "position 3"},
		{"K%2F", "position 2"},
		{"K*", "position 2"},
	} {
		if err := CheckSerial(tt.serial); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.serial, err, tt.want)
		}
	}
}

func TestTopics(t *testing.T) {
	for _, ch := range []Channel{ChannelTelemetry, ChannelJoin, ChannelBye, ChannelAck, ChannelStatus, ChannelCmd, ChannelConfig} {
		serial, got, ok := ParseTopic(Topic("K-1", ch))
		if !ok || serial != "K-1" || got != ch {
			t.Errorf("%s: %q, %q, %v", Topic("K-1", ch), serial, got, ok)
		}
		ours := ch == ChannelStatus || ch == ChannelCmd || ch == ChannelConfig
		if ch.FromKiosk() == ours || ch.ToKiosk() != (ch == ChannelCmd || ch == ChannelConfig) {
			t.Errorf("%s: from kiosks %v, to kiosks %v", ch, ch.FromKiosk(), ch.ToKiosk())
		}
		if got := slices.Contains(FilterFromKiosks(), Topic("+", ch)); got != ch.FromKiosk() {
			t.Errorf("%s: subscribed to %v", ch, got)
		}
	}
	if Topic("K-1", ChannelTelemetry) != "kiosks/K-1/telemetry" {
		t.Errorf("topic = %s", Topic("K-1", ChannelTelemetry))
	}
	for _, topic := range []string{
		"", "kiosks", "kiosks/", "kiosks/K-1", "kiosks/K-1/", "kiosks//telemetry", "kiosks/K-1/telemetry/", "kiosks/K-1/telemetry/x", "/kiosks/K-1/telemetry",
		"Kiosks/K-1/telemetry", "kiosks/K-1/Telemetry", "kiosks/a/b/telemetry", "kiosks/K-1/alerts", "alerts/critical/K-1", "$SYS/kiosks/K-1/telemetry", "admissions/K-1",
	} {
		if serial, ch, ok := ParseTopic(topic); ok || serial != "" || ch != "" {
			t.Errorf("%q: %q, %q, %v", topic, serial, ch, ok)
		}
	}
	if Channel("new").FromKiosk() || Channel("new").ToKiosk() {
		t.Error("an unknown channel is open")
	}
}

func TestAdmissionTopics(t *testing.T) {
	if serial, ok := ParseAdmissionTopic(AdmissionTopic("K-1")); !ok || serial != "K-1" {
		t.Errorf("%q, %v", serial, ok)
	}
	for _, topic := range []string{"", "admissions", "admissions/", "admissions/a/b", "kiosks/K-1/telemetry", "/admissions/K-1"} {
		if serial, ok := ParseAdmissionTopic(topic); ok {
			t.Errorf("%q: %q", topic, serial)
		}
	}
	if _, ok := ParseAdmissionTopic(strings.Replace(AdmissionFilter, "+", "K-1", 1)); !ok {
		t.Error("the filter does not match admission topics")
	}
}

func TestEnrolmentTokens(t *testing.T) {
	token := EnrollmentToken{ID: "id", Secret: "s3cret-_", CA: "fp"}
	for _, text := range []string{token.String(), " \t" + token.String() + "\r\n"} {
		if got, err := ParseEnrollmentToken(text); err != nil || got != token {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "kfe1", "kfe1.id.s3cret", "kfe1..s3cret.fp", "kfe1.id..fp", "kfe1.id.s3cret.", "kfe1.id.s3cret.fp.x", "kfa1.id.s3cret.fp", "KFE1.id.s3cret.fp", "kfe1.id.s3cret.fp kfe1.id.s3cret.fp"} {
		got, err := ParseEnrollmentToken(bad)
		if err == nil || got != (EnrollmentToken{}) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		} else if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"kiosks/K-1/telemetry", "admissions/K-1", "kfe1.id.secret.fp", "hardware.cpu_temp", "K-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if serial, ch, ok := ParseTopic(text); ok && Topic(serial, ch) != text {
			t.Errorf("topic %q: %q, %q", text, serial, ch)
		}
		if serial, ok := ParseAdmissionTopic(text); ok && AdmissionTopic(serial) != text {
			t.Errorf("admission %q: %q", text, serial)
		}
		if token, err := ParseEnrollmentToken(text); err == nil && token.String() != strings.TrimSpace(text) {
			t.Errorf("token %q: %+v", text, token)
		}
		if CheckSerial(text) == nil {
			if serial, _, ok := ParseTopic(Topic(text, ChannelAck)); !ok || serial != text {
				t.Errorf("serial %q is no segment of a topic", text)
			}
		}
		if ValidMetricName(text) && strings.Count(text, ".") != 1 {
			t.Errorf("metric %q", text)
		}
	})
}

func TestValidMetricName(t *testing.T) {
	long := strings.Repeat("x", maxMetricName-2)
	for name, want := range map[string]bool{
		"hardware.cpu_temp": true, "a.b": true, "_a._b": true, "A.B9": true, "vendor_x.sensor_7": true, "a." + long: true,
		"": false, "a": false, ".": false, "a.": false, ".b": false, "a.b.c": false, "a..b": false, "9a.b": false, "a.9b": false,
		"a-b.c": false, "a.b-c": false, "a .b": false, "a.b ": false, "ñ.b": false, "a.b\n": false, "a.b\x00": false, "a.x" + long: false,
	} {
		if got := ValidMetricName(name); got != want {
			t.Errorf("ValidMetricName(%q) = %v", name, got)
		}
	}
}

func TestTheCatalogue(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Metrics() {
		if seen[m.Name] || !ValidMetricName(m.Name) || m.Text == "" {
			t.Errorf("metric %+v", m)
		}
		seen[m.Name] = true
		if m.Kind == KindGauge && m.Min >= m.Max || m.Kind == KindState && (m.Min != 0 || m.Max != 0 || m.Unit != "") {
			t.Errorf("range of %+v", m)
		}
		if low, high := m.Possible(); m.Min < low || m.Max > high {
			t.Errorf("normal operation of %s is %v to %v, and possible is %v to %v", m.Name, m.Min, m.Max, low, high)
		}
		if got, ok := LookupMetric(m.Name); !ok || got != m {
			t.Errorf("lookup of %s: %+v, %v", m.Name, got, ok)
		}
	}
	if got, ok := LookupMetric("vendor.x"); ok || got != (Metric{Name: "vendor.x", Kind: KindGauge}) {
		t.Errorf("an unknown metric: %+v, %v", got, ok)
	}
	Metrics()[0].Name = "mine"
	if Metrics()[0].Name == "mine" {
		t.Error("the catalogue can be changed from outside")
	}
}

// Field names are the contract with kiosks of other makes; a rename is a break.
func TestMessagesKeepTheirShape(t *testing.T) {
	shape := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	group := Group{"a": 1}
	one := json.RawMessage(`1`)
	for _, tt := range []struct {
		message any
		want    string
	}{
		{Reading{}, "serial timestamp"},
		{Reading{KioskID: 1, Seq: 1, Session: "s", Status: StateOnline, ConfigVersion: 1, Environmental: group, Hardware: group, Peripherals: group, Location: group, Network: group, Custom: group},
			"config_version custom environmental hardware kiosk_id location network peripherals seq serial session status timestamp"},
		{Join{KioskID: 1, Model: "m", Commands: []string{"ping"}, ConfigVersion: 1}, "agent_version boot_id capabilities commands config_version kiosk_id model serial session time"},
		{Bye{}, "reason session"},
		{Command{}, "id issued_at name"},
		{Command{Params: one, TTLSeconds: 1}, "id issued_at name params ttl_seconds"},
		{Ack{}, "id status time"},
		{Ack{Error: "e", Result: one}, "error id result status time"},
		{Status{PresenceWhy: "w", Reasons: []string{"r"}, AgentVersion: "1", Session: "s"}, "agent_version presence presence_reason reasons serial session since status verdict"},
		{Admission{}, "generation serial"},
		{EnrollRequest{}, "csr serial token"},
		{EnrollResponse{}, "brokers certificate chain kiosk_id"},
	} {
		if got := shape(tt.message); got != tt.want {
			t.Errorf("%T has %s, want %s", tt.message, got, tt.want)
		}
	}
}
