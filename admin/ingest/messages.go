package ingest

import (
	"bytes"
	"strings"

	"kioskfleet/internal/protocol"
)

const (
	maxCapabilities = 64      // that a kiosk may announce, and commands
	maxAckError     = 4 << 10 // bytes; longer ones are cut, because the ack itself matters more
)

// decodeMessage decodes an object with the named fields; value reads them one by one. A refusal
// is of the message as a whole.
func decodeMessage(what string, payload []byte, names []string, value func(s *scanner, name string) *refusal) *refusal {
	var s scanner
	if s.open(payload) {
		why := s.object(what, maxNesting-1, names, func(name string) *refusal { return value(&s, name) })
		if why != nil && s.bad == nil {
			s.pos = 0
			if s.next() != '{' {
				why.reason = reasonMalformed
			}
			s.skip(0) // to see whether it is JSON at all
		}
		if s.bad == nil {
			s.close()
		}
		if s.bad == nil {
			s.bad = why
		}
	}
	if s.bad != nil {
		s.bad.raw = payload
	}
	return s.bad
}

var joinFields = []string{"serial", "kiosk_id", "session", "boot_id", "agent_version", "model", "capabilities", "commands", "config_version", "time"}

// decodeJoin decodes what a kiosk says of itself. All texts are short.
func decodeJoin(serial string, payload []byte) (protocol.Join, *refusal) {
	var j protocol.Join
	why := decodeMessage("a join", payload, joinFields, func(s *scanner, name string) (why *refusal) {
		switch name {
		case "serial":
			j.Serial, why = s.shortString(name)
		case "kiosk_id":
			j.KioskID, why = s.int(name)
		case "session":
			j.Session, why = s.shortString(name)
		case "boot_id":
			j.BootID, why = s.shortString(name)
		case "agent_version":
			j.AgentVersion, why = s.shortString(name)
		case "model":
			j.Model, why = s.shortString(name)
		case "capabilities":
			j.Capabilities, why = s.shortStrings(name, maxCapabilities)
		case "commands":
			j.Commands, why = s.shortStrings(name, maxCapabilities)
		case "config_version":
			j.ConfigVersion, why = s.int(name)
		case "time":
			j.Time, why = s.time(name)
		}
		return why
	})
	if why == nil && j.Serial != "" && j.Serial != serial {
		why = refuse(reasonSerial, "payload says %s, the topic %q", quote([]byte(j.Serial)), serial)
		why.raw = payload
	}
	if why != nil {
		return protocol.Join{}, why
	}
	return j, nil
}

var byeFields = []string{"session", "reason"}

// decodeBye decodes the end of a session. Both texts are short.
func decodeBye(payload []byte) (protocol.Bye, *refusal) {
	var b protocol.Bye
	why := decodeMessage("a bye", payload, byeFields, func(s *scanner, name string) (why *refusal) {
		switch name {
		case "session":
			b.Session, why = s.shortString(name)
		case "reason":
			b.Reason, why = s.shortString(name)
		}
		return why
	})
	if why != nil {
		return protocol.Bye{}, why
	}
	return b, nil
}

var ackFields = []string{"id", "status", "error", "result", "time"}

// decodeAck decodes a kiosk's answer to a command. Its id and status are short and there, its error has
// at most maxAckError bytes, its result is valid JSON of any size that a message can have.
func decodeAck(payload []byte) (protocol.Ack, *refusal) {
	var a protocol.Ack
	why := decodeMessage("an ack", payload, ackFields, func(s *scanner, name string) (why *refusal) {
		switch name {
		case "id":
			a.ID, why = s.shortString(name)
		case "status":
			var status string
			status, why = s.shortString(name)
			a.Status = protocol.AckStatus(status)
		case "error":
			a.Error, why = s.longString(name, maxAckError)
		case "result":
			s.next()
			start := s.pos
			if s.skip(1); s.bad == nil && s.data[start] != 'n' {
				a.Result = bytes.Clone(s.data[start:s.pos])
			}
		case "time":
			a.Time, why = s.time(name)
		}
		return why
	})
	if why == nil && (a.ID == "" || a.Status == "") {
		why = refuse(reasonSchema, "id or status is missing")
		why.raw = payload
	}
	if why != nil {
		return protocol.Ack{}, why
	}
	return a, nil
}

// shortString is shortText for a text that is kept.
func (s *scanner) shortString(name string) (string, *refusal) {
	text, why := s.shortText(name)
	return string(text), why
}

// longString reads a text and cuts it after limit bytes. NUL, which PostgreSQL does not take, becomes
// U+FFFD.
func (s *scanner) longString(name string, limit int) (string, *refusal) {
	switch c := s.next(); {
	case c == 'n' && s.word("null"):
		return "", nil
	case c != '"':
		return "", s.notOf(name, "a text")
	}
	text, _ := s.str()
	cut := string(text[:min(len(text), limit)])
	if len(text) > limit {
		cut = strings.ToValidUTF8(cut, "") + "…"
	}
	return strings.ReplaceAll(cut, "\x00", "\ufffd"), nil
}

// shortStrings reads an array of texts; null is nil, an empty array is not.
func (s *scanner) shortStrings(name string, limit int) ([]string, *refusal) {
	switch c := s.next(); {
	case c == 'n' && s.word("null"):
		return nil, nil
	case c != '[':
		return nil, s.notOf(name, "an array of texts")
	}
	s.pos++
	texts := []string{}
	for s.element(len(texts) == 0) {
		if len(texts) == limit {
			return nil, refuse(reasonSchema, "%s: more than %d", name, limit)
		}
		text, why := s.shortString(name)
		if why != nil || s.bad != nil {
			return nil, why
		}
		texts = append(texts, text)
	}
	return texts, nil
}
