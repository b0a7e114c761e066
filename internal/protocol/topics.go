package protocol

import (
	"fmt"
	"strings"
)

// Channel is the last segment of a kiosk's topic; it says what the messages on it are.
type Channel string

// The channels of a kiosk. Kiosks publish the first four, the platform the rest.
const (
	ChannelTelemetry Channel = "telemetry"
	ChannelJoin      Channel = "join"
	ChannelBye       Channel = "bye"
	ChannelAck       Channel = "ack"

	ChannelStatus Channel = "status"
	ChannelCmd    Channel = "cmd"
	ChannelConfig Channel = "config"
)

const (
	kioskRoot     = "kiosks/"
	admissionRoot = "admissions/"
)

// FilterFromKiosks lists the topic filters that together match everything kiosks publish.
func FilterFromKiosks() []string {
	return []string{"kiosks/+/telemetry", "kiosks/+/join", "kiosks/+/bye", "kiosks/+/ack"}
}

// Topic returns the topic of one kiosk's channel, such as kiosks/K-1/telemetry.
func Topic(serial string, ch Channel) string {
	return kioskRoot + serial + "/" + string(ch)
}

// ParseTopic splits a kiosk's topic into its serial and channel; ok is false for every other topic.
func ParseTopic(topic string) (serial string, ch Channel, ok bool) {
	rest, ok := strings.CutPrefix(topic, kioskRoot)
	if !ok {
		return "", "", false
	}
	serial, last, ok := strings.Cut(rest, "/")
	if !ok || serial == "" {
		return "", "", false
	}
	switch ch = Channel(last); ch {
	case ChannelTelemetry, ChannelJoin, ChannelBye, ChannelAck, ChannelStatus, ChannelCmd, ChannelConfig:
		return serial, ch, true
	}
	return "", "", false
}

// FromKiosk reports whether kiosks publish on the channel.
func (c Channel) FromKiosk() bool {
	switch c {
	case ChannelTelemetry, ChannelJoin, ChannelBye, ChannelAck:
		return true
	}
	return false
}

// ToKiosk reports whether kiosks may subscribe to the channel.
func (c Channel) ToKiosk() bool { return c == ChannelCmd || c == ChannelConfig }

// AdmissionTopic is where admin tells a stand-alone broker, retained, whether a kiosk may connect.
// See docs/adr/0004-stand-alone-broker.md.
func AdmissionTopic(serial string) string { return admissionRoot + serial }

// AdmissionFilter matches every admission topic.
const AdmissionFilter = admissionRoot + "+"

// ParseAdmissionTopic returns the serial of an admission topic.
func ParseAdmissionTopic(topic string) (serial string, ok bool) {
	serial, ok = strings.CutPrefix(topic, admissionRoot)
	return serial, ok && serial != "" && !strings.Contains(serial, "/")
}

// MaxSerialLength bounds a serial, in bytes; an X.509 common name holds no more (RFC 5280, ub-common-name).
const MaxSerialLength = 64

// CheckSerial returns an error that names the fault unless s is a valid serial: 1 to 64 ASCII
// letters, digits, dots, hyphens and underscores, starting with a letter or digit. Serials are
// topic segments, certificate names and path segments, so nothing else is let in.
func CheckSerial(s string) error {
	if s == "" {
		return fmt.Errorf("serial is empty")
	}
	if len(s) > MaxSerialLength {
		return fmt.Errorf("serial has %d characters, at most %d are allowed", len(s), MaxSerialLength)
	}
	for i, r := range []byte(s) {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if alnum || i > 0 && (r == '.' || r == '-' || r == '_') {
			continue
		}
		return fmt.Errorf("serial %q: character %q at position %d is not allowed (letters, digits, and after the first also . - _)", s, string(rune(r)), i+1)
	}
	return nil
}
