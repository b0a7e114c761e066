package server

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// maxConnections bounds the connections of one kiosk at a time: its agent, and a technician's tool.
const maxConnections = 4

// hook is the only hook that decides anything: identity, access, and the way to the sink. mochi ORs
// the answers of several hooks, so there must never be a second one.
type hook struct {
	mqtt.HookBase
	server   *Server
	readers  readers // the integrators
	statuses statuses

	mu      sync.RWMutex
	clients map[string]map[*mqtt.Client]struct{} // by serial; "" is the platform
}

func newHook(s *Server) *hook {
	return &hook{server: s, clients: map[string]map[*mqtt.Client]struct{}{}, readers: readers{m: map[*mqtt.Client]*reader{}}, statuses: statuses{payloads: map[string][]byte{}}}
}

// ID implements mqtt.Hook.
func (h *hook) ID() string { return "kioskfleet" }

// Provides implements mqtt.Hook.
func (h *hook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSessionEstablished,
		mqtt.OnDisconnect, mqtt.OnPublish, mqtt.OnWillSent, mqtt.OnPublishDropped:
		return true
	case mqtt.OnSubscribe, mqtt.OnUnsubscribe, mqtt.OnPacketEncode:
		return h.server.cfg.Integrators != nil
	}
	return false
}

// OnConnect decides whether the client may join, and gives its session a name that no other kiosk
// can take: the serial, or serial/client-id where the client chose another id.
func (h *hook) OnConnect(cl *mqtt.Client, pk packets.Packet) error {
	if r, ok := cl.Net.Conn.(*reader); ok {
		return h.connectReader(cl, r, pk)
	}
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return h.refuse(cl, "no_identity", errors.New("no client certificate"))
	}
	if c.identity.Platform {
		if h.server.cfg.Sink != nil {
			return h.refuse(cl, "platform", errors.New("the platform's own client has no business in an embedded broker"))
		}
		cl.ID = platformSession
		c.admitted()
		return nil
	}
	serial := c.identity.Serial
	if err := h.server.cfg.Admissions.Admit(c.identity); err != nil {
		return h.refuse(cl, "not_admitted", err)
	}
	if w := pk.Connect; w.WillFlag && w.WillTopic != protocol.Topic(serial, protocol.ChannelBye) {
		return h.refuse(cl, "will", fmt.Errorf("will on %q; only %s is allowed", w.WillTopic, protocol.Topic(serial, protocol.ChannelBye)))
	}
	if n := len(h.clientsOf(serial)); n >= maxConnections {
		return h.refuse(cl, "too_many", fmt.Errorf("%d connections of this kiosk already", n))
	}
	if cl.ID != serial {
		cl.ID = serial + sessionSeparator + cl.ID
	}
	// A delayed will would say goodbye for a kiosk that is back, a retained one for ever.
	cl.Properties.Will.WillDelayInterval = 0
	cl.Properties.Will.Retain = false
	c.admitted()
	return nil
}

// refuse answers CONNECT with 'not authorised' and says why in the log. mochi itself would close the
// connection without an answer.
func (h *hook) refuse(cl *mqtt.Client, reason string, err error) error {
	h.server.metrics.refused.WithLabelValues(reason).Inc()
	serial := ""
	if c, ok := cl.Net.Conn.(*conn); ok {
		serial = c.identity.Serial
	}
	h.server.log.Warn("connect refused", "serial", serial, "remote", cl.Net.Remote, "reason", err.Error())
	h.answerRefusal(cl)
	return err
}

func (h *hook) answerRefusal(cl *mqtt.Client) {
	code := packets.ErrNotAuthorized
	if cl.Properties.ProtocolVersion < 5 {
		code = packets.ErrBadUsernameOrPassword // mochi turns it into 3.1.1's 5, not authorised
	}
	_ = h.server.mqtt.SendConnack(cl, code, false, nil)
}

