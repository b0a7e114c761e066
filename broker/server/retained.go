package server

import (
	"strings"
	"sync"

	"kioskfleet/internal/protocol"
)

// statuses are the retained statuses of kiosks, by topic: as many as are registered. Only integrators read them, and what
// integrators read is sent by us. mochi keeps retained messages for subscribers of its own, of which there are none for
// statuses: 800 bytes each beside the payload, and a copy of all of them each second to see whether one has expired.
type statuses struct {
	mu       sync.RWMutex // guards payloads
	payloads map[string][]byte
}

// isStatus reports whether a topic is that of a kiosk's status.
func isStatus(topic string) bool {
	_, channel, ok := protocol.ParseTopic(topic)
	return ok && channel == protocol.ChannelStatus
}

// keep keeps a status until the next one; an empty one only removes the last.
func (s *statuses) keep(topic string, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(payload) == 0 {
		delete(s.payloads, topic)
		return
	}
	s.payloads[topic] = payload
}

// matching gives the statuses of a filter to offer, in any order. No status is kept meanwhile, so that what is offered is
// never older than one that was forwarded before.
func (s *statuses) matching(filter string, identifiers []int, offer func([]delivery)) {
	if last := filter[strings.LastIndexByte(filter, '/')+1:]; last != string(protocol.ChannelStatus) && last != "#" && last != "+" {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !strings.ContainsAny(filter, "+#") {
		if payload, ok := s.payloads[filter]; ok {
			offer([]delivery{{topic: filter, payload: payload, retain: true, identifiers: identifiers}})
		}
		return
	}
	var out []delivery
	for topic, payload := range s.payloads {
		if !matches(filter, topic) {
			continue
		}
		if out == nil {
			out = make([]delivery, 0, len(s.payloads)) // it is likely that for all kiosks
		}
		out = append(out, delivery{topic: topic, payload: payload, retain: true, identifiers: identifiers})
	}
	if out != nil {
		offer(out)
	}
}
