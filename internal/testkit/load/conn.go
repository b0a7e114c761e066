package load

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Protocol versions, as CONNECT names them.
const (
	MQTT311 byte = 4
	MQTT5   byte = 5
)

// Types of control packets (MQTT 5, section 2.1.2).
const (
	typeConnect    = 1
	typeConnack    = 2
	typePublish    = 3
	typePuback     = 4
	typePubrec     = 5
	typePubrel     = 6
	typePubcomp    = 7
	typePingreq    = 12
	typePingresp   = 13
	typeDisconnect = 14
)

const (
	keepAlive      = 60 * time.Second
	connectTimeout = 15 * time.Second
	// firstRefusal is the lowest MQTT 5 reason code that refuses.
	firstRefusal = 0x80
	// defaultReceiveMaximum is what an MQTT 5 server that names none allows in flight.
	defaultReceiveMaximum = 65535

	// plainScheme begins the address of a broker that wants no TLS, which is never one of ours.
	plainScheme = "mqtt://"

	propertyReceiveMaximum = 0x21
	maxAnswerBytes         = 64 << 10
)

// Conn is one MQTT connection of a publisher. It knows just the packets that publishing needs, and its
// methods are for one goroutine.
type Conn struct {
	version byte
	// receiveMaximum is how many publishes the server takes in flight.
	receiveMaximum int

	net     net.Conn
	in      []byte // what was read and is not yet parsed is in[from:to]
	from    int
	to      int
	out     []byte
	nextID  uint16
	timeout time.Duration
}

// RefusedError says that the broker answered, and refused.
type RefusedError struct {
	What string // connect or publish
	Code byte
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the broker refuses the %s with code 0x%02x", e.What, e.Code)
}

// Dial connects to mqtts://host:port, or to mqtt://host:port without TLS, with a clean session.
func Dial(ctx context.Context, broker string, config *tls.Config, version byte, clientID string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := (&tls.Dialer{Config: config}).DialContext
	address, plain := strings.CutPrefix(broker, plainScheme)
	if plain {
		dial = new(net.Dialer).DialContext
	}
	raw, err := dial(ctx, "tcp", strings.TrimPrefix(address, "mqtts://"))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", broker, err)
	}
	c := &Conn{version: version, net: raw, in: make([]byte, 512), receiveMaximum: defaultReceiveMaximum, timeout: connectTimeout}
	if err := c.handshake(clientID); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("connect to %s: %w", broker, err)
	}
	return c, nil
}

func (c *Conn) handshake(clientID string) error {
	deadline := time.Now().Add(connectTimeout)
	_ = c.net.SetDeadline(deadline)
	defer c.net.SetDeadline(time.Time{})
	if _, err := c.net.Write(connectPacket(c.version, clientID)); err != nil {
		return err
	}
	kind, body, err := c.read()
	if err != nil {
		return err
	}
	if kind != typeConnack || len(body) < 2 {
		return fmt.Errorf("the broker answers CONNECT with a packet of type %d", kind)
	}
	if body[1] != 0 {
		return &RefusedError{"connect", body[1]}
	}
	if c.version == MQTT5 {
		c.receiveMaximum = receiveMaximum(body[2:])
	}
	return nil
}

// Publish sends a message and waits for its acknowledgement, as far as the QoS has one. A nil error at
// QoS 1 and 2 means that the broker has taken the message.
func (c *Conn) Publish(topic string, qos byte, payload []byte) error {
	c.nextID = c.nextID%65535 + 1
	c.out = appendPublish(c.out[:0], c.version, topic, qos, c.nextID, payload)
	_ = c.net.SetDeadline(time.Now().Add(c.timeout))
	if _, err := c.net.Write(c.out); err != nil {
		return fmt.Errorf("publish on %s: %w", topic, err)
	}
	for waiting := qos > 0; waiting; {
		a, err := c.answer()
		if err != nil {
			return fmt.Errorf("publish on %s: %w", topic, err)
		}
		if a.id != c.nextID {
			continue
		}
		switch {
		case a.reason >= firstRefusal:
			return fmt.Errorf("publish on %s: %w", topic, &RefusedError{"publish", a.reason})
		case a.kind == typePubrec:
			if _, err := c.net.Write(appendPubrel(nil, a.id)); err != nil {
				return fmt.Errorf("publish on %s: %w", topic, err)
			}
		case a.kind == typePuback, a.kind == typePubcomp:
			waiting = false
		}
	}
	return nil
}

// Ping asks for a sign of life and waits for it.
func (c *Conn) Ping() error {
	_ = c.net.SetDeadline(time.Now().Add(c.timeout))
	if _, err := c.net.Write(pingreq); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	for {
		a, err := c.answer()
		if err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		if a.kind == typePingresp {
			return nil
		}
	}
}

// Close says goodbye and closes the connection.
func (c *Conn) Close() error {
	_ = c.net.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.net.Write(disconnect)
	return c.net.Close()
}

// answer is what a broker says about a publish; the id is 0 for the others.
type answer struct {
	kind   byte
	id     uint16
	reason byte
}

// answer reads the next packet.
func (c *Conn) answer() (answer, error) {
	kind, body, err := c.read()
	if err != nil {
		return answer{}, err
	}
	return parseAnswer(kind, body)
}