// OnConnectAuthenticate implements mqtt.Hook; OnConnect has decided, mochi only wants to hear it.
func (h *hook) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	switch cl.Net.Conn.(type) {
	case *conn, *reader:
		return true
	}
	return false
}

// OnACLCheck allows a kiosk its own channels and the platform's client what it needs; the rest is
// denied. mochi asks for subscriptions with the filter, and for each delivery with the topic.
func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	if cl.Net.Inline {
		return true
	}
	if r, ok := cl.Net.Conn.(*reader); ok {
		return h.readerMay(cl, r, topic, write)
	}
	identity, ok := identityOf(cl)
	allowed := ok && (identity.Platform && platformMay(topic, write) || !identity.Platform && kioskMay(identity.Serial, topic, write))
	if !allowed {
		action := "subscribe"
		if write {
			action = "publish"
		}
		h.server.metrics.denied.WithLabelValues(action).Inc()
		h.server.log.Debug("access denied", "serial", identity.Serial, "action", action, "topic", topic)
	}
	return allowed
}

func kioskMay(serial, topic string, write bool) bool {
	owner, ch, ok := protocol.ParseTopic(topic)
	if !ok || owner != serial {
		return false
	}
	if write {
		return ch.FromKiosk()
	}
	return ch.ToKiosk()
}

func platformMay(topic string, write bool) bool {
	if _, ok := protocol.ParseAdmissionTopic(topic); ok {
		return true
	}
	if !write {
		return strings.HasPrefix(topic, "kiosks/")
	}
	_, ch, ok := protocol.ParseTopic(topic)
	return ok && !ch.FromKiosk() || strings.HasPrefix(topic, "alerts/") || strings.HasPrefix(topic, "incidents/")
}

// OnSessionEstablished implements mqtt.Hook: the client is in.
func (h *hook) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	if r, ok := cl.Net.Conn.(*reader); ok {
		h.established(cl, r)
		return
	}
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return
	}
	h.mu.Lock()
	set := h.clients[c.identity.Serial]
	if set == nil {
		set = map[*mqtt.Client]struct{}{}
		h.clients[c.identity.Serial] = set
	}
	set[cl] = struct{}{}
	h.mu.Unlock()
	if c.identity.Platform {
		return
	}
	h.server.metrics.connections.Inc()
	// The kiosk may have been revoked between OnConnect and here, too early to be found by Disconnect.
	if err := h.server.cfg.Admissions.Admit(c.identity); err != nil {
		cl.Stop(err)
	}
	if sink := h.server.cfg.Sink; sink != nil {
		sink.Connected(c.describe())
	}
}

// OnDisconnect implements mqtt.Hook.
func (h *hook) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	if r, ok := cl.Net.Conn.(*reader); ok {
		h.departed(cl, r)
		return
	}
	c, ok := cl.Net.Conn.(*conn)
	if !ok {
		return // a session loaded from the store, without a connection
	}
	h.mu.Lock()
	set := h.clients[c.identity.Serial]
	_, known := set[cl]
	delete(set, cl)
	if len(set) == 0 {
		delete(h.clients, c.identity.Serial)
	}
	h.mu.Unlock()
	if !known || c.identity.Platform {
		return
	}
	h.server.metrics.connections.Dec()
	if sink := h.server.cfg.Sink; sink != nil {
		cause := cl.StopCause()
		sink.Disconnected(c.describe(), Ending{
			At:        now(),
			Clean:     errors.Is(cause, packets.CodeDisconnect),
			TakenOver: errors.Is(cause, packets.ErrSessionTakenOver),
			Shutdown:  h.server.closing(),
		})
	}
}

