package ingest

import (
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Status says how the journal and its consumers do.
func (in *Ingest) Status() fleet.IntakeStatus {
	s := in.cfg.Journal.Stats()
	out := fleet.IntakeStatus{Accepting: true, JournalBytes: s.Bytes, JournalMax: s.MaxBytes}
	for _, name := range []string{consumerLive, consumerSeries} {
		out.Consumers = append(out.Consumers, fleet.ConsumerStatus{Name: name, Behind: s.Behind[name]})
	}
	return out
}

// Replay takes a dead letter again, as if its kiosk had just sent it. When it returns nil the message is
// in the journal.
//
// Errors: a *fleet.ValidationError when it would be refused again; those of Accept.
func (in *Ingest) Replay(d fleet.DeadLetter) error {
	if d.Truncated {
		return fleet.Invalid("payload", "was too large to be kept whole, so it cannot be replayed")
	}
	m := Message{Serial: d.Serial, Channel: d.Channel, Payload: d.Payload, ReceivedAt: time.Now().UTC().Truncate(time.Millisecond)}
	if d.Channel == protocol.ChannelTelemetry {
		if _, refused := decodeReadings(m.Serial, m.Payload, m.ReceivedAt, in.cfg.Window); len(refused) > 0 {
			return fleet.Invalid("payload", "would be refused again: %v", refused[0])
		}
	}
	return in.Accept(m)
}
