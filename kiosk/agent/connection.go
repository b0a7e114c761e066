package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kioskfleet/internal/mqttclient"
	"kioskfleet/internal/protocol"
)

// will is what the broker says for this kiosk if the coming connection breaks.
func (a *Agent) will() *mqttclient.Will {
	payload, err := json.Marshal(protocol.Bye{Session: a.session.attempt(), Reason: protocol.ByeConnectionLost})
	if err != nil {
		a.log.Error("encode the will", "error", err)
		return nil
	}
	return &mqttclient.Will{Topic: protocol.Topic(a.cfg.Identity.Serial, protocol.ChannelBye), Payload: payload}
}

// serve publishes over one connection until it ends: the join, then whatever the outbox holds.
func (a *Agent) serve(ctx context.Context, l link) {
	a.session.begin()
	a.outbox.Rewind()
	a.unsure.reconnected()
	a.cfg.Counters.Connected.Add(1)
	a.log.Info("connected")
	signal(a.cameUp)
	for ctx.Err() == nil {
		idle, err := a.publishNext(ctx, l)
		switch {
		case err != nil && ctx.Err() == nil:
			a.log.Warn("publishing again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(publishRetry):
			}
		case idle:
			select {
			case <-ctx.Done():
			case <-a.wake:
			}
		}
	}
}

// publishNext publishes one message and reports whether there was none.
func (a *Agent) publishNext(ctx context.Context, l link) (idle bool, err error) {
	if id, boot, version, due := a.session.takeJoin(); due {
		if err := a.join(ctx, l, id, boot, version); err != nil {
			a.session.joinFailed()
			return false, err
		}
		return false, nil
	}
	batch, ok := a.outbox.Next()
	if !ok {
		return true, nil
	}
	counters := a.cfg.Counters
	if n := a.unsure.again(batch); n > 0 {
		counters.Resent.Add(1)
		if batch.Channel == protocol.ChannelTelemetry {
			counters.ResentReadings.Add(int64(n))
		}
	}
	counters.SentReadings.Add(int64(batch.Readings))
	if err := a.publish(ctx, l, batch.Channel, batch.Payload); err != nil {
		a.unsure.failed(batch)
		return false, err
	}
	if err := a.outbox.Done(batch); err != nil {
		counters.OutboxErrors.Add(1)
		return false, err
	}
	if batch.Channel == protocol.ChannelAck {
		counters.Acks.Add(1)
		a.answered(batch.Payload)
	}
	counters.Readings.Add(int64(batch.Readings))
	signal(a.progress)
	return false, nil
}

// publish publishes one message and waits until the broker has acknowledged it, for publishTimeout at most.
func (a *Agent) publish(connection context.Context, l link, ch protocol.Channel, payload []byte) error {
	if change := a.cfg.Hooks.Publish; change != nil {
		payload = change(connection, ch, payload)
	}
	ctx, cancel := context.WithTimeout(connection, publishTimeout)
	defer cancel()
	begun := time.Now()
	err := l.Publish(ctx, protocol.Topic(a.cfg.Identity.Serial, ch), payload)
	a.cfg.Counters.attempted(connection, err)
	if told := a.cfg.Hooks.Acknowledged; told != nil && err == nil {
		told(ch, time.Since(begun))
	}
	return err
}

// join announces the kiosk.
func (a *Agent) join(ctx context.Context, l link, id, boot, version string) error {
	commands := make([]string, 0, 8)
	for _, name := range protocol.CommandNames() {
		commands = append(commands, string(name))
	}
	payload, err := json.Marshal(protocol.Join{
		Serial: a.cfg.Identity.Serial, KioskID: a.cfg.Identity.KioskID,
		Session: id, BootID: boot, AgentVersion: version, Model: a.cfg.Model,
		Capabilities: a.capabilities, Commands: commands,
		Time: time.Now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return fmt.Errorf("encode the join: %w", err)
	}
	return a.publish(ctx, l, protocol.ChannelJoin, payload)
}

// goodbye ends the session; the broker then drops the will.
func (a *Agent) goodbye(ctx context.Context, l link) {
	id, reason := a.session.farewell()
	payload, err := json.Marshal(protocol.Bye{Session: id, Reason: reason})
	if err == nil {
		err = a.publish(ctx, l, protocol.ChannelBye, payload)
	}
	if err != nil {
		a.log.Warn("left without a goodbye", "error", err)
	}
}

func (a *Agent) lost(err error) {
	a.disconnected()
	a.cfg.Counters.Lost.Add(1)
	a.log.Warn("the connection is lost", "error", err)
}

func (a *Agent) failed(err error) {
	a.cfg.Counters.failed(err)
	if errors.Is(err, mqttclient.ErrRefused) {
		a.log.Warn("the broker refuses this kiosk: it is revoked, not registered, or enrolled elsewhere; trying on", "error", err)
	}
}

// disconnected notes the end of a connection, however often it is told.
func (a *Agent) disconnected() {
	if a.session.end() {
		a.cfg.Counters.Connected.Add(-1)
		signal(a.progress)
	}
}

// flush waits a moment until the outbox is empty, as long as there is a connection.
func (a *Agent) flush() {
	limit := time.NewTimer(flushTime)
	defer limit.Stop()
	for a.session.connected() {
		if _, more := a.outbox.Next(); !more {
			return
		}
		select {
		case <-a.progress:
		case <-limit.C:
			return
		}
	}
}