// OnPublish hands a kiosk's message to the sink, or holds it back while the platform's session has
// no room. A refusal returns the bare ErrRejectPacket, the only error for which mochi sends no
// acknowledgement, and closes the connection, so that the kiosk sends the message again. A message of
// QoS 0 comes without a promise: it is dropped and counted, and the connection stays.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		status := pk.FixedHeader.Retain && isStatus(pk.TopicName)
		if status {
			h.statuses.keep(pk.TopicName, pk.Payload) // first: who subscribes now must get this one or that
		}
		h.forwardToReaders(pk.TopicName, pk.Payload, pk.FixedHeader.Retain)
		if status {
			return pk, packets.CodeSuccessIgnore
		}
		return pk, nil
	}
	identity, ok := identityOf(cl)
	if !ok {
		return pk, packets.ErrRejectPacket
	}
	if identity.Platform {
		h.takeAdmission(pk)
		return pk, nil
	}
	pk.FixedHeader.Retain = false
	var err error
	sink := h.server.cfg.Sink
	if sink != nil {
		err = sink.Publish(h.message(cl, pk, false))
	} else {
		err = h.forward(cl, pk)
	}
	if err != nil && pk.FixedHeader.Qos == 0 {
		// Nobody waits for an acknowledgement, and nobody would send it again.
		h.server.metrics.lost.Inc()
		h.server.log.Debug("message of QoS 0 not accepted", "serial", identity.Serial, "topic", pk.TopicName, "error", err)
		return pk, packets.ErrRejectPacket
	}
	if err != nil {
		h.server.metrics.rejected.Inc()
		h.server.log.Debug("message not accepted, closing the connection so that it is sent again", "serial", identity.Serial, "topic", pk.TopicName, "error", err)
		cl.Stop(err)
		return pk, packets.ErrRejectPacket
	}
	h.forwardToReaders(pk.TopicName, pk.Payload, false)
	// It is delivered: nobody else may read what kiosks publish. So mochi need not look for subscribers.
	return pk, packets.CodeSuccessIgnore
}

// OnWillSent implements mqtt.Hook: wills bypass OnPublish.
func (h *hook) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	if sink := h.server.cfg.Sink; sink != nil {
		if err := sink.Publish(h.message(cl, pk, true)); err != nil {
			h.server.metrics.rejected.Inc()
			h.server.log.Warn("will not accepted", "client", cl.ID, "error", err)
		}
	}
}

// OnPublishDropped implements mqtt.Hook.
func (h *hook) OnPublishDropped(cl *mqtt.Client, pk packets.Packet) {
	h.server.metrics.dropped.Inc()
	h.server.log.Warn("delivery dropped, the client's queue is full", "client", cl.ID, "topic", pk.TopicName)
}

func (h *hook) message(cl *mqtt.Client, pk packets.Packet, will bool) Message {
	m := Message{Payload: pk.Payload, QoS: pk.FixedHeader.Qos, Will: will, ReceivedAt: now()}
	m.Serial, m.Channel, _ = protocol.ParseTopic(pk.TopicName)
	if c, ok := cl.Net.Conn.(*conn); ok {
		m.ConnectionID = c.id
	}
	return m
}

func (h *hook) clientsOf(serial string) []*mqtt.Client {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]*mqtt.Client, 0, len(h.clients[serial]))
	for cl := range h.clients[serial] {
		out = append(out, cl)
	}
	return out
}

func (c *conn) describe() Connection {
	return Connection{ID: c.id, Serial: c.identity.Serial, Remote: c.RemoteAddr().String(), At: c.since}
}

// identityOf returns who a client is: by its certificate, or, for a session that was loaded from the
// store and has no connection yet, by the session's name, which only OnConnect gives.
func identityOf(cl *mqtt.Client) (pki.Identity, bool) {
	if c, ok := cl.Net.Conn.(*conn); ok {
		return c.identity, true
	}
	if cl.Net.Conn != nil || cl.ID == "" {
		return pki.Identity{}, false
	}
	if cl.ID == platformSession {
		return pki.Identity{Platform: true}, true
	}
	return pki.Identity{Serial: ownerOf(cl.ID)}, true
}

// ownerOf returns the serial that a session's name belongs to.
func ownerOf(session string) string {
	serial, _, _ := strings.Cut(session, sessionSeparator)
	return serial
}
