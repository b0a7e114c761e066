package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

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

// maxWaitingLetters bounds the dead letters that wait for a database that does not take them; of more,
// the oldest are only counted.
const maxWaitingLetters = 5000

// letterOf makes a dead letter of a record, or of an item of it.
func letterOf(r *record, item int, payload []byte, why *refusal) fleet.DeadLetter {
	return fleet.DeadLetter{
		Source: fleet.Source{Record: r.number, Item: item}, Serial: r.serial, Site: r.site, Channel: r.channel,
		Reason: why.reason, Detail: why.err.Error(), Payload: slices.Clone(payload), ReceivedAt: r.at,
	}
}

// countLetter counts a refusal.
func (in *Ingest) countLetter(d fleet.DeadLetter) {
	in.metrics.deadLetters.WithLabelValues(d.Reason).Inc()
	in.cfg.Log.Debug("message refused", "serial", d.Serial, "channel", string(d.Channel), "reason", d.Reason, "detail", d.Detail)
}

// letterBox holds the dead letters of the live side until the database has taken them: that a database
// is away must not hold the live side up.
type letterBox struct {
	in *Ingest

	mu      sync.Mutex // guards waiting
	waiting []fleet.DeadLetter
}

func (b *letterBox) put(d fleet.DeadLetter) {
	b.in.countLetter(d)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) >= maxWaitingLetters {
		b.waiting = b.waiting[1:]
		b.in.metrics.lettersDropped.Inc()
	}
	b.waiting = append(b.waiting, d)
}

// post hands everything to the database.
func (b *letterBox) post(ctx context.Context) error {
	b.mu.Lock()
	letters := b.waiting
	b.waiting = nil
	b.mu.Unlock()
	if len(letters) == 0 {
		return nil
	}
	err := b.in.cfg.DeadLetters.AddDeadLetters(ctx, letters)
	if err != nil {
		b.mu.Lock()
		b.waiting = append(letters, b.waiting...)
		b.mu.Unlock()
		return fmt.Errorf("keep %d dead letters: %w", len(letters), err)
	}
	return nil
}
