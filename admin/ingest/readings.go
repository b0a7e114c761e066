package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

const (
	// unordered is by how much messages that come at the same time may stand in the journal in another order than
	// that of their receipt.
	unordered = time.Second
	// clockSlack is by how much the times of records may jump back: clocks are set.
	clockSlack = time.Minute
	// lookEvery is after how many records a replay looks whether anybody still waits for it.
	lookEvery = 256
)

// Oldest returns from when on the journal holds every message, zero while it holds none. Messages are dropped some
// time after everybody has read them.
//
// Errors: what reading the journal says.
func (in *Ingest) Oldest(ctx context.Context) (time.Time, error) {
	first, next := in.journalBounds()
	if first == next {
		return time.Time{}, nil
	}
	reader := in.cfg.Journal.Browse("replay", time.Time{})
	defer reader.Close()
	for reader.Position() < next {
		raw, _, err := reader.Next(ctx)
		if err != nil {
			return time.Time{}, fmt.Errorf("oldest message of the journal: %w", err)
		}
		if r, err := decodeRecord(raw); err == nil {
			return r.at.Add(unordered), nil
		}
	}
	return time.Time{}, nil
}

func (in *Ingest) journalBounds() (first, next uint64) {
	s := in.cfg.Journal.Stats()
	return s.First, s.Next
}

// Readings passes the readings that came in [from, to) from the kiosks that of picks, as the live side was told them:
// in the order of the journal, decoded by the same rules, without those that became dead letters. It ends with what
// stood in the journal when it was called. The consumers do not notice.
//
// Errors: that of each or of ctx; what reading the journal says, also when it drops what was to be read.
func (in *Ingest) Readings(ctx context.Context, of func(serial string) bool, from, to time.Time, each func(*fleet.Reading) error) error {
	_, next := in.journalBounds()
	reader := in.cfg.Journal.Browse("replay", from.Add(-clockSlack))
	defer reader.Close()
	for n := 0; reader.Position() < next; n++ {
		if n%lookEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		raw, number, err := reader.Next(ctx)
		if err != nil {
			return fmt.Errorf("readings of the journal: %w", err)
		}
		r, err := decodeRecord(raw)
		switch {
		case errors.Is(err, errNewer):
			return fmt.Errorf("readings of the journal: record %d: %w", number, err)
		case err != nil:
			continue // the consumers have told of it
		case r.at.After(to.Add(clockSlack)):
			return nil
		case r.at.Before(from), !r.at.Before(to), r.kind != kindMessage, r.channel != protocol.ChannelTelemetry, !of(r.serial):
			continue
		}
		readings, _ := decodeReadings(r.serial, r.payload, r.at, in.cfg.Window)
		for i := range readings {
			reading := readings[i] // alone: one that is kept must not keep the others in memory
			reading.Site, reading.Source.Record = r.site, number
			if err := each(&reading); err != nil {
				return err
			}
		}
	}
	return nil
}
