package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// platformSession is the session of the platform's own client in a stand-alone broker. A serial
// cannot hold the colon.
const platformSession = "platform:admin"

const (
	// platformPatience is how long a kiosk's message waits for the platform's session to have room.
	platformPatience = 15 * time.Second
	platformPoll     = 20 * time.Millisecond
)

// Errors by which the stand-alone broker holds kiosks back.
var (
	errNoPlatform   = errors.New("admin has not connected yet; nobody would keep the message")
	errPlatformFull = errors.New("admin is away or too slow and its session is full")
)

// forward puts a kiosk's message into the platform's session, and with it into the store, before the
// kiosk gets its acknowledgement; mochi by itself acknowledges first.
func (h *hook) forward(cl *mqtt.Client, pk packets.Packet) error {
	if err := h.awaitPlatform(cl); err != nil {
		return err
	}
	return h.server.mqtt.Publish(pk.TopicName, pk.Payload, false, max(pk.FixedHeader.Qos, 1))
}

// awaitPlatform returns once the platform's session can take one more message. mochi would otherwise
// acknowledge it and then drop it.
func (h *hook) awaitPlatform(cl *mqtt.Client) error {
	deadline := time.Now().Add(platformPatience)
	for {
		platform, ok := h.server.mqtt.Clients.Get(platformSession)
		if ok && platform.State.Inflight.Len() < platformRoom {
			return nil
		}
		if !ok {
			return errNoPlatform
		}
		if time.Now().After(deadline) || h.server.closing() || cl.Closed() {
			return errPlatformFull
		}
		time.Sleep(platformPoll)
	}
}

// AdmissionTable is the stand-alone broker's list of kiosks: what admin has published, retained, on
// the admission topics. It starts empty, and so refuses everybody.
type AdmissionTable struct {
	mu       sync.RWMutex
	admitted map[string]protocol.Admission
}

// NewAdmissionTable returns an empty table.
func NewAdmissionTable() *AdmissionTable {
	return &AdmissionTable{admitted: map[string]protocol.Admission{}}
}

// Admit implements Admissions.
func (t *AdmissionTable) Admit(id pki.Identity) error {
	t.mu.RLock()
	a, ok := t.admitted[id.Serial]
	t.mu.RUnlock()
	switch {
	case !ok:
		return fmt.Errorf("kiosk %s is not registered", id.Serial)
	case id.Generation < a.Generation:
		return fmt.Errorf("certificate of kiosk %s is revoked", id.Serial)
	}
	return nil
}

// take stores or withdraws an admission and reports whether the kiosk's live connections may stay.
func (t *AdmissionTable) take(serial string, payload []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(payload) == 0 {
		delete(t.admitted, serial)
		return nil
	}
	var a protocol.Admission
	if err := json.Unmarshal(payload, &a); err != nil || a.Serial != serial {
		return fmt.Errorf("admission of %s is malformed", serial)
	}
	t.admitted[serial] = a
	return nil
}

// takeAdmission follows what admin publishes on an admission topic, and ends the connections of a
// kiosk that may no longer be there.
func (h *hook) takeAdmission(pk packets.Packet) {
	serial, ok := protocol.ParseAdmissionTopic(pk.TopicName)
	table, isTable := h.server.cfg.Admissions.(*AdmissionTable)
	if !ok || !isTable {
		return
	}
	if err := table.take(serial, pk.Payload); err != nil {
		h.server.log.Error("admission ignored", "serial", serial, "error", err)
		return
	}
	for _, cl := range h.clientsOf(serial) {
		if identity, ok := identityOf(cl); ok && table.Admit(identity) != nil {
			h.server.Disconnect(serial)
			return
		}
	}
}

// admissionsFromRetained fills the table with what the store kept.
func (h *hook) admissionsFromRetained() {
	table, ok := h.server.cfg.Admissions.(*AdmissionTable)
	if !ok {
		return
	}
	for _, pk := range h.server.mqtt.Topics.Messages(protocol.AdmissionFilter) {
		if serial, ok := protocol.ParseAdmissionTopic(pk.TopicName); ok {
			if err := table.take(serial, pk.Payload); err != nil {
				h.server.log.Error("admission ignored", "serial", serial, "error", err)
			}
		}
	}
}