func parseAnswer(kind byte, body []byte) (answer, error) {
	a := answer{kind: kind}
	switch kind {
	case typePuback, typePubrec, typePubcomp:
		if len(body) < 2 {
			return a, fmt.Errorf("the broker sends a packet of type %d with %d bytes", kind, len(body))
		}
		a.id = binary.BigEndian.Uint16(body)
		if len(body) > 2 {
			a.reason = body[2]
		}
	case typeDisconnect:
		if len(body) > 0 {
			a.reason = body[0]
		}
		return a, &RefusedError{"connection", a.reason}
	}
	return a, nil
}

var errMalformed = errors.New("the broker sends a malformed packet")

// read returns the next packet's type and body; the body is good until the next call. A time-out
// keeps what has come so far.
func (c *Conn) read() (kind byte, body []byte, err error) {
	for {
		if have := c.in[c.from:c.to]; len(have) >= 2 {
			size, n := remainingLength(have[1:])
			switch {
			case n < 0 || size > maxAnswerBytes:
				return 0, nil, errMalformed
			case n > 0 && len(have) >= 1+n+size:
				c.from += 1 + n + size
				return have[0] >> 4, have[1+n : 1+n+size], nil
			case n > 0 && 1+n+size > len(c.in):
				c.in = append(make([]byte, 0, 1+n+size), have...)[:1+n+size]
				c.from, c.to = 0, len(have)
			}
		}
		if c.from > 0 {
			c.to = copy(c.in, c.in[c.from:c.to])
			c.from = 0
		}
		n, err := c.net.Read(c.in[c.to:])
		c.to += n
		if n == 0 && err != nil {
			return 0, nil, err
		}
	}
}

// buffered reports whether a complete packet may already be there.
func (c *Conn) buffered() bool { return c.to > c.from }

// remainingLength decodes a variable byte integer; n is 0 when it is not complete, -1 when it is wrong.
func remainingLength(b []byte) (size, n int) {
	for i, digit := range b {
		if i == 4 {
			return 0, -1
		}
		size |= int(digit&0x7f) << (7 * i)
		if digit < 0x80 {
			return size, i + 1
		}
	}
	if len(b) >= 4 {
		return 0, -1
	}
	return 0, 0
}

func appendRemainingLength(b []byte, size int) []byte {
	for size >= 0x80 {
		b = append(b, byte(size)|0x80)
		size >>= 7
	}
	return append(b, byte(size))
}

func appendText(b []byte, text string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

func connectPacket(version byte, clientID string) []byte {
	const cleanSession = 0x02
	body := appendText(nil, "MQTT")
	body = append(body, version, cleanSession)
	body = binary.BigEndian.AppendUint16(body, uint16(keepAlive/time.Second))
	if version == MQTT5 {
		body = append(body, 0) // no properties
	}
	body = appendText(body, clientID)
	return append(appendRemainingLength([]byte{typeConnect << 4}, len(body)), body...)
}

func appendPublish(b []byte, version byte, topic string, qos byte, id uint16, payload []byte) []byte {
	size := 2 + len(topic) + len(payload)
	if qos > 0 {
		size += 2
	}
	if version == MQTT5 {
		size++
	}
	b = appendRemainingLength(append(b, typePublish<<4|qos<<1), size)
	b = appendText(b, topic)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	if version == MQTT5 {
		b = append(b, 0) // no properties
	}
	return append(b, payload...)
}

func appendPubrel(b []byte, id uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, typePubrel<<4|0x02, 2), id)
}

var (
	pingreq    = []byte{typePingreq << 4, 0}
	disconnect = []byte{typeDisconnect << 4, 0}
)

// receiveMaximum finds the property in a CONNACK's properties.
func receiveMaximum(b []byte) int {
	size, n := remainingLength(b)
	if n <= 0 || len(b) < n+size {
		return defaultReceiveMaximum
	}
	for b = b[n : n+size]; len(b) > 0; {
		id := b[0]
		b = b[1:]
		var skip int
		switch id {
		case propertyReceiveMaximum:
			if len(b) < 2 {
				return defaultReceiveMaximum
			}
			return max(1, int(binary.BigEndian.Uint16(b)))
		case 0x24, 0x25, 0x28, 0x29, 0x2a: // one byte
			skip = 1
		case 0x13, 0x22: // two
			skip = 2
		case 0x11, 0x27: // four
			skip = 4
		case 0x12, 0x15, 0x16, 0x1a, 0x1c, 0x1f: // a text or bytes with their length
			if len(b) < 2 {
				return defaultReceiveMaximum
			}
			skip = 2 + int(binary.BigEndian.Uint16(b))
		case 0x26: // two texts
			for range 2 {
				if len(b) < skip+2 {
					return defaultReceiveMaximum
				}
				skip += 2 + int(binary.BigEndian.Uint16(b[skip:]))
			}
		default:
			return defaultReceiveMaximum
		}
		if len(b) < skip {
			return defaultReceiveMaximum
		}
		b = b[skip:]
	}
	return defaultReceiveMaximum
}

// timedOut tells a passed deadline from a broken connection.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, io.EOF)
}
