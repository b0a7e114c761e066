package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/protocol"
	"kioskfleet/kiosk/enroll"
)

// link is the agent's connection to the broker: it comes back by itself while Run runs. If the cause of
// the end is mqttclient.ErrAbandoned, nothing more is said on it.
type link interface {
	Run(ctx context.Context) error
	// Publish waits until the broker has acknowledged the message.
	Publish(ctx context.Context, topic string, payload []byte) error
}

// linkEvents is what a link tells its agent. The functions run on the link's goroutines.
type linkEvents struct {
	will      func() *mqttclient.Will // asked for before each attempt
	received  func(ch protocol.Channel, payload []byte) error
	connected func(ctx context.Context) // may take as long as ctx, which ends with the connection
	lost      func(error)
	failed    func(error) // an attempt made no connection
	goodbye   func(ctx context.Context)
}

// dialer makes the network connection below TLS; nil: as mqttclient does.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// mqttLink is a link by mqttclient.
type mqttLink struct{ client *mqttclient.Client }

func newMQTTLink(id enroll.Identity, backoff mqttclient.Backoff, dial dialer, log *slog.Logger, ev linkEvents) (link, error) {
	c, err := mqttclient.New(mqttclient.Config{
		Brokers:  id.Brokers,
		ClientID: id.Serial,
		TLS:      id.TLS,
		Dial:     dial,
		Subscriptions: []mqttclient.Subscription{
			{Filter: protocol.Topic(id.Serial, protocol.ChannelCmd), QoS: 1},
			{Filter: protocol.Topic(id.Serial, protocol.ChannelConfig), QoS: 1},
		},
		Will: ev.will,
		OnMessage: func(m mqttclient.Message) error {
			serial, ch, ok := protocol.ParseTopic(m.Topic)
			if !ok || serial != id.Serial || !ch.ToKiosk() {
				return nil // not ours; acknowledge it so that it does not come again
			}
			return ev.received(ch, m.Payload)
		},
		OnConnect: func(ctx context.Context, _ *mqttclient.Client) { ev.connected(ctx) },
		OnLost:    ev.lost,
		OnFailed:  ev.failed,
		Goodbye:   func(ctx context.Context, _ *mqttclient.Client) { ev.goodbye(ctx) },
		Backoff:   backoff,
		Log:       log,
	})
	if err != nil {
		return nil, err
	}
	return &mqttLink{c}, nil
}

func (l *mqttLink) Run(ctx context.Context) error { return l.client.Run(ctx) }

func (l *mqttLink) Publish(ctx context.Context, topic string, payload []byte) error {
	return l.client.Publish(ctx, topic, 1, false, payload)
}

// errInboxFull leaves a command unacknowledged on the broker.
var errInboxFull = errors.New("too many commands are waiting")
